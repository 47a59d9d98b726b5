#include "taker.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "boxes_message.h"
#include "channel.h"
#include "process.h"
#include "process_log.h"

struct taker {
    loop_t *loop;
    channel_t *channel; /* NULL: the giver is gone, or nothing was taken */
    conf_t *conf;       /* of the boxes; NULL before BOXES_CONF */
    const runner_box_handlers_t *handlers;
    taker_taken_t taken;
    void *owner;
    runner_box_t **boxes;
    size_t count;
    uint64_t wanted; /* the number of the next message */
    bool over;       /* `taken` was called */
    loop_timer_t patience;
};

static void release_boxes(taker_t *taker)
{
    for (size_t i = 0; i < taker->count; i++)
        runner_box_free(&taker->boxes[i]);
    free(taker->boxes);
    taker->boxes = NULL;
    taker->count = 0;
}

static void finish(taker_t *taker, bool ok)
{
    loop_timer_stop(&taker->patience);
    if (!ok) {
        channel_free(&taker->channel);
        release_boxes(taker);
    }
    taker->over = true;
    runner_box_t **boxes = taker->boxes;
    size_t count = taker->count;
    taker->boxes = NULL;
    taker->count = 0;
    taker->taken(taker->owner, boxes, count);
}

static void fail(taker_t *taker, const char *why)
{
    process_log(LOG_BOXES_NOT_GIVEN, "runner",
                "boxes of the old edge cannot be taken over, and end with it: %s", why);
    finish(taker, false);
}

static void on_patience(loop_timer_t *timer)
{
    fail(CONTAINER_OF(taker_t, patience, timer), "its runner does not answer");
}

static void request_next(taker_t *taker)
{
    loop_timer_start(taker->loop, &taker->patience, TAKER_MS, on_patience);
    if (!channel_send(taker->channel, BOXES_NEXT, taker->wanted++, STR(""), NULL, 0))
        fail(taker, "its runner takes no messages");
}

static void take_conf(taker_t *taker, const ipc_message_t *message)
{
    char error[256] = "no file came";
    if (taker->conf == NULL && message->fd_count == 1)
        taker->conf = process_conf_read(message->fds[0], error, sizeof(error));
    if (taker->conf == NULL)
        fail(taker, error);
    else
        request_next(taker);
}

static void take_box(taker_t *taker, ipc_message_t *message)
{
    handed_box_t handed;
    if (!handed_box_read(str_make(message->bytes, message->len), message->fds, message->fd_count, &handed)) {
        fail(taker, "a message is malformed");
        return;
    }
    const conf_process_t *process =
        taker->conf != NULL ? runner_box_find_process(taker->conf, handed.status.id) : NULL;
    if (process == NULL) {
        handed_box_close(&handed);
        fail(taker, "its configuration lacks one of them");
        return;
    }
    taker->boxes = mem_realloc(taker->boxes, (taker->count + 1) * sizeof(runner_box_t *));
    taker->boxes[taker->count++] =
        runner_box_adopt(taker->loop, taker->conf, process, &handed, taker->handlers, taker->owner);
    request_next(taker);
}

static void on_message(void *owner, ipc_message_t *message)
{
    taker_t *taker = owner;
    if (taker->over)
        return;
    if (message->type == BOXES_CONF)
        take_conf(taker, message);
    else if (message->type == BOXES_BOX)
        take_box(taker, message);
    else if (message->type == BOXES_END)
        finish(taker, true);
}

static void on_closed(void *owner)
{
    taker_t *taker = owner;
    channel_free(&taker->channel);
    if (!taker->over)
        finish(taker, false); /* an edge without boxes, or of a version that hands none on */
}

/* One that is requested again could be of another box. */
static void on_lost(void *owner, uint32_t type, uint64_t value)
{
    taker_t *taker = owner;
    (void)type;
    (void)value;
    if (!taker->over)
        fail(taker, "no descriptor is free for them");
}

taker_t *taker_new(loop_t *loop, int *channel_fd, const runner_box_handlers_t *handlers, taker_taken_t taken,
                   void *owner)
{
    static const channel_handlers_t channel_handlers = {
        .message = on_message, .closed = on_closed, .lost = on_lost};
    taker_t *taker = mem_alloc(sizeof(*taker));
    *taker = (taker_t){.loop = loop, .handlers = handlers, .taken = taken, .owner = owner};
    taker->channel = channel_new(loop, *channel_fd, &channel_handlers, taker);
    *channel_fd = -1;
    loop_timer_start(loop, &taker->patience, TAKER_MS, on_patience);
    /* If the giver is gone, the end of the channel follows. */
    (void)channel_send(taker->channel, BOXES_NEXT, taker->wanted++, STR(""), NULL, 0);
    return taker;
}

bool taker_shares(const taker_t *taker)
{
    return taker != NULL && taker->over && taker->channel != NULL;
}

void taker_free(taker_t **taker)
{
    taker_t *t = *taker;
    *taker = NULL;
    if (t == NULL)
        return;
    loop_timer_stop(&t->patience);
    channel_free(&t->channel);
    release_boxes(t);
    conf_release(&t->conf);
    free(t);
}
