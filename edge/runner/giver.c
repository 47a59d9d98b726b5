#include "giver.h"

#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "boxes_message.h"
#include "channel.h"
#include "memfile.h"
#include "process_log.h"

struct giver {
    channel_t *channel; /* NULL: the taker is gone */
    int conf_fd;
    runner_box_t *const *boxes;
    size_t count;
    bool done;
    giver_failed_t failed;
    void *owner;
};

/* The number `n`, from 0, of the boxes that have a process; NULL: no more exist. */
static runner_box_t *running_box(const giver_t *giver, uint64_t n)
{
    for (size_t i = 0; i < giver->count; i++)
        if (!runner_box_is_stopped(giver->boxes[i]) && n-- == 0)
            return giver->boxes[i];
    return NULL;
}

static bool send_box(const giver_t *giver, runner_box_t *box)
{
    char bytes[HANDED_BOX_BYTES];
    int fds[3];
    size_t count = 0;
    str_t parts[2];
    handed_box_t handed;
    runner_box_handed(box, &handed);
    box_log_read(runner_box_log(box), 0, parts);
    handed.log_fd = memfile_write("boxedge-log", parts, 2);
    fds[count++] = handed.channel_fd;
    if (handed.output_fd >= 0)
        fds[count++] = handed.output_fd;
    if (handed.log_fd >= 0)
        fds[count++] = handed.log_fd;
    size_t len = handed_box_write(&handed, bytes);
    bool sent = channel_send(giver->channel, BOXES_BOX, 0, str_make(bytes, len), fds, count);
    if (handed.log_fd >= 0)
        close(handed.log_fd);
    return sent;
}

static bool send_next(giver_t *giver, uint64_t number)
{
    runner_box_t *box;
    if (number == 0)
        return channel_send(giver->channel, BOXES_CONF, 0, STR(""), &giver->conf_fd, 1);
    if ((box = running_box(giver, number - 1)) != NULL)
        return send_box(giver, box);
    giver->done = channel_send(giver->channel, BOXES_END, number - 1, STR(""), NULL, 0);
    return giver->done;
}

static void on_closed(void *owner)
{
    giver_t *giver = owner;
    channel_free(&giver->channel);
    if (!giver->done)
        giver->failed(giver->owner);
}

static void on_message(void *owner, ipc_message_t *message)
{
    giver_t *giver = owner;
    if (message->type == BOXES_NEXT && !giver->done && !send_next(giver, message->value)) {
        process_log(LOG_BOXES_NOT_GIVEN, "runner",
                    "a box cannot be handed to the new edge: all boxes stay here");
        on_closed(giver);
    }
}

giver_t *giver_new(loop_t *loop, int *channel_fd, int *conf_fd, runner_box_t *const *boxes, size_t count,
                   giver_failed_t failed, void *owner)
{
    static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed};
    giver_t *giver = mem_alloc(sizeof(*giver));
    *giver = (giver_t){.conf_fd = *conf_fd, .boxes = boxes, .count = count, .failed = failed, .owner = owner};
    giver->channel = channel_new(loop, *channel_fd, &handlers, giver);
    *channel_fd = *conf_fd = -1;
    return giver;
}

bool giver_is_done(const giver_t *giver)
{
    return giver != NULL && giver->done && giver->channel != NULL;
}

void giver_free(giver_t **giver)
{
    giver_t *g = *giver;
    *giver = NULL;
    if (g == NULL)
        return;
    channel_free(&g->channel);
    close(g->conf_fd);
    free(g);
}
