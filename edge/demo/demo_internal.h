/*
 * Shared by demo_*.c only. Each function answers an exchange.
 */
#ifndef BOXEDGE_DEMO_INTERNAL_H
#define BOXEDGE_DEMO_INTERNAL_H

#include "exchange.h"

/* Maximum wait of /slow. */
#define DEMO_SLOW_MAX_MS 60000

/* The page (demo_page.c). */
void demo_page(exchange_t *ex);
/* The time as events until the client leaves (demo_streams.c). */
void demo_events(exchange_t *ex);
/* `count` bytes; `chunked`: without a Content-Length (demo_streams.c). */
void demo_bytes(exchange_t *ex, uint64_t count, bool chunked);
/* Answers after `ms` (demo_streams.c). */
void demo_slow(exchange_t *ex, uint32_t ms);
/* Counts and hashes the body (demo_upload.c). */
void demo_upload(exchange_t *ex);
/* Accepts a WebSocket (demo_echo.c). */
void demo_echo(exchange_t *ex);

/* The address of the client as the app knows it: X-Forwarded-For, otherwise the peer. */
str_t demo_client(exchange_t *ex);

#endif
