/* Streams over our sockets. libc reads, writes and closes a stream's descriptor by its inner functions, past every
 * wrapper. A stream that fdopen() makes over one of ours is therefore one of cookie functions, which are the wrappers;
 * fileno() still tells the number. */
#include "shim.h"

#include <stdio_ext.h>
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

/* --- standard streams ----------------------------------------------------------------------------------------- */

static FILE **const standard[] = { &stdin, &stdout, &stderr };

/* What the stream before this one had read ahead comes first, as it would from a stream that stayed. */
static FILE *before_input;

static ssize_t input_read(void *cookie, char *buf, size_t n)
{
    size_t ahead = before_input == NULL ? 0 : (size_t)(before_input->_IO_read_end - before_input->_IO_read_ptr);
    if (ahead == 0) return stream_read(cookie, buf, n);
    if (n > ahead) n = ahead;
    __builtin_memcpy(buf, before_input->_IO_read_ptr, n);
    before_input->_IO_read_ptr += n;
    return (ssize_t)n;
}

/* A standard descriptor is a socket of ours now, by a copy of it or since exec() left it so; libc made its stream long
 * before. The one that takes its place stays when the number is something else again: the wrappers see to that. */
void shim_standard_stream(int fd)
{
    static FILE *ours[3];
    if (ours[fd] != NULL || *standard[fd] == NULL) return;
    cookie_io_functions_t functions = { .read = fd == 0 ? input_read : stream_read, .write = stream_write,
                                        .close = stream_close };
    FILE *stream = fopencookie((void *)(intptr_t)fd, fd == 0 ? "r" : "w", functions), *before = *standard[fd];
    if (stream == NULL) return;
    ours[fd] = stream;
    stream->_fileno = fd;
    if (fd == 0) before_input = before;
    else if (fd == 2 || __fbufsize(before) == 1) setvbuf(stream, NULL, _IONBF, 0);
    else if (__flbf(before)) setvbuf(stream, NULL, _IOLBF, BUFSIZ);
    if (fd != 0 && __fpending(before) > 0) {
        fwrite(before->_IO_write_base, 1, __fpending(before), stream);
        __fpurge(before);
    }
    *standard[fd] = stream;
}

/* In an image that was given sockets as standard descriptors. */
void shim_inherit_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (shim_kind(shim_entry(fd)) == ACCEL_KIND_SOCKET) shim_standard_stream(fd);
}

/* --- what prints by number ------------------------------------------------------------------------------------ */

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
