// Threads: any number on one socket, closing and shutting down under each other.
#include "oracle.h"

static int shared;
static long counts[8];

static void read_all(void *index)
{
    char block[100];
    long r;
    while ((r = recv(shared, block, sizeof block, 0)) > 0) counts[(intptr_t)index] += r;
}

PAIR(threads_several_readers, "four readers on one socket get every byte once, and all see the end")
{
    shared = a;
    for (intptr_t i = 0; i < 4; i++) later_call(0, read_all, (void *)i);
    nap(20);
    long sent = 0;
    for (int i = 0; i < 500; i++) sent += xsend(b, bytes, 1 + (size_t)i % 90, 0);
    SAY(xclose(b));
    join_later();
    say("all %d", counts[0] + counts[1] + counts[2] + counts[3] == sent);
}

PAIR(threads_one_message_one_reader, "four blocked readers, one message: one of them gets it")
{
    shared = a;
    static int results[4];
    void read_one(void *index)
    {
        char text[10];
        results[(intptr_t)index] = recv(shared, text, sizeof text, 0) > 0;
    }
    for (intptr_t i = 0; i < 4; i++) later_call(0, read_one, (void *)i);
    nap(40);
    SEND(b, "x", 0);
    nap(40);
    say("got it: %d", results[0] + results[1] + results[2] + results[3]);
    SEND(b, "y", 0);
    nap(40);
    say("got it: %d", results[0] + results[1] + results[2] + results[3]);
    SAY(xclose(b));
    join_later();
    say("got it: %d", results[0] + results[1] + results[2] + results[3]);
}

static void write_blocks(void *index)
{
    char block[64];
    memset(block, 'a' + (int)(intptr_t)index, sizeof block);
    for (int i = 0; i < 300; i++)
        if (send(shared, block, sizeof block, 0) != sizeof block) say("short send");
}

PAIR(threads_several_writers, "four writers on one socket: small sends are not torn apart")
{
    shared = a;
    for (intptr_t i = 0; i < 4; i++) later_call(0, write_blocks, (void *)i);
    int whole = 0, each[4] = {0};
    for (int i = 0; i < 1200; i++) {
        char block[64];
        if (xrecv(b, block, sizeof block, MSG_WAITALL) != sizeof block) break;
        int same = 1;
        for (int j = 1; j < 64; j++) same &= block[j] == block[0];
        whole += same;
        each[(block[0] - 'a') & 3]++;
    }
    join_later();
    say("whole %d, each %d %d %d %d", whole, each[0], each[1], each[2], each[3]);
}

CASE(threads_reader_and_writer, "on both ends one thread reads while another writes")
{
    int a, b;
    local_pair(&a, &b);
    later_pump(0, a, 1, 1 << 20);
    later_pump(0, b, 2, 1 << 20);
    later_sink(0, b, 1, 1 << 20);
    SAY(xsink(a, 2, 1 << 20));
    SAY(join_later());
}

PAIR(threads_close_under_reader, "closing a socket under a blocked reader: it stays until data or the end comes")
{
    static int result;
    shared = a;
    void read_one(void *unused)
    {
        (void)unused;
        char text[10];
        result = (int)recv(shared, text, sizeof text, 0);
    }
    later_call(0, read_one, NULL);
    nap(30);
    SAY(close(a));
    nap(30);
    say("result so far %d", result);
    SEND(b, "abc", MSG_NOSIGNAL);
    nap(30);
    say("result so far %d", result);
    SAY(xclose(b));
    join_later();
    say("result %d", result);
}

PAIR(threads_shutdown_wakes_all, "SHUT_RDWR wakes all blocked readers")
{
    shared = a;
    for (intptr_t i = 0; i < 3; i++) later_call(0, read_all, (void *)i);
    nap(30);
    TIMED(shutdown(a, SHUT_RDWR), 0);
    join_later();
    AWAIT(b, POLLIN);
    RECV(b, 1, 0);
}

