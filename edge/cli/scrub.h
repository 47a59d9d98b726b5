/*
 * Removes secrets from texts that leave the machine: values that are known to be secret, users in URLs, and
 * credentials of HTTP.
 */
#ifndef BOXEDGE_SCRUB_H
#define BOXEDGE_SCRUB_H

#include "str.h"

/* Known values; zero-filled: none. */
typedef struct scrub {
    char **values; /* the longer before their beginnings */
    size_t count;
} scrub_t;

/* Adds a value (conf_removed_t; `arg` is the scrub_t). Messages cut a long value and replace control
 * characters, so its parts count, too. Leaves out values too short to differ from other text. */
void scrub_add(void *arg, str_t value);
/* A copy of `text` without secrets, to be freed. */
char *scrub_text(const scrub_t *scrub, const char *text);
void scrub_fini(scrub_t *scrub);

#endif
