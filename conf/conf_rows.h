/* Macros for the rows of the key table. Only the files with rows (conf_keys*.c) include this. */
#ifndef BOXEDGE_CONF_ROWS_H
#define BOXEDGE_CONF_ROWS_H

#include "conf_keys.h"

/* Milliseconds and bytes, the units of values. */
#define SECOND (1000u)
#define MINUTE (60u * SECOND)
#define HOUR   (60u * MINUTE)
#define DAY    (24u * HOUR)
#define KIB    (UINT64_C(1) << 10)
#define MIB    (UINT64_C(1) << 20)
#define TIB    (UINT64_C(1) << 40)

/* The location of a field. */
#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
/* The location of a list and its count. */
#define LIST(field, counter, element_type)                                                                   \
    .offset = offsetof(conf_t, field), .width = sizeof(((conf_t *)0)->field),                                \
    .count_offset = offsetof(conf_t, counter), .element_size = sizeof(element_type)
#define TABLE(rows)                                                                                          \
    {                                                                                                        \
        (rows), sizeof(rows) / sizeof((rows)[0])                                                             \
    }

/* Rows of the sections about what operators see of requests, for conf_keys.c. */
#define CONF_ROWS_LOG                                                                                        \
    {.name = "log", .type = CONF_SECTION, .doc = "Logs."},                                                   \
        {.name = "log.access",                                                                               \
         .type = CONF_LOG,                                                                                   \
         .secrecy = CONF_OPEN,                                                                               \
         .fallback = "stdout",                                                                               \
         .doc = "Target of the access log, one JSON line per request: a file, journald, or a syslog server " \
                "(UDP, RFC 5424, port 514 by default). SIGUSR1 opens it again.",                             \
         AT(conf_t, access_log)},                                                                            \
        {.name = "log.fields",                                                                               \
         .type = CONF_FIELDS,                                                                                \
         .min = 1,                                                                                           \
         .max = ACCESS_FIELD_COUNT,                                                                          \
         .derived = "all",                                                                                   \
         .doc = "Fields of an access line, always in this order.",                                           \
         .example = "[time, request_id, host, status]",                                                      \
         LIST(log_fields, log_field_count, uint8_t)},                                                        \
        {.name = "log.flush",                                                                                \
         .type = CONF_DURATION,                                                                              \
         .min = 1,                                                                                           \
         .max = 10 * SECOND,                                                                                 \
         .fallback = "200ms",                                                                                \
         .doc = "Maximum time that an access line waits in a worker. Less costs more wake-ups of its log "   \
                "thread.",                                                                                   \
         AT(conf_t, log_flush_ms)},                                                                          \
    {                                                                                                        \
        .name = "log.messages", .type = CONF_CHOICE, .fallback = "text", .choices = log_formats,             \
        .doc = "Form of the edge's own messages on stderr: lines of text (under systemd fields of the "      \
               "journal), or one JSON object per line.",                                                     \
        AT(conf_t, log_messages)                                                                             \
    }

#define CONF_ROWS_TRACING                                                                                    \
    {.name = "tracing", .type = CONF_SECTION, .doc = "Traces of requests (docs/tracing.md)."},               \
        {.name = "tracing.otlp",                                                                             \
         .type = CONF_URL,                                                                                   \
         .secrecy = CONF_OPEN,                                                                               \
         .derived = "none: the edge makes no traces",                                                        \
         .doc =                                                                                              \
             "The whole URL of a receiver of OTLP over HTTP, to which the controller sends traces as JSON.", \
         .example = "http://127.0.0.1:4318/v1/traces",                                                       \
         AT(conf_t, tracing.otlp)},                                                                          \
        {.name = "tracing.rate",                                                                             \
         .type = CONF_FRACTION,                                                                              \
         .fallback = "0.01",                                                                                 \
         .doc = "The share of requests that the edge traces, of those without a valid `traceparent`. With "  \
                "one, its flag decides.",                                                                    \
         AT(conf_t, tracing.rate)},                                                                          \
        {.name = "tracing.per_second",                                                                       \
         .type = CONF_UINT,                                                                                  \
         .unit = "requests",                                                                                 \
         .min = 1,                                                                                           \
         .max = 100000,                                                                                      \
         .fallback = "100",                                                                                  \
         .doc = "Maximum requests that a worker traces in a second because of `tracing.rate`, and as many "  \
                "because of their `traceparent`, which any client can send. Further ones are not traced.",   \
         AT(conf_t, tracing.per_second)},                                                                    \
        {.name = "tracing.ca_file",                                                                          \
         .type = CONF_NO_PATH,                                                                               \
         .secrecy = CONF_OPEN,                                                                               \
         .derived = "the system's authorities",                                                              \
         .doc = "PEM file with the authorities that verify the receiver's certificate.",                     \
         .example = "/etc/boxedge/otlp-ca.pem",                                                              \
         AT(conf_t, tracing.ca_file)},                                                                       \
    {                                                                                                        \
        .name = "tracing.timeout", .type = CONF_DURATION, .min = 10, .max = 10 * MINUTE, .fallback = "5s",   \
        .doc = "Maximum time for one call of the receiver.", AT(conf_t, tracing.timeout)                     \
    }

#endif
