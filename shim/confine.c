/* Programs that lock themselves in with seccomp: what the stack needs of the kernel is had before. */
#include "shim.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Servers whose sessions, once accepted, may not even call sendto(): a connection in user space would be the end of
 * them, so they are left alone. ACCEL_DISABLE=0 in their environment insists. */
static const char *const locked_up[] = { "sshd", "sshd-session", "sshd-auth", "vsftpd" };

bool shim_is_locked_up(void)
{
    char path[512];
    long length = RAW(SYS_readlink, "/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) return false;
    path[length] = 0;
    const char *name = path;
    for (const char *p = path; *p != 0; p++)
        if (*p == '/') name = p + 1;
    for (size_t i = 0; i < sizeof locked_up / sizeof *locked_up; i++)
        if (__builtin_strcmp(name, locked_up[i]) == 0) return true;
    return false;
}

bool shim_confined;

/* A fork child adopts, and the thread makes what it sleeps on, while both may still open what they need. */
static void before_filter(void)
{
    struct shim_thread *s = &shim_self;
    if (!shim_started() || accel_process.fd_limit == 0 || s->t.inside != 0) return;
    int saved = errno;
    long r = MANAGED(s, accel_confine(&s->t));
    shim_confined = true;
    shim_log("confined: %ld", r);
    errno = saved;
}

WRAP_IF(option != PR_SET_SECCOMP, int, prctl, (int option, long a, long b, long c, long d), (option, a, b, c, d))
{
    if (option == PR_SET_SECCOMP) before_filter();
    return REAL(prctl)(option, a, b, c, d);
}

void shim_before_seccomp(long operation)
{
    if (operation == SECCOMP_SET_MODE_FILTER) before_filter();
}
