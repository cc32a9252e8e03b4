/*
 * What the managed runtime asks of the process, answered here instead of by libc (linked with --wrap).
 *
 * The library must leave no trace in the program: no thread that fork would lose, no signal handler that the
 * program has not set. The runtime starts one thread, for finalizers, and the library has none; it ignores SIGPIPE,
 * which is the program's to decide; and it sets handlers for SIGSEGV, SIGFPE and one real-time signal, which turn
 * faults of managed code into exceptions and stop threads for a collection. Here a fault is fatal; and nothing is
 * allocated after start, while a thread that a collection would have to wait for leaves managed code by itself soon,
 * so the signal is not sent either. It reads random numbers for its hash tables from /dev/urandom, which it would keep
 * open under the lowest number that is free, and leave to every program that comes by exec().
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_kill(pthread_t thread, int sig);
int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old);
sighandler_t __wrap_signal(int sig, sighandler_t handler);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    (void)attr;
    (void)start;
    (void)arg;
    *thread = pthread_self();
    return 0;
}

int __wrap_pthread_kill(pthread_t thread, int sig)
{
    (void)thread;
    (void)sig;
    return 0;
}

int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    (void)sig;
    (void)act;
    if (old != NULL)
        memset(old, 0, sizeof *old);
    return 0;
}

sighandler_t __wrap_signal(int sig, sighandler_t handler)
{
    (void)sig;
    (void)handler;
    return SIG_DFL;
}

void __wrap_SystemNative_GetNonCryptographicallySecureRandomBytes(uint8_t *buffer, int32_t length);
int32_t __wrap_SystemNative_GetCryptographicallySecureRandomBytes(uint8_t *buffer, int32_t length);

int32_t __wrap_SystemNative_GetCryptographicallySecureRandomBytes(uint8_t *buffer, int32_t length)
{
    for (int32_t done = 0; done < length; ) {
        ssize_t n = getrandom(buffer + done, (size_t)(length - done), 0);
        if (n < 0) return -1;
        done += (int32_t)n;
    }
    return 0;
}

void __wrap_SystemNative_GetNonCryptographicallySecureRandomBytes(uint8_t *buffer, int32_t length)
{
    (void)__wrap_SystemNative_GetCryptographicallySecureRandomBytes(buffer, length);
}
