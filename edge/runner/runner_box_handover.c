/*
 * A box that passes from the runner of one edge to that of the next.
 */
#include <assert.h>

#include "memfile.h"
#include "runner_box_internal.h"

void runner_box_suspend(runner_box_t *box)
{
    if (box->channel == NULL) {
        runner_box_stop(box, 0);
        return;
    }
    channel_pause(box->channel);
    loop_timer_stop(&box->timer);
    loop_timer_stop(&box->rest);
    if (box->output != NULL)
        readable_stop(box->output);
}

/* Also of an adopted box. */
void runner_box_continue(runner_box_t *box)
{
    if (box->channel == NULL)
        return;
    channel_resume(box->channel);
    if (box->output != NULL && box->state != RUNNER_STARTING)
        readable_start(box->output);
    if (box->state == RUNNER_RUNNING)
        runner_box_look_again(&box->timer);
}

void runner_box_handed(const runner_box_t *box, handed_box_t *out)
{
    assert(box->channel != NULL);
    *out = (handed_box_t){.settled = box->settled,
                          .since_ms = box->since_ms,
                          .box_init = box->box_init,
                          .log_end = box_log_end(box->log),
                          .channel_fd = channel_fd(box->channel),
                          .output_fd = box->output != NULL ? box->output_fd : -1,
                          .log_fd = -1};
    runner_box_status(box, &out->status);
}

static void take_log(runner_box_t *box, const handed_box_t *handed)
{
    size_t len = 0;
    char *text = handed->log_fd >= 0 ? memfile_read(handed->log_fd, &len) : NULL;
    box_log_restore(box->log, str_make(text, len), handed->log_end);
    if (text != NULL)
        memfile_release(&text, len);
}

runner_box_t *runner_box_adopt(loop_t *loop, const conf_t *conf, const conf_process_t *process,
                               handed_box_t *handed, const runner_box_handlers_t *handlers, void *owner)
{
    runner_box_t *box = runner_box_new(loop, conf, process, handlers, owner);
    const runner_status_t *status = &handed->status;
    box->state = status->state;
    box->life = status->life;
    box->command = (pid_t)status->pid;
    box->loopback6 = status->loopback6;
    box->settled = handed->settled;
    box->since_ms = handed->since_ms;
    box->box_init = handed->box_init;
    take_log(box, handed);
    runner_box_connect(box, handed->channel_fd, handed->output_fd);
    channel_pause(box->channel);
    handed->channel_fd = handed->output_fd = -1;
    handed_box_close(handed);
    return box;
}
