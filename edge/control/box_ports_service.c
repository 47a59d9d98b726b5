#include "box_ports_service.h"

#include <assert.h>
#include <stdlib.h>

#include "box_ports_message.h"
#include "hostname.h"
#include "last_words.h"
#include "list.h"
#include "process.h"

typedef struct question {
    struct question *next;
    unsigned worker;
    uint16_t port;
    uint64_t generation; /* in the worker's request */
} question_t;

typedef enum look_state { LOOK_NONE, LOOK_READS, LOOK_READ } look_state_t;

/* A box in one generation. */
typedef struct look {
    store_job_t job;
    box_ports_service_t *service;
    look_state_t state;
    bool reads_table, awaits_line; /* LOOK_READS: at least one */
    uint64_t read_ms;              /* LOOK_READ: time of the read */
    store_box_t box;               /* copied when the look began */
    box_ports_t table;
    char line[BOX_PORTS_LINE_MAX + 1];
    provider_question_t line_question; /* if awaits_line */
    loop_timer_t patience;             /* if awaits_line */
    question_t *questions;             /* LOOK_READS */
} look_t;

struct box_ports_service {
    loop_t *loop;
    store_thread_t *store;
    const boxes_t *boxes;
    worker_links_t *worker_links;
    size_t question_count;
    look_t looks[BOX_PORTS_BOXES_MAX];
};

box_ports_service_t *box_ports_service_new(loop_t *loop, store_thread_t *store, const boxes_t *boxes,
                                           worker_links_t *worker_links)
{
    box_ports_service_t *service = calloc(1, sizeof(*service));
    assert(service != NULL);
    service->loop = loop;
    service->store = store;
    service->boxes = boxes;
    service->worker_links = worker_links;
    for (size_t i = 0; i < BOX_PORTS_BOXES_MAX; i++)
        service->looks[i].service = service;
    return service;
}

/* Stops waiting for the line. */
static void forget_line(look_t *look)
{
    provider_question_t *question = &look->line_question;
    if (question->provider != NULL)
        question->provider->forget(question->provider, question);
    loop_timer_stop(&look->patience);
    look->awaits_line = false;
}

static question_t *take_question(look_t *look)
{
    question_t *question = look->questions;
    look->questions = question->next;
    look->service->question_count--;
    return question;
}

void box_ports_service_free(box_ports_service_t **service)
{
    if (*service == NULL)
        return;
    for (size_t i = 0; i < BOX_PORTS_BOXES_MAX; i++) {
        look_t *look = &(*service)->looks[i];
        assert(look->state != LOOK_READS || !look->reads_table);
        forget_line(look);
        while (look->questions != NULL)
            free(take_question(look));
    }
    assert((*service)->question_count == 0);
    free(*service);
    *service = NULL;
}

/* ---- answers ---- */

static void send_answer(box_ports_service_t *service, unsigned worker, str_t label, uint64_t generation,
                        const box_ports_answer_t *listening)
{
    char bytes[BOX_PORTS_BYTES];
    size_t n = box_ports_write(label, listening, bytes);
    worker_links_notify(service->worker_links, worker, PROCESS_BOX_PORTS, generation, str_make(bytes, n));
}

static void answer(look_t *look, unsigned worker, uint16_t port, uint64_t generation)
{
    char label[BOX_PORTS_LABEL_MAX + 1];
    box_ports_answer_t listening;
    int n = snprintf(label, sizeof(label), "%s-%u", look->box.id, port);
    assert(n > 0 && n <= BOX_PORTS_LABEL_MAX);
    box_ports_pick(&look->table, &look->box, port, &listening);
    memcpy(listening.line, look->line, sizeof(look->line));
    send_answer(look->service, worker, str_make(label, (size_t)n), generation, &listening);
}

/* ---- looks ---- */

static void run(store_job_t *job, store_t *store)
{
    look_t *look = CONTAINER_OF(look_t, job, job);
    (void)store;
    box_ports_read(look->box.pid, &look->table);
}

/* Runs after each part; answers once none is pending. */
static void settle(look_t *look)
{
    assert(look->state == LOOK_READS);
    if (look->reads_table || look->awaits_line)
        return;
    look->state = LOOK_READ;
    look->read_ms = loop_now(look->service->loop);
    while (look->questions != NULL) {
        question_t *question = take_question(look);
        answer(look, question->worker, question->port, question->generation);
        free(question);
    }
}

