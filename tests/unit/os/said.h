/* This process's output on stdout and stderr, such as the lines of process_log. */
#ifndef BOXEDGE_SAID_H
#define BOXEDGE_SAID_H

#include <stdio.h>

typedef struct said {
    FILE *file;
    int out, err; /* the original descriptors */
} said_t;

void said_begin(said_t *said);
/* Restores them; the captured output goes into `text`, up to `room` with its NUL. */
void said_end(said_t *said, char *text, size_t room);

#endif
