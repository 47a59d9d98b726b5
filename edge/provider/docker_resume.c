/*
 * Resumes and pauses of boxes that are containers. A resume unpauses or starts the container by its last
 * known state, and then inspects it. So the edge can ignore answers like "already started", and finds and
 * corrects a wrong state. See docker_internal.h.
 *
 * Sentences are for anybody who opens a preview; the engine's messages go to the log.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "docker_internal.h"
#include "docker_log.h"
#include "list.h"
#include "process_log.h"
#include "wake_message.h"

#define PAUSE_MS 20000
/* Delay before a stopping or restarting container is inspected again. */
#define CHANGE_MS 250
/* Delay after the end of a container, whose removal or restart may follow: engines do not bear a start in the
 * middle of a removal (podman loses the process). */
#define ENDED_MS 500
/* Maximum unpauses and starts of one resume, and maximum further looks before it fails: a container that is
 * being removed may refuse to start, end, and fail its inspection. */
#define ACTS_MAX    3
#define RELOOKS_MAX 2

static const char unreachable[] = "The container engine cannot be reached.";

static void set_stage(docker_box_t *box, docker_resume_t stage)
{
    assert(stage == RESUME_NONE || stage == RESUME_NEW || box->resume != RESUME_NONE);
    box->resume = stage;
}

void docker_put_off(docker_box_t *box)
{
    docker_t *docker = box->docker;
    if (!list_is_linked(&box->link))
        list_insert(&docker->todo, &box->link);
    loop_defer(docker->loop, &docker->task, docker->task.run);
}

static void end_resume(docker_box_t *box)
{
    docker_call_cancel(&box->call);
    docker_reading_forget(&box->last_words);
    loop_timer_stop(&box->limit);
    loop_timer_stop(&box->change);
    box->target = NULL;
    set_stage(box, RESUME_NONE);
}

void docker_resume_cancel(docker_box_t *box)
{
    end_resume(box);
    docker_call_cancel(&box->pause);
}

static void answer(docker_box_t *box, provider_result_t result, const char *sentence)
{
    provider_t *provider = &box->docker->provider;
    end_resume(box);
    provider->handlers->resumed(provider->owner, provider, str_from(box->id), result, sentence);
}

static void on_limit(loop_timer_t *timer)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, limit, timer);
    if (box->resume == RESUME_SYNC)
        answer(box, PROVIDER_UNAVAILABLE, unreachable);
    else if (box->resume == RESUME_CHANGE)
        answer(box, PROVIDER_FAILED, "The box's container keeps stopping and starting.");
    else
        answer(box, PROVIDER_UNAVAILABLE, "The container engine takes too long to resume the box.");
    docker_drop_box(box);
}

/* ---- steps ---- */

/* Begins again, with the container that counts now. */
static void begin_again(docker_box_t *box)
{
    set_stage(box, RESUME_NEW);
    docker_put_off(box);
}

static void look(docker_box_t *box)
{
    if (box->target == NULL) { /* removed meanwhile */
        begin_again(box);
        return;
    }
    set_stage(box, RESUME_LOOK);
    docker_inspect(box->target, false);
    box->target_request = box->target->requested;
}

static void on_sent(docker_call_t *call)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, call, call);
    loop_timer_start(box->docker->loop, &box->limit, DOCKER_RESUME_MS, on_limit);
}

static void post(docker_box_t *box, const char *what, const char *id, const char *verb, char *body,
                 void (*done)(docker_call_t *call, const fetch_result_t *result))
{
    docker_call_t *call = &box->call;
    call->method = "POST";
    call->timeout_ms = DOCKER_RESUME_MS;
    call->most = DOCKER_ANSWER_MAX;
    call->sent = box->resume == RESUME_ACT ? on_sent : NULL;
    call->done = done;
    call->body = body;
    call->path = docker_text("/%s/%s/%s", what, id, verb);
    docker_call_begin(box->docker->engine, call);
}

static void log_refusal(const docker_box_t *box, const char *what, const fetch_result_t *result)
{
    char message[DOCKER_MESSAGE_MAX + 1] = "";
    if (result->status != 0)
        docker_read_message(result->body, message);
    process_log(LOG_ENGINE_REFUSED, "controller", "box %s: %s: %s (%d)", box->id, what,
                result->status == 0 ? result->error : message, result->status);
}

static bool is_good(const fetch_result_t *result)
{
    return (result->status >= 200 && result->status <= 299) || result->status == 304;
}

static void on_init_begun(docker_call_t *call, const fetch_result_t *result)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, call, call);
    if (!is_good(result))
        log_refusal(box, "its init was not run", result);
    look(box);
}

static void on_init_made(docker_call_t *call, const fetch_result_t *result)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, call, call);
    if (!is_good(result) || !docker_read_exec(result->body, box->exec)) {
        log_refusal(box, "its init was not run", result);
        look(box);
        return;
    }
    post(box, "exec", box->exec, "start", docker_text("{\"Detach\":true,\"Tty\":false}"), on_init_begun);
}

