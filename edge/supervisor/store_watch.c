/*
 * The check of the store while the edge serves: at an interval, and soon after a sign of damage. LMDB's
 * pages have no checksums, so a wrong bit can hide records from readers without an error. A helper process
 * waits for the check (store_child.h), so that this one never does. See supervisor_internal.h.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "process.h"
#include "process_log.h"
#include "store_child.h"
#include "supervisor_internal.h"

#define INTERVAL_MS (10u * 60 * 1000)
/* Minimum time from the start of one check to the start of the next. */
#define PAUSE_MS 10000u
/* Of a check. Its read transaction keeps all pages of its commit. */
#define BOUND_MS (5u * 60 * 1000)
/* A controller that crashed waits this long for the check: a change could crash its successor too. */
#define HOLD_MS 10000u

/* ---- in the helper ---- */

typedef struct outcome {
    shm_t *shm;
    const store_check_sum_t *sum;
} outcome_t;

static void on_finding(store_check_kind_t kind, bool refused, const char *sentence, void *arg)
{
    const outcome_t *outcome = arg;
    store_health_t *health = shm_store_health(outcome->shm);
    (void)refused;
    switch (kind) {
    case STORE_CHECK_RECORD:
        if (store_health_report_record(health, str_from(sentence)))
            process_log(LOG_STORE_DAMAGED, NULL, "the store is damaged: %s", sentence);
        break;
    case STORE_CHECK_UNDONE:
        process_log(LOG_STORE_NOT_CHECKED, NULL, STORE_UNDONE ": %s", sentence);
        break;
    case STORE_CHECK_TREE:
    case STORE_CHECK_BOXES:
        if (!store_health_report_pages(health, outcome->sum->damaged))
            break;
        shm_epoch_bump(outcome->shm);
        process_log(LOG_STORE_DAMAGED, NULL, STORE_HEALTH_PAGES ": %s", sentence);
    }
}

static void check(const supervisor_t *s)
{
    char durable[PATH_MAX], fleeting[PATH_MAX];
    store_check_sum_t sum;
    outcome_t outcome = {.shm = s->shm, .sum = &sum};
    if (!process_store_dirs(s->snapshot->conf, durable, fleeting, PATH_MAX))
        return; /* the snapshot has made them: they fit */
    const store_child_t child = {.durable = durable,
                                 .fleeting = fleeting,
                                 .privileges = &s->snapshot->privileges,
                                 .in_use = true,
                                 .bound_ms = BOUND_MS};
    const store_child_calls_t calls = {.finding = on_finding, .arg = &outcome};
    switch (store_child_check(&child, &calls, &sum)) {
    case STORE_CHILD_DONE:
    case STORE_CHILD_UNDONE: /* a finding has the reason */
        break;
    case STORE_CHILD_LATE:
        process_log(LOG_STORE_NOT_CHECKED, NULL,
                    "the check of the store is not complete after %u s (`boxedge store check` completes it)",
                    BOUND_MS / 1000);
        break;
    case STORE_CHILD_FAILED:
        process_log(LOG_STORE_NOT_CHECKED, NULL, "the store cannot be checked: %s", strerror(errno));
    }
}

/* `urgent`: the node waits for the result. */
static _Noreturn void run(supervisor_t *s, bool urgent)
{
    child_become_helper("store-check");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != s->pid)
        _exit(1);
    snapshot_forget_keys(s->snapshot);
    OPENSSL_cleanse(&s->tickets, sizeof(s->tickets));
    if (!urgent)
        (void)setpriority(PRIO_PROCESS, 0, 19);
    check(s);
    _exit(0);
}

/* ---- in the supervisor ---- */

static void note_signs(supervisor_t *s)
{
    store_health_t *health = shm_store_health(s->shm);
    s->store_watch.damaged = store_health_bad_pages(health);
    s->store_watch.records = store_health_records(health);
}

static bool may_check(const supervisor_t *s)
{
    return s->state == SUPERVISOR_SERVING || s->state == SUPERVISOR_UPGRADING;
}

void store_watch_turn(supervisor_t *s, uint64_t now_ms)
{
    store_watch_t *watch = &s->store_watch;
    const store_health_t *health = shm_store_health(s->shm);
    if (!may_check(s) || watch->pid != 0)
        return;
    if (watch->started_ms == 0) { /* the start has checked it */
        watch->started_ms = now_ms;
        note_signs(s);
    }
    watch->sign |=
        store_health_bad_pages(health) != watch->damaged || store_health_records(health) != watch->records;
    uint64_t pause = watch->sign ? (watch->checked ? PAUSE_MS : 0) : INTERVAL_MS;
    if (now_ms < watch->started_ms + pause)
        return;
    watch->started_ms = now_ms;
    bool urgent = watch->sign;
    watch->checked = true;
    watch->sign = false;
    watch->pid = fork();
    if (watch->pid == 0)
        run(s, urgent);
    if (watch->pid < 0) {
        process_log(LOG_STORE_NOT_CHECKED, NULL, "the store cannot be checked: %s", strerror(errno));
        watch->pid = 0;
    }
}

void store_watch_death(supervisor_t *s, const child_slot_t *child, int status)
{
    bool outside = WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    if (child->kind != CHILD_RUNNER && status != 0 && !outside)
        s->store_watch.sign = true;
}

bool store_watch_ended(supervisor_t *s, pid_t pid)
{
    if (s->store_watch.pid == 0 || pid != s->store_watch.pid)
        return false;
    s->store_watch.pid = 0;
    note_signs(s);
    return true;
}

bool store_watch_holds(const supervisor_t *s, uint64_t now_ms)
{
    const store_watch_t *watch = &s->store_watch;
    if (!may_check(s))
        return false;
    return watch->pid != 0 ? now_ms < watch->started_ms + HOLD_MS
                           : watch->sign && now_ms >= watch->started_ms + (watch->checked ? PAUSE_MS : 0);
}
