/*
 * A new configuration while the edge runs. Everything is loaded, checked and opened beside the old
 * one, and only then swapped. On any error the old one stays, and the errors are reported. See
 * supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log_target.h"
#include "process.h"
#include "process_log.h"

/* The previous configuration's workers may still drain a port. */
#define LISTEN_PATIENCE_MS 300

void reload_set_messages(const conf_t *conf)
{
    logger_set_format(conf->log_messages == CONF_MESSAGES_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
}

/* Reports the result of a reload to the controller, with its errors or warnings. */
static void send_result(supervisor_t *s, bool done, const char *lines)
{
    str_t bytes = str_from(lines);
    bytes.n = bytes.n < IPC_BYTES_MAX ? bytes.n : IPC_BYTES_MAX;
    child_send(&s->controller, PROCESS_RELOAD_RESULT, done, bytes, NULL, 0);
}

static void report_failed(supervisor_t *s, const char *lines)
{
    process_log_lines(LOG_CONF_ERROR, lines);
    facts_loaded(s, false);
    process_log(LOG_RELOAD_REFUSED, NULL, "not reloaded: the previous configuration stays in use");
    send_result(s, false, lines);
}

/* Includes the warnings about the configuration that is now in use. */
static void report_done(supervisor_t *s)
{
    const char *lines = s->reload_warnings != NULL ? s->reload_warnings : "";
    process_log_lines(LOG_CONF_WARNING, lines);
    facts_loaded(s, true);
    process_log(LOG_RELOAD_DONE, NULL, "reloaded: configuration %llu is in use",
                (unsigned long long)s->generation);
    if (s->reload_asked)
        send_result(s, true, lines);
    free(s->reload_warnings);
    s->reload_warnings = NULL;
}

/* Sends the new configuration to a process that runs with an older one. */
void reload_send_conf(supervisor_t *s, child_slot_t *child)
{
    int fds[PROCESS_LISTENERS_MAX + 3];
    size_t count = 0;

    if (!child_alive(child) || child->state == CHILD_DRAINING)
        return;
    fds[count++] = s->snapshot->conf_fd;
    if (child->kind == CHILD_WORKER) {
        fds[count++] = s->snapshot->pems_fd;
        fds[count++] = s->snapshot->origin_pems_fd;
        for (size_t i = 0; i < s->listeners->of_workers; i++)
            fds[count++] = s->listeners->at[i].fds[child->index];
    } else if (child->kind == CHILD_CONTROLLER && s->listeners != NULL) {
        for (size_t i = s->listeners->of_workers; i < s->listeners->count; i++)
            fds[count++] = s->listeners->at[i].fds[0];
    }
    child_send(child, PROCESS_CONF, s->generation, STR(""), fds, count);
}

void reload_send_log(supervisor_t *s, child_slot_t *child)
{
    child_send(child, PROCESS_LOG, s->log.form, STR(""), &s->log.fd, s->log.fd >= 0);
}

/* `asked`: somebody waits for the result. */
static void swap(supervisor_t *s, snapshot_t *next, listener_set_t *listeners, line_target_t log, bool asked)
{
    snapshot_free(&s->snapshot);
    s->snapshot = next;
    reload_set_messages(next->conf);
    listener_set_free(&s->listeners); /* the sockets that remain are dup'ed in the new set */
    s->listeners = listeners;
    s->generation++;
    queue_loans_forget(&s->loans);
    atomic_store(shm_conf_generation(s->shm), s->generation);
    log_target_close(&s->log);
    s->log = log;

    supervisor_check_descriptors(s);
    s->reload_asked = asked || (s->reload_running && s->reload_asked);
    s->reload_running = true;
    supervise_workers(s, clock_now_ms());
    supervise_runner(s, clock_now_ms());
    reload_send_conf(s, &s->controller);
    reload_send_conf(s, &s->runner);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        reload_send_conf(s, &s->workers[i]);
        if (s->workers[i].state != CHILD_DRAINING)
            reload_send_log(s, &s->workers[i]);
    }
    elders_send_log(s);
    reload_check_done(s);
}

/* Loads all parts of the new configuration. Returns false with lines in `out` and nothing left
 * open. */
static bool prepare(supervisor_t *s, snapshot_t **next, listener_set_t **listeners, line_target_t *log,
                    FILE *out)
{
    char error[512];
    *next = snapshot_load(s->conf_path, s->snapshot->conf, out);
    if (*next == NULL)
        return false;
    if (!snapshot_load_keys(*next, (uint64_t)time(NULL), out)) {
        snapshot_free(next);
        return false;
    }
    const listener_sources_t from = {.passed = &s->passed, .old = s->listeners};
    *listeners = listener_set_open((*next)->conf, &from, LISTEN_PATIENCE_MS, error, sizeof(error));
    if (*listeners == NULL) {
        fprintf(out, "%s\n", error);
        snapshot_free(next);
        return false;
    }
    if (!log_target_open((*next)->conf, log, error, sizeof(error))) {
        fprintf(out, "%s\n", error);
        listener_set_free(listeners);
        snapshot_free(next);
        return false;
    }
    return true;
}

