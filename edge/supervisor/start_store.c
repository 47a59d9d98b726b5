/*
 * The check of the store before the edge serves: damaged pages, lists or counts end the start, and
 * damaged records are told, since all else can be served.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "process.h"
#include "process_log.h"
#include "store_child.h"
#include "supervisor_internal.h"

/* A start must not exceed the patience of a service manager. */
#define BOUND_MS    30000
#define PROGRESS_MS 5000

static void on_finding(store_check_kind_t kind, bool refused, const char *sentence, void *arg)
{
    bool *damaged = arg;
    if (kind == STORE_CHECK_RECORD) {
        process_log(NULL, "the store is damaged: %s", sentence);
        return;
    }
    *damaged = true;
    process_log(NULL, "%s: %s", refused ? "the store cannot be opened" : STORE_DAMAGED, sentence);
}

static void on_progress(const char *dir, unsigned percent, void *arg)
{
    (void)arg;
    process_log(NULL, "checking the store: %u %% of %s", percent, dir);
}

bool supervisor_check_store(const supervisor_t *s)
{
    const conf_t *conf = s->snapshot->conf;
    char durable[PATH_MAX], fleeting[PATH_MAX];
    bool damaged = false;
    if (!process_store_dirs(conf, durable, fleeting, PATH_MAX))
        return true;                              /* the snapshot has made them: they fit */
    bool in_use = s->inherited_state_dir != NULL; /* the edge that hands over still serves */
    const store_child_t child = {.durable = durable,
                                 .fleeting = fleeting,
                                 .privileges = &s->snapshot->privileges,
                                 .in_use = in_use,
                                 .look = !in_use,
                                 .map_bytes = conf->store_map_bytes,
                                 .bound_ms = BOUND_MS,
                                 .progress_ms = PROGRESS_MS};
    const store_child_calls_t calls = {.finding = on_finding, .progress = on_progress, .arg = &damaged};
    store_check_sum_t sum;
    switch (store_child_check(&child, &calls, &sum)) {
    case STORE_CHILD_DONE:
        break;
    case STORE_CHILD_LATE:
        process_log(NULL,
                    "the check of the store is not complete after %d s, and the edge starts: `boxedge store "
                    "check` completes it",
                    BOUND_MS / 1000);
        break;
    case STORE_CHILD_FAILED:
        process_log(NULL, "the store cannot be checked: %s", strerror(errno));
        break;
    }
    return !damaged;
}
