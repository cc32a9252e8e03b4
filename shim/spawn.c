/* posix_spawn, system and popen: libc makes their children by inner calls that nobody sees. That is enough while no
 * socket of ours is for the child. When one is, the child is made by our own fork and exec, so that it takes over. */
#include "shim.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc's inside of posix_spawn_file_actions_t (posix/spawn_int.h), which has been the same, but for new tags at the
 * end, since it exists. Checked before it is believed. */
enum { DO_CLOSE, DO_DUP2, DO_OPEN, DO_CHDIR, DO_FCHDIR, DO_CLOSEFROM, DO_TCSETPGRP };
struct action {
    int tag;
    union {
        int fd;
        struct { int fd, newfd; } dup2;
        struct { int fd; char *path; int oflag; mode_t mode; } open;
        char *path;
    };
};

static const struct action *actions_of(const posix_spawn_file_actions_t *actions)
{
    return (const struct action *)(const void *)actions->__actions;
}

static bool knows_actions(void)
{
    static int known; /* 1: yes, -1: no */
    posix_spawn_file_actions_t probe;
    if (known != 0) return known > 0;
    if (posix_spawn_file_actions_init(&probe) != 0) return false;
    bool good = posix_spawn_file_actions_addclose(&probe, 77) == 0 &&
                posix_spawn_file_actions_adddup2(&probe, 78, 79) == 0 &&
                posix_spawn_file_actions_addopen(&probe, 80, "/", 5, 6) == 0 && probe.__used == 3;
    const struct action *a = actions_of(&probe);
    good = good && a[0].tag == DO_CLOSE && a[0].fd == 77 && a[1].tag == DO_DUP2 && a[1].dup2.fd == 78 &&
           a[1].dup2.newfd == 79 && a[2].tag == DO_OPEN && a[2].open.fd == 80 && a[2].open.oflag == 5 &&
           a[2].open.mode == 6 && a[2].open.path[0] == '/';
    posix_spawn_file_actions_destroy(&probe);
    known = good ? 1 : -1;
    return good;
}

/* A socket or an epoll set of ours that exec() would leave open. */
static bool has_heritage(void)
{
    if (!shim_started() || shim_self.t.inside != 0) return false;
    for (uint32_t fd = 0; fd < accel_process.fd_limit; fd++) {
        unsigned kind = shim_kind(shim_entry((int)fd));
        if ((kind == ACCEL_KIND_SOCKET || kind == ACCEL_KIND_EPOLL) && RAW(SYS_fcntl, fd, F_GETFD) == 0) return true;
    }
    return false;
}

/* --- the child ------------------------------------------------------------------------------------------------ */

struct spawning {
    const char *file;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
    char *const *argv, *const *environment;
    bool in_path;
    uint64_t mask; /* the parent's */
    int report;    /* where the child says why it failed; above all that a program numbers */
};

/* The kernel resets handlers itself, but a signal may come before. */
static void reset_signals(const posix_spawnattr_t *attributes, int flags)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    if (flags & POSIX_SPAWN_SETSIGDEF) posix_spawnattr_getsigdefault(attributes, &wanted);
    for (int sig = 1; sig < 65; sig++) {
        struct { void *handler; unsigned long flags; void *restorer; uint64_t mask; } now, reset = { 0 };
        if (RAW(SYS_rt_sigaction, sig, NULL, &now, sizeof now.mask) < 0) continue;
        if (now.handler == (void *)SIG_DFL) continue;
        if (now.handler == (void *)SIG_IGN && sigismember(&wanted, sig) != 1) continue;
        RAW(SYS_rt_sigaction, sig, &reset, NULL, sizeof reset.mask);
    }
}

static int apply_attributes(const posix_spawnattr_t *attributes, int flags)
{
    struct sched_param parameters;
    int policy;
    pid_t group;
    if (flags & (POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER)) {
        posix_spawnattr_getschedparam(attributes, &parameters);
        posix_spawnattr_getschedpolicy(attributes, &policy);
        int r = flags & POSIX_SPAWN_SETSCHEDULER ? sched_setscheduler(0, policy, &parameters)
                                                 : sched_setparam(0, &parameters);
        if (r != 0) return errno;
    }
    if ((flags & POSIX_SPAWN_SETSID) && setsid() < 0) return errno;
    posix_spawnattr_getpgroup(attributes, &group);
    if ((flags & POSIX_SPAWN_SETPGROUP) && setpgid(0, group) != 0) return errno;
    if ((flags & POSIX_SPAWN_RESETIDS) && (setegid(getgid()) != 0 || seteuid(getuid()) != 0)) return errno;
    return 0;
}

