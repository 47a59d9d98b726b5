#include "start_check.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_log.h"
#include "listener_set.h"
#include "lockfile.h"
#include "log_target.h"
#include "privileges.h"
#include "process.h"
#include "start_limits.h"
#include "store_child.h"
#include "supervisor_internal.h"

typedef struct start {
    const conf_t *conf;
    conf_errors_t *errors;
    privileges_t privileges;
    char durable[PATH_MAX];
    char fleeting[PATH_MAX];
} start_t;

#define ERROR_MAX (PATH_MAX + 512)

static void add(const start_t *s, const char *key, const char *sentence)
{
    static const conf_place_t nowhere = {0, 0};
    conf_errors_add(s->errors, CONF_ERROR, s->conf->source, nowhere, key, "%s", sentence);
}

/* ---- locks ---- */

static lockfile_state_t look_at_lock(const char *dir, const char *name, const char *key, pid_t *holder,
                                     char error[ERROR_MAX])
{
    char path[PATH_MAX];
    *holder = 0;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) < sizeof(path))
        return lockfile_look(path, key, holder, error, ERROR_MAX);
    snprintf(error, ERROR_MAX, "%s is too long a path", key);
    return LOCKFILE_UNUSABLE;
}

/* Returns the edge that holds both locks. Without one, returns 0, and adds errors if `places`. */
static pid_t look_at_locks(const start_t *s, bool places)
{
    const conf_t *conf = s->conf;
    char run_error[ERROR_MAX], state_error[ERROR_MAX];
    pid_t run_holder, state_holder;
    lockfile_state_t run = look_at_lock(conf->run_dir, RUN_LOCK, "run_dir", &run_holder, run_error);
    lockfile_state_t state =
        look_at_lock(conf->state_dir, STATE_LOCK, "state_dir", &state_holder, state_error);
    if (run == LOCKFILE_HELD && state == LOCKFILE_HELD && run_holder == state_holder && run_holder != 0)
        return run_holder;
    if (places && run != LOCKFILE_FREE)
        add(s, "run_dir", run_error);
    if (places && state != LOCKFILE_FREE)
        add(s, "state_dir", state_error);
    return 0;
}

/* ---- directories and the store ---- */

static bool look_at_dirs(start_t *s)
{
    char error[ERROR_MAX];
    bool good = true;
    if (!process_store_dirs(s->conf, s->durable, s->fleeting, PATH_MAX)) {
        add(s, "state_dir", "state_dir or run_dir is too long a path");
        return false;
    }
    if (!privileges_look_dir(s->durable, &s->privileges, error, sizeof(error))) {
        add(s, "state_dir", error);
        good = false;
    }
    if (!privileges_look_dir(s->fleeting, &s->privileges, error, sizeof(error))) {
        add(s, "run_dir", error);
        good = false;
    }
    return good;
}

static void on_finding(store_check_kind_t kind, bool refused, const char *sentence, void *arg)
{
    static const conf_place_t nowhere = {0, 0};
    const start_t *s = arg;
    if (kind == STORE_CHECK_BOXES)
        conf_errors_add(s->errors, CONF_WARNING, s->conf->source, nowhere, "run_dir",
                        "the states of boxes are damaged, and a start makes them anew: %s", sentence);
    else if (kind == STORE_CHECK_UNDONE)
        conf_errors_add(s->errors, CONF_WARNING, s->conf->source, nowhere, "state_dir", STORE_UNDONE ": %s",
                        sentence);
    else if (kind == STORE_CHECK_RECORD)
        conf_errors_add(s->errors, CONF_WARNING, s->conf->source, nowhere, "state_dir",
                        "the store is damaged: %s", sentence);
    else
        conf_errors_add(s->errors, CONF_ERROR, s->conf->source, nowhere, "state_dir", "%s: %s",
                        refused ? "the store cannot be opened" : STORE_DAMAGED, sentence);
}

/* No process has the store open: both locks are free. */
static void look_at_store(start_t *s)
{
    static const conf_place_t nowhere = {0, 0};
    const store_child_t child = {.durable = s->durable,
                                 .fleeting = s->fleeting,
                                 .privileges = &s->privileges,
                                 .look = true,
                                 .map_bytes = s->conf->store_map_bytes,
                                 .bound_ms = STORE_CHILD_START_MS};
    const store_child_calls_t calls = {.finding = on_finding, .arg = s};
    char sentence[256];
    store_check_sum_t sum;
    switch (store_child_check(&child, &calls, &sum)) {
    case STORE_CHILD_DONE:
    case STORE_CHILD_UNDONE:
        break;
    case STORE_CHILD_LATE:
        conf_errors_add(
            s->errors, CONF_WARNING, s->conf->source, nowhere, "state_dir",
            "the check of the store is not complete after %u s: `boxedge store check` completes it",
            STORE_CHILD_START_MS / 1000);
        break;
    case STORE_CHILD_FAILED:
        snprintf(sentence, sizeof(sentence), "the store cannot be checked: %s", strerror(errno));
        add(s, "state_dir", sentence);
    }
}

/* ---- all ---- */

static void look_at_admin(const start_t *s)
{
    const char *const made[] = {s->conf->run_dir, s->conf->state_dir, NULL};
    char error[ERROR_MAX];
    if (!listener_unix_check(s->conf->admin_socket, made, error, sizeof(error)))
        add(s, "admin.socket", error);
}

/* A datagram socket to nowhere shows at its connection. Only opening a pipe shows whether a process reads it,
 * and the reader would take the end of this command for the end of the log. */
static void look_at_log(const start_t *s)
{
    static const conf_place_t nowhere = {0, 0};
    const char *path = s->conf->access_log;
    char error[LOG_TARGET_ERROR_MAX];
    struct stat st;
    conf_log_kind_t kind = conf_log_kind(str_from(path));
    if (kind == CONF_LOG_JOURNALD || kind == CONF_LOG_SYSLOG) {
        line_target_t target;
        if (!log_target_open(s->conf, &target, error, sizeof(error)))
            add(s, "log.access", error);
        else
            log_target_close(&target);
    }
    if (kind == CONF_LOG_FILE && stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        conf_errors_add(s->errors, CONF_WARNING, s->conf->source, nowhere, "log.access",
                        "\"%s\" is a pipe: `run` fails while no process reads it", path);
}

pid_t start_check(const conf_t *conf, bool places, conf_errors_t *errors)
{
    start_t s = {.conf = conf, .errors = errors};
    char error[ERROR_MAX];
    bool user = privileges_find(conf->user, &s.privileges, error, sizeof(error));
    if (!user)
        add(&s, "user", error);
    if (!start_limits_files(error, sizeof(error)))
        add(&s, "state_dir", error);
    start_limits(conf, privileges_raise_descriptors(), errors);
    pid_t running = look_at_locks(&s, places);
    if (places && user && look_at_dirs(&s) && running == 0)
        look_at_store(&s);
    if (running != 0)
        return running;
    look_at_log(&s);
    listener_set_check(conf, START_LISTEN_PATIENCE_MS, errors);
    if (places)
        look_at_admin(&s);
    return 0;
}
