/*
 * A configuration file without its secrets, for people who help from far away. It works on the tree of the
 * file, so that a file with errors can be shown too. A value is shown only if its key is known, its mark in
 * the key table (conf_secrecy_t) permits it, and its type allows the text: a secret in the wrong line is a
 * wrong value there.
 */
#ifndef BOXEDGE_CONF_REDACT_H
#define BOXEDGE_CONF_REDACT_H

#include <stdio.h>

#include "conf_errors.h"
#include "conf_keys.h"

/* Stands for a removed value. */
#define CONF_REMOVED "(removed)"

/* Gets each removed value. */
typedef void (*conf_removed_t)(void *arg, str_t value);

/* Prints the configuration in `text` as YAML, without comments. False if that is no YAML that could be shown
 * whole; no text of an unreadable part is printed. */
MUST_USE bool conf_redact(str_t text, FILE *out, conf_removed_t removed, void *arg);
/* The same for a file, which must not be longer than CONF_FILE_MAX. A file that cannot be read: false, with
 * errno; otherwise false has errno 0. */
MUST_USE bool conf_redact_file(const char *path, FILE *out, conf_removed_t removed, void *arg);

/* Whether the values of a key of this type are free text, so that its row needs a mark. */
bool conf_needs_mark(conf_type_t type);

#endif
