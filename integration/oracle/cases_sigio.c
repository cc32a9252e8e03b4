// Signals of sockets: SIGIO by O_ASYNC and FIOASYNC, a signal of one's own by F_SETSIG, SIGURG, and who gets them.
#include "oracle.h"

#include <linux/sockios.h>

static volatile sig_atomic_t info_fd, info_band, info_code;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)context;
    caught[signal]++;
    info_fd = info->si_fd;
    info_band = (sig_atomic_t)info->si_band;
    info_code = info->si_code;
}

static void catch_info(int signal)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &action, NULL);
}

// At least one since the last look: how many there are for one event is the network's affair.
static const char *came(int signal)
{
    for (int i = 0; i < 50 && caught[signal] == 0; i++) nap(4);
    const char *text = caught[signal] > 0 ? "came" : "did not come";
    caught[signal] = 0;
    return text;
}

// What the socket itself does to its queue (room for more to send) may signal too: not counted.
static void forget(int signal)
{
    nap(20);
    caught[signal] = 0;
}

static void ask(int fd)
{
    SAY(fcntl(fd, F_SETOWN, getpid()));
    SAY(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
    say("O_ASYNC %d, owner me %d", (fcntl(fd, F_GETFL) & O_ASYNC) != 0, fcntl(fd, F_GETOWN) == getpid());
}

PAIR(sigio_data, "SIGIO when data comes, before and after it was read; none once it is off")
{
    catch_signal(SIGIO, SA_RESTART);
    ask(a);
    forget(SIGIO);
    SEND(b, "one", 0);
    say("SIGIO %s", came(SIGIO));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    forget(SIGIO);
    SEND(b, "two", 0);
    say("SIGIO %s", came(SIGIO));
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
    SAY(fcntl(a, F_SETFL, fcntl(a, F_GETFL) & ~O_ASYNC));
    forget(SIGIO);
    SEND(b, "three", 0);
    AWAIT(a, POLLIN);
    say("SIGIO %s", came(SIGIO));
    RECV(a, 10, 0);
    SEND(a, "back", 0);
    RECV(b, 10, 0);
}

PAIR(sigio_waiting_data, "data that waited when O_ASYNC was set stays in order")
{
    catch_signal(SIGIO, SA_RESTART);
    SEND(b, "before ", 0);
    AWAIT(a, POLLIN);
    ask(a);
    SEND(b, "after", 0);
    nap(20);
    RECV(a, 100, 0);
    SEND(a, "back", 0);
    RECV(b, 10, 0);
}

PAIR(sigio_ioctl, "FIOASYNC and FIOSETOWN do the same")
{
    int on = 1, off = 0, me = getpid(), who = 0;
    catch_signal(SIGIO, SA_RESTART);
    SAY(ioctl(a, FIOSETOWN, &me));
    SAY(ioctl(a, FIOGETOWN, &who));
    say("owner me %d", who == me);
    SAY(ioctl(a, FIOASYNC, &on));
    forget(SIGIO);
    SEND(b, "x", 0);
    say("SIGIO %s", came(SIGIO));
    RECV(a, 1, 0);
    SAY(ioctl(a, FIOASYNC, &off));
    say("O_ASYNC %d", (fcntl(a, F_GETFL) & O_ASYNC) != 0);
}

PAIR(sigio_own_signal, "F_SETSIG: a signal that tells which descriptor and what")
{
    int number = SIGRTMIN + 3;
    catch_info(number);
    SAY(fcntl(a, F_SETSIG, number));
    say("signal %d", fcntl(a, F_GETSIG) == number);
    ask(a);
    forget(number);
    SEND(b, "x", 0);
    say("signal %s", came(number));
    say("descriptor %d, in %d, code %d", info_fd == a, (info_band & POLLIN) != 0, info_code == POLL_IN);
    RECV(a, 1, 0);
}

PAIR(sigio_owner_thread, "F_SETOWN_EX: one thread, a process, nobody")
{
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    catch_signal(SIGIO, SA_RESTART);
    SAY(fcntl(a, F_SETOWN_EX, &owner));
    SAY(fcntl(a, F_SETFL, fcntl(a, F_GETFL) | O_ASYNC));
    memset(&owner, 0, sizeof owner);
    SAY(fcntl(a, F_GETOWN_EX, &owner));
    say("type %d, me %d", owner.type, owner.pid == gettid());
    forget(SIGIO);
    SEND(b, "x", 0);
    say("SIGIO %s", came(SIGIO));
    RECV(a, 1, 0);
    SAY(fcntl(a, F_SETOWN, 0));
    forget(SIGIO);
    SEND(b, "y", 0);
    AWAIT(a, POLLIN);
    say("SIGIO %s", came(SIGIO));
    owner.type = 77;
    SAY(fcntl(a, F_SETOWN_EX, &owner));
    SAY(fcntl(a, F_SETSIG, 1000));
    RECV(a, 1, 0);
}

PAIR(sigio_urgent, "SIGURG for the owner when urgent data comes")
{
    catch_signal(SIGURG, SA_RESTART);
    SAY(fcntl(a, F_SETOWN, getpid()));
    SEND(b, "!", MSG_OOB);
    say("SIGURG %s", came(SIGURG));
    RECV(a, 1, MSG_OOB);
    SEND(b, "rest", 0);
    AWAIT(a, POLLIN);
    RECV(a, 10, 0);
}

PAIR(sigio_end, "SIGIO when the other end closes")
{
    catch_signal(SIGIO, SA_RESTART);
    ask(a);
    forget(SIGIO);
    SAY(xclose(b));
    say("SIGIO %s", came(SIGIO));
    RECV(a, 1, 0);
}

PAIR(sigio_poll_epoll, "a socket in epoll and poll that was asked for signals later")
{
    int ep = epoll_create1(0);
    catch_signal(SIGIO, SA_RESTART);
    SAY(ep_add(ep, a, EPOLLIN | EPOLLET, 7));
    EPOLL(ep, 4, 0);
    ask(a);
    SEND(b, "x", 0);
    say("SIGIO %s", came(SIGIO));
    EPOLL(ep, 4, 1000);
    EPOLL(ep, 4, 0);
    say("%s", poll_text(xpoll(a, ALL_EVENTS, 0)));
    RECV(a, 1, 0);
}

DUO(sigio_listener, "SIGIO when a connection comes, and accept")
{
    int l = listener(), c = xsocket(AF_INET, SOCK_STREAM);
    catch_signal(SIGIO, SA_RESTART);
    ask(l);
    forget(SIGIO);
    say("connect %s", errno_name(xconnect(c, near_ip, port_of(l)) ? errno : 0));
    say("SIGIO %s", came(SIGIO));
    int b = FD(accept(l, NULL, NULL));
    say("accepted O_ASYNC %d", (fcntl(b, F_GETFL) & O_ASYNC) != 0);
    SEND(b, "hello", 0);
    RECV(c, 10, 0);
}

DUO(sigio_fresh, "O_ASYNC before a connection is there")
{
    int l = xsocket(AF_INET, SOCK_STREAM), fd = socket(AF_INET, SOCK_STREAM, 0);
    catch_signal(SIGIO, SA_RESTART);
    ask(fd);
    say("bind %s", errno_name(xbind(l, far_ip, 0) ? errno : 0));
    say("listen %s", errno_name(xlisten(l, 4) ? errno : 0));
    struct sockaddr_in to = at4(far_ip, xport(l));
    SAY(connect(fd, SA(to), sizeof to));
    int b = xaccept(l);
    forget(SIGIO);
    SEND(b, "x", 0);
    say("SIGIO %s", came(SIGIO));
    RECV(fd, 1, 0);
}

DGRAM(sigio_datagram, "SIGIO when a datagram comes")
{
    catch_signal(SIGIO, SA_RESTART);
    ask(a);
    forget(SIGIO);
    say("sent %ld", xsendto(b, near_ip, port_of(a), "datagram", 8));
    say("SIGIO %s", came(SIGIO));
    RECV(a, 100, 0);
}
