/*
 * The check of the store before the edge serves: damaged pages, lists or counts end the start, and
 * damaged records are only reported, since all else can be served. Damaged states of boxes are removed.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "process_log.h"
#include "store_child.h"
#include "supervisor_internal.h"

#define PROGRESS_MS 5000

typedef struct outcome {
    store_health_t *health;
    bool damaged; /* the edge must not start */
    bool boxes;   /* the states of boxes are damaged */
} outcome_t;

static void on_finding(store_check_kind_t kind, bool refused, const char *sentence, void *arg)
{
    outcome_t *outcome = arg;
    switch (kind) {
    case STORE_CHECK_RECORD: /* here once; the check of a store in use does not repeat it */
        (void)!store_health_report_record(outcome->health, str_from(sentence));
        process_log(LOG_STORE_DAMAGED, NULL, "the store is damaged: %s", sentence);
        break;
    case STORE_CHECK_BOXES:
        process_log(LOG_STORE_DAMAGED, NULL, "the states of boxes are damaged: %s", sentence);
        outcome->boxes = true;
        break;
    case STORE_CHECK_UNDONE:
        process_log(LOG_STORE_NOT_CHECKED, NULL, STORE_UNDONE ", and the edge starts: %s", sentence);
        break;
    case STORE_CHECK_TREE:
        process_log(LOG_STORE_DAMAGED, NULL, "%s: %s", refused ? "the store cannot be opened" : STORE_DAMAGED,
                    sentence);
        outcome->damaged = true;
    }
}

/* No box is lost: the providers report every one again, as after a reboot. */
static void remove_boxes(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    char path[PATH_MAX + 16];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        (void)unlink(path); /* otherwise the controller cannot open it, and reports that */
    }
    process_log(LOG_STORE_BOXES_NEW, NULL, "the states of boxes are made anew");
}

static void on_progress(const char *dir, unsigned percent, void *arg)
{
    (void)arg;
    process_log(LOG_STORE_CHECKING, NULL, "checking the store: %u %% of %s", percent, dir);
}

bool supervisor_check_store(const supervisor_t *s)
{
    const conf_t *conf = s->snapshot->conf;
    char durable[PATH_MAX], fleeting[PATH_MAX];
    outcome_t outcome = {.health = shm_store_health(s->shm)};
    if (!process_store_dirs(conf, durable, fleeting, PATH_MAX))
        return true;                              /* the snapshot has made them: they fit */
    bool in_use = s->inherited_state_dir != NULL; /* the edge that hands over still serves */
    const store_child_t child = {.durable = durable,
                                 .fleeting = fleeting,
                                 .privileges = &s->snapshot->privileges,
                                 .in_use = in_use,
                                 .look = !in_use,
                                 .map_bytes = conf->store_map_bytes,
                                 .bound_ms = STORE_CHILD_START_MS,
                                 .progress_ms = PROGRESS_MS};
    const store_child_calls_t calls = {.finding = on_finding, .progress = on_progress, .arg = &outcome};
    store_check_sum_t sum;
    switch (store_child_check(&child, &calls, &sum)) {
    case STORE_CHILD_DONE:
        if (!outcome.damaged && !outcome.boxes)
            store_health_clear_pages(shm_store_health(s->shm));
        break;
    case STORE_CHILD_UNDONE:
        break;
    case STORE_CHILD_LATE:
        process_log(LOG_STORE_NOT_CHECKED, NULL,
                    "the check of the store is not complete after %u s, and the edge starts: `boxedge store "
                    "check` completes it",
                    STORE_CHILD_START_MS / 1000);
        break;
    case STORE_CHILD_FAILED:
        process_log(LOG_STORE_NOT_CHECKED, NULL, "the store cannot be checked: %s", strerror(errno));
        break;
    }
    if (outcome.boxes && !outcome.damaged && !in_use)
        remove_boxes(fleeting);
    return !outcome.damaged && !(outcome.boxes && in_use);
}
