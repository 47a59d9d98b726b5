#include "provider_process.h"

#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "list.h"
#include "wake_message.h"

typedef struct process_provider process_provider_t;

/* A declared box. */
typedef struct process_box {
    process_provider_t *provider;
    const conf_process_t *process;
    runner_status_t status; /* the runner's last report; stopped before the first */
    bool was_up;            /* reported as running or frozen, in the life `life` */
    uint64_t life;
    bool resuming;        /* `resumed` must answer */
    bool start_requested; /* of `resuming`: the runner has the request */
    loop_timer_t patience;
} process_box_t;

/* An unknown id that needs an answer. */
typedef struct stranger {
    struct stranger *next;
    bool resume; /* else it was a look */
    char id[BOX_ID_MAX + 1];
} stranger_t;

struct process_provider {
    provider_t base;
    loop_t *loop;
    conf_t *conf;
    runner_client_t *client;
    process_box_t *boxes; /* one for each of conf->processes, in order */
    size_t count;
    stranger_t *strangers;
    process_guests_t *guests;
    list_t questions; /* provider_question_t.link: questions to the runner */
    bool listed;      /* all boxes were reported once */
    loop_timer_t first;
    loop_task_t work;
};

static process_box_t *find(process_provider_t *p, str_t id)
{
    for (size_t i = 0; i < p->count; i++)
        if (str_eq(str_from(p->boxes[i].process->id), id))
            return &p->boxes[i];
    return NULL;
}

/* ---- reports ---- */

static void take_address(provider_box_t *report, bool loopback6)
{
    static const uint8_t loopback4[] = {127, 0, 0, 1};
    report->address = loopback6 ? in6addr_loopback : address_from_v4(loopback4);
}

static void report_box(process_box_t *box)
{
    process_provider_t *p = box->provider;
    const conf_process_t *process = box->process;
    bool runs = box->status.state == RUNNER_RUNNING, is_up = runs || box->status.state == RUNNER_FROZEN;
    provider_box_t report = {.state = runs ? BOX_RUNNING : BOX_PAUSED,
                             .keep_alive = process->keep_alive,
                             .idle_ms = process->idle,
                             .start_ms = process->start_timeout,
                             .pid = is_up ? box->status.pid : 0};
    memcpy(report.id, process->id, sizeof(report.id));
    take_address(&report, box->status.loopback6);
    for (size_t i = 0; i < process->port_count && i < STORE_BOX_PORTS_MAX; i++)
        report.ports[report.port_count++] = process->ports[i];
    report.renewed = box->was_up && (!is_up || box->status.life != box->life);
    box->was_up = is_up;
    box->life = box->status.life;
    p->base.handlers->box(p->base.owner, &p->base, &report);
}

static void request_start(process_box_t *box);

static void report_all(process_provider_t *p)
{
    p->listed = true;
    loop_timer_stop(&p->first);
    p->base.handlers->sync_began(p->base.owner, &p->base);
    for (size_t i = 0; i < p->count; i++)
        report_box(&p->boxes[i]);
    process_guests_report_all(p->guests);
    p->base.handlers->sync_ended(p->base.owner, &p->base);
    for (size_t i = 0; i < p->count; i++)
        request_start(&p->boxes[i]);
}

/* The runner has not come: its boxes do not run. */
static void on_first_timeout(loop_timer_t *timer)
{
    report_all(CONTAINER_OF(process_provider_t, first, timer));
}

/* ---- resuming ---- */

static void answer(process_box_t *box, provider_result_t result, const char *sentence)
{
    process_provider_t *p = box->provider;
    box->resuming = box->start_requested = false;
    loop_timer_stop(&box->patience);
    p->base.handlers->resumed(p->base.owner, &p->base, str_from(box->process->id), result, sentence);
}

