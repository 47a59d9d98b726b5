#include "log_output.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log_entry.h"
#include "log_json.h"

bool log_is_journal(int fd, const char *value)
{
    struct stat st;
    unsigned long long device, inode;
    char rest;
    return value != NULL && sscanf(value, "%llu:%llu%c", &device, &inode, &rest) == 2 &&
           fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

int log_journal_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* A line as an entry, also one that is no message. `now` is room for its time. */
static log_entry_t entry_of(str_t line, char now[LOG_TIME_BYTES])
{
    log_entry_t entry;
    if (log_entry_parse(line, &entry))
        return entry;
    log_time_now(now);
    return (log_entry_t){.time = str_make(now, LOG_TIME_BYTES),
                         .level = log_code_level(LOG_OTHER_OUTPUT),
                         .code = log_code_text(LOG_OTHER_OUTPUT),
                         .process = STR("unknown"),
                         .text = line};
}

static char *add(char *at, str_t name, str_t value)
{
    at = log_json_raw(log_json_raw(at, name), value);
    *at++ = '\n';
    return at;
}

size_t log_journal_text(char out[LOG_JOURNAL_MAX], str_t line)
{
    char now[LOG_TIME_BYTES];
    const log_entry_t entry = entry_of(str_make(line.p, line.n < PIPE_BUF ? line.n : PIPE_BUF), now);
    const char priority = (char)('0' + entry.level);
    char *at = log_json_raw(out, STR("MESSAGE="));
    /* journalctl shows this field alone. The supervisor speaks for the edge. */
    if (!str_eq(entry.process, STR("supervisor")) && !str_eq(entry.code, log_code_text(LOG_OTHER_OUTPUT)))
        at = log_json_raw(log_json_raw(at, entry.process), STR(": "));
    at = add(at, STR(""), entry.text);
    at = add(at, STR("PRIORITY="), str_make(&priority, 1));
    at = add(at, STR("SYSLOG_IDENTIFIER="), STR("boxedge"));
    at = add(at, STR("BOXEDGE_TIME="), entry.time);
    at = add(at, STR("BOXEDGE_CODE="), entry.code);
    at = add(at, STR("BOXEDGE_PROCESS="), entry.process);
    assert(at <= out + LOG_JOURNAL_MAX);
    return (size_t)(at - out);
}

size_t log_json_line(char out[LOG_JSON_MAX], str_t line)
{
    char now[LOG_TIME_BYTES];
    const log_entry_t entry = entry_of(line, now);
    char *at = log_json_raw(log_json_raw(out, STR("{\"time\":\"")), entry.time);
    at = log_json_raw(log_json_raw(at, STR("\",\"level\":\"")), log_level_text(entry.level));
    at = log_json_raw(log_json_raw(at, STR("\",\"code\":\"")), entry.code);
    at = log_json_raw(at, STR("\",\"process\":\""));
    const size_t end = sizeof("\",\"message\":\"\"}\n") + LOG_JSON_CUT_BYTES;
    log_json_text_t process = {.at = at, .limit = at + 64};
    log_json_text(&process, entry.process);
    at = log_json_raw(process.at, STR("\",\"message\":\""));
    log_json_text_t text = {.at = at, .limit = out + LOG_JSON_MAX - end};
    log_json_text(&text, entry.text);
    at = log_json_raw(text.at, STR("\"}\n"));
    assert(at <= out + LOG_JSON_MAX);
    return (size_t)(at - out);
}

/* The first whole lines of `rest` that fit into one write to a pipe; a longer line takes several
 * writes. */
static size_t piece(str_t rest)
{
    if (rest.n <= PIPE_BUF)
        return rest.n;
    const char *line_end = memrchr(rest.p, '\n', PIPE_BUF);
    return line_end != NULL ? (size_t)(line_end - rest.p) + 1 : PIPE_BUF;
}

/* Writes one piece and waits for its reader without a time limit. Returns false if it cannot be
 * written. */
static bool write_piece(int fd, str_t bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n > 0) {
            bytes = str_from_offset(bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            /* The edge was started with a non-blocking stderr. */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

size_t log_write_lines(int fd, str_t lines)
{
    size_t lost = 0;
    while (lines.n > 0) {
        str_t part = str_make(lines.p, piece(lines));
        if (!write_piece(fd, part))
            for (size_t i = 0; i < part.n; i++)
                lost += part.p[i] == '\n';
        lines = str_from_offset(lines, part.n);
    }
    return lost;
}
