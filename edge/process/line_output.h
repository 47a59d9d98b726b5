/*
 * The destination of access lines: a file, a pipe or a terminal, which gets them as bytes; journald or a
 * syslog server, which get a datagram for each.
 *
 * A destination that takes nothing makes the writer wait, in steps of LINE_WAIT_MS, so only threads and
 * processes that do nothing else write (access_log.h, lost_requests.h).
 */
#ifndef BOXEDGE_LINE_OUTPUT_H
#define BOXEDGE_LINE_OUTPUT_H

#include "line_text.h"

#define LINE_WAIT_MS 100

/* Travels between processes: values keep their meaning. */
typedef enum line_form {
    LINE_STREAM = 0,
    LINE_JOURNAL = 1, /* a connected datagram socket, systemd's native protocol */
    LINE_SYSLOG = 2,  /* a connected UDP socket, RFC 5424 */
} line_form_t;

typedef struct line_target {
    int fd; /* -1: lines go nowhere */
    line_form_t form;
} line_target_t;

#define LINE_TARGET_NONE ((line_target_t){.fd = -1})

/* What a line shows. */
typedef struct line_style {
    access_fields_t fields;
    char node[LINE_NODE_MAX + 1]; /* the name of this machine */
} line_style_t;

typedef struct line_output {
    line_target_t target; /* owned */
    line_style_t style;
    pid_t pid;  /* of this process */
    bool whole; /* a regular file: writes of any size are atomic */
    bool torn;  /* the last write stopped inside a line */
    /* Asked before each wait for a destination that takes nothing; false gives up. It may call
     * line_output_set: the remaining lines go there. NULL: wait without an end. */
    bool (*may_wait)(void *arg);
    void *arg;
} line_output_t;

void line_output_init(line_output_t *output, const line_style_t *style);
/* Closes the old target. */
void line_output_set(line_output_t *output, line_target_t target);
/* Writes whole lines, of at most LINE_TEXT_MAX bytes each, and changes `lines` for that. Returns the number
 * of lost lines. */
uint64_t line_output_write(line_output_t *output, char *lines, size_t len);

#endif
