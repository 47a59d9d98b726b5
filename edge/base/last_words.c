#include "last_words.h"

#include <assert.h>
#include <string.h>

#include "utf8.h"

/* ---- ranking of lines ---- */

static bool has_text(str_t line)
{
    for (size_t i = 0; i < line.n; i++) {
        char c = str_lower(line.p[i]);
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80)
            return true;
    }
    return false;
}

static bool holds_one(str_t line, const str_t words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memmem(line.p, line.n, words[i].p, words[i].n) != NULL)
            return true;
    return false;
}

/* Runtimes print these after the error: frames and members (indented), versions, hints. */
static bool is_trailer(str_t line)
{
    static const str_t prefixes[] = {{"Node.js v", 9}, {"npm ERR!", 8},      {"npm error", 9},
                                     {"note: ", 6},    {"exit status ", 12}, {"goroutine ", 10}};
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (str_starts(line, prefixes[i]))
            return true;
    return false;
}

/* "127.0.0.1 - - [...] "GET / HTTP/1.1" 200 -", "GET /?q=1 200 3 ms". */
static bool names_request(str_t line)
{
    static const str_t words[] = {{"GET /", 5},   {"HEAD /", 6},   {"POST /", 6},    {"PUT /", 5},
                                  {"PATCH /", 7}, {"DELETE /", 8}, {"OPTIONS /", 9}, {" HTTP/", 6}};
    return holds_one(line, words, sizeof(words) / sizeof(words[0]));
}

/* "TypeError: x is not a function", "error: no such table", "panic: boom". */
static bool names_error(str_t line)
{
    static const str_t words[] = {{"rror:", 5}, {"xception:", 9}, {"panic:", 6}, {"fatal", 5}, {"FATAL", 5}};
    return holds_one(line, words, sizeof(words) / sizeof(words[0]));
}

last_words_rank_t last_words_rank(str_t line)
{
    if (!has_text(line))
        return LAST_WORDS_NOTHING;
    if (is_trailer(line))
        return LAST_WORDS_TRAILER;
    if (names_error(line))
        return LAST_WORDS_ERROR;
    return names_request(line) ? LAST_WORDS_TRAILER : LAST_WORDS_SENTENCE;
}

/* ---- as text for a sentence ---- */

/* Takes the next character off `*rest` into `out`. Skips sequences that begin with ESC; other
 * control characters become spaces. Returns the length in `out`. */
static size_t take_printable(str_t *rest, char out[4])
{
    unsigned char c = (unsigned char)rest->p[0];
    size_t n = utf8_sequence(*rest), used = 1;
    if (c == 0x1b) {
        bool csi = rest->n > 1 && rest->p[1] == '[';
        for (used = csi ? 2 : 1; csi && used < rest->n; used++)
            if (rest->p[used] >= 0x40 && rest->p[used] <= 0x7e)
                break;
        used = csi && used < rest->n ? used + 1 : used;
        n = 0;
    } else if (c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)rest->p[1] < 0xa0)) {
        used = n > 0 ? n : 1;
        out[0] = ' ';
        n = 1;
    } else if (n == 0) {
        out[0] = '?';
        n = 1;
    } else {
        memcpy(out, rest->p, n);
        used = n;
    }
    *rest = str_from_offset(*rest, used);
    return n;
}

void last_words_print(str_t line, char *out, size_t len)
{
    size_t used = 0;
    char one[4];
    assert(len > 0);
    line = str_trim(line);
    while (line.n > 0) {
        size_t n = take_printable(&line, one);
        if (used + n >= len)
            break;
        memcpy(out + used, one, n);
        used += n;
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}
