/* Streams over our sockets. libc reads, writes and closes a stream's descriptor by its inner functions, past every
 * wrapper. A stream that fdopen() makes over one of ours is therefore one of cookie functions, which are the wrappers;
 * fileno() still tells the number. */
#include "shim.h"

#include <stdlib.h>

static int number(void *cookie) { return (int)(intptr_t)cookie; }
static ssize_t stream_read(void *cookie, char *buf, size_t n) { return wrap_read(number(cookie), buf, n); }
static ssize_t stream_write(void *cookie, const char *buf, size_t n)
{
    ssize_t sent = wrap_write(number(cookie), buf, n);
    return sent < 0 ? 0 : sent; /* the contract of cookie functions: 0 is an error, errno says which */
}
static int stream_close(void *cookie) { return wrap_close(number(cookie)); }

FILE *wrap_fdopen(int fd, const char *mode)
{
    if (shim_is_pending(fd)) shim_pending_register(fd); /* later would be too late for the stream */
    if (NOT_OURS(fd)) return REAL(fdopen)(fd, mode);
    cookie_io_functions_t functions = { .read = stream_read, .write = stream_write, .close = stream_close };
    FILE *stream = fopencookie((void *)(intptr_t)fd, mode, functions);
    if (stream != NULL) stream->_fileno = fd;
    return stream;
}
ALIAS(_IO_fdopen, fdopen)

/* In an image that was given sockets as standard descriptors: libc made its streams before anybody could say so. */
void shim_inherit_streams(void)
{
    FILE *stream;
    if (shim_kind(shim_entry(0)) == ACCEL_KIND_SOCKET && (stream = wrap_fdopen(0, "r")) != NULL) stdin = stream;
    if (shim_kind(shim_entry(1)) == ACCEL_KIND_SOCKET && (stream = wrap_fdopen(1, "w")) != NULL) stdout = stream;
    if (shim_kind(shim_entry(2)) != ACCEL_KIND_SOCKET || (stream = wrap_fdopen(2, "w")) == NULL) return;
    setvbuf(stream, NULL, _IONBF, 0);
    stderr = stream;
}

static int print(int fd, const char *format, va_list args)
{
    char *text;
    int length = vasprintf(&text, format, args);
    if (length < 0) return -1;
    int done = 0;
    while (done < length) {
        ssize_t sent = wrap_write(fd, text + done, (size_t)(length - done));
        if (sent < 0) break;
        done += (int)sent;
    }
    int saved = errno;
    free(text);
    errno = saved;
    return done == length ? length : -1;
}

int wrap_vdprintf(int fd, const char *format, va_list args)
{
    if (NOT_OURS(fd)) return REAL(vdprintf)(fd, format, args);
    return print(fd, format, args);
}

int wrap___vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
    if (NOT_OURS(fd)) return REAL(__vdprintf_chk)(fd, flag, format, args);
    return print(fd, format, args);
}

int wrap_dprintf(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = wrap_vdprintf(fd, format, args);
    va_end(args);
    return r;
}

int wrap___dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int r = wrap___vdprintf_chk(fd, flag, format, args);
    va_end(args);
    return r;
}