/* Starts the command of the label, without waiting for its end. */
static void run_init(docker_box_t *box)
{
    json_t *request = json_pack("{s:b,s:b,s:b,s:[sss]}", "AttachStdin", 0, "AttachStdout", 0, "AttachStderr",
                                0, "Cmd", "/bin/sh", "-c", box->target->seen.init);
    char *body = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
    assert(body != NULL);
    json_decref(request);
    set_stage(box, RESUME_INIT);
    post(box, "containers", box->target->id, "exec", body, on_init_made);
}

static void on_acted(docker_call_t *call, const fetch_result_t *result)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, call, call);
    box->acted_well = is_good(result);
    if (result->status == 0) {
        if (!box->docker->lost)
            log_refusal(box, "it was not resumed", result);
        answer(box, PROVIDER_UNAVAILABLE, unreachable);
        docker_drop_box(box);
        return;
    }
    if (!box->acted_well && result->status != 404)
        log_refusal(box, "the engine refused to resume it", result);
    bool started = result->status >= 200 && result->status <= 299 && box->acted_on == DOCKER_STOPPED;
    if (started && box->target != NULL && box->target->seen.init != NULL)
        run_init(box);
    else
        look(box);
}

static void on_change(loop_timer_t *timer)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, change, timer);
    assert(box->resume == RESUME_CHANGE);
    look(box);
}

static void look_later(docker_box_t *box, uint32_t ms)
{
    set_stage(box, RESUME_CHANGE);
    loop_timer_start(box->docker->loop, &box->change, ms, on_change);
}

/* Rest of the delay after the end of the container. */
static uint32_t rest_of_end(const docker_entry_t *entry)
{
    if (entry->seen.state != DOCKER_STOPPED || entry->ended_ms == 0)
        return 0;
    uint64_t gone = loop_now(entry->docker->loop) - entry->ended_ms;
    return gone < ENDED_MS ? (uint32_t)(ENDED_MS - gone) : 0;
}

static void answer_with_log(docker_box_t *box, const char *sentence);

/* The container is in a loop: the waiters get its last output, and the next request tries once more. */
static bool is_in_a_loop(docker_box_t *box)
{
    char sentence[128];
    docker_entry_t *entry = box->target;
    bool down = entry->seen.state == DOCKER_STOPPED || entry->seen.state == DOCKER_CHANGING;
    if (!down || entry->crashes < DOCKER_CRASHES_MAX)
        return false;
    entry->crashes = DOCKER_CRASHES_MAX - 1;
    snprintf(sentence, sizeof(sentence),
             "The box's container ends right after each start (%s, exit code %d).",
             entry->seen.state == DOCKER_STOPPED ? "exited" : "restarting", entry->seen.exit_code);
    answer_with_log(box, sentence);
    return true;
}

/* Unpauses, starts, or only looks, by the known state of the container. */
static void act(docker_box_t *box)
{
    docker_entry_t *entry = box->target;
    if (is_in_a_loop(box))
        return;
    uint32_t rest = rest_of_end(entry);
    if (rest != 0) {
        look_later(box, rest);
        return;
    }
    box->acted_on = entry->seen.state;
    box->acted_well = false;
    if (entry->seen.state != DOCKER_PAUSED && entry->seen.state != DOCKER_STOPPED) {
        look(box);
        return;
    }
    box->acts++;
    set_stage(box, RESUME_ACT);
    post(box, "containers", entry->id, entry->seen.state == DOCKER_PAUSED ? "unpause" : "start", NULL,
         on_acted);
}

/* Begins, or begins again with another container. */
static void begin(docker_box_t *box)
{
    const docker_t *docker = box->docker;
    box->target = box->chosen;
    if (box->pause.fetch == NULL)
        docker_call_cancel(&box->pause); /* still queued */
    if (docker_call_busy(&box->pause)) {
        set_stage(box, RESUME_PAUSE);
    } else if (box->target != NULL) {
        act(box);
    } else if (docker->sync == SYNC_DONE) {
        docker_notify(box);
        answer(box, PROVIDER_GONE, NULL);
    } else if (docker->sync == SYNC_WAITING && docker->lost) {
        answer(box, PROVIDER_UNAVAILABLE, unreachable);
    } else {
        set_stage(box, RESUME_SYNC);
    }
}

void docker_resume_work(docker_box_t *box)
{
    if (box->resume == RESUME_NEW && !loop_timer_running(&box->limit)) {
        box->acts = box->relooks = 0;
        loop_timer_start(box->docker->loop, &box->limit, DOCKER_QUEUE_MS, on_limit);
    }
    if (box->resume == RESUME_NEW || box->resume == RESUME_SYNC)
        begin(box);
    if (box->look && box->chosen == NULL && box->docker->sync == SYNC_DONE)
        docker_notify(box);
    docker_drop_box(box);
}