/* Visitors read this: text after a line end passes only if it is marked as output. */
static void answer_failed(process_box_t *box, const char *sentence)
{
    char shown[RUNNER_SENTENCE_MAX + 1];
    size_t first = strcspn(sentence, "\n");
    (void)snprintf(shown, sizeof(shown), "%s", sentence);
    bool output =
        sentence[first] == '\n' && str_starts(str_from(sentence + first + 1), STR(RUNNER_LAST_LINE));
    if (shown[first] != '\0')
        shown[first] = output ? WAKE_SENTENCE_OUTPUT : '\0';
    answer(box, PROVIDER_FAILED, shown);
}

static void on_answer(void *arg, const runner_answer_t *reply)
{
    process_box_t *box = arg;
    box->start_requested = false;
    switch (reply->result) {
    case RUNNER_OK:
        answer(box, PROVIDER_OK, NULL);
        break;
    case RUNNER_LOST: /* the next runner gets the request again, unless patience ends first */
        break;
    case RUNNER_FAILED:
    case RUNNER_UNKNOWN:
    case RUNNER_BUSY:
        answer_failed(box, reply->sentence);
    }
}

static void on_patience(loop_timer_t *timer)
{
    process_box_t *box = CONTAINER_OF(process_box_t, patience, timer);
    if (box->start_requested) /* the runner is at work; its own time limit ends that */
        loop_timer_start(box->provider->loop, timer, PROVIDER_PROCESS_PATIENCE_MS, on_patience);
    else
        answer(box, PROVIDER_UNAVAILABLE, "The process that runs boxes is not running.");
}

static void request_start(process_box_t *box)
{
    process_provider_t *p = box->provider;
    if (box->resuming && !box->start_requested && p->listed) /* the answer must follow a report */
        box->start_requested =
            runner_client_request(p->client, RUNNER_START, str_from(box->process->id), 0, on_answer, box);
}

static void answer_stranger(process_provider_t *p, const stranger_t *stranger)
{
    provider_box_t gone = {.state = BOX_GONE};
    if (process_guests_report(p->guests, str_from(stranger->id)) &&
        (!stranger->resume || process_guests_resume(p->guests, str_from(stranger->id))))
        return;
    memcpy(gone.id, stranger->id, sizeof(gone.id));
    p->base.handlers->box(p->base.owner, &p->base, &gone);
    if (stranger->resume)
        p->base.handlers->resumed(p->base.owner, &p->base, str_from(stranger->id), PROVIDER_GONE, NULL);
}

/* Does the work that resume and look left for the end of the turn. */
static void work(loop_task_t *task)
{
    process_provider_t *p = CONTAINER_OF(process_provider_t, work, task);
    while (p->strangers != NULL) {
        stranger_t *stranger = p->strangers;
        p->strangers = stranger->next;
        answer_stranger(p, stranger);
        free(stranger);
    }
    if (!p->listed && !loop_timer_running(&p->first))
        report_all(p);
    for (size_t i = 0; i < p->count; i++)
        request_start(&p->boxes[i]);
}

static void add_stranger(process_provider_t *p, str_t id, bool resume)
{
    assert(id.n <= BOX_ID_MAX);
    stranger_t *stranger = calloc(1, sizeof(*stranger));
    assert(stranger != NULL);
    *stranger = (stranger_t){.next = p->strangers, .resume = resume};
    memcpy(stranger->id, id.p, id.n);
    p->strangers = stranger;
    loop_defer(p->loop, &p->work, work);
}

/* ---- reports of the runner ---- */

static void on_up(void *owner)
{
    process_provider_t *p = owner;
    runner_client_list(p->client);
    for (size_t i = 0; i < p->count; i++)
        request_start(&p->boxes[i]);
}

static void on_down(void *owner)
{
    process_provider_t *p = owner;
    for (size_t i = 0; i < p->count; i++) {
        process_box_t *box = &p->boxes[i];
        box->status.state = RUNNER_STOPPED;
        box->status.pid = 0;
        if (p->listed && box->was_up)
            report_box(box);
    }
}

static void on_box(void *owner, const runner_status_t *status)
{
    process_provider_t *p = owner;
    process_box_t *box = find(p, str_from(status->id));
    if (box == NULL)
        return; /* for a moment the runner may have another configuration */
    box->status = *status;
    if (p->listed)
        report_box(box);
}