static int open_at(const struct action *a)
{
    wrap_close(a->open.fd);
    int fd = open(a->open.path, a->open.oflag | O_LARGEFILE, a->open.mode);
    if (fd < 0) return errno;
    if (fd == a->open.fd) return 0;
    if (wrap_dup2(fd, a->open.fd) < 0) return errno;
    wrap_close(fd);
    return 0;
}

static int apply_action(const struct action *a, int report)
{
    switch (a->tag) {
    case DO_CLOSE: wrap_close(a->fd); return 0;
    case DO_DUP2:
        if (a->dup2.fd == a->dup2.newfd) return wrap_fcntl(a->fd, F_SETFD, 0) < 0 ? errno : 0;
        return wrap_dup2(a->dup2.fd, a->dup2.newfd) < 0 ? errno : 0;
    case DO_OPEN: return open_at(a);
    case DO_CHDIR: return chdir(a->path) < 0 ? errno : 0;
    case DO_FCHDIR: return fchdir(a->fd) < 0 ? errno : 0;
    case DO_CLOSEFROM:
        if (a->fd < report) wrap_close_range((unsigned)a->fd, (unsigned)report - 1, 0);
        wrap_close_range((unsigned)(a->fd > report ? a->fd : report + 1), ~0u, 0);
        return 0;
    case DO_TCSETPGRP: return tcsetpgrp(a->fd, getpgrp()) < 0 ? errno : 0;
    default: return ENOSYS;
    }
}

static _Noreturn void run_child(const struct spawning *w)
{
    short flags = 0;
    int error = 0;
    if (w->attributes != NULL) posix_spawnattr_getflags(w->attributes, &flags);
    reset_signals(w->attributes, flags);
    if (w->attributes != NULL) error = apply_attributes(w->attributes, flags);
    for (int i = 0; error == 0 && w->actions != NULL && i < w->actions->__used; i++)
        error = apply_action(actions_of(w->actions) + i, w->report);
    if (error == 0) {
        sigset_t mask;
        if (flags & POSIX_SPAWN_SETSIGMASK) posix_spawnattr_getsigmask(w->attributes, &mask);
        shim_restore_mask(flags & POSIX_SPAWN_SETSIGMASK ? *(uint64_t *)&mask : w->mask);
        if (w->in_path) shim_spawn_in_path(w->file, w->argv, w->environment);
        else wrap_execve(w->file, w->argv, w->environment);
        error = errno;
    }
    RAW(SYS_write, w->report, &error, sizeof error);
    wrap__exit(127);
    __builtin_unreachable();
}

/* --- the parent ----------------------------------------------------------------------------------------------- */

static int spawn(pid_t *child, struct spawning *w)
{
    int ends[2], error = 0;
    long r = RAW(SYS_pipe2, ends, O_CLOEXEC);
    if (r < 0) return (int)-r;
    for (int i = 0; i < 2; i++) ends[i] = shim_high_descriptor(ends[i]);
    w->report = ends[1];
    w->mask = shim_block_signals();
    pid_t pid = wrap_fork();
    if (pid == 0) run_child(w);
    if (pid < 0) error = errno;
    shim_restore_mask(w->mask);
    RAW(SYS_close, ends[1]);
    if (pid > 0) {
        do r = RAW(SYS_read, ends[0], &error, sizeof error);
        while (r == -EINTR);
        if (r != sizeof error) error = 0;
        else while (RAW(SYS_wait4, pid, NULL, 0, NULL) == -EINTR) continue;
    }
    RAW(SYS_close, ends[0]);
    if (error == 0 && child != NULL) *child = pid;
    return error;
}

#define SPAWN(name, with_path)                                                                                         \
    int wrap_##name(pid_t *pid, const char *file, const void *acts, const void *at, char *const *av, char *const *env) \
    {                                                                                                                  \
        if (has_heritage() && knows_actions()) {                                                                       \
            struct spawning w = { file, acts, at, av, env, with_path, 0, -1 };                                         \
            return spawn(pid, &w);                                                                                     \
        }                                                                                                              \
        size_t room = shim_environment_room(env);                                                                      \
        if (room == 0) return REAL(name)(pid, file, acts, at, av, env);                                                \
        const char **to = __builtin_alloca(room * sizeof(char *));                                                     \
        return REAL(name)(pid, file, acts, at, av, shim_fill_environment(to, env, NULL));                              \
    }
SPAWN(posix_spawn, false)
SPAWN(posix_spawnp, true)

/* --- system --------------------------------------------------------------------------------------------------- */

static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;
static int running;
static struct sigaction interrupt, quit;

