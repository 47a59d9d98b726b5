/*
 * The latest output of a box, in a ring of bounded size that begins with a whole line even after older output
 * is dropped. Positions count the bytes since the log began, so that a reader can continue.
 */
#ifndef BOXEDGE_BOX_LOG_H
#define BOXEDGE_BOX_LOG_H

#include "last_words.h"

typedef struct box_log box_log_t;

/* Maximum bytes of a box's log. */
#define BOX_LOG_BYTES (256u * 1024)

/* Prefix of the edge's own lines, which report events of the box. */
#define BOX_LOG_MARK "[boxedge] "

/* Keeps at most `bytes` bytes; the first byte allocates the memory. */
box_log_t *box_log_new(size_t bytes);
/* Nulls. NULL is allowed. */
void box_log_free(box_log_t **log);

/* Adds output as it comes, with or without line ends. */
void box_log_add(box_log_t *log, str_t bytes);
/* Adds a line of the edge's own, given without its end; ends a partial line of output first. */
void box_log_note(box_log_t *log, str_t line);

/* Makes an empty log one of which `text` are the last bytes and `end` the position after them. A text that
 * is too long loses its begin; one longer than `end` is dropped. */
void box_log_restore(box_log_t *log, str_t text, uint64_t end);

/* The number of bytes ever added. */
uint64_t box_log_end(const box_log_t *log);
/*
 * The log from position `from` on, as two slices, either of which may be empty; valid until the log changes.
 * A position that was dropped, or never was, stands for the oldest line.
 */
void box_log_read(const box_log_t *log, uint64_t from, str_t parts[2]);

/* The line of the box's last run that best explains its end, for a sentence (last_words.h), cut to fit `len`.
 * Empty if no line has the rank `least` or higher. */
void box_log_last_words(const box_log_t *log, last_words_rank_t least, char *out, size_t len);

#endif
