/*
 * JSON written straight into a buffer: the pieces of an access line. No allocation, no printf. What clients
 * sent is hostile: control characters, quotes, broken UTF-8 and overlong text all come out as valid JSON of
 * a bounded length.
 */
#ifndef BOXEDGE_LOG_JSON_H
#define BOXEDGE_LOG_JSON_H

#include "str.h"

/* Room that log_json_text needs beyond `limit`, for the mark of a cut. */
#define LOG_JSON_CUT_BYTES 3
/* The most that log_json_uint and log_json_ms write. */
#define LOG_JSON_UINT_BYTES 20
#define LOG_JSON_MS_BYTES   22

/* Text being written: where the next byte goes, and where text must end. */
typedef struct log_json_text {
    char *at;
    char *limit;
    bool cut; /* something did not fit: the mark was written, nothing more is added */
} log_json_text_t;

/*
 * Adds `s` escaped for the inside of a JSON string. Invalid UTF-8 becomes U+FFFD, one for each byte; control
 * characters (C1 and DEL too, which a terminal would obey) become \u00XX. What does not fit before `limit` is
 * cut at a character and marked with "…" (LOG_JSON_CUT_BYTES, which may lie beyond `limit`).
 */
void log_json_text(log_json_text_t *text, str_t s);

/* Writes a decimal number; returns where the next byte goes. */
char *log_json_uint(char *at, uint64_t value);
/* Writes microseconds as milliseconds with three decimals: 1234 is "1.234". */
char *log_json_ms(char *at, uint64_t us);
/* Copies bytes that need no escaping. */
static inline char *log_json_raw(char *at, str_t s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

#endif
