/*
 * Questions about the output of a box's container (provider.h). A box has one call under way, and its
 * questions wait in order; those about the line, which requests wait for, go before those about the whole
 * log. Answers of the engine are bounded in bytes and time. See docker_internal.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "docker_internal.h"
#include "docker_log.h"
#include "list.h"

/* Maximum waiting questions of a box. */
#define QUESTIONS_MAX 8
/* For the last words: entries, bytes of the answer, time limit, and seconds before the start. Engines report
 * a start late, when the container may have failed already. */
#define LINE_TAIL      100
#define LINE_BYTES_MAX (2u << 20)
#define LINE_MS        2000
#define LINE_BEFORE_S  2
#define SECOND_NS      1000000000u
/* For the log: minimum entries of the first call, which mostly suffice, and entries of the next, before all
 * of a second are read. Tails cost podman the square of their length. */
#define LOG_TAIL_MIN  512
#define LOG_TAIL_NEXT 16384
#define LOG_BYTES_MAX (64u << 20)
#define LOG_MS        10000

static provider_question_t *first_question(const docker_box_t *box)
{
    list_t *first = box->questions.next;
    return first != &box->questions ? CONTAINER_OF(provider_question_t, link, first) : NULL;
}

static void end_reading(docker_box_t *box)
{
    docker_call_cancel(&box->reading);
    loop_timer_stop(&box->reading_limit);
    docker_log_free(&box->log);
}

/* Answers the first question; the next one begins at the end of the turn. */
static void answer(docker_box_t *box, const provider_words_t *words)
{
    provider_question_t *question = first_question(box);
    end_reading(box);
    provider_question_end(question);
    docker_put_off(box);
    question->answered(question, words);
}

static void refuse(docker_box_t *box, provider_result_t result, const char *sentence)
{
    const provider_words_t words = {.result = result, .sentence = sentence};
    answer(box, &words);
}

static void on_limit(loop_timer_t *timer)
{
    refuse(CONTAINER_OF(docker_box_t, reading_limit, timer), PROVIDER_UNAVAILABLE,
           "The container engine takes too long to show the log.");
}

/* ---- the end of an answer ---- */

static void answer_line(docker_box_t *box)
{
    /* For a failed container, any line is better than none. */
    last_words_rank_t least =
        first_question(box) == &box->last_words ? LAST_WORDS_TRAILER : LAST_WORDS_SENTENCE;
    char line[DOCKER_LOG_LINE_MAX + 1];
    box_log_last_words(docker_log_text(box->log), least, line, sizeof(line));
    const provider_words_t words = {.result = PROVIDER_OK, .text = str_from(line)};
    answer(box, &words);
}

static void answer_log(docker_box_t *box)
{
    str_t parts[2];
    box_log_read(docker_log_text(box->log), 0, parts);
    char *text = malloc(parts[0].n + parts[1].n + 1);
    assert(text != NULL);
    memcpy(text, parts[0].p, parts[0].n);
    memcpy(text + parts[0].n, parts[1].p, parts[1].n);
    const provider_words_t words = {.result = PROVIDER_OK,
                                    .text = str_make(text, parts[0].n + parts[1].n),
                                    .end = docker_log_end(box->log)};
    answer(box, &words);
    free(text);
}

static void refuse_gone(docker_box_t *box)
{
    refuse(box, PROVIDER_GONE, "This container does not exist any more.");
}

static void refuse_answer(docker_box_t *box, const fetch_result_t *result)
{
    char message[DOCKER_MESSAGE_MAX + 1], sentence[DOCKER_MESSAGE_MAX + 64];
    if (result->status == 0) {
        refuse(box, PROVIDER_UNAVAILABLE, "The container engine cannot be reached.");
    } else if (result->status == 404) {
        refuse_gone(box);
    } else {
        docker_read_message(result->body, message);
        snprintf(sentence, sizeof(sentence), "The container engine does not show the log: %s (%d)", message,
                 result->status);
        refuse(box, PROVIDER_FAILED, sentence);
    }
}

/* ---- calls ---- */

static void on_read(docker_call_t *call, const fetch_result_t *result);
static void on_bytes(docker_call_t *call, str_t bytes);

/* The container to ask about, or NULL. */
static const docker_entry_t *container_of(const docker_box_t *box)
{
    return box->chosen != NULL && box->chosen->seen.state != DOCKER_GONE ? box->chosen : NULL;
}

