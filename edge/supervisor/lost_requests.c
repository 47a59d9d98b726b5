#include "lost_requests.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "children.h"
#include "conf_log.h"
#include "decimal.h"
#include "log_entry.h"
#include "log_json.h"
#include "measures.h"
#include "process_log.h"

#define CAUSE_BYTES 128
#define REASON      "worker_died"

static char *add_text(char *at, str_t before, str_t value, size_t max)
{
    at = log_json_raw(at, before);
    log_json_text_t text = {.at = at, .limit = at + max};
    log_json_text(&text, value);
    *text.at++ = '"';
    return text.at;
}

static str_t version_text(uint8_t version)
{
    return version == 10 ? STR("1.0") : version == 11 ? STR("1.1") : version == 20 ? STR("2") : STR("");
}

static measure_kind_t kind_of(const flight_t *flight)
{
    if (flight->listener == CONF_LISTENER_REDIRECT)
        return MEASURE_REDIRECT;
    if (flight->listener == CONF_LISTENER_HEALTH)
        return MEASURE_HEALTH;
    return flight->api ? MEASURE_API : flight->box[0] != '\0' ? MEASURE_PREVIEW : MEASURE_NONE;
}

/* A cut path ends with the mark of a cut. */
static str_t path_of(const flight_t *flight, char text[FLIGHT_PATH_BYTES + 4])
{
    bool cut = flight->path_n > FLIGHT_PATH_BYTES;
    size_t n = cut ? FLIGHT_PATH_BYTES : flight->path_n;
    memcpy(text, flight->path, n);
    if (cut)
        memcpy(text + n, "\xe2\x80\xa6", 3);
    return str_make(text, cut ? n + 3 : n);
}

size_t lost_request_line(char out[LOST_LINE_MAX], const flight_t *flight, const char *cause, uint64_t now_us)
{
    char address[INET6_ADDRSTRLEN], path[FLIGHT_PATH_BYTES + 4], time[LOG_TIME_BYTES];
    const uint64_t year_10000_us = UINT64_C(253402300800000000);
    uint64_t wall_us = atomic_load_explicit(&flight->wall_us, memory_order_relaxed);
    log_time_at(time, (wall_us < year_10000_us ? wall_us : 0) / 1000);
    char *at = log_json_raw(log_json_raw(out, STR("{\"time\":\"")), str_make(time, sizeof(time)));
    at = add_text(at, STR("\",\"request_id\":\""), str_make(flight->id, strnlen(flight->id, FLIGHT_ID_BYTES)),
                  6 * FLIGHT_ID_BYTES);
    at = add_text(at, STR(",\"client\":\""), address_text(&flight->client, address), INET6_ADDRSTRLEN);
    at = add_text(at, STR(",\"host\":\""), str_make(flight->host, flight->host_n), 6 * FLIGHT_HOST_BYTES);
    if (flight->box[0] != '\0') {
        str_t box = str_make(flight->box, strnlen(flight->box, sizeof(flight->box)));
        at = add_text(at, STR(",\"box\":\""), box, 6 * sizeof(flight->box));
        at = decimal_put(log_json_raw(at, STR(",\"port\":")), flight->port);
    }
    at = add_text(at, STR(",\"kind\":\""), str_from(measure_kind_text(kind_of(flight))), 16);
    at = add_text(at, STR(",\"method\":\""), str_make(flight->method, flight->method_n),
                  6 * FLIGHT_METHOD_BYTES);
    at = add_text(at, STR(",\"path\":\""), path_of(flight, path), 6 * (FLIGHT_PATH_BYTES + 4));
    at = add_text(at, STR(",\"http\":\""), version_text(flight->version), 3);
    at = log_json_raw(log_json_raw(at, STR(",\"tls\":")), flight->https ? STR("true") : STR("false"));
    at = log_json_raw(at, STR(",\"status\":0,\"duration_ms\":"));
    at = log_json_ms(at, now_us > wall_us ? now_us - wall_us : 0);
    at = add_text(at, STR(",\"reason\":\""), STR(REASON), sizeof(REASON));
    at = add_text(at, STR(",\"detail\":\""), str_from(cause), CAUSE_BYTES);
    at = log_json_raw(add_text(at, STR(",\"end\":\""), STR(REASON), sizeof(REASON)), STR("}\n"));
    assert(at <= out + LOST_LINE_MAX);
    return (size_t)(at - out);
}

void lost_requests_count(measures_t *measures, const flight_table_t *table)
{
    flight_t flight;
    size_t count = flights_unrecorded(table);
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        if (flight_read(table, i, &flight)) {
            measure_protocol_t protocol = flight.version == 20 ? MEASURE_H2 : MEASURE_H1;
            counter_add(&measures->statuses[kind_of(&flight)][protocol][MEASURE_STATUS_NONE], 1);
            count++;
        }
    counter_add(&measures->codes[error_code_find(REASON)], count);
}

/* In the child. The alarm ends it with a reader that stalls. */
static _Noreturn void write_all(char *lines, size_t len, line_target_t log, const conf_t *conf)
{
    sigset_t none;
    line_output_t output;
    line_style_t style = {.fields = conf_log_fields(conf)};
    (void)snprintf(style.node, sizeof(style.node), "%s", conf->node);
    sigemptyset(&none);
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(LOST_WRITE_S);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Keep only this one: locks and sockets would stay with this process. */
    if (dup2(log.fd, STDOUT_FILENO) < 0)
        _exit(1);
    (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    line_output_init(&output, &style);
    line_output_set(&output, (line_target_t){STDOUT_FILENO, log.form});
    _exit(line_output_write(&output, lines, len) == 0 ? 0 : 1);
}

/* Returns the pid of the writer; 0: it is not needed, or cannot be made. */
static pid_t write_lines(const supervisor_t *s, const flight_table_t *table, const char *name,
                         const char *cause)
{
    struct timespec now = {0};
    char line[LOST_LINE_MAX], *text = NULL;
    size_t len = 0, count = 0;
    uint32_t unrecorded = flights_unrecorded(table);
    flight_t flight;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        if (flight_read(table, i, &flight)) {
            (void)fwrite(line, 1, lost_request_line(line, &flight, cause, now_us), out);
            count++;
        }
    bool made = fclose(out) == 0;
    if (count + unrecorded != 0)
        process_log(LOG_REQUESTS_LOST, NULL,
                    "%s had %zu requests in flight: the access log names %zu of them", name,
                    count + unrecorded, s->log.fd >= 0 ? count : 0);
    pid_t pid = made && s->log.fd >= 0 && count != 0 ? fork() : -1;
    if (pid == 0)
        write_all(text, len, s->log, s->snapshot->conf);
    free(text);
    return pid > 0 ? pid : 0;
}

static void await_writer(pid_t pid)
{
    struct pollfd wait = {.fd = pid != 0 ? pidfd_open(pid, 0) : -1, .events = POLLIN};
    if (wait.fd < 0)
        return;
    (void)poll(&wait, 1, 1000);
    close(wait.fd);
}

void lost_requests_bury(const supervisor_t *s, const child_slot_t *child, int status)
{
    char how[64], cause[CAUSE_BYTES];
    (void)snprintf(cause, sizeof(cause), "%s (process %d) died: %s", child->name, (int)child->pid,
                   children_end_text(status, how));
    lost_requests_count(&shm_counters(s->shm, child->number)->measures, shm_flights(s->shm, child->number));
    pid_t writer = write_lines(s, shm_flights(s->shm, child->number), child->name, cause);
    if (s->state == SUPERVISOR_DRAINING)
        await_writer(writer); /* the end of a container would take it along */
}
