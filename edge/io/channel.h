/*
 * A message socket (ipc.h) on a loop. Its handlers get each message as it arrives.
 */
#ifndef BOXEDGE_CHANNEL_H
#define BOXEDGE_CHANNEL_H

#include "ipc.h"
#include "loop.h"

typedef struct channel channel_t;

/*
 * `message` gets each message. The handler sets the descriptors that it keeps to -1; the channel closes the
 * others. `closed` is called once, when the peer is gone; after it only channel_free is valid
 * (channel_stop_receiving is the exception). Both handlers may free the channel.
 */
typedef struct channel_handlers {
    void (*message)(void *owner, ipc_message_t *message);
    void (*closed)(void *owner);
    /* A message arrived without its descriptors, because the process had none free. NULL if no message
     * carries descriptors. */
    void (*lost)(void *owner, uint32_t type, uint64_t value);
} channel_handlers_t;

/* Takes over `fd`, one end of ipc_pair. `handlers` must outlive the channel. */
channel_t *channel_new(loop_t *loop, int fd, const channel_handlers_t *handlers, void *owner);
/* Lets messages of this channel use the descriptor reserve (descriptors.h). */
void channel_use_reserve(channel_t *channel);
/* Receives nothing, and does not notice the peer's end, until channel_resume. */
void channel_pause(channel_t *channel);
void channel_resume(channel_t *channel);
/* The channel's own descriptor, valid until channel_free. */
int channel_fd(const channel_t *channel);
/* Receives the messages that the peer has sent, then calls `closed`; the peer's later sends fail. Until
 * channel_free, also after `closed`, messages can still be sent. */
void channel_stop_receiving(channel_t *channel);
/* Closes and nulls. NULL is a no-op. */
void channel_free(channel_t **channel);

/* For the `lost` handler of the channel to the supervisor: logs the loss as `process` and requests the
 * message again. */
void channel_retry(channel_t *channel, const char *process, uint32_t type, uint64_t value);

/* Maximum queued messages, all without descriptors, for a peer that is not reading. */
#define CHANNEL_QUEUE_MAX 16384
/*
 * Sends in order, immediately or as soon as the peer has room. False if the peer is gone, the send fails,
 * CHANNEL_QUEUE_MAX messages are queued, or a message with descriptors cannot be sent immediately. The
 * message is then lost, and the caller must tolerate that. The caller keeps the descriptors.
 */
bool channel_send(channel_t *channel, uint32_t type, uint64_t value, str_t bytes, const int *fds,
                  size_t fd_count);
/* The same without descriptors, for messages that may be lost: sends now or not at all, and never queues. */
bool channel_try(channel_t *channel, uint32_t type, uint64_t value, str_t bytes);

#endif
