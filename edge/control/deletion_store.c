#include "deletion_store.h"

#include <stdio.h>

#include "process_birth.h"

/* Previews of a deleted box that go in one commit. */
#define FORGET_BATCH 64
/* A call of a worker of unknown birth has ended after this time without a response (upstreams[].first_byte is
 * at most a day), because the worker's process id may have a new owner. A known birth needs no clock. */
#define OPEN_MS  (48ull * 3600 * 1000)
#define FRESH_MS 60000u

bool deletion_is_open(const store_deletion_t *deletion, uint64_t now_ms)
{
    return deletion->closed_at_ms == 0 && deletion->requested_at_ms != 0 &&
           (deletion->birth != 0 || now_ms <= deletion->requested_at_ms + OPEN_MS) &&
           process_lives((pid_t)deletion->pid, deletion->birth);
}

/* ---- previews ---- */

typedef struct batch {
    store_change_t changes[FORGET_BATCH];
    size_t count;
} batch_t;

static bool collect(const store_preview_t *preview, void *arg)
{
    batch_t *batch = arg;
    batch->changes[batch->count++] = (store_change_t){.remove = true, .preview = *preview};
    return batch->count < FORGET_BATCH;
}

store_result_t deletion_store_forget(store_t *store, str_t id, size_t *deleted)
{
    batch_t batch;
    store_result_t result;
    do {
        batch.count = 0;
        result = store_each_preview_from(store, id, 0, true, collect, &batch);
        if (result == STORE_OK && batch.count != 0)
            result = store_apply(store, batch.changes, batch.count);
        *deleted += result == STORE_OK ? batch.count : 0;
    } while (result == STORE_OK && batch.count == FORGET_BATCH);
    return result;
}

/* ---- messages of workers ---- */

static void answer_result(preview_answer_t *answer, store_result_t result)
{
    const char *code = "store_unavailable", *sentence = "The edge cannot write to its store right now.";
    answer->status = result == STORE_OK || result == STORE_NOT_FOUND ? 200 : 503;
    if (result == STORE_FULL) {
        code = "deletions_full";
        sentence = "Too many deletions are in progress: try again later.";
    }
    if (answer->status == 200)
        return;
    (void)snprintf(answer->code, sizeof(answer->code), "%s", code);
    (void)snprintf(answer->sentence, sizeof(answer->sentence), "%s", sentence);
}

static store_deletion_t deletion_of(const deletion_call_t *call, uint32_t i)
{
    store_deletion_t deletion = {
        .call = call->call, .requested_at_ms = call->requested_at_ms, .pid = call->pid, .birth = call->birth};
    memcpy(deletion.id, call->ids[i], sizeof(deletion.id));
    memcpy(deletion.key_sha256, call->key_sha256, sizeof(deletion.key_sha256));
    return deletion;
}

static store_result_t begin(store_t *store, const deletion_call_t *call)
{
    store_deletion_t deletions[STORE_DELETIONS_AT_ONCE];
    for (uint32_t i = 0; i < call->count; i++)
        deletions[i] = deletion_of(call, i);
    return store_put_deletions(store, deletions, call->count);
}

/* Selects the deletions of a box that end. */
typedef struct which {
    const deletion_call_t *call;
    uint64_t now_ms;
} which_t;

static bool is_meant(const store_deletion_t *deletion, void *arg)
{
    const which_t *which = arg;
    const deletion_call_t *call = which->call;
    if (call->op == DELETION_END)
        return deletion->call == call->call;
    if (call->outcome == DELETION_REFUSED &&
        (deletion->closed_at_ms == 0 || deletion->closed_at_ms + DELETION_LIVING_MS > which->now_ms))
        return false;
    return !deletion_is_open(deletion, which->now_ms) &&
           memcmp(deletion->key_sha256, call->key_sha256, sizeof(call->key_sha256)) == 0;
}

/* Deletes the previews first: they must not return in between. */
static store_result_t end_one(store_t *store, const which_t *which, uint32_t i, size_t *deleted)
{
    const deletion_call_t *call = which->call;
    str_t id = str_from(call->ids[i]);
    store_deletion_t deletion = deletion_of(call, i);
    if (call->outcome == DELETION_UNKNOWN) /* also without previews: none is made while the box may go */
        return store_close_deletion(store, &deletion, which->now_ms);
    if (call->outcome == DELETION_DONE) {
        store_result_t result = deletion_store_forget(store, id, deleted);
        if (result != STORE_OK && result != STORE_NOT_FOUND)
            return result;
    }
    return store_end_deletions(store, id, is_meant, (void *)which);
}

void deletion_store_take(store_t *store, const deletion_call_t *call, uint64_t now_ms,
                         preview_answer_t *answer, size_t *deleted, bool *changed)
{
    which_t which = {call, now_ms};
    store_result_t worst = STORE_OK;
    if (call->op == DELETION_BEGIN) {
        worst = begin(store, call);
        *changed = worst == STORE_OK;
        answer_result(answer, worst);
        return;
    }
    for (uint32_t i = 0; i < call->count; i++) {
        store_result_t result = end_one(store, &which, i, deleted);
        if (result != STORE_OK && result != STORE_NOT_FOUND)
            worst = result;
    }
    *changed = true;
    answer_result(answer, worst);
}

/* ---- unknown outcomes ---- */

typedef struct survey {
    uint64_t now_ms;
    deletion_sweep_t *sweep;
    size_t looked_at;
    char last[BOX_ID_MAX + 1]; /* last record seen */
    bool more;
    size_t orphan_count;
    store_deletion_t orphans[DELETION_SWEEP_MAX];
} survey_t;