static void on_listed(void *owner)
{
    process_provider_t *p = owner;
    if (!p->listed)
        report_all(p);
}

static const runner_client_handlers_t client_handlers = {
    .up = on_up, .down = on_down, .box = on_box, .listed = on_listed};

/* ---- the provider ---- */

static process_provider_t *self(provider_t *provider)
{
    return CONTAINER_OF(process_provider_t, base, provider);
}

static void provider_resume(provider_t *provider, str_t id)
{
    process_provider_t *p = self(provider);
    process_box_t *box = find(p, id);
    if (box == NULL) {
        add_stranger(p, id, true);
        return;
    }
    assert(!box->resuming);
    box->resuming = true;
    loop_timer_start(p->loop, &box->patience, PROVIDER_PROCESS_PATIENCE_MS, on_patience);
    loop_defer(p->loop, &p->work, work);
}

static void provider_pause(provider_t *provider, str_t id)
{
    process_provider_t *p = self(provider);
    const process_box_t *box = find(p, id);
    if (box == NULL || box->process->keep_alive)
        return;
    runner_message_t what = box->process->idle_action == CONF_IDLE_FREEZE ? RUNNER_FREEZE : RUNNER_STOP;
    if (!runner_client_request(p->client, what, id, 0, NULL, NULL)) {
        /* Without a runner the box does not run; else the request repeats while the box stays idle. */
    }
}

static void provider_look(provider_t *provider, str_t id)
{
    process_provider_t *p = self(provider);
    if (find(p, id) == NULL)
        add_stranger(p, id, false);
    else
        runner_client_look(p->client, id);
}

/* ---- logs ---- */

static void on_words(void *arg, const runner_answer_t *reply)
{
    static const provider_result_t results[] = {[RUNNER_OK] = PROVIDER_OK,
                                                [RUNNER_FAILED] = PROVIDER_FAILED,
                                                [RUNNER_UNKNOWN] = PROVIDER_GONE,
                                                [RUNNER_BUSY] = PROVIDER_UNAVAILABLE,
                                                [RUNNER_LOST] = PROVIDER_UNAVAILABLE};
    provider_question_t *question = arg;
    bool is_line = question->wants_line && reply->result == RUNNER_OK;
    provider_question_end(question);
    const provider_words_t words = {.result = results[reply->result],
                                    .sentence = reply->sentence,
                                    .text = is_line ? str_from(reply->sentence) : reply->log,
                                    .end = reply->log_end};
    question->answered(question, &words);
}

static bool request_words(provider_t *provider, str_t id, provider_question_t *question, bool line)
{
    process_provider_t *p = self(provider);
    assert(question->provider == NULL);
    if (!runner_client_request(p->client, line ? RUNNER_LINE : RUNNER_LOG, id, line ? 0 : question->from,
                               on_words, question))
        return false;
    question->provider = provider;
    question->wants_line = line;
    list_insert(&p->questions, &question->link);
    return true;
}

static bool provider_line(provider_t *provider, str_t id, provider_question_t *question)
{
    return request_words(provider, id, question, true);
}

static bool provider_log(provider_t *provider, str_t id, provider_question_t *question)
{
    return request_words(provider, id, question, false);
}

static void provider_forget(provider_t *provider, provider_question_t *question)
{
    if (question->provider == NULL)
        return;
    assert(question->provider == provider);
    runner_client_forget(self(provider)->client, question);
    provider_question_end(question);
}

static void end_questions(process_provider_t *p)
{
    static const runner_answer_t lost = {.result = RUNNER_LOST, .sentence = "The edge is ending."};
    while (!list_is_empty(&p->questions)) {
        provider_question_t *question = CONTAINER_OF(provider_question_t, link, p->questions.next);
        runner_client_forget(p->client, question);
        on_words(question, &lost);
    }
}