static void poll_it(void *index)
{
    struct pollfd set = {shared, POLLIN, 0};
    counts[(intptr_t)index] = poll(&set, 1, 3000) == 1 ? set.revents : -1;
}

PAIR(threads_all_pollers_wake, "data wakes every thread that polls for it")
{
    shared = a;
    for (intptr_t i = 0; i < 3; i++) later_call(0, poll_it, (void *)i);
    nap(30);
    SEND(b, "x", 0);
    join_later();
    say("%s %s %s", poll_text((int)counts[0]), poll_text((int)counts[1]), poll_text((int)counts[2]));
}

PAIR(threads_poller_and_reader, "one thread polls, another reads what comes")
{
    shared = a;
    later_call(0, poll_it, (void *)0);
    later_call(0, read_all, (void *)1);
    nap(30);
    SEND(b, "abc", 0);
    nap(30);
    SAY(xclose(b));
    join_later();
    say("poll %s, read %ld", counts[0] == POLLIN || counts[0] == -1 ? "IN or nothing left" : "?", counts[1]);
}

static void dial_many(void *port)
{
    for (int i = 0; i < 25; i++) {
        int c = dial((int)(intptr_t)port);
        char text[10];
        if (send(c, "ask", 3, 0) != 3 || recv(c, text, 6, MSG_WAITALL) != 6) say("client failed");
        close(c);
        __atomic_fetch_add(&counts[0], 1, __ATOMIC_SEQ_CST);
    }
}

static void serve_many(void *listening)
{
    for (int i = 0; i < 50; i++) {
        int b = accept((int)(intptr_t)listening, NULL, NULL);
        char text[10];
        if (recv(b, text, 3, MSG_WAITALL) != 3 || send(b, "answer", 6, 0) != 6) say("server failed");
        close(b);
        __atomic_fetch_add(&counts[1], 1, __ATOMIC_SEQ_CST);
    }
}

CASE(threads_servers_and_clients, "two accepting threads, four connecting threads, a hundred connections")
{
    int l = listener();
    for (int i = 0; i < 2; i++) later_call(0, serve_many, (void *)(intptr_t)l);
    for (int i = 0; i < 4; i++) later_call(0, dial_many, (void *)(intptr_t)port_of(l));
    join_later();
    say("clients %ld, served %ld", counts[0], counts[1]);
    MASK(l);
}

static void churn(void *index)
{
    for (int i = 0; i < 40; i++) {
        int a, b;
        local_pair(&a, &b);
        char byte = (char)i, got = 0;
        if (send(a, &byte, 1, 0) == 1 && recv(b, &got, 1, 0) == 1 && got == byte) counts[(intptr_t)index]++;
        close(a);
        if (recv(b, &got, 1, 0) == 0) counts[(intptr_t)index]++;
        close(b);
    }
}

CASE(threads_churn, "four threads make, use and close connections at once")
{
    for (intptr_t i = 0; i < 4; i++) later_call(0, churn, (void *)i);
    join_later();
    say("%ld %ld %ld %ld", counts[0], counts[1], counts[2], counts[3]);
}

CASE(threads_exit_with_data, "a thread that ends leaves its socket and data to the others")
{
    static int a, b;
    local_pair(&a, &b);
    void send_and_end(void *unused)
    {
        (void)unused;
        send(a, "from a thread that is gone", 26, 0);
        pthread_exit(NULL);
    }
    later_call(0, send_and_end, NULL);
    join_later();
    RECV(b, 100, 0);
    SEND(b, "back", 0);
    RECV(a, 100, 0);
}

CASE(threads_cancel_reader, "a cancelled reader takes no data with it")
{
    static int a, b;
    local_pair(&a, &b);
    void *blocked(void *unused)
    {
        (void)unused;
        char text[10];
        recv(a, text, sizeof text, 0);
        return NULL;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, blocked, NULL);
    nap(40);
    SAY(pthread_cancel(thread));
    void *result = NULL;
    pthread_join(thread, &result);
    say("cancelled %d", result == PTHREAD_CANCELED);
    SEND(b, "for who comes next", 0);
    RECV(a, 100, 0);
}