static void done(store_job_t *job)
{
    look_t *look = CONTAINER_OF(look_t, job, job);
    look->reads_table = false;
    settle(look);
}

static void on_line(provider_question_t *question, const provider_words_t *words)
{
    look_t *look = CONTAINER_OF(look_t, line_question, question);
    if (words->result == PROVIDER_OK)
        last_words_print(words->text, look->line, sizeof(look->line));
    forget_line(look);
    settle(look);
}

static void on_patience(loop_timer_t *timer)
{
    look_t *look = CONTAINER_OF(look_t, patience, timer);
    forget_line(look);
    settle(look);
}

/* False if the provider gives no line. */
static bool request_line(look_t *look)
{
    box_ports_service_t *service = look->service;
    provider_t *provider = boxes_provider(service->boxes, str_from(look->box.id));
    look->line[0] = '\0';
    look->line_question = (provider_question_t){.answered = on_line};
    if (provider == NULL || provider->line == NULL ||
        !provider->line(provider, str_from(look->box.id), &look->line_question))
        return false;
    loop_timer_start(service->loop, &look->patience, BOX_PORTS_LINE_MS, on_patience);
    return true;
}

static bool is_fresh(const look_t *look)
{
    return look->state == LOOK_READ && loop_now(look->service->loop) - look->read_ms < BOX_PORTS_FRESH_MS;
}

/* The look of the box, found or reused; NULL if all are reading. */
static look_t *find(box_ports_service_t *service, const store_box_t *box)
{
    look_t *oldest = NULL;
    for (look_t *look = service->looks; look < service->looks + BOX_PORTS_BOXES_MAX; look++) {
        if (look->state != LOOK_NONE && look->box.generation == box->generation &&
            strcmp(look->box.id, box->id) == 0)
            return look;
        if (look->state != LOOK_READS && (oldest == NULL || look->read_ms < oldest->read_ms))
            oldest = look;
    }
    if (oldest != NULL)
        oldest->state = LOOK_NONE;
    return oldest;
}

/* False if too many reads are pending. */
static bool look_at(look_t *look, const store_box_t *box)
{
    if (look->state == LOOK_READS || is_fresh(look))
        return true;
    look->box = *box;
    look->job = (store_job_t){.run = run, .done = done};
    if (!store_thread_add(look->service->store, &look->job)) {
        look->state = LOOK_NONE;
        return false;
    }
    look->state = LOOK_READS;
    look->reads_table = true;
    look->awaits_line = request_line(look);
    return true;
}

static bool add_question(look_t *look, unsigned worker, uint16_t port, uint64_t generation)
{
    box_ports_service_t *service = look->service;
    if (service->question_count == BOX_PORTS_QUESTIONS_MAX)
        return false;
    question_t *question = malloc(sizeof(*question));
    assert(question != NULL);
    *question = (question_t){look->questions, worker, port, generation};
    look->questions = question;
    service->question_count++;
    return true;
}

/* A box that has just ended has no ports, but its log may have the reason. */
static bool is_answerable(const store_box_t *box, uint64_t generation)
{
    if (box == NULL || box->pid == 0)
        return box != NULL && store_keeps_log(box->provider);
    return box->generation == generation;
}

void box_ports_service_request(box_ports_service_t *service, unsigned index, str_t label, uint64_t generation)
{
    static const box_ports_answer_t unknown;
    hostname_t name;
    if (index >= SHM_WORKERS_MAX || label.n > BOX_PORTS_LABEL_MAX || !hostname_parse_label(label, &name))
        return;
    const store_box_t *box = boxes_find(service->boxes, str_make(name.id, name.id_len));
    look_t *look = is_answerable(box, generation) ? find(service, box) : NULL;
    if (look == NULL || !look_at(look, box))
        send_answer(service, index, label, generation, &unknown);
    else if (look->state == LOOK_READ)
        answer(look, index, name.port, generation);
    else if (!add_question(look, index, name.port, generation))
        send_answer(service, index, label, generation, &unknown);
}

const box_ports_t *box_ports_service_find(box_ports_service_t *service, const store_box_t *box)
{
    look_t *look = box->pid != 0 ? find(service, box) : NULL;
    return look != NULL && look_at(look, box) && look->state == LOOK_READ ? &look->table : NULL;
}
