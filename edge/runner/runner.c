/*
 * The process that starts, freezes and stops process boxes. It keeps the supervisor's rights,
 * because workers and the controller can no longer start a process as another user. It takes
 * messages only from the supervisor and the controller, and runs only the commands of the
 * configuration. process.h declares runner_run.
 *
 *   runner.c          the process: channels, configuration, questions
 *   runner_box.c      a box: its state and its log
 *   box_init.c        the process above each box's command
 *   giver.c, taker.c  boxes pass to the runner of a new edge
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bytes.h"
#include "channel.h"
#include "children.h"
#include "clock.h"
#include "descriptors.h"
#include "giver.h"
#include "list.h"
#include "memfile.h"
#include "process.h"
#include "process_facts.h"
#include "process_log.h"
#include "runner.h"
#include "runner_box.h"
#include "taker.h"

/* Interval between checks for remaining processes of a dead box init. */
#define SWEEP_MS 20

typedef enum runner_life {
    RUNNER_TAKES, /* boxes of the old edge's runner arrive */
    RUNNER_SERVES,
    RUNNER_GIVES, /* the boxes are suspended: the runner of a new edge takes them */
    RUNNER_ENDS,
} runner_life_t;

struct runner {
    loop_t *loop;
    conf_t *conf;
    shm_t *shm;
    runner_life_t life;
    int status; /* of the process, when it ends */
    channel_t *supervisor;
    channel_t *controller; /* NULL: none now */
    int next_controller;   /* of RUNNER_TAKES: its channel; -1: none */
    giver_t *giver;        /* of RUNNER_GIVES */
    taker_t *taker;        /* NULL: no boxes to take over, or the old runner has released them */
    runner_box_t **boxes;
    size_t box_count;
    runner_box_t **leaving; /* removed from the configuration, and not stopped yet */
    size_t leaving_count;
    loop_timer_t heartbeat;
    process_facts_t facts;
    loop_timer_t sweep;
};

/* ---- to the controller ---- */

static void notify(runner_t *runner, runner_message_t type, uint64_t value, str_t bytes)
{
    bool sent = runner->controller == NULL || channel_send(runner->controller, type, value, bytes, NULL, 0);
    if (!sent && runner->life != RUNNER_ENDS) /* both end at a drain, and the controller first */
        process_log(LOG_PROCESS_MUTE, "runner", "the controller takes no messages");
}

static void notify_box(runner_t *runner, const runner_box_t *box)
{
    char bytes[RUNNER_STATUS_BYTES];
    runner_status_t status;
    runner_box_status(box, &status);
    size_t n = runner_status_write(&status, bytes);
    notify(runner, RUNNER_BOX, 0, str_make(bytes, n));
}

static void answer(runner_t *runner, uint64_t question, runner_result_t result, const char *sentence)
{
    char bytes[1 + RUNNER_SENTENCE_MAX];
    str_t text = str_from(sentence);
    text.n = text.n < RUNNER_SENTENCE_MAX ? text.n : RUNNER_SENTENCE_MAX;
    bytes[0] = (char)result;
    if (text.n > 0)
        memcpy(bytes + 1, text.p, text.n);
    notify(runner, RUNNER_DONE, question, str_make(bytes, 1 + text.n));
}

/* ---- from boxes ---- */

static runner_box_t *find(const runner_t *runner, str_t id)
{
    for (size_t i = 0; i < runner->box_count; i++)
        if (str_eq(str_from(runner_box_id(runner->boxes[i])), id))
            return runner->boxes[i];
    return NULL;
}

static void box_changed(void *owner, runner_box_t *box)
{
    runner_t *runner = owner;
    if (find(runner, str_from(runner_box_id(box))) == box)
        notify_box(runner, box);
}

static void box_answered(void *owner, uint64_t question, runner_result_t result, const char *sentence)
{
    answer(owner, question, result, sentence);
}

/* Repeats until no process is found: a grandchild becomes a child when its parent dies. */
static void sweep(loop_timer_t *timer)
{
    runner_t *runner = CONTAINER_OF(runner_t, sweep, timer);
    pid_t *spare = calloc(runner->box_count + runner->leaving_count + 1, sizeof(*spare));
    assert(spare != NULL);
    size_t count = 0;
    bool again = false;
    for (size_t i = 0; i < runner->box_count; i++) {
        spare[count++] = runner_box_box_init(runner->boxes[i]);
        again |= !runner_box_clean_up(runner->boxes[i]);
    }
    for (size_t i = 0; i < runner->leaving_count; i++)
        spare[count++] = runner_box_box_init(runner->leaving[i]);
    if (children_kill(spare, count) > 0 || again)
        loop_timer_start(runner->loop, timer, SWEEP_MS, sweep);
    free(spare);
}

