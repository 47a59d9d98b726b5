#include "docker_lines.h"

#include <stdlib.h>

#include "alloc.h"

struct docker_lines {
    size_t len;
    bool skipping; /* the current line was too long */
    char bytes[DOCKER_LINE_MAX];
};

docker_lines_t *docker_lines_new(void)
{
    docker_lines_t *lines = mem_alloc(sizeof(*lines));
    docker_lines_reset(lines);
    return lines;
}

void docker_lines_free(docker_lines_t **lines)
{
    free(*lines);
    *lines = NULL;
}

void docker_lines_reset(docker_lines_t *lines)
{
    lines->len = 0;
    lines->skipping = false;
}

/* Adds a piece of a line. False if the line becomes too long. */
static bool add(docker_lines_t *lines, str_t piece)
{
    if (lines->skipping)
        return true;
    if (piece.n > DOCKER_LINE_MAX - lines->len) {
        lines->skipping = true;
        return false;
    }
    memcpy(lines->bytes + lines->len, piece.p, piece.n);
    lines->len += piece.n;
    return true;
}

static void end_line(docker_lines_t *lines, void (*line)(void *owner, str_t text), void *owner)
{
    str_t text = str_make(lines->bytes, lines->skipping ? 0 : lines->len);
    if (text.n > 0 && text.p[text.n - 1] == '\r')
        text.n--;
    docker_lines_reset(lines);
    if (text.n > 0)
        line(owner, text);
}

bool docker_lines_feed(docker_lines_t *lines, str_t bytes, void (*line)(void *owner, str_t text), void *owner)
{
    bool whole = true;
    while (bytes.n > 0) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        size_t n = end != NULL ? (size_t)(end - bytes.p) : bytes.n;
        whole &= add(lines, str_make(bytes.p, n));
        if (end != NULL)
            end_line(lines, line, owner);
        bytes = str_from_offset(bytes, end != NULL ? n + 1 : n);
    }
    return whole;
}
