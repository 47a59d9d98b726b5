/*
 * Writes JSON straight into a buffer: the parts of an access line, without allocation or printf.
 * Text from clients is hostile: control characters, quotes, broken UTF-8 and overlong text all
 * become valid JSON of bounded length.
 */
#ifndef BOXEDGE_LOG_JSON_H
#define BOXEDGE_LOG_JSON_H

#include "str.h"

/* Room that log_json_text needs beyond `limit`, for the mark of a cut. */
#define LOG_JSON_CUT_BYTES 3
/* Maximum bytes that log_json_ms writes. */
#define LOG_JSON_MS_BYTES 22

/* Text under construction: the position of the next byte, and the end for text. */
typedef struct log_json_text {
    char *at;
    char *limit;
    bool cut; /* text did not fit: the mark is written, and no more text is added */
} log_json_text_t;

/*
 * Adds `s`, escaped for the inside of a JSON string. Each invalid byte of UTF-8 becomes U+FFFD.
 * Control characters become \u00XX, also C1 and DEL, which a terminal would obey. Text that does
 * not fit before `limit` is cut at a character and marked with "…" (LOG_JSON_CUT_BYTES, which may
 * lie beyond `limit`).
 */
void log_json_text(log_json_text_t *text, str_t s);

/* Writes microseconds as milliseconds with three decimals: 1234 is "1.234". */
char *log_json_ms(char *at, uint64_t us);
/* Copies bytes that need no escaping. */
static inline char *log_json_raw(char *at, str_t s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

#endif
