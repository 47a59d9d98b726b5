/*
 * A context and a client without a process around them, for tests of exchanges and codecs: a loop, counters,
 * a configuration. Its pipeline has no features; worker_fixture.h makes one within a worker.
 */
#ifndef BOXEDGE_CONTEXT_FIXTURE_H
#define BOXEDGE_CONTEXT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "client.h"
#include "context.h"
#include "pipeline.h"

#define FIXTURE_CONF                                                                                         \
    "preview_domain: preview.test\n"                                                                         \
    "node: here\n"                                                                                           \
    "public_port: 443\n"                                                                                     \
    "trusted_proxies: [10.0.0.0/8]\n"                                                                        \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"

typedef struct context_fixture {
    context_t *context;
    void *owner; /* the allocation that holds `context` */
    counters_t counters;
    client_t client;
} context_fixture_t;

context_fixture_t *context_fixture_new(void);
/* The same with `context`, zero-filled, which is part of the allocation `owner` (taken over). */
context_fixture_t *context_fixture_in(context_t *context, void *owner, const pipeline_t *pipeline);
/* Asserts that no exchange is open and no memory is held. */
void context_fixture_free(context_fixture_t *f);

/* The preview of the exchange, for a test to fill. */
store_preview_t *test_preview(exchange_t *ex);

#endif
