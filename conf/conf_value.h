/*
 * One scalar of the file as the value of a key.
 */
#ifndef BOXEDGE_CONF_VALUE_H
#define BOXEDGE_CONF_VALUE_H

#include "conf_keys.h"

/* Longest preview domain: 253 characters in all (RFC 1035 section 2.3.4), minus the longest label
 * and its dot. */
#define CONF_DOMAIN_MAX (253 - 63 - 1)
#define CONF_NODE_MAX   64
#define CONF_USER_MAX   32
#define CONF_URL_MAX    1024
#define CONF_STRING_MAX 4096

/*
 * Reads `text` as `key` requires, into `field` (of key->width bytes). A char * is allocated, and
 * its old value freed. Relative paths become relative to `dir`. Returns NULL, or the error as a
 * part of a sentence ("has no unit"); the field is then unchanged.
 */
MUST_USE const char *conf_value_set(const conf_key_t *key, str_t text, const char *dir, void *field);

/* The readers of single types. All return NULL or the error. Sizes in bytes, durations in
 * milliseconds. */
MUST_USE const char *conf_value_size(str_t text, uint64_t *bytes);
MUST_USE const char *conf_value_duration(str_t text, uint64_t *ms);
MUST_USE const char *conf_value_bool(str_t text, bool *out);
/* From 0 to 1 in millionths (conf_cost.c). */
MUST_USE const char *conf_value_fraction(str_t text, uint32_t *millionths);
/* `lower` has room for CONF_DOMAIN_MAX + 1 and receives the name in lower case without a trailing
 * dot. */
MUST_USE const char *conf_value_domain(str_t text, char lower[CONF_DOMAIN_MAX + 1]);
MUST_USE const char *conf_value_node(str_t text);
/* Checks a path of `api.costs` (conf_cost.c). */
MUST_USE const char *conf_value_pattern(str_t text);
/* A host name in lower case without a trailing dot, of up to 253 characters. */
#define CONF_HOST_MAX 253
MUST_USE const char *conf_value_host(str_t text, char lower[CONF_HOST_MAX + 1]);
/* A string of a command; one of an environment, "NAME=value". */
MUST_USE const char *conf_value_string(str_t text);
MUST_USE const char *conf_value_variable(str_t text);

/* The shortest text that reads as this value: "32KiB", "15m". `out` has room for 32. */
void conf_value_print_size(uint64_t bytes, char out[32]);
void conf_value_print_duration(uint64_t ms, char out[32]);

#endif
