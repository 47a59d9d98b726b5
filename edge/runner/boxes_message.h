/*
 * Messages between the runners of an upgrade: the giver, of the edge that ends, and the taker, of the new
 * one. Running boxes pass from one to the other without noticing: the taker gets duplicates of the
 * descriptors that the giver holds, and both keep theirs until the new edge serves. So the boxes live,
 * whichever of the two edges survives. The taker sets the pace. Types and layouts keep their meaning:
 * programs of different versions exchange them.
 *
 *   taker                      giver
 *     | next 0 ------------------> |   the boxes are suspended
 *     | <------------------- conf  |
 *     | next 1, 2 .. ------------> |
 *     | <-------------------- box  |   for each
 *     | <-------------------- end  |   in place of a box: no more follow. From now on the taker has them
 *
 * The channel stays open: its end means that the other side has closed its descriptors.
 */
#ifndef BOXEDGE_BOXES_MESSAGE_H
#define BOXEDGE_BOXES_MESSAGE_H

#include "runner_message.h"

typedef enum boxes_message {
    BOXES_NEXT = 1, /* value: the number of the message that is wanted */
    BOXES_CONF,     /* descriptor [0]: the configuration of the boxes (process_conf_read) */
    BOXES_BOX,      /* bytes: handed_box_write; descriptors: handed_box_t, without those that are -1 */
    BOXES_END,      /* value: the number of boxes */
} boxes_message_t;

/* A running, frozen or stopping box. */
typedef struct handed_box {
    runner_status_t status;
    bool settled;      /* it counts as started */
    uint64_t since_ms; /* time of its start (clock_now_ms) */
    pid_t box_init;
    uint64_t log_end; /* box_log_end */
    int channel_fd;   /* to the box init */
    int output_fd;    /* -1: the box has closed its output */
    int log_fd;       /* memory file; -1: none could be made */
} handed_box_t;

#define HANDED_BOX_BYTES (25 + RUNNER_STATUS_BYTES)

/* Returns the length. */
size_t handed_box_write(const handed_box_t *box, char out[HANDED_BOX_BYTES]);
/* On success takes over the descriptors in `fds`, and sets them to -1. */
MUST_USE bool handed_box_read(str_t bytes, int *fds, size_t fd_count, handed_box_t *out);
/* Closes the descriptors that are not -1. */
void handed_box_close(handed_box_t *box);

#endif
