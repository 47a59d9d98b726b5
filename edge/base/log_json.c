#include "log_json.h"

#include <assert.h>

#include "decimal.h"
#include "utf8.h"

/* A byte that needs no escape: printable ASCII except '"' and '\'. */
static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Returns whether the eight bytes at `p` are all plain. It tests them together, because every
 * exchange writes texts. */
static inline bool are_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    uint64_t quote = bytes ^ ones * '"', backslash = bytes ^ ones * '\\', del = bytes ^ ones * 0x7f;
    /* Subtracting the bound borrows from the high bit of a byte below it. A false positive costs
     * only time. */
    uint64_t below = (bytes - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones);
    return ((bytes | below) & high) == 0;
}

/* Writes the escape of a control character, '"' or '\' into `out` (6 bytes); returns its length. */
static size_t escape(unsigned char c, char out[6])
{
    static const char hex[] = "0123456789abcdef";
    out[0] = '\\';
    switch (c) {
    case '"':
    case '\\':
        out[1] = (char)c;
        return 2;
    case '\n':
        out[1] = 'n';
        return 2;
    case '\r':
        out[1] = 'r';
        return 2;
    case '\t':
        out[1] = 't';
        return 2;
    default:
        memcpy(out + 1, "u00", 3);
        out[4] = hex[c >> 4];
        out[5] = hex[c & 15];
        return 6;
    }
}

/* Adds bytes that must stay together, or the mark of a cut. */
static void add(log_json_text_t *text, const char *bytes, size_t n)
{
    if (n > (size_t)(text->limit - text->at)) {
        memcpy(text->at, "\xe2\x80\xa6", LOG_JSON_CUT_BYTES);
        text->at += LOG_JSON_CUT_BYTES;
        text->cut = true;
        return;
    }
    memcpy(text->at, bytes, n);
    text->at += n;
}

/* Adds the character at the start of `s`, which is not plain; returns the number of bytes taken. */
static size_t add_special(log_json_text_t *text, str_t s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    char out[6];
    if (p[0] < 0x80) {
        add(text, out, escape(p[0], out));
        return 1;
    }
    size_t len = utf8_sequence(s);
    if (len == 0) {
        add(text, "\xef\xbf\xbd", 3);
        return 1;
    }
    if (len == 2 && p[0] == 0xc2 && p[1] < 0xa0)
        add(text, out, escape(p[1], out));
    else
        add(text, s.p, len);
    return len;
}

void log_json_text(log_json_text_t *text, str_t s)
{
    assert(text->cut || text->at <= text->limit);
    size_t i = 0;
    while (i < s.n && !text->cut) {
        size_t from = i;
        size_t room = (size_t)(text->limit - text->at);
        size_t until = s.n - i < room ? s.n : i + room;
        for (; until - i >= 8 && are_plain(s.p + i); i += 8)
            memcpy(text->at + (i - from), s.p + i, 8);
        if (i > from && until - i < 8 && are_plain(s.p + until - 8)) { /* the rest, and copied bytes again */
            memcpy(text->at + (until - 8 - from), s.p + until - 8, 8);
            i = until;
        }
        while (i < until && is_plain((unsigned char)s.p[i])) {
            text->at[i - from] = s.p[i];
            i++;
        }
        text->at += i - from;
        if (i < s.n)
            i += add_special(text, str_from_offset(s, i));
    }
}

char *log_json_ms(char *at, uint64_t us)
{
    at = decimal_put(at, us / 1000);
    unsigned rest = (unsigned)(us % 1000);
    *at++ = '.';
    *at++ = (char)('0' + rest / 100);
    *at++ = (char)('0' + rest / 10 % 10);
    *at++ = (char)('0' + rest % 10);
    return at;
}
