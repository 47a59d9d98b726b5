/*
 * What a box wrote lately: the end of its output in a ring of bounded size, which begins with a whole line
 * wherever something was dropped. Positions count the bytes since the log began, so that a reader can go on
 * where it was.
 */
#ifndef BOXEDGE_BOX_LOG_H
#define BOXEDGE_BOX_LOG_H

#include "last_words.h"

typedef struct box_log box_log_t;

/* Of a box's log, at most. */
#define BOX_LOG_BYTES (256u * 1024)

/* What the lines begin with that are not the box's own but say what happened to it. */
#define BOX_LOG_MARK "[boxedge] "

/* Keeps at most `bytes` bytes; memory is taken with the first of them. */
box_log_t *box_log_new(size_t bytes);
/* NULL is allowed; nulls. */
void box_log_free(box_log_t **log);

/* Output as it comes, with or without line ends. */
void box_log_add(box_log_t *log, str_t bytes);
/* A line of the edge's own, without its end: begins a new line where the output is within one. */
void box_log_note(box_log_t *log, str_t line);

/* All that was ever added. */
uint64_t box_log_end(const box_log_t *log);
/*
 * What is there from position `from` on, as two slices, either of which may be empty; valid until the log
 * changes. A position that was dropped, or never was, stands for the oldest line there is.
 */
void box_log_read(const box_log_t *log, uint64_t from, str_t parts[2]);

/* The line of the box's last run that best explains its end, for a sentence (last_words.h), cut to fit `len`.
 * Empty where no line is of the rank `least` or higher. */
void box_log_last_words(const box_log_t *log, last_words_rank_t least, char *out, size_t len);

#endif