static void box_orphaned(void *owner)
{
    runner_t *runner = owner;
    loop_timer_start(runner->loop, &runner->sweep, SWEEP_MS, sweep);
}

static void box_stopped(void *owner, runner_box_t *box)
{
    runner_t *runner = owner;
    for (size_t i = 0; i < runner->leaving_count; i++)
        if (runner->leaving[i] == box) {
            runner->leaving[i] = runner->leaving[--runner->leaving_count];
            runner_box_free(&box);
            return;
        }
}

static const runner_box_handlers_t box_handlers = {
    .changed = box_changed, .answered = box_answered, .orphaned = box_orphaned, .stopped = box_stopped};

/* ---- the configuration ---- */

/* Stops the boxes that `next` lacks, and moves them to `leaving`. */
static void part(runner_t *runner, const conf_t *next)
{
    size_t kept = 0;
    runner->leaving =
        realloc(runner->leaving, (runner->leaving_count + runner->box_count + 1) * sizeof(runner_box_t *));
    assert(runner->leaving != NULL);
    for (size_t i = 0; i < runner->box_count; i++) {
        runner_box_t *box = runner->boxes[i];
        if (runner_box_find_process(next, runner_box_id(box)) != NULL)
            runner->boxes[kept++] = box;
        else
            runner->leaving[runner->leaving_count++] = box;
    }
    size_t before = runner->box_count;
    runner->box_count = kept;
    for (size_t i = kept; i < before; i++)
        runner->boxes[i] = NULL;
    for (size_t i = runner->leaving_count; i-- > 0;) /* from the end, because stopped ones are removed */
        runner_box_stop(runner->leaving[i], 0);
}

static void use_conf(runner_t *runner, conf_t *conf)
{
    part(runner, conf);
    runner_box_t **boxes = calloc(conf->process_count + 1, sizeof(runner_box_t *));
    assert(boxes != NULL);
    for (size_t i = 0; i < conf->process_count; i++)
        boxes[i] = find(runner, str_from(conf->processes[i].id));
    free(runner->boxes);
    runner->boxes = boxes;
    runner->box_count = 0; /* grows with each box, because a handler may read it */
    for (size_t i = 0; i < conf->process_count; i++) {
        const conf_process_t *process = &conf->processes[i];
        if (boxes[i] == NULL)
            boxes[i] = runner_box_new(runner->loop, conf, process, &box_handlers, runner);
        runner->box_count = i + 1;
        runner_box_set_conf(boxes[i], conf, process);
        notify_box(runner, boxes[i]);
    }
    conf_release(&runner->conf);
    runner->conf = conf;
}

/* Another runner has the boxes, too, so that they live on. */
static void release_boxes(runner_t *runner)
{
    for (size_t i = 0; i < runner->box_count; i++)
        runner_box_free(&runner->boxes[i]);
    runner->box_count = 0;
}

static void continue_boxes(runner_t *runner)
{
    giver_free(&runner->giver);
    runner->life = RUNNER_SERVES;
    for (size_t i = 0; i < runner->box_count; i++)
        runner_box_continue(runner->boxes[i]);
}

/* `handed_over`: the new edge serves. */
static void end(runner_t *runner, bool handed_over)
{
    if (runner->life == RUNNER_ENDS)
        return;
    bool others = (handed_over && giver_is_done(runner->giver)) || taker_shares(runner->taker);
    if (!others && runner->life == RUNNER_GIVES)
        continue_boxes(runner);
    runner->life = RUNNER_ENDS;
    atomic_store(&shm_runner(runner->shm)->state, SHM_DRAINING);
    if (others)
        release_boxes(runner);
    giver_free(&runner->giver);
    taker_free(&runner->taker);
    for (size_t i = 0; i < runner->box_count; i++)
        runner_box_stop(runner->boxes[i], 0);
}

static void take_conf(runner_t *runner, int fd, uint64_t generation)
{
    char error[512];
    conf_t *conf = process_conf_read(fd, error, sizeof(error));
    if (conf == NULL) {
        /* The supervisor has checked it, so this process is broken; exit and let the supervisor
         * restart it. */
        process_log(LOG_CONF_NOT_TAKEN, "runner", "cannot take the new configuration: %s", error);
        runner->status = 1;
        end(runner, false);
        return;
    }
    if (runner->life == RUNNER_SERVES) {
        use_conf(runner, conf);
    } else { /* used with the boxes that arrive */
        conf_release(&runner->conf);
        runner->conf = conf;
    }
    (void)channel_send(runner->supervisor, PROCESS_CONF_DONE, generation, STR(""), NULL, 0);
}

/* ---- the controller's questions ---- */