/* Requests the last `tail` entries (0: all) since a second (0: ever). */
static void begin(docker_box_t *box, uint64_t tail, uint64_t since)
{
    docker_call_t *call = &box->reading;
    char last[24] = "all", first[32] = "";
    if (tail != 0)
        snprintf(last, sizeof(last), "%llu", (unsigned long long)tail);
    if (since != 0)
        snprintf(first, sizeof(first), "&since=%llu", (unsigned long long)since);
    docker_log_free(&box->log);
    box->log = docker_log_new(first_question(box)->from);
    box->read_tail = tail;
    box->read_bytes = 0;
    call->class = DOCKER_LOG;
    call->method = "GET";
    call->timeout_ms = LOG_MS;
    call->most = DOCKER_ANSWER_MAX; /* maximum for a refusal */
    call->data = on_bytes;
    call->done = on_read;
    call->path = docker_text("/containers/%s/logs?stdout=1&stderr=1&timestamps=1&tail=%s%s",
                             container_of(box)->id, last, first);
    docker_call_begin(box->docker->engine, call);
}

static void on_read(docker_call_t *call, const fetch_result_t *result)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, reading, call);
    if (result->status != 200) {
        refuse_answer(box, result);
        return;
    }
    docker_log_finish(box->log);
    if (first_question(box)->wants_line) {
        answer_line(box);
        return;
    }
    bool is_short = box->read_tail < LOG_TAIL_NEXT;
    uint64_t cut = box->read_tail != 0 ? docker_log_cut(box->log, box->read_tail, is_short) : 0;
    if (cut == 0)
        answer_log(box);
    else if (container_of(box) != NULL)
        begin(box, is_short ? LOG_TAIL_NEXT : 0, cut);
    else
        refuse_gone(box);
}

static void on_bytes(docker_call_t *call, str_t bytes)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, reading, call);
    size_t most = first_question(box)->wants_line ? LINE_BYTES_MAX : LOG_BYTES_MAX;
    if (bytes.n > most - box->read_bytes) {
        refuse(box, PROVIDER_FAILED, "The end of the log is too large to be read: ask for fewer lines.");
        return;
    }
    box->read_bytes += bytes.n;
    docker_log_feed(box->log, bytes);
}

/* ---- requests ---- */

static void begin_line(docker_box_t *box)
{
    uint64_t started = container_of(box)->seen.started_ns / SECOND_NS;
    begin(box, LINE_TAIL, started > LINE_BEFORE_S ? started - LINE_BEFORE_S : 0);
}

static void begin_log(docker_box_t *box, const provider_question_t *question)
{
    uint64_t tail =
        question->lines < BOX_LOG_BYTES ? question->lines : BOX_LOG_BYTES; /* each has a byte at least */
    bool goes_on = question->from != 0;
    if (goes_on || tail < LOG_TAIL_MIN)
        tail = LOG_TAIL_MIN;
    begin(box, tail, goes_on ? docker_log_second(question->from) : 0);
}

void docker_reading_work(docker_box_t *box)
{
    const provider_question_t *question;
    while ((question = first_question(box)) != NULL && !docker_call_busy(&box->reading)) {
        if (container_of(box) == NULL) {
            bool knows = box->docker->sync == SYNC_DONE;
            refuse(box, knows ? PROVIDER_GONE : PROVIDER_UNAVAILABLE, "The box has no container.");
            continue;
        }
        loop_timer_start(box->docker->loop, &box->reading_limit, question->wants_line ? LINE_MS : LOG_MS,
                         on_limit);
        if (question->wants_line)
            begin_line(box);
        else
            begin_log(box, question);
    }
}

/* ---- questions ---- */

static size_t count_questions(const docker_box_t *box)
{
    size_t n = 0;
    for (const list_t *at = box->questions.next; at != &box->questions; at = at->next)
        n++;
    return n;
}

/* The place behind the question under way and the waiting lines. */
static list_t *place_of_line(docker_box_t *box)
{
    list_t *at = box->questions.next;
    if (docker_call_busy(&box->reading))
        at = at->next;
    while (at != &box->questions && CONTAINER_OF(provider_question_t, link, at)->wants_line)
        at = at->next;
    return at;
}

bool docker_reading_request(docker_box_t *box, provider_question_t *question, bool line)
{
    assert(question->provider == NULL && question->answered != NULL);
    if (question != &box->last_words && count_questions(box) >= QUESTIONS_MAX)
        return false;
    question->provider = &box->docker->provider;
    question->of = box;
    question->wants_line = line;
    list_insert(line ? place_of_line(box) : &box->questions, &question->link);
    docker_put_off(box);
    return true;
}

void docker_reading_forget(provider_question_t *question)
{
    docker_box_t *box = question->of;
    if (question->provider == NULL)
        return;
    if (question == first_question(box))
        end_reading(box);
    provider_question_end(question);
    docker_put_off(box);
}

void docker_reading_end(docker_box_t *box)
{
    while (first_question(box) != NULL)
        refuse(box, PROVIDER_UNAVAILABLE, "The container engine is not used any more.");
}