/* ---- inspections ---- */

static void on_last_words(provider_question_t *question, const provider_words_t *words)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, last_words, question);
    char sentence[sizeof(box->why) + DOCKER_LOG_LINE_MAX + 32];
    bool has_line = words->result == PROVIDER_OK && words->text.n > 0;
    snprintf(sentence, sizeof(sentence), "%s", box->why);
    if (has_line)
        snprintf(sentence, sizeof(sentence), "%s%cIts log ends: %.*s", box->why, WAKE_SENTENCE_OUTPUT,
                 STR_ARG(words->text));
    answer(box, PROVIDER_FAILED, sentence);
}

/* Answers PROVIDER_FAILED, with the container's last output after the sentence. */
static void answer_with_log(docker_box_t *box, const char *sentence)
{
    snprintf(box->why, sizeof(box->why), "%s", sentence);
    set_stage(box, RESUME_LOG);
    box->last_words = (provider_question_t){.answered = on_last_words};
    if (box->target != box->chosen || !docker_reading_request(box, &box->last_words, true))
        answer(box, PROVIDER_FAILED, sentence); /* the log is another container's, or cannot be read */
}

static void fail_acted(docker_box_t *box)
{
    char sentence[96];
    bool ended = box->acted_well && box->acted_on == DOCKER_STOPPED;
    if (ended)
        snprintf(sentence, sizeof(sentence),
                 "The box's container ended right after its start, with exit code %d.",
                 box->target->seen.exit_code);
    else
        snprintf(sentence, sizeof(sentence), "The container engine could not %s the box's container.",
                 box->acted_on == DOCKER_PAUSED ? "unpause" : "start");
    if (ended)
        answer_with_log(box, sentence);
    else
        answer(box, PROVIDER_FAILED, sentence);
}

/* The container to run was inspected. */
static void judge(docker_box_t *box)
{
    docker_state_t state = box->target->seen.state;
    bool same = box->acts != 0 && box->acted_on == state, in_vain;
    switch (state) {
    case DOCKER_RUNNING:
        answer(box, PROVIDER_OK, NULL);
        break;
    case DOCKER_CHANGING:
        if (!is_in_a_loop(box))
            look_later(box, CHANGE_MS);
        break;
    case DOCKER_GONE:
        answer(box, PROVIDER_GONE, NULL);
        break;
    case DOCKER_PAUSED:
    case DOCKER_STOPPED:
        in_vain = same && (!box->acted_well || state == DOCKER_STOPPED);
        if (in_vain && box->relooks++ < RELOOKS_MAX)
            look_later(box, CHANGE_MS);
        else if (in_vain || box->acts == ACTS_MAX)
            fail_acted(box);
        else
            act(box);
        break;
    }
}

void docker_resume_seen(docker_box_t *box, docker_entry_t *entry, bool failed)
{
    bool waits = box->resume == RESUME_LOOK || box->resume == RESUME_CHANGE;
    if (box->resume == RESUME_NONE || box->resume == RESUME_NEW || box->resume == RESUME_PAUSE ||
        box->resume == RESUME_LOG)
        return;
    if (box->resume == RESUME_SYNC || (waits && (box->target == NULL || box->target != box->chosen))) {
        docker_call_cancel(&box->call);
        loop_timer_stop(&box->change);
        begin_again(box);
    } else if (box->resume == RESUME_LOOK && entry == box->target && entry->answered >= box->target_request) {
        if (failed && box->relooks++ < RELOOKS_MAX)
            look_later(box, CHANGE_MS);
        else if (failed)
            answer(box, PROVIDER_UNAVAILABLE, "The container engine does not report whether the box runs.");
        else
            judge(box);
    }
}

/* ---- pauses ---- */

static void on_paused(docker_call_t *call, const fetch_result_t *result)
{
    docker_box_t *box = CONTAINER_OF(docker_box_t, pause, call);
    if (!is_good(result) && result->status != 404 && result->status != 409)
        log_refusal(box, "it was not paused", result);
    if (box->chosen != NULL && result->status != 0)
        docker_inspect(box->chosen, false);
    if (box->resume == RESUME_PAUSE)
        begin_again(box);
    docker_drop_box(box);
}

void docker_pause(docker_box_t *box)
{
    docker_call_t *call = &box->pause;
    if (box->chosen == NULL || box->chosen->seen.state != DOCKER_RUNNING || box->resume != RESUME_NONE ||
        docker_call_busy(call))
        return;
    call->method = "POST";
    call->timeout_ms = PAUSE_MS;
    call->most = DOCKER_ANSWER_MAX;
    call->done = on_paused;
    call->path = docker_text("/containers/%s/pause", box->chosen->id);
    docker_call_begin(box->docker->engine, call);
}
