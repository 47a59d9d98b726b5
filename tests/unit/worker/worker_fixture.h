/* A worker without a process around it, for tests of what runs in one: a loop, counters, a configuration. */
#ifndef BOXEDGE_WORKER_FIXTURE_H
#define BOXEDGE_WORKER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "client.h"
#include "worker.h"

#define FIXTURE_CONF                                                                                         \
    "preview_domain: preview.test\n"                                                                         \
    "node: here\n"                                                                                           \
    "public_port: 443\n"                                                                                     \
    "trusted_proxies: [10.0.0.0/8]\n"                                                                        \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"

typedef struct worker_fixture {
    worker_t worker;
    counters_t counters;
    client_t client;
} worker_fixture_t;

worker_fixture_t *worker_fixture_new(void);
void worker_fixture_free(worker_fixture_t *f);

#endif
