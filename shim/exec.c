/* exec in all its forms. An image that is accelerated too takes over from this one; before any other the process gives
 * up its sockets. And the new one shall be accelerated like the old one, unless somebody did not want that. */
#include "shim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* --- environment ---------------------------------------------------------------------------------------------- */

/* What the program was started with: LD_PRELOAD and ACCEL_*, to be handed on. */
enum { KEPT_MAX = 32, ENVIRONMENT_MAX = 1 << 14 };
static const char *kept[KEPT_MAX];
static int kept_count;

static bool begins(const char *text, const char *with)
{
    return __builtin_strncmp(text, with, __builtin_strlen(with)) == 0;
}

static const char *copy_of(const char *text)
{
    size_t bytes = __builtin_strlen(text) + 1;
    static char store[16384];
    static size_t used;
    if (used + bytes > sizeof store) return NULL;
    char *to = __builtin_memcpy(store + used, text, bytes);
    used += bytes;
    return to;
}

/* The entry that tells the next image where the stack is. Its program does not see it. */
#define NOTE "ACCEL_INHERIT="
enum { NOTE_BYTES = sizeof NOTE + 12 };

static int32_t number(const char *text)
{
    int32_t value = 0;
    while (*text >= '0' && *text <= '9' && value < 100000000) value = value * 10 + (*text++ - '0');
    return value;
}

__attribute__((constructor)) static void keep_environment(void)
{
    char **to = environ;
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        if (begins(*e, NOTE)) {
            accel_process.inherited = number(*e + sizeof NOTE - 1);
            continue;
        }
        if (to != e) *to = *e;
        to++;
        if (kept_count == KEPT_MAX || (!begins(*e, "LD_PRELOAD=") && !begins(*e, "ACCEL_"))) continue;
        const char *copy = copy_of(*e);
        if (copy != NULL) kept[kept_count++] = copy;
    }
    if (to != NULL && *to != NULL) *to = NULL;
}

static bool has(char *const *environment, const char *entry)
{
    size_t name = 0;
    while (entry[name] != '=' && entry[name] != 0) name++;
    for (; *environment != NULL; environment++)
        if (__builtin_strncmp(*environment, entry, name) == 0 && (*environment)[name] == '=') return true;
    return false;
}

/* Entries to make room for; 0: the environment is passed on as it is. */
size_t shim_environment_room(char *const *environment)
{
    size_t count = 0;
    if (environment == NULL || !shim_started()) return 0;
    while (environment[count] != NULL) count++;
    return count > ENVIRONMENT_MAX ? 0 : count + (size_t)kept_count + 2;
}

/* A program that gives its successor a bare environment of a few words of its own (nginx exchanging its binary) did
 * not mean to switch acceleration off. One that keeps PATH and leaves out LD_PRELOAD did. */
char *const *shim_fill_environment(const char **to, char *const *from, const char *note)
{
    const char **next = to;
    bool bare = !has(from, "LD_PRELOAD=") && !has(from, "PATH=");
    for (char *const *e = from; *e != NULL; e++)
        if (!begins(*e, NOTE)) *next++ = *e;
    for (int i = 0; bare && i < kept_count; i++)
        if (!has(from, kept[i])) *next++ = kept[i];
    if (note != NULL) *next++ = note;
    *next = NULL;
    return (char *const *)to;
}

/* Room for an environment, on the stack of the function that uses it. */
#define ROOM(from)                                                                                                     \
    ({                                                                                                                 \
        size_t room_ = shim_environment_room(from);                                                                    \
        room_ == 0 ? NULL : (const char **)__builtin_alloca(room_ * sizeof(char *));                                   \
    })

/* --- before and after ----------------------------------------------------------------------------------------- */

static bool executable(int dir, const char *path, int flags)
{
    long r = RAW(SYS_faccessat2, dir, path, X_OK, AT_EACCESS | flags);
    return r == 0 || r == -ENOSYS || r == -EPERM; /* cannot be asked: it may well be */
}

enum { PATH_BYTES = 4096 };

/* As execvp searches: in PATH, unless the name has a slash. */
static bool found_in_path(const char *file, char *path)
{
    size_t length = __builtin_strlen(file);
    for (const char *p = file; *p != 0; p++)
        if (*p == '/') {
            if (length < PATH_BYTES) __builtin_memcpy(path, file, length + 1);
            return length < PATH_BYTES && executable(AT_FDCWD, file, 0);
        }
    const char *list = shim_getenv("PATH");
    if (list == NULL) list = "/bin:/usr/bin";
    for (const char *part = list;; part++) {
        const char *begin = part;
        while (*part != ':' && *part != 0) part++;
        size_t folder = (size_t)(part - begin);
        if (folder + length + 2 <= PATH_BYTES) {
            __builtin_memcpy(path, begin, folder);
            path[folder] = '/';
            __builtin_memcpy(path + folder + (folder != 0), file, length + 1);
            if (executable(AT_FDCWD, path, 0)) return true;
        }
        if (*part == 0) return false;
    }
}

struct leaving {
    bool prepared;
    bool takes_over; /* the next image: it has everything; else the process has left the stack */
    char note[NOTE_BYTES];
};

