/*
 * Adds to the collected errors of a configuration, and has helpers for all files of this folder.
 */
#ifndef BOXEDGE_CONF_ERRORS_H
#define BOXEDGE_CONF_ERRORS_H

#include "conf.h"

typedef enum conf_level {
    CONF_ERROR,   /* the file is refused */
    CONF_WARNING, /* reported, and the file is used */
} conf_level_t;

/*
 * Adds one line: "file:line:col: key: sentence". `key` may be NULL if the error concerns no key.
 * All arguments are copied.
 */
void conf_errors_add(conf_errors_t *errors, conf_level_t level, const char *file, conf_place_t place,
                     const char *key, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Enough of a value to recognise it in a message. */
#define CONF_SHOWN_MAX 64
/* Prepares `text` for a message: cut at CONF_SHOWN_MAX bytes, control characters replaced. Returns
 * `out`. */
const char *conf_shown(str_t text, char out[CONF_SHOWN_MAX + 4]);

/* Reads a configuration file into `bytes`: at most CONF_FILE_MAX + 1 bytes, one more than the largest file
 * has. Returns false with errno. */
MUST_USE bool conf_read_file(const char *path, char *bytes, size_t *len);

/* Allocates `count` zeroed elements. Ends the process if memory for the configuration runs out. */
void *conf_alloc(size_t count, size_t size);
/* A NUL-terminated copy, owned by the caller. */
char *conf_copy(str_t text);

#endif