static void send_log(runner_t *runner, uint64_t question, const runner_box_t *box, uint64_t from)
{
    const box_log_t *log = runner_box_log(box);
    char head[RUNNER_LOG_HEAD_BYTES];
    str_t parts[2];
    box_log_read(log, from, parts);
    bytes_put64(head, box_log_end(log));
    int fd = memfile_write("boxedge-log", parts, 2);
    bool sent = fd >= 0 &&
                channel_send(runner->controller, RUNNER_TEXT, question, str_make(head, sizeof(head)), &fd, 1);
    if (fd >= 0)
        close(fd);
    if (!sent)
        answer(runner, question, RUNNER_BUSY, NULL);
}

static void answer_line(runner_t *runner, uint64_t question, runner_box_t *box)
{
    char line[RUNNER_LINE_MAX + 1];
    runner_box_last_line(box, line, sizeof(line));
    answer(runner, question, RUNNER_OK, line);
}

static void list(runner_t *runner)
{
    for (size_t i = 0; i < runner->box_count; i++)
        notify_box(runner, runner->boxes[i]);
    notify(runner, RUNNER_LISTED, runner->box_count, STR(""));
}

static void handle_request(runner_t *runner, const ipc_message_t *message)
{
    str_t bytes = str_make(message->bytes, message->len);
    uint64_t from = 0;
    if (message->type == RUNNER_LOG && bytes.n >= RUNNER_LOG_HEAD_BYTES) {
        from = bytes_get64(bytes.p);
        bytes = str_from_offset(bytes, RUNNER_LOG_HEAD_BYTES);
    }
    runner_box_t *box = find(runner, bytes);
    if (box == NULL) {
        if (message->value != 0)
            answer(runner, message->value, RUNNER_UNKNOWN, NULL);
        return;
    }
    if (message->type == RUNNER_START)
        runner_box_start(box, message->value);
    else if (message->type == RUNNER_STOP)
        runner_box_stop(box, message->value);
    else if (message->type == RUNNER_FREEZE)
        runner_box_freeze(box, message->value);
    else if (message->type == RUNNER_LOG)
        send_log(runner, message->value, box, from);
    else if (message->type == RUNNER_LINE)
        answer_line(runner, message->value, box);
    else if (message->type == RUNNER_LOOK)
        notify_box(runner, box);
}

static void controller_message(void *owner, ipc_message_t *message)
{
    runner_t *runner = owner;
    if (runner->life != RUNNER_SERVES) {
        if (message->value != 0)
            answer(runner, message->value, RUNNER_FAILED, "The edge is ending.");
    } else if (message->type == RUNNER_LIST) {
        list(runner);
    } else {
        handle_request(runner, message);
    }
}

static void controller_closed(void *owner)
{
    runner_t *runner = owner;
    channel_free(&runner->controller); /* boxes keep running; the next controller asks for a list */
}

static void take_controller(runner_t *runner, int *fd)
{
    static const channel_handlers_t handlers = {.message = controller_message, .closed = controller_closed};
    channel_free(&runner->controller);
    runner->controller = channel_new(runner->loop, *fd, &handlers, runner);
    *fd = -1;
}

/* ---- an upgrade (boxes_message.h) ---- */

static void giving_failed(void *owner)
{
    continue_boxes(owner);
}

/* The new edge's runner is at *fd. A further one may ask: the first has died. */
static void give_boxes(runner_t *runner, int *fd, int *conf_fd)
{
    giver_free(&runner->giver);
    runner->life = RUNNER_GIVES;
    for (size_t i = 0; i < runner->box_count; i++)
        runner_box_suspend(runner->boxes[i]);
    runner->giver =
        giver_new(runner->loop, fd, conf_fd, runner->boxes, runner->box_count, giving_failed, runner);
}

static void serve(runner_t *runner)
{
    conf_t *conf = runner->conf;
    runner->conf = NULL;
    runner->life = RUNNER_SERVES;
    use_conf(runner, conf);
    if (runner->next_controller >= 0)
        take_controller(runner, &runner->next_controller);
    atomic_store(&shm_runner(runner->shm)->state, SHM_READY);
    (void)channel_send(runner->supervisor, PROCESS_READY, 0, STR(""), NULL, 0);
}

static void boxes_taken(void *owner, runner_box_t **boxes, size_t count)
{
    runner_t *runner = owner;
    runner->boxes = boxes;
    runner->box_count = count;
    for (size_t i = 0; i < count; i++)
        runner_box_continue(boxes[i]);
    serve(runner);
}

/* A channel to the controller. An edge that gives its boxes has none, unless its upgrade has failed. */
static void link_controller(runner_t *runner, int *fd)
{
    if (runner->life == RUNNER_TAKES) {
        if (runner->next_controller >= 0)
            close(runner->next_controller);
        runner->next_controller = *fd;
        *fd = -1;
        return;
    }
    if (runner->life == RUNNER_GIVES)
        continue_boxes(runner);
    take_controller(runner, fd);
}

