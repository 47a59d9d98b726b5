/* The rows of the key table that are about the API host: upstreams, plans, keys (docs/api.md). */
#include "conf_keys.h"

#define SECOND (1000u)
#define MINUTE (60u * SECOND)
#define HOUR   (60u * MINUTE)
#define DAY    (24u * HOUR)

#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define TABLE(rows)                                                                                          \
    {                                                                                                        \
        (rows), sizeof(rows) / sizeof((rows)[0])                                                             \
    }

static const char *const balances[] = {[CONF_BALANCE_P2C] = "p2c",
                                       [CONF_BALANCE_ROUND_ROBIN] = "round_robin",
                                       [CONF_BALANCE_LEAST] = "least_connections",
                                       [CONF_BALANCE_HASH] = "hash",
                                       NULL};
static const char *const protocols[] = {[CONF_PROTOCOL_HTTP1] = "http1", [CONF_PROTOCOL_H2] = "h2", NULL};

const char *const conf_limits_modes[] = {
    [CONF_LIMITS_ENFORCE] = "enforce", [CONF_LIMITS_SHADOW] = "shadow", [CONF_LIMITS_OFF] = "off", NULL};

const char *const conf_alias_modes[] = {[CONF_ALIAS_NONE] = "none", [CONF_ALIAS_DASH] = "dash", NULL};

static const conf_key_t server_rows[] = {
    {.name = "address",
     .type = CONF_SERVER,
     .required = true,
     .doc =
         "Where it is: an address or a host name, and a port. A name is resolved, and again when its TTL is "
         "over; each of its addresses is a server.",
     .example = "\"10.0.0.1:8080\"",
     .offset = 0,
     .width = sizeof(conf_server_t)},
    {.name = "weight",
     .type = CONF_UINT,
     .min = 1,
     .max = 100,
     .fallback = "1",
     .doc = "Its share of the load, beside the weights of the others.",
     AT(conf_server_t, weight)},
};
static const conf_table_t server_table = TABLE(server_rows);

