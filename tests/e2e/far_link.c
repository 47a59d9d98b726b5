/*
 * A path with a delay between two network namespaces: takes packets from either of two TUN devices and gives
 * them to the other one after DELAY microseconds. The queue of each direction is bounded; a packet
 * without room is lost, as on any path. Ends when its standard input does.
 *
 *   far_link FD FD DELAY
 */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX    2048
#define QUEUE_PACKETS 32768 /* 48 MB of full packets */
#define BATCH         64

struct packet {
    int64_t due_us;
    uint32_t len;
    char bytes[PACKET_MAX];
};

struct direction {
    int from, to;
    struct packet *packets;
    size_t first, count;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void take(struct direction *d, int64_t delay_us)
{
    char lost[PACKET_MAX];
    for (int i = 0; i < BATCH; i++) {
        struct packet *packet = &d->packets[(d->first + d->count) % QUEUE_PACKETS];
        int is_full = d->count == QUEUE_PACKETS;
        ssize_t n = read(d->from, is_full ? lost : packet->bytes, PACKET_MAX);
        if (n <= 0)
            return;
        if (is_full)
            continue;
        packet->len = (uint32_t)n;
        packet->due_us = now_us() + delay_us;
        d->count++;
    }
}

static void give(struct direction *d)
{
    int64_t now = now_us();
    for (; d->count != 0 && d->packets[d->first].due_us <= now; d->count--) {
        struct packet *packet = &d->packets[d->first];
        if (write(d->to, packet->bytes, packet->len) < 0 && errno == EAGAIN)
            return;
        d->first = (d->first + 1) % QUEUE_PACKETS;
    }
}

static int64_t wait_us(const struct direction *d)
{
    if (d->count == 0)
        return 1000000;
    int64_t left = d->packets[d->first].due_us - now_us();
    return left > 0 ? left : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct direction ways[2];
    int fds[2] = {(int)strtol(argv[1], NULL, 10), (int)strtol(argv[2], NULL, 10)};
    int64_t delay_us = strtol(argv[3], NULL, 10);
    for (int i = 0; i < 2; i++) {
        ways[i] = (struct direction){.from = fds[i], .to = fds[1 - i]};
        ways[i].packets = calloc(QUEUE_PACKETS, sizeof(struct packet));
        if (ways[i].packets == NULL || fcntl(fds[i], F_SETFL, O_NONBLOCK) != 0)
            return 1;
    }
    for (;;) {
        struct pollfd polled[3] = {
            {.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}, {.fd = 0}};
        int64_t a = wait_us(&ways[0]), b = wait_us(&ways[1]), least = a < b ? a : b;
        struct timespec time = {.tv_sec = least / 1000000, .tv_nsec = least % 1000000 * 1000};
        if (ppoll(polled, 3, &time, NULL) > 0 && polled[2].revents != 0)
            return 0;
        for (int i = 0; i < 2; i++) {
            take(&ways[i], delay_us);
            give(&ways[i]);
        }
    }
}