static void free_boxes(process_box_t *boxes, size_t count, runner_client_t *client)
{
    for (size_t i = 0; i < count; i++) {
        loop_timer_stop(&boxes[i].patience);
        runner_client_forget(client, &boxes[i]);
    }
    free(boxes);
}

/* The declared boxes, in an unknown state. */
static process_box_t *make_boxes(process_provider_t *p, const conf_t *conf)
{
    process_box_t *boxes = calloc(conf->process_count + 1, sizeof(*boxes));
    assert(boxes != NULL);
    for (size_t i = 0; i < conf->process_count; i++) {
        boxes[i].provider = p;
        boxes[i].process = &conf->processes[i];
        memcpy(boxes[i].status.id, conf->processes[i].id, sizeof(boxes[i].status.id));
    }
    return boxes;
}

/* Keeps the known state of a box; repeats a resume under way, which does no harm. */
static void inherit(process_box_t *box, const process_box_t *old)
{
    box->status = old->status;
    box->was_up = old->was_up;
    box->life = old->life;
    box->resuming = old->resuming;
    if (box->resuming)
        loop_timer_start(box->provider->loop, &box->patience, PROVIDER_PROCESS_PATIENCE_MS, on_patience);
}

static void provider_set_conf(provider_t *provider, const conf_t *conf)
{
    process_provider_t *p = self(provider);
    process_box_t *old = p->boxes, *boxes = make_boxes(p, conf);
    size_t old_count = p->count;
    for (size_t i = 0; i < conf->process_count; i++)
        for (size_t k = 0; k < old_count; k++)
            if (strcmp(old[k].process->id, conf->processes[i].id) == 0) {
                inherit(&boxes[i], &old[k]);
                old[k].resuming = false;
            }
    for (size_t k = 0; k < old_count; k++)
        if (old[k].resuming)
            add_stranger(p, str_from(old[k].process->id), true);
    free_boxes(old, old_count, p->client);
    p->boxes = boxes;
    p->count = conf->process_count;
    conf_release(&p->conf);
    p->conf = conf_acquire(conf);
    process_guests_set_conf(p->guests, conf);
    if (p->listed)
        report_all(p);
    runner_client_list(p->client); /* the runner may have reported new boxes before we knew them */
    loop_defer(p->loop, &p->work, work);
}

static void provider_free(provider_t *provider)
{
    process_provider_t *p = self(provider);
    runner_client_listen(p->client, NULL, NULL);
    end_questions(p);
    free_boxes(p->boxes, p->count, p->client);
    while (p->strangers != NULL) {
        stranger_t *next = p->strangers->next;
        free(p->strangers);
        p->strangers = next;
    }
    loop_timer_stop(&p->first);
    loop_undefer(&p->work);
    process_guests_free(&p->guests);
    conf_release(&p->conf);
    free(p);
}

provider_t *provider_process_new(loop_t *loop, const conf_t *conf, runner_client_t *client, bool may_run,
                                 const provider_handlers_t *handlers, void *owner)
{
    process_provider_t *p = calloc(1, sizeof(*p));
    assert(p != NULL);
    *p = (process_provider_t){.base = {.kind = PROVIDER_PROCESS,
                                       .handlers = handlers,
                                       .owner = owner,
                                       .resume = provider_resume,
                                       .pause = provider_pause,
                                       .look = provider_look,
                                       .line = provider_line,
                                       .log = provider_log,
                                       .forget = provider_forget,
                                       .set_conf = provider_set_conf,
                                       .free = provider_free},
                              .loop = loop,
                              .conf = conf_acquire(conf),
                              .client = client,
                              .count = conf->process_count};
    list_init(&p->questions);
    p->guests = process_guests_new(loop, &p->base);
    p->boxes = make_boxes(p, conf);
    if (may_run)
        loop_timer_start(loop, &p->first, PROVIDER_PROCESS_FIRST_MS, on_first_timeout);
    else
        loop_defer(loop, &p->work, work);
    runner_client_listen(client, &client_handlers, p);
    return &p->base;
}

process_guests_t *provider_process_guests(provider_t *provider)
{
    return self(provider)->guests;
}
