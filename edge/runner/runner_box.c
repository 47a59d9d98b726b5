#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "box_command.h"
#include "box_init.h"
#include "children.h"
#include "list.h"
#include "loopback_listener.h"
#include "probe.h"
#include "process_log.h"
#include "runner_box_internal.h"

/* Intervals of the checks of the ports: before a start, and later, to learn at which of the two
 * loopback addresses the box listens. During the start, probe_wait_ms decides. */
#define BUSY_LOOK_MS  50
#define LATER_LOOK_MS 250
#define LATER_MOST_MS 60000
/* Maximum output per read, and the delay before the next one: a box that writes without end waits
 * for us, not we for it. */
#define OUTPUT_AT_ONCE 65536
#define OUTPUT_REST_MS 10
/* Maximum output that is read from the pipe after the box has ended. */
#define OUTPUT_AT_END (1u << 20)
/* Maximum tries to remove the control group of a killed box init. */
#define CLEAN_UP_TRIES 100

static void set_state(runner_box_t *box, runner_state_t state)
{
    static const unsigned next[] = {
        [RUNNER_STOPPED] = 1u << RUNNER_WAITING | 1u << RUNNER_STARTING,
        [RUNNER_WAITING] = 1u << RUNNER_STOPPED | 1u << RUNNER_STARTING,
        [RUNNER_STARTING] = 1u << RUNNER_RUNNING | 1u << RUNNER_STOPPING | 1u << RUNNER_STOPPED,
        [RUNNER_RUNNING] = 1u << RUNNER_FROZEN | 1u << RUNNER_STOPPING | 1u << RUNNER_STOPPED,
        [RUNNER_FROZEN] = 1u << RUNNER_RUNNING | 1u << RUNNER_STOPPING | 1u << RUNNER_STOPPED,
        [RUNNER_STOPPING] = 1u << RUNNER_STOPPED,
    };
    assert((next[box->state] & 1u << state) != 0);
    box->state = state;
    box->handlers->changed(box->owner, box);
}

/* ---- output and notes ---- */

/* Reads output; returns false at its end. */
static bool take_output(runner_box_t *box, size_t most, size_t *taken)
{
    char bytes[16384];
    for (*taken = 0; *taken < most;) {
        ssize_t n = read(box->output_fd, bytes, sizeof(bytes));
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0)
            break;
        box_log_add(box->log, str_make(bytes, (size_t)n));
        *taken += (size_t)n;
    }
    return true;
}

/* Reads pending output. on_output handles its end later. */
static void take_written(runner_box_t *box)
{
    size_t taken;
    if (box->output != NULL && (box->state == RUNNER_RUNNING || box->state == RUNNER_FROZEN))
        (void)take_output(box, OUTPUT_AT_ONCE, &taken);
}

