/*
 * What this process writes to its stdout and stderr meanwhile, such as the lines of process_log.
 */
#ifndef BOXEDGE_SAID_H
#define BOXEDGE_SAID_H

#include <stdio.h>

typedef struct said {
    FILE *file;
    int out, err; /* as they were */
} said_t;

void said_begin(said_t *said);
/* As before; what was said comes into `text`, up to `room` with its NUL. */
void said_end(said_t *said, char *text, size_t room);

#endif
