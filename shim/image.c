/* Which image will exec() start: one that loads this library again, and can take the sockets over, or another? */
#include "shim.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_BYTES = 256, HEADERS_MAX = 64, INTERPRETERS_MAX = 5 };

/* This library's file, as it was when the runtime started: after an upgrade the same path is another build. */
static struct stat library;
static char library_name[256];

void shim_remember_library(void)
{
    Dl_info info;
    if (dladdr(&library, &info) == 0 || info.dli_fname == NULL) return;
    if (RAW(SYS_stat, info.dli_fname, &library) < 0) return;
    const char *name = info.dli_fname;
    for (const char *p = name; *p != 0; p++)
        if (*p == '/') name = p + 1;
    size_t length = __builtin_strlen(name);
    if (length < sizeof library_name) __builtin_memcpy(library_name, name, length + 1);
}

/* One entry of LD_PRELOAD: a path, or a name that the loader searches for where it found it before. */
static bool is_library(const char *entry, size_t length)
{
    char path[4096];
    struct stat st;
    if (length == 0 || length >= sizeof path) return false;
    __builtin_memcpy(path, entry, length);
    path[length] = 0;
    if (__builtin_strchr(path, '/') == NULL) return __builtin_strcmp(path, library_name) == 0;
    return RAW(SYS_stat, path, &st) == 0 && st.st_dev == library.st_dev && st.st_ino == library.st_ino;
}

static bool preloads(char *const *environment)
{
    bool found = false;
    if (library_name[0] == 0 || environment == NULL) return false;
    for (; *environment != NULL; environment++) {
        if (__builtin_strncmp(*environment, "ACCEL_DISABLE=", 14) == 0 && (*environment)[14] != '0' &&
            (*environment)[14] != 0)
            return false;
        if (__builtin_strncmp(*environment, "LD_PRELOAD=", 11) != 0) continue;
        for (const char *entry = *environment + 11;;) {
            size_t length = __builtin_strcspn(entry, ": ");
            if (is_library(entry, length)) found = true;
            if (entry[length] == 0) break;
            entry += length + 1;
        }
    }
    return found;
}

/* The loader ignores LD_PRELOAD where a program gains rights by its file. */
static bool gains_rights(int fd, const struct stat *st)
{
    uid_t user = (uid_t)RAW(SYS_geteuid, 0);
    gid_t group = (gid_t)RAW(SYS_getegid, 0);
    if (user != (uid_t)RAW(SYS_getuid, 0) || group != (gid_t)RAW(SYS_getgid, 0)) return true;
    if ((st->st_mode & S_ISUID) && st->st_uid != user) return true;
    if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != group) return true;
    return user != 0 && RAW(SYS_fgetxattr, fd, "security.capability", NULL, 0) >= 0;
}

/* glibc's loader for x86-64 loads it; a static program has none, and another libc's would not find what it needs. */
static bool has_loader(int fd, const Elf64_Ehdr *head)
{
    Elf64_Phdr headers[HEADERS_MAX];
    size_t bytes = (size_t)head->e_phnum * sizeof *headers;
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_machine != EM_X86_64 || head->e_phnum > HEADERS_MAX ||
        head->e_phentsize != sizeof *headers || RAW(SYS_pread64, fd, headers, bytes, head->e_phoff) != (long)bytes)
        return false;
    for (unsigned i = 0; i < head->e_phnum; i++) {
        char loader[HEAD_BYTES] = "";
        if (headers[i].p_type != PT_INTERP) continue;
        if (RAW(SYS_pread64, fd, loader, sizeof loader - 1, headers[i].p_offset) <= 0) return false;
        return __builtin_strstr(loader, "/ld-linux-x86-64.") != NULL;
    }
    return false;
}

/* The program that a script names in its first line. */
static bool interpreter_of(const char *head, char *path)
{
    const char *from = head + 2;
    while (*from == ' ' || *from == '\t') from++;
    size_t length = __builtin_strcspn(from, " \t\r\n");
    __builtin_memcpy(path, from, length);
    path[length] = 0;
    return length > 0;
}

static long open_image(const struct shim_image *image)
{
    char path[64];
    if (image->path == NULL) return -ENOENT;
    if (image->path[0] != 0 || (image->flags & AT_EMPTY_PATH) == 0)
        return RAW(SYS_openat, image->dir, image->path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", image->dir);
    return RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/* What is neither a program nor a script the kernel runs only if somebody told it how. */
static bool has_formats(void) { return RAW(SYS_access, "/proc/sys/fs/binfmt_misc/status", F_OK) == 0; }

/* In doubt it is another: then the sockets end as with a program that is not accelerated. */
enum shim_verdict shim_judge_image(const struct shim_image *image, char *const *environment)
{
    struct shim_image now = *image;
    char path[HEAD_BYTES];
    bool loaded = preloads(environment);
    for (int depth = 0; depth < INTERPRETERS_MAX; depth++) {
        union { char text[HEAD_BYTES]; Elf64_Ehdr elf; } head = { { 0 } };
        struct stat st;
        long fd = open_image(&now);
        if (fd < 0) return fd == -ENOENT ? SHIM_FAILS : SHIM_OTHER;
        long got = RAW(SYS_pread64, fd, head.text, sizeof head.text - 1, 0);
        bool elf = got >= (long)sizeof head.elf && __builtin_memcmp(head.text, ELFMAG, SELFMAG) == 0;
        bool ours = elf && loaded && RAW(SYS_fstat, fd, &st) == 0 && !gains_rights((int)fd, &st) &&
                    has_loader((int)fd, &head.elf);
        RAW(SYS_close, fd);
        if (elf || got < 0) return ours ? SHIM_OURS : SHIM_OTHER;
        if (got >= 2 && head.text[0] == '#' && head.text[1] == '!') {
            if (!interpreter_of(head.text, path)) return SHIM_FAILS;
            now = (struct shim_image){ .dir = AT_FDCWD, .path = path };
        } else if (image->by_shell && depth == 0) {
            now = (struct shim_image){ .dir = AT_FDCWD, .path = "/bin/sh" }; /* execvp() gives it what is no program */
        } else {
            return has_formats() ? SHIM_OTHER : SHIM_FAILS;
        }
    }
    return SHIM_FAILS;
}
