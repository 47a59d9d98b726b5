/*
 * Adding to the collected errors of a configuration, and the helpers of this folder that every file needs.
 */
#ifndef BOXEDGE_CONF_ERRORS_H
#define BOXEDGE_CONF_ERRORS_H

#include "conf.h"

typedef enum conf_level {
    CONF_ERROR,   /* the file is refused */
    CONF_WARNING, /* said, and the file is used */
} conf_level_t;

/*
 * Adds one line: "file:line:col: key: sentence". `key` may be NULL (what is wrong is no key's matter). All
 * is copied.
 */
void conf_errors_add(conf_errors_t *errors, conf_level_t level, const char *file, conf_place_t place,
                     const char *key, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Enough of a value to recognise it in a message. */
#define CONF_SHOWN_MAX 64
/* `text` for a message: cut at CONF_SHOWN_MAX bytes, control characters replaced. Returns `out`. */
const char *conf_shown(str_t text, char out[CONF_SHOWN_MAX + 4]);

/* `count` zeroed elements. A process that cannot get memory for its configuration has no way on: it ends. */
void *conf_alloc(size_t count, size_t size);
/* A NUL-terminated copy, owned by the caller. */
char *conf_copy(str_t text);

#endif