/* What managed code gives up before another image it cannot get back when the exec fails. So one that is going to fail,
 * as most that fail do because there is no such program, is left to fail without it. Returns the environment. */
static char *const *before_exec(struct leaving *l, const struct shim_image *image, bool promising, const char **room,
                                char *const *from)
{
    struct shim_thread *s = &shim_self;
    *l = (struct leaving){ 0 };
    char *const *environment = room == NULL ? from : shim_fill_environment(room, from, NULL);
    if (!promising || !shim_started() || accel_process.fd_limit == 0 || s->t.inside != 0) return environment;
    if ((int32_t)RAW(SYS_getpid, 0) != accel_process.pid) return environment; /* somebody's raw clone */
    enum shim_verdict verdict = shim_judge_image(image, environment);
    if (verdict == SHIM_FAILS) return environment;
    bool ours = verdict == SHIM_OURS && room != NULL;
    long fd = MANAGED(s, accel_exec_prepare(&s->t, ours));
    l->prepared = true;
    l->takes_over = fd > 0;
    shim_log("exec: %s %s", image->path, fd > 0 ? "takes over" : ours ? "inherits nothing" : "is not accelerated");
    if (fd <= 0) return environment;
    snprintf(l->note, sizeof l->note, NOTE "%d", (int)fd);
    return shim_fill_environment(room, from, l->note);
}

static int exec_failed(const struct leaving *l, int result)
{
    struct shim_thread *s = &shim_self;
    int saved = errno;
    if (l->prepared) MANAGED(s, accel_exec_failed(&s->t, l->takes_over));
    errno = saved;
    return result;
}

int wrap_execve(const char *path, char *const argv[], char *const envp[])
{
    struct leaving l;
    struct shim_image image = { .dir = AT_FDCWD, .path = path };
    bool promising = shim_started() && executable(AT_FDCWD, path, 0);
    char *const *environment = before_exec(&l, &image, promising, ROOM(envp), envp);
    return exec_failed(&l, REAL(execve)(path, argv, environment));
}

int wrap_execvpe(const char *file, char *const argv[], char *const envp[])
{
    struct leaving l;
    char path[PATH_BYTES];
    struct shim_image image = { .dir = AT_FDCWD, .path = path, .by_shell = true };
    bool promising = shim_started() && found_in_path(file, path);
    char *const *environment = before_exec(&l, &image, promising, ROOM(envp), envp);
    return exec_failed(&l, REAL(execvpe)(file, argv, environment));
}

int wrap_fexecve(int fd, char *const argv[], char *const envp[])
{
    struct leaving l;
    struct shim_image image = { .dir = fd, .path = "", .flags = AT_EMPTY_PATH };
    bool promising = shim_started() && executable(fd, "", AT_EMPTY_PATH);
    char *const *environment = before_exec(&l, &image, promising, ROOM(envp), envp);
    return exec_failed(&l, REAL(fexecve)(fd, argv, environment));
}

int wrap_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    struct leaving l;
    struct shim_image image = { .dir = dir, .path = path, .flags = flags };
    bool promising = shim_started() && executable(dir, path, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
    char *const *environment = before_exec(&l, &image, promising, ROOM(envp), envp);
    return exec_failed(&l, REAL(execveat)(dir, path, argv, environment, flags));
}

int wrap_execv(const char *path, char *const argv[]) { return wrap_execve(path, argv, environ); }

int wrap_execvp(const char *file, char *const argv[]) { return wrap_execvpe(file, argv, environ); }

/* Arguments of an execl* call, gathered on the stack up to and with the NULL; `rest` stands behind it afterwards. */
#define GATHER(argv, rest, first)                                                                                      \
    size_t count_ = 1;                                                                                                 \
    va_list counting_;                                                                                                 \
    va_start(counting_, first);                                                                                        \
    if ((first) != NULL)                                                                                               \
        while (count_++, va_arg(counting_, const char *) != NULL) continue;                                            \
    va_end(counting_);                                                                                                 \
    const char **argv = __builtin_alloca(count_ * sizeof(char *));                                                     \
    va_list rest;                                                                                                      \
    va_start(rest, first);                                                                                             \
    argv[0] = first;                                                                                                   \
    for (size_t i_ = 1; i_ < count_; i_++) argv[i_] = va_arg(rest, const char *)

int wrap_execl(const char *path, const char *arg, ...)
{
    GATHER(argv, rest, arg);
    va_end(rest);
    return wrap_execve(path, (char *const *)argv, environ);
}

int wrap_execlp(const char *file, const char *arg, ...)
{
    GATHER(argv, rest, arg);
    va_end(rest);
    return wrap_execvpe(file, (char *const *)argv, environ);
}

int wrap_execle(const char *path, const char *arg, ...)
{
    GATHER(argv, rest, arg);
    char *const *envp = va_arg(rest, char *const *);
    va_end(rest);
    return wrap_execve(path, (char *const *)argv, envp);
}

/* As posix_spawnp() does: what is no program is not given to the shell. */
void shim_spawn_in_path(const char *file, char *const argv[], char *const envp[])
{
    char path[PATH_BYTES];
    if (found_in_path(file, path)) wrap_execve(path, argv, envp);
    else REAL(execvpe)(file, argv, envp); /* says why not */
}
