/*
 * Resolves server names to A and AAAA addresses, and again whenever a TTL expires, while they are wanted.
 * After a failure the last good answer stays, and retries follow with back-off and jitter. Uses c-ares on the
 * loop, and /etc/hosts as c-ares does. The data path never waits for it.
 */
#ifndef BOXEDGE_RESOLVER_H
#define BOXEDGE_RESOLVER_H

#include <netinet/in.h>

#include "loop.h"
#include "random_id.h"
#include "str.h"

/* Maximum addresses kept per name: the first in numeric order. */
#define RESOLVER_ADDRESSES_MAX 64

typedef struct resolver resolver_t;

typedef struct resolver_options {
    const char *servers;     /* "address:port,..."; NULL: those of /etc/resolv.conf */
    uint32_t ttl_least_ms;   /* lower bound for a TTL */
    uint32_t ttl_most_ms;    /* upper bound for a TTL */
    uint32_t ttl_none_ms;    /* for entries of /etc/hosts and a TTL of 0 */
    uint32_t retry_first_ms; /* after the first failure; doubles with each further one */
    uint32_t retry_last_ms;  /* upper bound; the actual wait is between half of the delay and all of it */
} resolver_options_t;

extern const resolver_options_t resolver_defaults;

/* The loop calls `changed` when names have different addresses, or addresses for the first time. Copies
 * `options`, except for `servers`, which must outlive the resolver, as must `random`. */
resolver_t *resolver_new(loop_t *loop, const resolver_options_t *options, random_source_t *random,
                         void (*changed)(void *owner), void *owner);
/* Nulls. Not from within `changed`. */
void resolver_free(resolver_t **resolver);

/* Sets the wanted names (copied; duplicates count once). Names that stay wanted keep their addresses. */
void resolver_set(resolver_t *resolver, const char *const *names, size_t count);
/*
 * The addresses of a name (IPv4 as mapped IPv6), in numeric order, valid until the next turn. Returns their
 * number; 0 if the name was never resolved or is not wanted.
 */
size_t resolver_look(const resolver_t *resolver, const char *name, const struct in6_addr **addresses);

typedef struct resolver_figures {
    uint64_t names;     /* wanted */
    uint64_t failing;   /* of them, those whose last lookup failed */
    uint64_t failures;  /* failed lookups since resolver_new */
    uint64_t oldest_ms; /* the age of the oldest answer of a failing name; 0: none has one */
} resolver_figures_t;
resolver_figures_t resolver_figures(const resolver_t *resolver);

/* The lifetime of an answer with this TTL (seconds), and the wait after the `failures`th consecutive failure
 * (from 1) with 16 random bits. In ms. */
uint32_t resolver_ttl_ms(const resolver_options_t *options, int ttl);
uint32_t resolver_retry_ms(const resolver_options_t *options, unsigned failures, uint16_t random);

#endif