static void note(runner_box_t *box, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a line to the box's log, with the time. */
static void note(runner_box_t *box, const char *format, ...)
{
    char line[512];
    struct tm tm;
    time_t now = (time_t)(loop_wall_us(box->loop) / 1000000);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%d %H:%M:%S UTC: ", gmtime_r(&now, &tm));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + n, sizeof(line) - n, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    take_written(box); /* earlier output of the box must precede the note */
    box_log_note(box->log, str_from(line));
}

static void set_failure(runner_box_t *box, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void set_failure(runner_box_t *box, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(box->failure, sizeof(box->failure), format, args);
    va_end(args);
}

/* ---- questions ---- */

static void answer_all(runner_box_t *box, bool starts, runner_result_t result, const char *sentence)
{
    question_t due[RUNNER_BOX_QUESTIONS_MAX];
    size_t due_count = 0, kept = 0;
    for (size_t i = 0; i < box->question_count; i++)
        if (box->questions[i].is_start == starts)
            due[due_count++] = box->questions[i];
        else
            box->questions[kept++] = box->questions[i];
    box->question_count = kept;
    for (size_t i = 0; i < due_count; i++)
        box->handlers->answered(box->owner, due[i].number, result, sentence);
}

static void answer_one(const runner_box_t *box, uint64_t question, runner_result_t result)
{
    if (question != 0)
        box->handlers->answered(box->owner, question, result, NULL);
}

/* Returns false, after an answer, if the list is full. */
static bool remember(runner_box_t *box, uint64_t question, bool is_start)
{
    if (question == 0)
        return true;
    if (box->question_count == RUNNER_BOX_QUESTIONS_MAX) {
        answer_one(box, question, RUNNER_BUSY);
        return false;
    }
    box->questions[box->question_count++] = (question_t){.number = question, .is_start = is_start};
    return true;
}

/* ---- output ---- */

static void close_output(runner_box_t *box)
{
    loop_timer_stop(&box->rest);
    readable_free(&box->output);
}

static void read_again(loop_timer_t *timer)
{
    readable_start(CONTAINER_OF(runner_box_t, rest, timer)->output);
}

static void on_output(void *owner)
{
    runner_box_t *box = owner;
    size_t taken;
    if (!take_output(box, OUTPUT_AT_ONCE, &taken)) {
        close_output(box);
    } else if (taken >= OUTPUT_AT_ONCE / 2) {
        readable_stop(box->output);
        loop_timer_start(box->loop, &box->rest, OUTPUT_REST_MS, read_again);
    }
}

/* ---- the end of a process ---- */

static const char interrupted[] = "The box was stopped while it started.";

static void begin(runner_box_t *box);

/* The sentence for questions about a failed start. */
static const char *failed_sentence(runner_box_t *box)
{
    char how[64], words[RUNNER_LINE_MAX + 1];
    if (box->failure[0] != '\0')
        return box->failure;
    box_log_last_words(box->log, LAST_WORDS_TRAILER, words, sizeof(words));
    set_failure(box, "The box's process ended within a second of its start: %s.%s%s%s",
                box->ended ? children_end_text(box->status, how) : "it was killed",
                words[0] != '\0' ? "\n" RUNNER_LAST_LINE : "", words, words[0] != '\0' ? "." : "");
    return box->failure;
}

static void note_end(runner_box_t *box)
{
    char how[64];
    if (box->failure[0] != '\0')
        note(box, "%s", box->failure);
    else if (box->ended)
        note(box, "%s: %s", box->state == RUNNER_STOPPING ? "stopped" : "ended by itself",
             children_end_text(box->status, how));
    else
        note(box, "its box init died and ended it");
}

static void on_box_init_gone(runner_box_t *box)
{
    bool start_next = box->start_next, was_stopping = box->state == RUNNER_STOPPING;
    size_t taken;
    if (box->output != NULL)
        (void)take_output(box, OUTPUT_AT_END, &taken);
    close_output(box);
    if (!box->ended) {
        box->lost_box_init = box->box_init;
        box->lost_tries = 0;
        box->handlers->orphaned(box->owner);
    }
    note_end(box);
    const char *sentence = was_stopping || box->settled ? interrupted : failed_sentence(box);
    loop_timer_stop(&box->timer);
    channel_free(&box->channel);
    box->box_init = box->command = 0;
    box->start_next = box->settled = false;
    set_state(box, RUNNER_STOPPED);
    answer_all(box, false, RUNNER_OK, NULL);
    if (start_next) {
        begin(box);
        return;
    }
    answer_all(box, true, RUNNER_FAILED, sentence);
    box->handlers->stopped(box->owner, box);
}

/* ---- starting ---- */

static void settle(runner_box_t *box)
{
    if (box->settled)
        return;
    box->settled = true;
    answer_all(box, true, RUNNER_OK, NULL);
}

static unsigned look_at_ports(const runner_box_t *box, uint16_t *port)
{
    unsigned where = 0;
    for (size_t i = 0; i < box->process->port_count && where == 0; i++) {
        *port = box->process->ports[i];
        where = loopback_listener_find(*port);
    }
    return where;
}

void runner_box_look_again(loop_timer_t *timer)
{
    runner_box_t *box = CONTAINER_OF(runner_box_t, timer, timer);
    uint64_t age = loop_now(box->loop) - box->since_ms;
    uint16_t port = 0;
    if (box->state != RUNNER_RUNNING)
        return; /* frozen or stopping: its ports prove nothing */
    unsigned where = look_at_ports(box, &port);
    bool loopback6 = where == LOOPBACK_LISTENER_V6;
    if (loopback6 != box->loopback6) {
        box->loopback6 = loopback6;
        box->handlers->changed(box->owner, box);
    }
    if (where != 0 || age >= RUNNER_BOX_SETTLE_MS)
        settle(box);
    if (where == 0 && age < LATER_MOST_MS)
        loop_timer_start(box->loop, timer, box->settled ? LATER_LOOK_MS : probe_wait_ms(age),
                         runner_box_look_again);
}

static void on_started(runner_box_t *box, pid_t command)
{
    if (box->state == RUNNER_STARTING)
        note(box, "started as process %d", (int)command);
    readable_start(box->output);
    if (box->state != RUNNER_STARTING)
        return; /* it is being stopped */
    box->command = command;
    box->since_ms = loop_now(box->loop);
    set_state(box, RUNNER_RUNNING);
    runner_box_look_again(&box->timer);
}

static void box_init_message(void *owner, ipc_message_t *message)
{
    runner_box_t *box = owner;
    switch ((box_init_message_t)message->type) {
    case BOX_INIT_STARTED:
        on_started(box, (pid_t)message->value);
        break;
    case BOX_INIT_FAILED:
        set_failure(box, "The box cannot be started.\nWhy: %.*s.", (int)message->len, message->bytes);
        break;
    case BOX_INIT_ENDED:
        box->ended = true;
        box->status = (int)message->value;
        break;
    default:
        break; /* not for us */
    }
}

static void box_init_closed(void *owner)
{
    on_box_init_gone(owner);
}

/* Finds the rights of its process, and the home of that user. Returns false with box->failure. */
static bool find_user(runner_box_t *box, privileges_t *privileges, char *home, size_t home_len)
{
    char error[256];
    const char *user = box->process->user[0] != '\0' ? box->process->user : box->conf->user;
    if (!privileges_find(user, privileges, error, sizeof(error))) {
        set_failure(box, "The box cannot be started.\nWhy: %s.", error);
        return false;
    }
    if (geteuid() == 0 && !privileges->drop) {
        set_failure(box, "The box cannot be started: it would run as root. Set another `user` for it in the "
                         "configuration.");
        return false;
    }
    const struct passwd *entry = getpwuid(privileges->drop ? privileges->uid : geteuid());
    (void)snprintf(home, home_len, "%s", entry != NULL && entry->pw_dir[0] == '/' ? entry->pw_dir : "/");
    return true;
}

static bool fork_box_init(runner_box_t *box, box_init_t *box_init)
{
    privileges_t privileges;
    char home[256];
    if (!find_user(box, &privileges, home, sizeof(home)))
        return false;
    char **argv = box_command_argv(box->process),
         **env = box_command_env(box->process, home, box->conf->preview_domain);
    const box_init_spec_t spec = {.id = box->process->id,
                                  .argv = argv,
                                  .env = env,
                                  .directory = box->process->directory,
                                  .privileges = &privileges,
                                  .grace_ms = RUNNER_BOX_GRACE_MS};
    bool ok = box_init_start(&spec, box_init);
    if (!ok)
        set_failure(box, "The box cannot be started: the system cannot create a process: %s.",
                    strerror(errno));
    box_command_free_env(&env);
    free(argv);
    return ok;
}

/* From RUNNER_STOPPED or RUNNER_WAITING: gives the start up. box->failure has the reason. */
static void give_up(runner_box_t *box)
{
    note_end(box);
    if (box->state == RUNNER_WAITING)
        set_state(box, RUNNER_STOPPED);
    answer_all(box, true, RUNNER_FAILED, box->failure);
    box->handlers->stopped(box->owner, box);
}

void runner_box_connect(runner_box_t *box, int channel_fd, int output_fd)
{
    static const channel_handlers_t handlers = {.message = box_init_message, .closed = box_init_closed};
    box->channel = channel_new(box->loop, channel_fd, &handlers, box);
    box->output_fd = output_fd;
    box->output = output_fd >= 0 ? readable_new(box->loop, output_fd, on_output, box) : NULL;
}

static void launch(runner_box_t *box)
{
    box_init_t box_init;
    if (!fork_box_init(box, &box_init)) {
        give_up(box);
        return;
    }
    box->life = loop_precise_us();
    box->box_init = box_init.pid;
    box->ended = box->settled = box->loopback6 = false;
    runner_box_connect(box, box_init.fd,
                       box_init.output_fd); /* read once the note of its start is in the log */
    set_state(box, RUNNER_STARTING);
}

/* Starts once no other process listens on its ports; otherwise requests would reach that process. */
static void launch_when_free(loop_timer_t *timer)
{
    runner_box_t *box = CONTAINER_OF(runner_box_t, timer, timer);
    uint16_t port = 0;
    if (look_at_ports(box, &port) == 0) {
        launch(box);
    } else if (box->state == RUNNER_WAITING && loop_now(box->loop) - box->since_ms >= RUNNER_BOX_PORT_MS) {
        set_failure(box, "The box cannot be started: another program on this machine listens on its port %u.",
                    port);
        give_up(box);
    } else {
        if (box->state != RUNNER_WAITING) {
            box->since_ms = loop_now(box->loop);
            set_state(box, RUNNER_WAITING);
        }
        loop_timer_start(box->loop, timer, BUSY_LOOK_MS, launch_when_free);
    }
}

static void begin(runner_box_t *box)
{
    assert(box->state == RUNNER_STOPPED && box->channel == NULL);
    box->failure[0] = '\0';
    launch_when_free(&box->timer);
}

void runner_box_start(runner_box_t *box, uint64_t question)
{
    if (box->state == RUNNER_FROZEN && channel_send(box->channel, BOX_INIT_THAW, 0, STR(""), NULL, 0)) {
        note(box, "thawed");
        set_state(box, RUNNER_RUNNING);
        box->settled = true;
        runner_box_look_again(&box->timer);
    }
    if (box->state == RUNNER_RUNNING && box->settled) {
        answer_one(box, question, RUNNER_OK);
        return;
    }
    if (!remember(box, question, true))
        return;
    if (box->state == RUNNER_STOPPED)
        begin(box);
    else if (box->state == RUNNER_STOPPING)
        box->start_next = true;
}

/* ---- stopping and freezing ---- */

/* Stops the box. `again`: start it right afterwards. */
static void stop(runner_box_t *box, bool again)
{
    box->start_next = again;
    if (box->state == RUNNER_WAITING) {
        loop_timer_stop(&box->timer);
        set_state(box, RUNNER_STOPPED);
        box->start_next = false;
    } else if (box->state != RUNNER_STOPPED && box->state != RUNNER_STOPPING) {
        if (!channel_send(box->channel, BOX_INIT_STOP, 0, STR(""), NULL, 0))
            process_log(LOG_BOX_INIT_MUTE, "runner", "the box init of %s takes no messages",
                        box->process->id); /* it is dying */
        set_state(box, RUNNER_STOPPING);
    }
    if (!again)
        answer_all(box, true, RUNNER_FAILED, interrupted);
}

void runner_box_stop(runner_box_t *box, uint64_t question)
{
    stop(box, false);
    if (box->state == RUNNER_STOPPED) {
        answer_one(box, question, RUNNER_OK);
        box->handlers->stopped(box->owner, box);
        return;
    }
    (void)remember(box, question, false);
}

void runner_box_freeze(runner_box_t *box, uint64_t question)
{
    if (box->state == RUNNER_RUNNING && channel_send(box->channel, BOX_INIT_FREEZE, 0, STR(""), NULL, 0)) {
        note(box, "frozen");
        loop_timer_stop(&box->timer);
        set_state(box, RUNNER_FROZEN);
        answer_all(box, true, RUNNER_FAILED, "The box was paused while it started.");
    }
    answer_one(box, question, RUNNER_OK);
}

/* ---- the whole ---- */

const conf_process_t *runner_box_find_process(const conf_t *conf, const char *id)
{
    for (size_t i = 0; i < conf->process_count; i++)
        if (strcmp(conf->processes[i].id, id) == 0)
            return &conf->processes[i];
    return NULL;
}

runner_box_t *runner_box_new(loop_t *loop, const conf_t *conf, const conf_process_t *process,
                             const runner_box_handlers_t *handlers, void *owner)
{
    runner_box_t *box = calloc(1, sizeof(*box));
    assert(box != NULL);
    *box = (runner_box_t){.loop = loop,
                          .conf = conf_acquire(conf),
                          .process = process,
                          .handlers = handlers,
                          .owner = owner,
                          .log = box_log_new(BOX_LOG_BYTES)};
    return box;
}

void runner_box_free(runner_box_t **box)
{
    runner_box_t *b = *box;
    *box = NULL;
    if (b == NULL)
        return;
    loop_timer_stop(&b->timer);
    channel_free(&b->channel);
    close_output(b);
    box_log_free(&b->log);
    conf_release(&b->conf);
    free(b);
}

void runner_box_set_conf(runner_box_t *box, const conf_t *conf, const conf_process_t *process)
{
    bool same = box_command_same(box->process, process);
    conf_t *old = box->conf;
    box->conf = conf_acquire(conf);
    box->process = process;
    conf_release(&old);
    if (same)
        return;
    bool wanted = false; /* open questions for a start get the new one */
    for (size_t i = 0; i < box->question_count; i++)
        wanted |= box->questions[i].is_start;
    stop(box, wanted);
    if (wanted && box->state == RUNNER_STOPPED)
        begin(box);
}

bool runner_box_clean_up(runner_box_t *box)
{
    if (box->lost_box_init != 0 &&
        (box_init_clean_up(box->lost_box_init, box->process->id) || ++box->lost_tries == CLEAN_UP_TRIES))
        box->lost_box_init = 0;
    return box->lost_box_init == 0;
}

const char *runner_box_id(const runner_box_t *box)
{
    return box->process->id;
}

void runner_box_status(const runner_box_t *box, runner_status_t *out)
{
    *out = (runner_status_t){
        .state = box->state, .life = box->life, .pid = (uint32_t)box->command, .loopback6 = box->loopback6};
    memcpy(out->id, box->process->id, sizeof(out->id));
}

bool runner_box_is_stopped(const runner_box_t *box)
{
    return box->state == RUNNER_STOPPED;
}

pid_t runner_box_box_init(const runner_box_t *box)
{
    return box->box_init;
}

void runner_box_last_line(runner_box_t *box, char *out, size_t len)
{
    take_written(box);
    box_log_last_words(box->log, LAST_WORDS_SENTENCE, out, len);
}

const box_log_t *runner_box_log(const runner_box_t *box)
{
    return box->log;
}
