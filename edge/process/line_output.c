#include "line_output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(LINE_TEXT_MAX <= PIPE_BUF, "a line goes into a pipe whole");

void line_output_init(line_output_t *output, const line_style_t *style)
{
    *output = (line_output_t){.target = LINE_TARGET_NONE, .style = *style, .pid = getpid()};
}

void line_output_set(line_output_t *output, line_target_t target)
{
    struct stat st;
    if (output->target.fd >= 0)
        close(output->target.fd);
    output->target = target;
    output->whole = target.fd >= 0 && fstat(target.fd, &st) == 0 && S_ISREG(st.st_mode);
    output->torn = false;
}

/* The bytes of `rest` for one write. Other workers write into the same pipe or socket: it gets whole lines up
 * to PIPE_BUF. A file gets all. */
static size_t piece(const line_output_t *output, str_t rest)
{
    if (output->whole || rest.n <= PIPE_BUF)
        return rest.n;
    const char *line_end = memrchr(rest.p, '\n', PIPE_BUF);
    return line_end != NULL ? (size_t)(line_end - rest.p) + 1 : PIPE_BUF;
}

/* The beginning of the line that has the byte at `at`. */
static size_t line_start(const char *lines, size_t at)
{
    const char *end = at != 0 ? memrchr(lines, '\n', at) : NULL;
    return end != NULL ? (size_t)(end - lines) + 1 : 0;
}

/* Writes some of the lines. Returns the number of bytes taken, or -1 with errno. */
static ssize_t write_bytes(line_output_t *output, str_t lines)
{
    if (output->torn && write(output->target.fd, "\n", 1) == 1)
        output->torn = false;
    ssize_t n = write(output->target.fd, lines.p, piece(output, lines));
    if (n > 0)
        output->torn = lines.p[n - 1] != '\n';
    return n;
}

/* Sends the first line. Returns its length, or -1 with errno. */
static ssize_t send_line(const line_output_t *output, str_t lines)
{
    char datagram[LINE_DATAGRAM_MAX];
    const line_style_t *style = &output->style;
    str_t line = str_make(lines.p, str_line_length(lines));
    size_t n = output->target.form == LINE_JOURNAL
                   ? line_journal(datagram, line, style->fields)
                   : line_syslog(datagram, line, style->fields, style->node, output->pid);
    ssize_t sent = send(output->target.fd, datagram, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == ECONNREFUSED) /* the answer to an earlier datagram */
        sent = send(output->target.fd, datagram, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -1 : (ssize_t)line.n;
}

static bool may_wait(const line_output_t *output)
{
    if (output->may_wait != NULL && !output->may_wait(output->arg))
        return false;
    struct pollfd wait = {.fd = output->target.fd, .events = POLLOUT};
    (void)poll(&wait, 1, LINE_WAIT_MS);
    return true;
}

uint64_t line_output_write(line_output_t *output, char *lines, size_t len)
{
    uint64_t lost = 0;
    bool chosen = false; /* the lines have no other fields */
    for (size_t at = 0; at < len;) {
        bool datagrams = output->target.form != LINE_STREAM;
        if (!datagrams && !chosen) {
            len = at + line_choose(lines + at, len - at, output->style.fields);
            chosen = true;
        }
        str_t rest = str_make(lines + at, len - at);
        int fd = output->target.fd;
        ssize_t n = datagrams ? send_line(output, rest) : write_bytes(output, rest);
        if (n > 0) {
            at += (size_t)n;
        } else if (n == 0 || (errno != EINTR && (errno != EAGAIN || !may_wait(output)))) {
            /* One line is too long for the network, or the network is down; a stream is broken for all. */
            size_t skipped = datagrams && n < 0 && errno != EAGAIN ? str_line_length(rest) : rest.n;
            lost += str_count_lines(str_make(rest.p, skipped));
            at += skipped;
        } else if (output->target.fd != fd) {
            at = line_start(lines, at); /* the new target gets the whole line */
        }
    }
    return lost;
}
