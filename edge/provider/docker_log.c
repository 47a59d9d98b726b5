#include "docker_log.h"

#define HEAD_BYTES 8
/* Of a log, at most: the last lines are what is asked for. */
#define TEXT_BYTES 16384

static bool is_framed(str_t body)
{
    const unsigned char *p = (const unsigned char *)body.p;
    return body.n >= HEAD_BYTES && p[0] <= 2 && p[1] == 0 && p[2] == 0 && p[3] == 0;
}

/* The text without heads; returns its length. */
static size_t unframe(str_t body, char out[TEXT_BYTES])
{
    size_t used = 0;
    while (is_framed(body)) {
        const unsigned char *p = (const unsigned char *)body.p;
        size_t n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
        body = str_from_offset(body, HEAD_BYTES);
        n = n < body.n ? n : body.n;
        size_t kept = n < TEXT_BYTES - used ? n : TEXT_BYTES - used;
        memcpy(out + used, body.p, kept);
        used += kept;
        body = str_from_offset(body, n);
    }
    return used;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool says_something(str_t line)
{
    for (size_t i = 0; i < line.n; i++)
        if (is_word(line.p[i]))
            return true;
    return false;
}

/* "TypeError: x is not a function", "error: no such table", "panic: ...": not the lines of a trace below. */
static bool names_error(str_t line)
{
    static const str_t words[] = {{"rror:", 5}, {"xception:", 9}, {"panic:", 6}, {"fatal", 5}, {"FATAL", 5}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (memmem(line.p, line.n, words[i].p, words[i].n) != NULL)
            return true;
    return false;
}

void docker_log_line(str_t body, char out[DOCKER_LOG_LINE_MAX + 1])
{
    char text[TEXT_BYTES];
    str_t best = STR(""), error = STR("");
    out[0] = '\0';
    if (is_framed(body))
        body = str_make(text, unframe(body, text));
    while (body.n > 0) {
        const char *end = memchr(body.p, '\n', body.n);
        str_t line = str_trim(str_make(body.p, end != NULL ? (size_t)(end - body.p) : body.n));
        body = end != NULL ? str_from_offset(body, (size_t)(end - body.p) + 1) : str_make(body.p, 0);
        while (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n > 0 && says_something(line))
            best = line;
        if (line.n > 0 && names_error(line))
            error = line;
    }
    if (error.n > 0)
        best = error;
    size_t n = best.n < DOCKER_LOG_LINE_MAX ? best.n : DOCKER_LOG_LINE_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = best.p[i] >= ' ' && best.p[i] <= '~' ? best.p[i] : '?';
    out[n] = '\0';
}
