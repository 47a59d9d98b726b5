#include "listening_desk.h"

#include <assert.h>
#include <stdlib.h>

#include "hostname.h"
#include "last_words.h"
#include "list.h"
#include "listening_message.h"
#include "process.h"

typedef struct question {
    struct question *next;
    unsigned worker;
    uint16_t port;
    uint64_t generation; /* as the worker asked */
} question_t;

typedef enum look_state { LOOK_NONE, LOOK_READS, LOOK_READ } look_state_t;

/* A box in one generation. */
typedef struct look {
    store_job_t job;
    listening_desk_t *desk;
    look_state_t state;
    bool reads_table, awaits_line; /* LOOK_READS: at least one */
    uint64_t read_ms;              /* LOOK_READ: time of the read */
    store_box_t box;               /* copied when the look began */
    listening_table_t table;
    char line[LISTENING_LINE_MAX + 1];
    provider_question_t line_question; /* if awaits_line */
    loop_timer_t patience;             /* if awaits_line */
    question_t *questions;             /* LOOK_READS */
} look_t;

struct listening_desk {
    loop_t *loop;
    store_thread_t *store;
    const boxes_t *boxes;
    worker_links_t *worker_links;
    size_t question_count;
    look_t looks[LISTENING_BOXES_MAX];
};

listening_desk_t *listening_desk_new(loop_t *loop, store_thread_t *store, const boxes_t *boxes,
                                     worker_links_t *worker_links)
{
    listening_desk_t *desk = calloc(1, sizeof(*desk));
    assert(desk != NULL);
    desk->loop = loop;
    desk->store = store;
    desk->boxes = boxes;
    desk->worker_links = worker_links;
    for (size_t i = 0; i < LISTENING_BOXES_MAX; i++)
        desk->looks[i].desk = desk;
    return desk;
}

/* Stops waiting for the line. */
static void forget_line(look_t *look)
{
    provider_question_t *question = &look->line_question;
    if (question->asked != NULL)
        question->asked->forget(question->asked, question);
    loop_timer_stop(&look->patience);
    look->awaits_line = false;
}

static question_t *take_question(look_t *look)
{
    question_t *question = look->questions;
    look->questions = question->next;
    look->desk->question_count--;
    return question;
}

void listening_desk_free(listening_desk_t **desk)
{
    if (*desk == NULL)
        return;
    for (size_t i = 0; i < LISTENING_BOXES_MAX; i++) {
        look_t *look = &(*desk)->looks[i];
        assert(look->state != LOOK_READS || !look->reads_table);
        forget_line(look);
        while (look->questions != NULL)
            free(take_question(look));
    }
    assert((*desk)->question_count == 0);
    free(*desk);
    *desk = NULL;
}

/* ---- answers ---- */

static void tell(listening_desk_t *desk, unsigned worker, str_t label, uint64_t generation,
                 const listening_t *listening)
{
    char bytes[LISTENING_BYTES];
    size_t n = listening_write(label, listening, bytes);
    worker_links_tell(desk->worker_links, worker, PROCESS_LISTENS, generation, str_make(bytes, n));
}

static void answer(look_t *look, unsigned worker, uint16_t port, uint64_t generation)
{
    char label[LISTENING_LABEL_MAX + 1];
    listening_t listening;
    int n = snprintf(label, sizeof(label), "%s-%u", look->box.id, port);
    assert(n > 0 && n <= LISTENING_LABEL_MAX);
    listening_pick(&look->table, &look->box, port, &listening);
    memcpy(listening.line, look->line, sizeof(look->line));
    tell(look->desk, worker, str_make(label, (size_t)n), generation, &listening);
}

/* ---- looks ---- */

static void run(store_job_t *job, store_t *store)
{
    look_t *look = CONTAINER_OF(look_t, job, job);
    (void)store;
    listening_read(look->box.pid, &look->table);
}

/* Runs after each part; answers once none is pending. */
static void settle(look_t *look)
{
    assert(look->state == LOOK_READS);
    if (look->reads_table || look->awaits_line)
        return;
    look->state = LOOK_READ;
    look->read_ms = loop_now(look->desk->loop);
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
static bool ask_line(look_t *look)
{
    listening_desk_t *desk = look->desk;
    provider_t *provider = boxes_provider(desk->boxes, str_from(look->box.id));
    look->line[0] = '\0';
    look->line_question = (provider_question_t){.answered = on_line};
    if (provider == NULL || provider->line == NULL ||
        !provider->line(provider, str_from(look->box.id), &look->line_question))
        return false;
    loop_timer_start(desk->loop, &look->patience, LISTENING_LINE_MS, on_patience);
    return true;
}

static bool is_fresh(const look_t *look)
{
    return look->state == LOOK_READ && loop_now(look->desk->loop) - look->read_ms < LISTENING_FRESH_MS;
}

/* The look of the box, found or reused; NULL if all are reading. */
static look_t *find(listening_desk_t *desk, const store_box_t *box)
{
    look_t *oldest = NULL;
    for (look_t *look = desk->looks; look < desk->looks + LISTENING_BOXES_MAX; look++) {
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
    if (!store_thread_add(look->desk->store, &look->job)) {
        look->state = LOOK_NONE;
        return false;
    }
    look->state = LOOK_READS;
    look->reads_table = true;
    look->awaits_line = ask_line(look);
    return true;
}

static bool add_question(look_t *look, unsigned worker, uint16_t port, uint64_t generation)
{
    listening_desk_t *desk = look->desk;
    if (desk->question_count == LISTENING_QUESTIONS_MAX)
        return false;
    question_t *question = malloc(sizeof(*question));
    assert(question != NULL);
    *question = (question_t){look->questions, worker, port, generation};
    look->questions = question;
    desk->question_count++;
    return true;
}

/* A box that has just ended has no ports, but its log may say why. */
static bool can_tell(const store_box_t *box, uint64_t generation)
{
    if (box == NULL || box->pid == 0)
        return box != NULL && store_keeps_log(box->provider);
    return box->generation == generation;
}

void listening_desk_ask(listening_desk_t *desk, unsigned index, str_t label, uint64_t generation)
{
    static const listening_t unknown;
    hostname_t name;
    if (index >= SHM_WORKERS_MAX || label.n > LISTENING_LABEL_MAX || !hostname_parse_label(label, &name))
        return;
    const store_box_t *box = boxes_find(desk->boxes, str_make(name.id, name.id_len));
    look_t *look = can_tell(box, generation) ? find(desk, box) : NULL;
    if (look == NULL || !look_at(look, box))
        tell(desk, index, label, generation, &unknown);
    else if (look->state == LOOK_READ)
        answer(look, index, name.port, generation);
    else if (!add_question(look, index, name.port, generation))
        tell(desk, index, label, generation, &unknown);
}

const listening_table_t *listening_desk_look(listening_desk_t *desk, const store_box_t *box)
{
    look_t *look = box->pid != 0 ? find(desk, box) : NULL;
    return look != NULL && look_at(look, box) && look->state == LOOK_READ ? &look->table : NULL;
}
