#include "docker_log.h"

#include "last_words.h"

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

void docker_log_line(str_t body, char out[DOCKER_LOG_LINE_MAX + 1])
{
    char text[TEXT_BYTES];
    str_t words = STR("");
    last_words_rank_t best = LAST_WORDS_TRAILER;
    if (is_framed(body))
        body = str_make(text, unframe(body, text));
    while (body.n > 0) {
        const char *end = memchr(body.p, '\n', body.n);
        str_t line = str_make(body.p, end != NULL ? (size_t)(end - body.p) : body.n);
        body = end != NULL ? str_from_offset(body, line.n + 1) : str_make(body.p, 0);
        last_words_rank_t rank = last_words_rank(line);
        if (rank < best)
            continue;
        best = rank;
        words = line;
    }
    last_words_print(words, out, DOCKER_LOG_LINE_MAX + 1);
}
