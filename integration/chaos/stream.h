// One end of a connection in the chaos run: what it has sent and received, and whether that is right.
//
// A connection carries, each way, HELLO bytes of its sender (seed, length), then that many bytes of the pattern, then
// the end. Who breaks off on purpose resets; everything else that ends early was killed.
#ifndef STREAM_H
#define STREAM_H
#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HELLO = 16, MOST_STREAMS = 40, PIECE = 20000, SILENCE_MS = 20000, STATE_BYTES = 400 };

#define SA(address) ((struct sockaddr *)&(address))

struct stream {
    int fd;
    uint32_t out_seed, in_seed;
    uint64_t out_length, out_done, in_length, in_done;
    int in_hello;
    bool out_shut, in_ended;
    int64_t moved_ms;
    unsigned char hello[HELLO];
};

extern struct stream streams[MOST_STREAMS];
extern int count, me;
extern bool may_be_broken; // somebody was killed, or reset what he had: an early end is then no mistake

// xorshift64*, so that a seed means the same everywhere
extern uint64_t chance;
uint32_t next(void);
uint32_t upto(uint32_t bound);

int64_t now_ms(void);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct stream *begin(int fd);
void forget(int i);
bool move(struct stream *s, int revents); // sends and receives what it can; false: it is done, or lost
short wanted(const struct stream *s);     // of poll()
int finish(void);                         // until all have ended

// Its state as text, for the image that goes on with it.
void write_state(const struct stream *s, char *out, size_t size);
bool read_state(struct stream *s, const char *text);

#endif
