/*
 * The new binary's side of an upgrade (upgrade.c): it takes over the descriptors of the old one.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "handover.h"
#include "memfile.h"
#include "process.h"
#include "process_log.h"
#include "supervisor_internal.h"

/* Maximum lines that are read. */
#define LINES_MAX (PROCESS_LISTENERS_MAX * (SHM_WORKERS_MAX + 1) + 9 + 2 * ELDERS_MAX)

/* Takes the next word of `*line`. */
static str_t take_word(str_t *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ')
        n++;
    str_t word = str_make(line->p, n);
    *line = str_from_offset(*line, n < line->n ? n + 1 : n);
    return word;
}

static void take_tickets(supervisor_t *s, int fd)
{
    size_t len;
    char *bytes = memfile_read(fd, &len);
    tls_ticket_keys_t keys;
    if (bytes != NULL && len == sizeof(keys)) {
        memcpy(&keys, bytes, sizeof(keys));
        if (keys.count <= sizeof(keys.secret) / sizeof(keys.secret[0]))
            s->tickets = keys;
        OPENSSL_cleanse(&keys, sizeof(keys));
    }
    if (bytes != NULL)
        memfile_release(&bytes, len);
    close(fd);
}

static void take_listener(supervisor_t *s, str_t line, int fd)
{
    uint64_t worker;
    char text[64];
    if (!str_to_uint(take_word(&line), SHM_WORKERS_MAX - 1, &worker) || line.n >= sizeof(text)) {
        close(fd);
        return;
    }
    memcpy(text, line.p, line.n);
    text[line.n] = '\0';
    if (!listener_set_adopt(s->listeners, text, (unsigned)worker, fd))
        process_log(LOG_UPGRADE_SOCKET_LOST, NULL, "a socket for %s that was handed over cannot be used",
                    text);
}

static void take_passed(supervisor_t *s, int fd)
{
    char name[32], error[256];
    snprintf(name, sizeof(name), "%d", fd);
    if (!passed_sockets_add(&s->passed, fd, name, error, sizeof(error)))
        process_log(LOG_UPGRADE_SOCKET_LOST, NULL, "%s", error);
}

static void take_line(supervisor_t *s, str_t line)
{
    uint64_t number;
    str_t what = take_word(&line);
    if (!str_to_uint(take_word(&line), INT32_MAX, &number) || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return;
    int fd = (int)number;
    if (str_eq(what, STR("lock")) && s->lock_fd < 0) {
        s->lock_fd = fd;
        s->inherited_run_dir = strndup(line.p, line.n);
    } else if (str_eq(what, STR("state-lock")) && s->state_lock_fd < 0) {
        s->state_lock_fd = fd;
        s->inherited_state_dir = strndup(line.p, line.n);
    } else if (str_eq(what, STR("admin")) && s->admin_fd < 0) {
        s->admin_fd = fd;
        s->inherited_admin = strndup(line.p, line.n);
    } else if (str_eq(what, STR("handover")) && s->predecessor_fd < 0) {
        s->predecessor_fd = elders_add(s, fd, false) ? fd : -1;
    } else if (str_eq(what, STR("elder"))) {
        (void)!elders_add(s, fd, str_eq(line, STR("ending")));
    } else if (str_eq(what, STR("apart"))) {
        elders_set_apart(s, fd);
    } else if (str_eq(what, STR("core")) && s->core_fd < 0) {
        s->core_fd = fd;
    } else if (str_eq(what, STR("segment")) && s->segment_fd < 0) {
        s->segment_fd = fd;
    } else if (str_eq(what, STR("tickets"))) {
        take_tickets(s, fd);
    } else if (str_eq(what, STR("passed"))) {
        take_passed(s, fd);
    } else if (str_eq(what, STR("listen"))) {
        take_listener(s, line, fd);
    }
}

bool inherit_handoff(supervisor_t *s)
{
    const char *value = getenv(HANDOFF_ENV);
    uint64_t number;
    size_t len;
    if (value == NULL || !str_to_uint(str_from(value), INT32_MAX, &number))
        return false;
    int fd = (int)number;
    char *bytes = memfile_read(fd, &len);
    unsetenv(HANDOFF_ENV);
    close(fd);
    if (bytes == NULL)
        return false;
    s->listeners = listener_set_new(PROCESS_LISTENERS_MAX);
    str_t rest = str_make(bytes, len);
    for (size_t lines = 0; rest.n > 0 && lines < LINES_MAX && s->listeners != NULL; lines++) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.n;
        take_line(s, str_make(rest.p, n));
        rest = str_from_offset(rest, n < rest.n ? n + 1 : n);
    }
    memfile_release(&bytes, len);
    return true;
}

void inherit_prepared(supervisor_t *s)
{
    if (ipc_send(s->predecessor_fd, HANDOVER_PREPARED, s->shares, STR(""), NULL, 0) != IPC_OK)
        process_log(LOG_UPGRADE_MUTE, NULL, "the previous process takes no message");
}

void inherit_served(supervisor_t *s)
{
    if (s->predecessor_fd >= 0 && ipc_send(s->predecessor_fd, HANDOVER_SERVES, 0, STR(""), NULL, 0) != IPC_OK)
        process_log(LOG_UPGRADE_MUTE, NULL, "the previous process takes no message");
    s->predecessor_fd = -1; /* it is one of the elders */
    /* No change reaches elders that do not share. The predecessor, the newest, knows that and ends its
     * tunnels alone; older ones end their requests too. */
    elders_end(s, s->shares ? ELDERS_KEPT : 1);
}
