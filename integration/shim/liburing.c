/* link: -luring */
/* io_uring by liburing, which makes its system calls itself: the library's functions are what is seen. */
#include "check.h"

#include <liburing.h>

static int sockets[2];

static void live_sockets(void)
{
    struct io_uring ring;
    struct io_uring_cqe *event;
    char text[16];
    pair(sockets);
    CHECK(write(sockets[0], "early", 5) == 5);
    int made = io_uring_queue_init(8, &ring, 0);
    if (made == -ENOSYS || made == -EPERM) return; /* no io_uring here, or not for us */
    CHECK(made == 0);
    for (int i = 0; i < 2; i++) {
        io_uring_prep_recv(io_uring_get_sqe(&ring), sockets[1], text, sizeof text, 0);
        CHECK(io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_wait_cqe(&ring, &event) == 0);
        CHECK(event->res == 5 && memcmp(text, i == 0 ? "early" : "later", 5) == 0);
        io_uring_cqe_seen(&ring, event);
        CHECK(write(sockets[0], "later", 5) == 5);
    }
    io_uring_queue_exit(&ring);
    CHECK(read(sockets[1], text, sizeof text) == 5);
}

static void with_parameters(void)
{
    struct io_uring ring;
    struct io_uring_params parameters = { .flags = IORING_SETUP_CLAMP };
    struct io_uring_cqe *event;
    int made = io_uring_queue_init_params(8, &ring, &parameters);
    if (made == -ENOSYS || made == -EPERM) return;
    CHECK(made == 0);
    pair(sockets);
    io_uring_prep_send(io_uring_get_sqe(&ring), sockets[0], "word", 4, 0);
    CHECK(io_uring_submit_and_wait(&ring, 1) == 1 && io_uring_wait_cqe(&ring, &event) == 0 && event->res == 4);
    char text[16];
    CHECK(read(sockets[1], text, sizeof text) == 4);
}

TESTS({ "live_sockets", live_sockets }, { "with_parameters", with_parameters })
