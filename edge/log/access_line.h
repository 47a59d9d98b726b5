/*
 * The access line of one exchange: a JSON object and a line end (docs/design.md, "What operators see").
 * Fields that do not apply are absent. Secrets never appear: User-Agent is the only request field shown, and
 * the query lacks the value of `preview_token`.
 */
#ifndef BOXEDGE_ACCESS_LINE_H
#define BOXEDGE_ACCESS_LINE_H

#include "exchange.h"

#include "arena.h"

/* Maximum length of a line, since each text in it has its own bound. It is PIPE_BUF, so that a line goes into
 * a pipe whole. */
#define ACCESS_LINE_MAX 4096

/* The text of the last second written: most lines share it. Zero-filled is valid. */
typedef struct access_clock {
    uint64_t second;
    char text[20]; /* "2026-01-31T23:59:59" and a NUL */
} access_clock_t;

/* The words of a line for the kind of a request's route and for its version. */
str_t access_line_kind(const exchange_t *ex);
str_t access_line_version(http_version_t version);
/* Writes the line of `ex`, which ended at `now_us` (loop_precise_us) in the way `how`. Returns its length. */
size_t access_line(char out[ACCESS_LINE_MAX], access_clock_t *clock, const exchange_t *ex, exchange_end_t how,
                   uint64_t now_us);

#endif
