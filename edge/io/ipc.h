/*
 * Messages between processes of one edge, over a SOCK_SEQPACKET pair: a type, a value, a few bytes, a few
 * descriptors; a message comes whole or not at all. Both ends are our own processes, yet the receiver checks
 * what it gets, since a worker talks to the network.
 */
#ifndef BOXEDGE_IPC_H
#define BOXEDGE_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define IPC_BYTES_MAX 8192
#define IPC_FDS_MAX   80

/* The one type that belongs to the channel itself: a message of the peer came without its descriptors, and
 * the peer sends it again. value: ipc_lost_pack. */
#define IPC_TYPE_LOST 31
/* `type` (below IPC_TYPE_LOST) and value of the message that was lost. */
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
    IPC_AGAIN,  /* nothing there; or no room: the peer does not read */
    IPC_CLOSED, /* the peer is gone */
    IPC_LOST,   /* a message of ours without its descriptors, for which none were free: its type and value say
                   which */
    IPC_FAILED, /* not a message of ours, or errno */
} ipc_result_t;

/* Makes a pair of ends, non-blocking and close-on-exec. False with errno. */
MUST_USE bool ipc_pair(int fds[2]);

/* Sends one message. `bytes` is at most IPC_BYTES_MAX, fd_count at most IPC_FDS_MAX (asserted); the
 * descriptors stay the caller's. */
MUST_USE ipc_result_t ipc_send(int fd, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                               size_t fd_count);
/* Takes one message. Where it is not IPC_OK, `*message` holds nothing to close. */
MUST_USE ipc_result_t ipc_receive(int fd, ipc_message_t *message);
/* Closes the descriptors of a message that the receiver did not take out (set those to -1). */
void ipc_message_fini(ipc_message_t *message);

#endif