/* A reload does not reach processes that live on for their requests and WebSockets. */
static void note_old(const supervisor_t *s, FILE *out)
{
    unsigned workers = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        workers += child_alive(&s->workers[i]) && s->workers[i].keeps_open;
    if (s->elder_count > 0)
        fprintf(out,
                "the previous configuration stays in use for open requests and WebSockets of %zu old "
                "generation%s\n",
                s->elder_count, s->elder_count == 1 ? "" : "s");
    if (workers > 0)
        fprintf(
            out,
            "the previous configuration stays in use for open requests and WebSockets of %u old worker%s\n",
            workers, workers == 1 ? "" : "s");
}

void reload_conf(supervisor_t *s)
{
    char *text = NULL;
    size_t len = 0;
    snapshot_t *next = NULL;
    listener_set_t *listeners = NULL;
    line_target_t log = LINE_TARGET_NONE;

    s->reload_wanted = false;
    if (s->state != SUPERVISOR_SERVING) {
        report_failed(s,
                      s->state == SUPERVISOR_UPGRADING ? "a new binary is starting" : "the edge is ending");
        return;
    }
    FILE *out = open_memstream(&text, &len);
    if (out == NULL) {
        report_failed(s, "out of memory");
        return;
    }
    bool ok = prepare(s, &next, &listeners, &log, out);
    if (ok) {
        passed_sockets_warn(&s->passed, next->conf, out);
        note_old(s, out);
    }
    fclose(out);
    if (!ok) {
        report_failed(s, text);
        free(text);
        return;
    }
    free(s->reload_warnings);
    s->reload_warnings = text;
    swap(s, next, listeners, log, true);
}

/* Swaps in `next`, which differs in its keys only. Returns false with the reason in the log. */
static bool swap_keys(supervisor_t *s, snapshot_t *next, const char *what)
{
    char error[512];
    const listener_sources_t from = {.passed = &s->passed, .old = s->listeners};
    listener_set_t *listeners = listener_set_open(next->conf, &from, 0, error, sizeof(error));
    line_target_t log = s->log;
    if (log.fd >= 0)
        log.fd = fcntl(log.fd, F_DUPFD_CLOEXEC, 3);
    if (listeners == NULL || (s->log.fd >= 0 && log.fd < 0)) {
        process_log(LOG_CERTIFICATES_WAIT, NULL, "%s until the next reload: %s", what, strerror(errno));
        log_target_close(&log);
        listener_set_free(&listeners);
        snapshot_free(&next);
        return false;
    }
    swap(s, next, listeners, log, false);
    return true;
}

void reload_local_certificate(supervisor_t *s)
{
    if (s->state != SUPERVISOR_SERVING)
        return;
    process_lines_t lines;
    process_lines_open(&lines);
    snapshot_t *next = snapshot_renew(s->snapshot, (uint64_t)time(NULL), lines.out);
    process_lines_log(&lines, next != NULL ? LOG_CONF_WARNING : LOG_CONF_ERROR);
    if (next != NULL)
        (void)swap_keys(s, next, "the local authority's new leaf waits");
}

void reload_changed_certificates(supervisor_t *s, uint64_t now_ms)
{
    if (s->state != SUPERVISOR_SERVING || s->reload_running ||
        !certificate_watch_changed(&s->certificates, s->snapshot->conf, s->snapshot->files, now_ms))
        return;
    process_lines_t lines;
    process_lines_open(&lines);
    snapshot_t *next = snapshot_reread(s->snapshot, (uint64_t)time(NULL), lines.out);
    process_lines_log(&lines, next != NULL ? LOG_CONF_WARNING : LOG_CONF_ERROR);
    if (next == NULL)
        facts_loaded(s, false);
    if (next == NULL)
        process_log(LOG_CERTIFICATES_REFUSED, NULL,
                    "the files of certificates changed, and cannot be used: the previous ones stay in "
                    "use until the files change again");
    else if (swap_keys(s, next, "the new certificates wait"))
        process_log(LOG_CERTIFICATES_DONE, NULL,
                    "the files of certificates changed: new connections get the new ones");
}

void reload_check_done(supervisor_t *s)
{
    if (!s->reload_running)
        return;
    if (child_alive(&s->controller) && s->controller.generation != s->generation)
        return;
    if (child_alive(&s->runner) && s->runner.state != CHILD_DRAINING && s->runner.generation != s->generation)
        return;
    for (unsigned i = 0; i < s->snapshot->conf->workers; i++)
        if (child_alive(&s->workers[i]) && s->workers[i].state != CHILD_DRAINING &&
            s->workers[i].generation != s->generation)
            return;
    s->reload_running = false;
    report_done(s);
}

void reload_log(supervisor_t *s)
{
    char error[LOG_TARGET_ERROR_MAX];
    line_target_t log;
    if (s->state == SUPERVISOR_STARTING || strcmp(s->snapshot->conf->access_log, "off") == 0)
        return;
    if (!log_target_open(s->snapshot->conf, &log, error, sizeof(error))) {
        process_log(LOG_ACCESS_LOG_FAILED, NULL, "%s; lines still go to the old one", error);
        return;
    }
    log_target_close(&s->log);
    s->log = log;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        reload_send_log(s, &s->workers[i]);
    elders_send_log(s);
    process_log(LOG_ACCESS_LOG_OPENED, NULL, "the access log was reopened");
}
