/*
 * A message socket (ipc.h) on a loop: messages are handed over as they come.
 */
#ifndef BOXEDGE_CHANNEL_H
#define BOXEDGE_CHANNEL_H

#include "ipc.h"
#include "loop.h"

typedef struct channel channel_t;

/*
 * `message` gets each message; descriptors that it keeps it sets to -1, the rest is closed after it.
 * `closed` comes once, when the peer is gone; only channel_free is left then. Both may free the channel.
 */
typedef struct channel_handlers {
    void (*message)(void *owner, ipc_message_t *message);
    void (*closed)(void *owner);
    /* A message came without its descriptors, because none were free; NULL where none bring any. */
    void (*lost)(void *owner, uint32_t type, uint64_t value);
} channel_handlers_t;

/* Takes over `fd`, an end of ipc_pair. `handlers` outlive the channel. */
channel_t *channel_new(loop_t *loop, int fd, const channel_handlers_t *handlers, void *owner);
/* Messages of this channel may use the reserve of descriptors (descriptors.h). */
void channel_use_reserve(channel_t *channel);
/* Closes and nulls. NULL is allowed. */
void channel_free(channel_t **channel);

/* For a handler of `lost` on the channel to the supervisor: says so in the log as `role`, and asks for it
 * once more. */
void channel_ask_again(channel_t *channel, const char *role, uint32_t type, uint64_t value);

/* Messages without descriptors that wait for a peer which does not read just now, at most. */
#define CHANNEL_QUEUE_MAX 16384
/*
 * Sends in order, at once or as soon as the peer has room. False where the peer is gone, where
 * CHANNEL_QUEUE_MAX messages wait already, or where a message with descriptors cannot be sent at once: then
 * it is lost, and the caller must be able to live with that. Descriptors stay the caller's.
 */
bool channel_send(channel_t *channel, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                  size_t fd_count);

#endif
