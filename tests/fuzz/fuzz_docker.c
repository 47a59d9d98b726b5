/* Answers of a container engine of any bytes: read or refused, with everything within its bounds. The first
 * byte selects the size of the pieces in which the same bytes come as a stream of lines. */
#include <assert.h>
#include <stdlib.h>

#include "docker_json.h"
#include "docker_lines.h"
#include "docker_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_listed(void *owner, const char *id)
{
    size_t *count = owner;
    assert(docker_id_valid(str_from(id)));
    (*count)++;
}

static void check_container(str_t text)
{
    docker_container_t seen;
    docker_read_t read = docker_read_container(text, "boxedge", 1, &seen);
    if (read != DOCKER_MALFORMED)
        assert(docker_id_valid(str_from(seen.id)));
    if (read == DOCKER_OK) {
        assert(box_id_valid(str_from(seen.box.id)));
        assert(seen.box.port_count <= STORE_BOX_PORTS_MAX);
        assert(seen.box.state != BOX_UNKNOWN && !seen.box.renewed);
        assert(seen.init == NULL || strlen(seen.init) <= DOCKER_INIT_MAX);
        assert(seen.exit_code >= 0 && seen.exit_code <= 255);
    }
    docker_container_fini(&seen);
}

static void on_line(void *owner, str_t line)
{
    size_t *bytes = owner;
    docker_event_t event;
    *bytes += line.n;
    assert(line.n > 0 && line.n <= DOCKER_LINE_MAX);
    if (docker_read_event(line, "boxedge", &event))
        assert(event.container[0] == '\0' || docker_id_valid(str_from(event.container)));
}

static void check_lines(str_t text, size_t piece)
{
    docker_lines_t *lines = docker_lines_new();
    size_t bytes = 0;
    for (str_t rest = text; rest.n > 0;) {
        size_t n = rest.n < piece ? rest.n : piece;
        bool whole = docker_lines_feed(lines, str_make(rest.p, n), on_line, &bytes);
        assert(whole || text.n > DOCKER_LINE_MAX);
        rest = str_from_offset(rest, n);
    }
    assert(bytes <= text.n);
    docker_lines_free(&lines);
}

static docker_log_t *read_log(str_t text, uint64_t from, size_t piece)
{
    docker_log_t *log = docker_log_new(from);
    for (str_t rest = text; rest.n > 0;) {
        size_t n = rest.n < piece ? rest.n : piece;
        docker_log_feed(log, str_make(rest.p, n));
        rest = str_from_offset(rest, n);
    }
    docker_log_finish(log);
    return log;
}

/* The result does not depend on the pieces; and after the end, no line follows. */
static void check_log(str_t text, size_t piece)
{
    char line[DOCKER_LOG_LINE_MAX + 1];
    str_t parts[2];
    docker_log_t *whole = read_log(text, 0, SIZE_MAX), *log = read_log(text, 0, piece);
    uint64_t end = docker_log_end(log);
    assert(end == docker_log_end(whole) && end < UINT64_C(1) << 53);
    assert(box_log_end(docker_log_text(log)) == box_log_end(docker_log_text(whole)));
    assert(box_log_end(docker_log_text(log)) <= text.n);
    (void)docker_log_cut(log, piece, piece % 2 == 0);
    box_log_last_words(docker_log_text(log), LAST_WORDS_SENTENCE, line, sizeof(line));
    docker_log_free(&log);
    docker_log_free(&whole);
    log = read_log(text, end, piece);
    box_log_read(docker_log_text(log), 0, parts);
    assert(end == 0 || docker_log_end(log) == end);
    assert(parts[0].n + parts[1].n <= text.n);
    docker_log_free(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char exec[DOCKER_EXEC_MAX + 1], message[DOCKER_MESSAGE_MAX + 1];
    size_t listed = 0;
    if (size == 0)
        return 0;
    str_t text = str_make((const char *)data + 1, size - 1);
    check_container(text);
    bool whole = docker_read_list(text, on_listed, &listed);
    assert(whole || listed == 0);
    if (docker_read_exec(text, exec))
        assert(strlen(exec) > 0);
    docker_read_message(text, message);
    assert(strlen(message) <= DOCKER_MESSAGE_MAX);
    (void)docker_read_time(text);
    check_lines(text, (size_t)data[0] + 1);
    check_log(text, (size_t)data[0] + 1);
    return 0;
}
