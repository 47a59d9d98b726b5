/* Programs that a command of boxedge calls, such as certutil. */
#ifndef BOXEDGE_SUBPROCESS_H
#define BOXEDGE_SUBPROCESS_H

#include <stddef.h>

#include "str.h"

/* Maximum bytes of output that are kept. */
#define SUBPROCESS_OUTPUT_MAX 16384

typedef struct subprocess_end {
    int status; /* exit status; 127: not found; 128 and more: a signal */
    size_t len;
    char output[SUBPROCESS_OUTPUT_MAX + 1]; /* stdout and stderr together, terminated */
} subprocess_end_t;

/* Runs argv[0], found by PATH, and waits for its end. It has no input and no terminal: a program that would
 * ask for a password fails. */
void subprocess_run(const char *const *argv, subprocess_end_t *end);
/* Whether PATH has this program. */
bool subprocess_exists(const char *name);

#endif
