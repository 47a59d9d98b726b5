/*
 * Names of servers and their addresses, A and AAAA, for as long as they are wanted: asked for again when
 * their TTL is over. Where that fails the last good answer stays, and it is tried again with a back-off and
 * jitter. Through c-ares, on the loop; /etc/hosts counts as c-ares has it. Nothing here is on the data path.
 */
#ifndef BOXEDGE_RESOLVER_H
#define BOXEDGE_RESOLVER_H

#include <netinet/in.h>

#include "loop.h"
#include "random_id.h"
#include "str.h"

/* Addresses of one name that are kept: of more, the first in their order as numbers. */
#define RESOLVER_ADDRESSES_MAX 64

typedef struct resolver resolver_t;

typedef struct resolver_options {
    const char *servers;     /* "address:port,..."; NULL: those of /etc/resolv.conf */
    uint32_t ttl_least_ms;   /* a shorter TTL counts as this */
    uint32_t ttl_most_ms;    /* a longer one as this */
    uint32_t ttl_none_ms;    /* of /etc/hosts, and of a TTL of 0 */
    uint32_t retry_first_ms; /* after a failure: doubling */
    uint32_t retry_last_ms;  /* up to this; between half of it and all of it is waited */
} resolver_options_t;

extern const resolver_options_t resolver_defaults;

/* `changed` is called from the loop when names have other addresses than before, or have them for the first
 * time. `options` is copied but for `servers`, which outlives the resolver, as `random` does. */
resolver_t *resolver_new(loop_t *loop, const resolver_options_t *options, random_source_t *random,
                         void (*changed)(void *owner), void *owner);
/* Nulls. Not from within `changed`. */
void resolver_free(resolver_t **resolver);

/* The names that are wanted from now on (copied; one that comes twice is one). What is known of those that
 * were wanted before stays. */
void resolver_set(resolver_t *resolver, const char *const *names, size_t count);
/*
 * The addresses of a name (IPv4 as mapped IPv6), in their order as numbers; valid until the next turn.
 * Returns how many; 0 where it was never resolved, or is not wanted.
 */
size_t resolver_look(const resolver_t *resolver, const char *name, const struct in6_addr **addresses);

/* How long an answer of this TTL (seconds) holds, and how long is waited after the `failures`th failure in a
 * row (from 1) with 16 random bits. In ms. */
uint32_t resolver_ttl_ms(const resolver_options_t *options, int ttl);
uint32_t resolver_retry_ms(const resolver_options_t *options, unsigned failures, uint16_t random);

#endif