static const conf_key_t upstream_rows[] = {
    {.name = "name",
     .type = CONF_NAME,
     .required = true,
     .doc = "How the rest of the file, logs and commands call it.",
     .example = "box-api",
     AT(conf_upstream_t, name)},
    {.name = "servers",
     .type = CONF_MAPS,
     .min = 1,
     .max = 64,
     .required = true,
     .scalars = true,
     .doc = "Its servers: each a map, or its address alone.",
     .example = "[\"10.0.0.1:8080\", {address: \"api-2.internal:8080\", weight: 2}]",
     AT(conf_upstream_t, servers),
     .count_offset = offsetof(conf_upstream_t, server_count),
     .element_size = sizeof(conf_server_t),
     .element = &server_table},
    {.name = "balance",
     .type = CONF_CHOICE,
     .choices = balances,
     .fallback = "p2c",
     .doc =
         "`p2c` takes the better of two at random, by requests in flight and latency; `round_robin` one "
         "after "
         "the other; `least_connections` the one with the fewest requests in flight; `hash` keeps the calls "
         "of one box at one server, as long as that has not much more to do than the others.",
     AT(conf_upstream_t, balance)},
    {.name = "protocol",
     .type = CONF_CHOICE,
     .choices = protocols,
     .fallback = "http1",
     .doc =
         "What the servers speak: HTTP/1.1, or HTTP/2 (without TLS: with prior knowledge), which gRPC needs.",
     AT(conf_upstream_t, protocol)},
    {.name = "tls",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "Whether the servers are reached over TLS; their certificates are always verified.",
     AT(conf_upstream_t, tls)},
    {.name = "tls_name",
     .type = CONF_NO_DOMAIN,
     .derived = "each server's host",
     .doc = "The name that is asked for (SNI) and that the certificate must have.",
     .example = "api.internal",
     AT(conf_upstream_t, tls_name)},
    {.name = "tls_ca",
     .type = CONF_NO_PATH,
     .derived = "the system's authorities",
     .doc = "A PEM file with the authorities that their certificates are checked by.",
     .example = "/etc/boxedge/api-ca.pem",
     AT(conf_upstream_t, tls_ca)},
    {.name = "tls_certificate",
     .type = CONF_NO_PATH,
     .derived = "none",
     .doc = "A PEM file with the certificate that the edge shows to them, followed by its intermediates.",
     .example = "/etc/boxedge/api-client.pem",
     AT(conf_upstream_t, tls_certificate)},
    {.name = "tls_key",
     .type = CONF_NO_PATH,
     .derived = "none",
     .doc = "A PEM file with its private key.",
     .example = "/etc/boxedge/api-client-key.pem",
     AT(conf_upstream_t, tls_key)},
    {.name = "health_path",
     .type = CONF_NO_TARGET,
     .derived = "none: servers are not asked",
     .doc = "What is asked of each server with GET to see whether it is well: 2xx and 3xx say that it is.",
     .example = "/health",
     AT(conf_upstream_t, health_path)},
    {.name = "health_interval",
     .type = CONF_DURATION,
     .min = 100,
     .max = HOUR,
     .fallback = "5s",
     .doc = "Between two checks of a server.",
     AT(conf_upstream_t, health_interval)},
    {.name = "health_timeout",
     .type = CONF_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "2s",
     .doc = "For one check.",
     AT(conf_upstream_t, health_timeout)},
    {.name = "health_rise",
     .type = CONF_UINT,
     .unit = "checks",
     .min = 1,
     .max = 100,
     .fallback = "2",
     .doc = "In a row that must succeed until a server that is down is up again.",
     AT(conf_upstream_t, health_rise)},
    {.name = "health_fall",
     .type = CONF_UINT,
     .unit = "checks",
     .min = 1,
     .max = 100,
     .fallback = "3",
     .doc = "In a row that must fail until a server is down.",
     AT(conf_upstream_t, health_fall)},
    {.name = "eject_failures",
     .type = CONF_UINT,
     .unit = "requests",
     .max = 1000,
     .fallback = "5",
     .doc = "In a row that must fail (no connection, no answer, 500, 502, 503 or 504) until a server is left "
            "out "
            "for a while; 0 is never.",
     AT(conf_upstream_t, eject_failures)},
    {.name = "eject_time",
     .type = CONF_DURATION,
     .min = 100,
     .max = HOUR,
     .fallback = "10s",
     .doc =
         "How long it is left out for the first time; each time that follows doubles it, to ten times that.",
     AT(conf_upstream_t, eject_time)},
    {.name = "slow_start",
     .type = CONF_DURATION,
     .max = HOUR,
     .fallback = "10s",
     .doc = "In which a server that is back grows to its full share; 0 is at once.",
     AT(conf_upstream_t, slow_start)},
    {.name = "panic_percent",
     .type = CONF_UINT,
     .unit = "percent",
     .max = 100,
     .fallback = "50",
     .doc = "Where fewer of the servers are usable than so many, all are used: the checks may be wrong, and "
            "the few "
            "would be overrun. 0 is never.",
     AT(conf_upstream_t, panic_percent)},
    {.name = "server_in_flight",
     .type = CONF_UINT,
     .unit = "requests",
     .max = 1000000,
     .fallback = "0",
     .doc = "At one server at a time, over all workers; 0 is no limit.",
     AT(conf_upstream_t, server_in_flight)},
    {.name = "in_flight",
     .type = CONF_UINT,
     .unit = "requests",
     .max = 1000000,
     .fallback = "0",
     .doc = "At all servers at a time; 0 is no limit.",
     AT(conf_upstream_t, in_flight)},
    {.name = "queue",
     .type = CONF_UINT,
     .unit = "requests",
     .max = 1000000,
     .fallback = "1024",
     .doc = "That wait while all servers are full, over all workers; more are answered with 503 at once.",
     AT(conf_upstream_t, queue)},
    {.name = "queue_timeout",
     .type = CONF_DURATION,
     .min = 10,
     .max = HOUR,
     .fallback = "5s",
     .doc = "How long one waits; then it is answered with 503.",
     AT(conf_upstream_t, queue_timeout)},
    {.name = "retry_percent",
     .type = CONF_UINT,
     .unit = "percent",
     .max = 100,
     .fallback = "20",
     .doc = "Of the requests that may be sent to another server because one failed, at most.",
     AT(conf_upstream_t, retry_percent)},
    {.name = "first_byte",
     .type = CONF_DURATION,
     .min = 10,
     .max = DAY,
     .fallback = "15m",
     .doc = "For the first byte of a response, from the end of the request, and for a server to take more of "
            "its body.",
     AT(conf_upstream_t, first_byte)},
    {.name = "pool_after_body",
     .type = CONF_BOOL,
     .fallback = "true",
     .doc = "Whether an HTTP/1.1 connection is used again after a request with a body. Say `false` where a "
            "server may answer without reading the body: it would take the rest for the next request.",
     AT(conf_upstream_t, pool_after_body)},
};
const conf_table_t conf_upstream_keys = TABLE(upstream_rows);

