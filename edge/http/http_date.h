/*
 * The Date field (RFC 9110 section 5.6.7), formatted once a second.
 */
#ifndef BOXEDGE_HTTP_DATE_H
#define BOXEDGE_HTTP_DATE_H

#include "loop.h"
#include "str.h"

#define HTTP_DATE_LEN 29

/* The text of one second; all-zero is valid. */
typedef struct http_date {
    uint64_t second;
    char text[HTTP_DATE_LEN + 1];
} http_date_t;

/* The current time as the value of a Date field; valid until the next call. */
str_t http_date_now(http_date_t *cache, const loop_t *loop);

#endif
