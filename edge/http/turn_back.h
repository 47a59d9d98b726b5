/*
 * The fields of a response in which an app names itself localhost, turned back to the preview's public origin
 * (docs/http.md, "Forwarding"). For previews whose app gets localhost as its host.
 *
 * The app's own names are localhost, 127.0.0.1 and [::1], with exactly the preview's port (or none, if the
 * port is the default of the scheme). Everything else passes byte for byte. Memory of a result lies in
 * `pool`.
 */
#ifndef BOXEDGE_TURN_BACK_H
#define BOXEDGE_TURN_BACK_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "str.h"

/* Sources of one policy that are turned back; later ones pass as they are. */
#define TURN_BACK_SOURCES_MAX 64

/* The two names of one app. */
typedef struct turn_back {
    uint16_t port;   /* of the app, beside localhost */
    bool https;      /* the client speaks https */
    str_t authority; /* of the request: the public host, with a port unless it is the default */
} turn_back_t;

/* Location and Content-Location (RFC 9110 sections 10.2.2 and 8.7): a URL, or one without a scheme ("//…").
 */
str_t turn_back_url(arena_t *pool, const turn_back_t *to, str_t value);
/* Refresh (HTML standard, "shared declarative refresh steps"): seconds, then perhaps a URL. */
str_t turn_back_refresh(arena_t *pool, const turn_back_t *to, str_t value);
/* Access-Control-Allow-Origin (Fetch standard): one origin. */
str_t turn_back_origin(arena_t *pool, const turn_back_t *to, str_t value);
/* Content-Security-Policy and its Report-Only form (CSP Level 3): sources and report URLs, also without a
 * scheme or with "*" as their port. */
str_t turn_back_policy(arena_t *pool, const turn_back_t *to, str_t value);

#endif