static void ignore_keys(bool ignore)
{
    const struct sigaction ignored = { .sa_handler = SIG_IGN };
    pthread_mutex_lock(&running_lock);
    if (ignore && running++ == 0) {
        REAL(sigaction)(SIGINT, &ignored, &interrupt);
        REAL(sigaction)(SIGQUIT, &ignored, &quit);
    } else if (!ignore && --running == 0) {
        REAL(sigaction)(SIGINT, &interrupt, NULL);
        REAL(sigaction)(SIGQUIT, &quit, NULL);
    }
    pthread_mutex_unlock(&running_lock);
}

static void shell_attributes(posix_spawnattr_t *attributes, const sigset_t *mask)
{
    sigset_t defaults;
    sigemptyset(&defaults);
    if (interrupt.sa_handler != SIG_IGN) sigaddset(&defaults, SIGINT);
    if (quit.sa_handler != SIG_IGN) sigaddset(&defaults, SIGQUIT);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigmask(attributes, mask);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

int wrap_system(const char *command)
{
    if (command == NULL || !has_heritage()) return REAL(system)(command);
    sigset_t child, before;
    posix_spawnattr_t attributes;
    char *const argv[] = { "sh", "-c", (char *)command, NULL };
    int status = 127 << 8;
    pid_t pid;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    ignore_keys(true);
    pthread_sigmask(SIG_BLOCK, &child, &before);
    shell_attributes(&attributes, &before);
    struct spawning w = { "/bin/sh", NULL, &attributes, argv, environ, false, 0, -1 };
    if (spawn(&pid, &w) == 0)
        while (waitpid(pid, &status, 0) < 0)
            if (errno != EINTR) {
                status = -1;
                break;
            }
    posix_spawnattr_destroy(&attributes);
    ignore_keys(false);
    int saved = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return status;
}

/* --- popen ---------------------------------------------------------------------------------------------------- */

struct piped {
    struct piped *next;
    FILE *stream;
    pid_t pid;
};
static pthread_mutex_t piped_lock = PTHREAD_MUTEX_INITIALIZER;
static struct piped *all_piped;

/* The child does not have the streams of earlier calls. */
static int prepare_pipe(posix_spawn_file_actions_t *actions, int end, int place)
{
    int error = posix_spawn_file_actions_init(actions);
    if (error == 0) error = posix_spawn_file_actions_adddup2(actions, end, place);
    for (struct piped *p = all_piped; error == 0 && p != NULL; p = p->next)
        if (fileno(p->stream) != place) error = posix_spawn_file_actions_addclose(actions, fileno(p->stream));
    return error;
}

FILE *wrap_popen(const char *command, const char *mode)
{
    bool reads = mode[0] == 'r';
    if ((!reads && mode[0] != 'w') || !has_heritage() || !knows_actions()) return REAL(popen)(command, mode);
    struct piped *made = malloc(sizeof *made);
    posix_spawn_file_actions_t actions;
    char *const argv[] = { "sh", "-c", (char *)command, NULL };
    int ends[2];
    if (made == NULL || pipe2(ends, O_CLOEXEC) != 0) {
        free(made);
        return NULL;
    }
    int ours = ends[reads ? 0 : 1], theirs = ends[reads ? 1 : 0];
    pthread_mutex_lock(&piped_lock);
    made->stream = REAL(fdopen)(ours, reads ? "r" : "w");
    int error = made->stream == NULL ? errno : prepare_pipe(&actions, theirs, reads ? 1 : 0);
    struct spawning w = { "/bin/sh", &actions, NULL, argv, environ, false, 0, -1 };
    if (error == 0) error = spawn(&made->pid, &w);
    if (made->stream != NULL) posix_spawn_file_actions_destroy(&actions);
    if (error == 0) {
        made->next = all_piped;
        all_piped = made;
    }
    pthread_mutex_unlock(&piped_lock);
    close(theirs);
    FILE *stream = made->stream;
    if (error == 0) {
        if (__builtin_strchr(mode, 'e') == NULL) wrap_fcntl(ours, F_SETFD, 0);
        return stream;
    }
    if (stream != NULL) fclose(stream);
    else close(ours);
    free(made);
    errno = error;
    return NULL;
}

int wrap_pclose(FILE *stream)
{
    pthread_mutex_lock(&piped_lock);
    struct piped **link = &all_piped;
    while (*link != NULL && (*link)->stream != stream) link = &(*link)->next;
    struct piped *found = *link;
    if (found != NULL) *link = found->next;
    pthread_mutex_unlock(&piped_lock);
    if (found == NULL) return REAL(pclose)(stream);
    int status = -1;
    pid_t pid = found->pid;
    free(found);
    fclose(stream);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return status;
}
