/*
 * What the managed runtime asks of the process, answered here instead of by libc (linked with --wrap).
 *
 * The library must leave no trace in the program: no thread that fork would lose, no signal handler that the
 * program has not set. The runtime starts one thread, for finalizers, and the library has none; and it sets handlers
 * for SIGSEGV, SIGFPE and one real-time signal, which turn faults of managed code into exceptions and stop threads for
 * a collection: the library treats a fault as fatal, and no other thread is in managed code when its heap could grow.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_sigaction(int sig, const struct sigaction *act, struct sigaction *old);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    (void)attr;
    (void)start;
    (void)arg;
    *thread = pthread_self();
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
