/*
 * The destination and the fields of the access log: `log.access` and `log.fields`.
 */
#ifndef BOXEDGE_CONF_LOG_H
#define BOXEDGE_CONF_LOG_H

#include "access_field.h"
#include "conf.h"

#define CONF_SYSLOG       "syslog://"
#define CONF_SYSLOG_PORT  514
#define CONF_LOG_HOST_MAX 253

typedef enum conf_log_kind {
    CONF_LOG_OFF,
    CONF_LOG_STDOUT,
    CONF_LOG_FILE,
    CONF_LOG_JOURNALD,
    CONF_LOG_SYSLOG,
} conf_log_kind_t;

/* The kind of a value of log.access. */
conf_log_kind_t conf_log_kind(str_t text);
/* Reads a value of CONF_LOG_SYSLOG: a name, or an address without brackets. Returns NULL or the error. */
MUST_USE const char *conf_log_server(str_t text, char host[CONF_LOG_HOST_MAX + 1], uint16_t *port);

/* Checks a value, but for the rules of paths. Returns NULL or the error. */
MUST_USE const char *conf_log_refusal(str_t text);

/* The fields of log.fields; all without it. */
access_fields_t conf_log_fields(const conf_t *conf);
/* One name of log.fields, at `i` of the list. Returns NULL or the error. */
MUST_USE const char *conf_log_set_field(str_t name, uint8_t *fields, size_t i);
/* "`time`, `request_id`, ...", cut to the room. */
void conf_log_print_fields(char *out, size_t room);

#endif