static const conf_key_t plan_rows[] = {
    {.name = "name",
     .type = CONF_NAME,
     .required = true,
     .doc = "How keys, `api` and the field `RateLimit` call it.",
     .example = "free",
     AT(conf_plan_t, name)},
    {.name = "rate",
     .type = CONF_RATE,
     .required = true,
     .doc = "Units that come back in a second, minute, hour or day. A request takes one unit, where "
            "`api.costs` says "
            "nothing else.",
     .example = "10/s",
     .offset = offsetof(conf_plan_t, rate_count),
     .width = 2 * sizeof(uint64_t)},
    {.name = "burst",
     .type = CONF_UINT,
     .unit = "units",
     .min = 1,
     .max = 1000000,
     .fallback = "1",
     .doc = "That may be taken at once after a rest.",
     AT(conf_plan_t, burst)},
    {.name = "in_flight",
     .type = CONF_UINT,
     .unit = "requests",
     .max = 1000000,
     .fallback = "0",
     .doc = "At a time; 0 is no limit.",
     AT(conf_plan_t, in_flight)},
};
const conf_table_t conf_plan_keys = TABLE(plan_rows);

static const conf_key_t cost_rows[] = {
    {.name = "method",
     .type = CONF_METHOD,
     .fallback = "*",
     .doc = "Of the request; `*` is any.",
     AT(conf_cost_t, method)},
    {.name = "path",
     .type = CONF_PATTERN,
     .required = true,
     .doc = "Of the request, without its query. `{…}` stands for one segment, a `*` at the end for "
            "everything that "
            "follows.",
     .example = "\"/v2/box/{id}/exec\"",
     AT(conf_cost_t, path)},
    {.name = "cost",
     .type = CONF_UINT,
     .unit = "units",
     .max = 1000000,
     .required = true,
     .doc = "That such a request takes; 0 is free.",
     .example = "10",
     AT(conf_cost_t, cost)},
};
const conf_table_t conf_cost_keys = TABLE(cost_rows);

static const conf_key_t route_rows[] = {
    {.name = "path",
     .type = CONF_PATTERN,
     .required = true,
     .doc = "Of the request, without its query; as in `api.costs`.",
     .example = "\"/v2/box/{id}/browser/cdp\"",
     AT(conf_route_t, path)},
    {.name = "method",
     .type = CONF_METHOD,
     .fallback = "*",
     .doc = "Of the request; `*` is any.",
     AT(conf_route_t, method)},
};
const conf_table_t conf_route_keys = TABLE(route_rows);

static const conf_key_t origin_rows[] = {
    {.name = "origin",
     .type = CONF_ORIGIN,
     .required = true,
     .doc = "Scheme, host and port as browsers send them in `Origin`; `*` is any.",
     .example = "https://app.example.com",
     AT(conf_origin_t, origin)},
};
const conf_table_t conf_origin_keys = TABLE(origin_rows);

static const conf_key_t api_key_rows[] = {
    {.name = "name",
     .type = CONF_NAME,
     .required = true,
     .doc = "How logs call it.",
     .example = "ci",
     AT(conf_api_key_t, name)},
    {.name = "sha256",
     .type = CONF_SHA256,
     .required = true,
     .doc = "The SHA-256 of the key, in hexadecimal: `printf %s \"$KEY\" | sha256sum`.",
     .example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
     AT(conf_api_key_t, sha256)},
    {.name = "plan",
     .type = CONF_NAME,
     .required = true,
     .doc = "One of `plans`.",
     .example = "free",
     AT(conf_api_key_t, plan)},
};
const conf_table_t conf_api_key_keys = TABLE(api_key_rows);