/* ---- the supervisor ---- */

static void supervisor_message(void *owner, ipc_message_t *message)
{
    runner_t *runner = owner;
    switch ((process_message_t)message->type) {
    case PROCESS_CONF:
        if (message->fd_count >= 1 && (runner->life == RUNNER_SERVES || runner->life == RUNNER_TAKES))
            take_conf(runner, message->fds[0], message->value);
        break;
    case PROCESS_DRAIN:
        end(runner, (message->value & PROCESS_DRAIN_OTHERS_ACCEPT) != 0);
        break;
    case PROCESS_LINK:
        if (message->fd_count >= 1)
            link_controller(runner, &message->fds[0]);
        break;
    case PROCESS_GIVE_BOXES:
        if (message->fd_count >= 2 && (runner->life == RUNNER_SERVES || runner->life == RUNNER_GIVES))
            give_boxes(runner, &message->fds[0], &message->fds[1]);
        break;
    default:
        break; /* not for the runner */
    }
}

static void supervisor_closed(void *owner)
{
    runner_t *runner = owner;
    process_log(LOG_SUPERVISOR_GONE, "runner", "the supervisor is gone");
    channel_free(&runner->supervisor);
    end(runner, false);
}

/* ---- the process ---- */

static void beat(loop_timer_t *timer)
{
    runner_t *runner = CONTAINER_OF(runner_t, heartbeat, timer);
    atomic_store(&shm_runner(runner->shm)->heartbeat_ms, clock_now_ms());
    process_facts_turn(&runner->facts, clock_now_ms());
    loop_timer_start(runner->loop, timer, PROCESS_HEARTBEAT_MS, beat);
}

bool runner_is_over(const runner_t *runner)
{
    for (size_t i = 0; i < runner->box_count; i++)
        if (!runner_box_is_stopped(runner->boxes[i]))
            return false;
    return runner->life == RUNNER_ENDS && runner->leaving_count == 0;
}

int runner_status(const runner_t *runner)
{
    return runner->status;
}

static void supervisor_lost(void *owner, uint32_t type, uint64_t value)
{
    channel_retry(((runner_t *)owner)->supervisor, "runner", type, value);
}

runner_t *runner_new(loop_t *loop, const runner_args_t *args)
{
    static const channel_handlers_t handlers = {
        .message = supervisor_message, .closed = supervisor_closed, .lost = supervisor_lost};
    runner_t *runner = calloc(1, sizeof(*runner));
    assert(runner != NULL);
    int predecessor_fd = args->predecessor_fd;
    *runner = (runner_t){.loop = loop, .conf = args->conf, .shm = args->shm, .next_controller = -1};
    runner->supervisor = channel_new(loop, args->supervisor_fd, &handlers, runner);
    channel_use_reserve(runner->supervisor);
    process_facts_open(&runner->facts, &shm_runner(runner->shm)->process);
    beat(&runner->heartbeat);
    if (predecessor_fd >= 0)
        runner->taker = taker_new(loop, &predecessor_fd, &box_handlers, boxes_taken, runner);
    else
        serve(runner);
    return runner;
}

void runner_free(runner_t **runner)
{
    runner_t *r = *runner;
    *runner = NULL;
    if (r == NULL)
        return;
    loop_timer_stop(&r->heartbeat);
    process_facts_close(&r->facts);
    loop_timer_stop(&r->sweep);
    for (size_t i = 0; i < r->box_count; i++)
        runner_box_free(&r->boxes[i]);
    for (size_t i = 0; i < r->leaving_count; i++)
        runner_box_free(&r->leaving[i]);
    free(r->boxes);
    free(r->leaving);
    giver_free(&r->giver);
    taker_free(&r->taker);
    if (r->next_controller >= 0)
        close(r->next_controller);
    channel_free(&r->controller);
    channel_free(&r->supervisor);
    conf_release(&r->conf);
    free(r);
}

int runner_run(const runner_args_t *args)
{
    (void)signal(SIGCHLD, SIG_IGN); /* the kernel reaps box inits; their channels report their end */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        process_log(LOG_ORPHANS_UNSEEN, "runner",
                    "orphans of boxes whose box init is killed will not be found: %s", strerror(errno));
    (void)descriptors_keep_reserve();
    loop_t *loop = loop_new();
    runner_t *runner = runner_new(loop, args);
    while (!runner_is_over(runner))
        loop_turn(loop, INT32_MAX);
    int status = runner_status(runner);
    runner_free(&runner);
    loop_turn(loop, 0);
    loop_free(&loop);
    return status;
}