/* Whether the clock was set back after the end: no report can settle the deletion before the clock has passed
 * that time again. */
static bool closed_in_future(const store_deletion_t *deletion, uint64_t now_ms)
{
    return deletion->closed_at_ms > now_ms + DELETION_LIVING_MS;
}

static uint64_t earlier(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms != 0 && at_ms < now_ms ? at_ms : now_ms;
}

/* Maximum records per sweep; those of one box are adjacent. */
#define LOOK_MAX 1024

static void note_open_end(survey_t *survey, const store_deletion_t *deletion)
{
    deletion_sweep_t *sweep = survey->sweep;
    uint64_t closed = deletion->closed_at_ms != 0 && !closed_in_future(deletion, survey->now_ms)
                          ? deletion->closed_at_ms
                          : survey->now_ms;
    uint64_t requested = earlier(deletion->requested_at_ms, survey->now_ms);
    deletion_open_end_t *last = sweep->count != 0 ? &sweep->at[sweep->count - 1] : NULL;
    if (last == NULL || strcmp(last->id, deletion->id) != 0) {
        last = &sweep->at[sweep->count++];
        *last = (deletion_open_end_t){.requested_at_ms = UINT64_MAX};
        memcpy(last->id, deletion->id, sizeof(last->id));
    }
    if (requested < last->requested_at_ms)
        last->requested_at_ms = requested;
    if (closed > last->closed_at_ms)
        last->closed_at_ms = closed;
    sweep->fresh |= survey->now_ms < closed + FRESH_MS;
}

static bool survey_one(const store_deletion_t *deletion, void *arg)
{
    survey_t *survey = arg;
    deletion_sweep_t *sweep = survey->sweep;
    sweep->any = true;
    if (strcmp(deletion->id, sweep->after) <= 0)
        return true;
    bool full = sweep->count == DELETION_SWEEP_MAX || survey->orphan_count == DELETION_SWEEP_MAX ||
                survey->looked_at >= LOOK_MAX;
    survey->more = full;
    if (full)
        return false;
    survey->looked_at++;
    memcpy(survey->last, deletion->id, sizeof(survey->last));
    if (deletion_is_open(deletion, survey->now_ms)) {
        sweep->fresh = true;
        return true;
    }
    if (deletion->closed_at_ms == 0 || closed_in_future(deletion, survey->now_ms))
        survey->orphans[survey->orphan_count++] = *deletion;
    note_open_end(survey, deletion);
    return true;
}

static bool has_ended(const store_deletion_t *deletion, void *now_ms)
{
    return deletion->closed_at_ms != 0 && deletion->closed_at_ms + DELETION_LIVING_MS < *(uint64_t *)now_ms;
}

/* Drops boxes without previews from the sweep, and their deletions from the store, once a call that has ended
 * does not delete the box any more. */
static void drop_needless(store_t *store, uint64_t now_ms, deletion_sweep_t *sweep)
{
    size_t kept = 0;
    for (size_t i = 0; i < sweep->count; i++) {
        str_t id = str_from(sweep->at[i].id);
        if (store_has_previews(store, id) || store_end_deletions(store, id, has_ended, &now_ms) != STORE_OK)
            sweep->at[kept++] = sweep->at[i];
    }
    sweep->count = kept;
}

void deletion_store_sweep(store_t *store, uint64_t now_ms, deletion_sweep_t *sweep, bool *changed)
{
    survey_t survey = {.now_ms = now_ms, .sweep = sweep};
    sweep->count = 0;
    sweep->any = sweep->fresh = false;
    if (store_each_deletion(store, STR(""), survey_one, &survey) != STORE_OK)
        sweep->any = true; /* perhaps: the store cannot be read */
    for (size_t i = 0; i < survey.orphan_count; i++)
        *changed |= store_close_deletion(store, &survey.orphans[i], now_ms) == STORE_OK;
    memcpy(sweep->after, survey.more ? survey.last : "", survey.more ? sizeof(survey.last) : 1);
    drop_needless(store, now_ms, sweep);
}

static bool was_closed_before(const store_deletion_t *deletion, void *reported_ms)
{
    return deletion->closed_at_ms != 0 && deletion->closed_at_ms < *(uint64_t *)reported_ms;
}

typedef struct closed {
    uint64_t reported_ms;
    bool any;
} closed_t;

static bool find_closed_before(const store_deletion_t *deletion, void *arg)
{
    closed_t *found = arg;
    found->any |= was_closed_before(deletion, &found->reported_ms);
    return !found->any;
}

/* False if the store cannot be read. */
static bool has_closed_before(store_t *store, str_t id, uint64_t reported_ms)
{
    closed_t found = {.reported_ms = reported_ms};
    return store_each_deletion(store, id, find_closed_before, &found) == STORE_OK && found.any;
}

void deletion_store_report(store_t *store, str_t id, uint64_t reported_ms, bool gone, size_t *deleted,
                           bool *changed)
{
    if (!has_closed_before(store, id, reported_ms))
        return; /* settled meanwhile, or requested again */
    if (gone) {
        store_result_t result = deletion_store_forget(store, id, deleted);
        if (result != STORE_OK && result != STORE_NOT_FOUND)
            return;
    }
    *changed = store_end_deletions(store, id, was_closed_before, &reported_ms) == STORE_OK || *deleted != 0;
}
