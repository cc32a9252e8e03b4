/* exec in all its forms. A process that becomes another program gives up its sockets first; and the new one shall be
 * accelerated like the old one, unless somebody did not want that. */
#include "shim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* --- environment ---------------------------------------------------------------------------------------------- */

/* What the program was started with: LD_PRELOAD and ACCEL_*, to be handed on. */
enum { KEPT_MAX = 32, ENVIRONMENT_MAX = 1 << 16 };
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

__attribute__((constructor)) static void keep_environment(void)
{
    for (char **e = environ; e != NULL && *e != NULL && kept_count < KEPT_MAX; e++) {
        if (!begins(*e, "LD_PRELOAD=") && !begins(*e, "ACCEL_")) continue;
        const char *copy = copy_of(*e);
        if (copy != NULL) kept[kept_count++] = copy;
    }
}

static bool has(char *const *environment, const char *entry)
{
    size_t name = 0;
    while (entry[name] != '=' && entry[name] != 0) name++;
    for (; *environment != NULL; environment++)
        if (__builtin_strncmp(*environment, entry, name) == 0 && (*environment)[name] == '=') return true;
    return false;
}

/* A program that gives its successor a bare environment of a few words of its own (nginx exchanging its binary) did
 * not mean to switch acceleration off. One that keeps PATH and leaves out LD_PRELOAD did. Entries to make room for; 0:
 * the environment is right as it is. */
static size_t environment_room(char *const *environment)
{
    size_t count = 0;
    if (environment == NULL || kept_count == 0 || !shim_started()) return 0;
    if (has(environment, "LD_PRELOAD=") || has(environment, "PATH=")) return 0;
    while (environment[count] != NULL) count++;
    return count > ENVIRONMENT_MAX ? 0 : count + (size_t)kept_count + 1;
}

static char *const *fill_environment(const char **to, char *const *from)
{
    const char **next = to;
    for (char *const *e = from; *e != NULL; e++) *next++ = *e;
    for (int i = 0; i < kept_count; i++)
        if (!has(from, kept[i])) *next++ = kept[i];
    *next = NULL;
    return (char *const *)to;
}

#define ENVIRONMENT(from)                                                                                              \
    ({                                                                                                                 \
        size_t room_ = environment_room(from);                                                                         \
        room_ == 0 ? (from) : fill_environment(__builtin_alloca(room_ * sizeof(char *)), from);                        \
    })

/* --- before and after ----------------------------------------------------------------------------------------- */

static bool executable(int dir, const char *path, int flags)
{
    long r = RAW(SYS_faccessat2, dir, path, X_OK, AT_EACCESS | flags);
    return r == 0 || r == -ENOSYS || r == -EPERM; /* cannot be asked: it may well be */
}

/* As execvp searches: in PATH, unless the name has a slash. */
static bool found_in_path(const char *file)
{
    char path[4096];
    size_t length = __builtin_strlen(file);
    for (const char *p = file; *p != 0; p++)
        if (*p == '/') return executable(AT_FDCWD, file, 0);
    const char *list = shim_getenv("PATH");
    if (list == NULL) list = "/bin:/usr/bin";
    for (const char *part = list;; part++) {
        const char *begin = part;
        while (*part != ':' && *part != 0) part++;
        size_t folder = (size_t)(part - begin);
        if (folder + length + 2 <= sizeof path) {
            __builtin_memcpy(path, begin, folder);
            path[folder] = '/';
            __builtin_memcpy(path + folder + (folder != 0), file, length + 1);
            if (executable(AT_FDCWD, path, 0)) return true;
        }
        if (*part == 0) return false;
    }
}

/* What managed code gives up for an exec it cannot get back when the exec fails. So one that is going to fail, as most
 * that fail do because there is no such program, is left to fail without it. */
static bool before_exec(bool promising)
{
    struct shim_thread *s = &shim_self;
    if (!promising || !shim_started() || accel_process.fd_limit == 0 || s->t.inside != 0) return false;
    if ((int32_t)RAW(SYS_getpid, 0) != accel_process.pid) return false; /* somebody's raw clone */
    MANAGED(s, accel_exec_prepare(&s->t));
    return true;
}
#define BEFORE_EXEC(promising) before_exec(shim_started() && (promising))

static int exec_failed(bool prepared, int result)
{
    struct shim_thread *s = &shim_self;
    int saved = errno;
    if (prepared) MANAGED(s, accel_exec_failed(&s->t));
    errno = saved;
    return result;
}

int wrap_execve(const char *path, char *const argv[], char *const envp[])
{
    char *const *environment = ENVIRONMENT(envp);
    bool prepared = BEFORE_EXEC(executable(AT_FDCWD, path, 0));
    return exec_failed(prepared, REAL(execve)(path, argv, environment));
}

int wrap_execvpe(const char *file, char *const argv[], char *const envp[])
{
    char *const *environment = ENVIRONMENT(envp);
    bool prepared = BEFORE_EXEC(found_in_path(file));
    return exec_failed(prepared, REAL(execvpe)(file, argv, environment));
}

int wrap_fexecve(int fd, char *const argv[], char *const envp[])
{
    char *const *environment = ENVIRONMENT(envp);
    bool prepared = BEFORE_EXEC(executable(fd, "", AT_EMPTY_PATH));
    return exec_failed(prepared, REAL(fexecve)(fd, argv, environment));
}

int wrap_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    char *const *environment = ENVIRONMENT(envp);
    bool prepared = BEFORE_EXEC(executable(dir, path, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)));
    return exec_failed(prepared, REAL(execveat)(dir, path, argv, environment, flags));
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

int wrap_posix_spawn(pid_t *pid, const char *file, const void *acts, const void *at, char *const *av, char *const *env)
{
    return REAL(posix_spawn)(pid, file, acts, at, av, ENVIRONMENT(env));
}

int wrap_posix_spawnp(pid_t *pid, const char *file, const void *acts, const void *at, char *const *av, char *const *env)
{
    return REAL(posix_spawnp)(pid, file, acts, at, av, ENVIRONMENT(env));
}

