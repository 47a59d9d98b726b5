/*
 * Messages between processes of one edge, over a SOCK_SEQPACKET pair: a type, a value, a few bytes, a few
 * descriptors. A message arrives whole or not at all. Both ends are processes of the edge, yet the receiver
 * checks its input, because a worker talks to the network.
 */
#ifndef BOXEDGE_IPC_H
#define BOXEDGE_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define IPC_BYTES_MAX 8192
#define IPC_FDS_MAX   80

/* The one type that belongs to the channel itself: a message of the peer arrived without its descriptors, and
 * the peer must send it again. value: ipc_lost_pack. */
#define IPC_TYPE_LOST 31
/* Packs `type` (below IPC_TYPE_LOST) and value of the lost message. */
static inline uint64_t ipc_lost_pack(uint32_t type, uint64_t value)
{
    return value << 8 | (type & 0xff);
}

typedef struct ipc_message {
    uint32_t type; /* process_message_t, or IPC_TYPE_LOST */
    uint64_t value;
    size_t len; /* of bytes */
    char bytes[IPC_BYTES_MAX];
    size_t fd_count;
    int fds[IPC_FDS_MAX]; /* owned by the receiver; close-on-exec */
} ipc_message_t;

typedef enum ipc_result {
    IPC_OK,
    IPC_AGAIN,  /* no message, or no room: the peer does not read */
    IPC_CLOSED, /* the peer is gone */
    IPC_LOST,   /* a valid message without its descriptors, because none were free: type and value identify it
                 */
    IPC_FAILED, /* not a valid message, or errno */
} ipc_result_t;

/* Makes a pair of non-blocking, close-on-exec ends. False with errno. */
MUST_USE bool ipc_pair(int fds[2]);

/* Sends one message. `bytes` is at most IPC_BYTES_MAX, fd_count at most IPC_FDS_MAX (asserted). The caller
 * keeps the descriptors. */
MUST_USE ipc_result_t ipc_send(int fd, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                               size_t fd_count);
/* Takes one message. Unless the result is IPC_OK, `*message` holds nothing to close. */
MUST_USE ipc_result_t ipc_receive(int fd, ipc_message_t *message);
/* Closes the message's descriptors, except those that the receiver has set to -1. */
void ipc_message_fini(ipc_message_t *message);

#endif
