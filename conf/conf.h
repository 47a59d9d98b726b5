/*
 * A loaded and checked configuration: an immutable snapshot with a reference count. An exchange in
 * flight keeps its snapshot while a reload installs another one. All fields come from the key table
 * (conf_keys.h). Times are in milliseconds and sizes in bytes, independent of the unit in the file.
 */
#ifndef BOXEDGE_CONF_H
#define BOXEDGE_CONF_H

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "str.h"

typedef enum conf_listener_kind {
    CONF_LISTENER_TLS,      /* previews over TLS */
    CONF_LISTENER_REDIRECT, /* plain HTTP that redirects to https */
    CONF_LISTENER_PLAIN,    /* plain HTTP that carries previews, for use behind another proxy */
    CONF_LISTENER_HEALTH,   /* /healthz and /readyz only */
    CONF_LISTENER_METRICS,  /* /metrics, /healthz and /readyz, by the controller */
} conf_listener_kind_t;

/* An IPv4 or IPv6 address with its port. */
typedef struct conf_address {
    struct sockaddr_storage sa;
    socklen_t len;
} conf_address_t;

typedef struct conf_listener {
    conf_listener_kind_t kind;
    conf_address_t address;
    char text[64];       /* for printing: "127.0.0.1:8443", "[::]:443" */
    uint64_t id;         /* a hash of the text, not 0 */
    bool ipv4;           /* "[::]": takes IPv4 clients, too */
    bool proxy_protocol; /* each connection begins with a PROXY protocol header */
    bool tls_terminated; /* plain: a trusted proxy's X-Forwarded-Proto tells whether its client came over TLS
                          */
    char *tls_certificate; /* metrics: PEM, leaf first; "": no TLS */
    char *tls_key;
    char *token_file; /* metrics: its first line is the bearer token of /metrics; "": none */
} conf_listener_t;

/* A position in the file, both from 1; line 0: the file as a whole. */
typedef struct conf_place {
    unsigned line;
    unsigned column;
} conf_place_t;

/* Relative paths in the file are relative to its directory; these paths are resolved. */
typedef struct conf_certificate {
    char *chain_path; /* PEM, leaf first */
    char *key_path;   /* PEM */
    conf_place_t chain_place;
    conf_place_t key_place;
} conf_certificate_t;

/* A network: the first `bits` bits of `address` (IPv4 is an IPv4-mapped IPv6 address, bits + 96). */
typedef struct conf_network {
    struct in6_addr address;
    unsigned bits;
} conf_network_t;

/* The field in which a proxy names its client. */
typedef enum conf_client_field {
    CONF_CLIENT_X_FORWARDED_FOR,
    CONF_CLIENT_FORWARDED,
    CONF_CLIENT_X_REAL_IP,
    CONF_CLIENT_CF_CONNECTING_IP,
} conf_client_field_t;

/* The readers that see the cause of a box's failure on the edge's answers: the last line of its log
 * and its listening ports. */
typedef enum conf_failure_details {
    CONF_DETAILS_EVERYONE,      /* each reader that may see the preview */
    CONF_DETAILS_AUTHENTICATED, /* readers that showed credentials of the preview */
    CONF_DETAILS_NOBODY,
} conf_failure_details_t;

/* The form of the edge's own messages. */
typedef enum conf_messages {
    CONF_MESSAGES_TEXT,
    CONF_MESSAGES_JSON,
} conf_messages_t;

/* Proxies in front of the edge. */
typedef struct conf_proxy {
    conf_network_t network;
    conf_client_field_t client_field;
} conf_proxy_t;

/* A box of the static provider: always running, at a fixed address. */
typedef struct conf_box {
    char id[58];
    conf_address_t address; /* port 0: the preview's port is used */
    uint16_t *ports;        /* the only ports that may have previews */
    size_t port_count;      /* 0: all ports may */
    conf_place_t place;
} conf_box_t;

#define CONF_WORKERS_MAX 256

/* Maximum start time of a box. */
#define CONF_START_MAX_MS (60 * 60 * 1000)

/* The action on an idle process box. */
typedef enum conf_idle_action { CONF_IDLE_STOP, CONF_IDLE_FREEZE } conf_idle_action_t;

typedef enum conf_access { CONF_ACCESS_BEARER, CONF_ACCESS_BASIC, CONF_ACCESS_PUBLIC } conf_access_t;

/* Maximum previews of one process box that the file declares: one for each port. */
#define CONF_PROCESS_PREVIEWS_MAX 16

/* A preview that the edge makes by itself. */
typedef struct conf_preview {
    uint16_t port; /* one of the box's ports */
    conf_access_t access;
} conf_preview_t;

/* A box of the process provider: started on its first request, on this machine. */
typedef struct conf_process {
    char id[58];
    char **command; /* the program and its arguments; a single string is run by /bin/sh -c */
    size_t command_count;
    char *directory;    /* working directory; by default the configuration file's */
    char **environment; /* "NAME=value" */
    size_t environment_count;
    uint16_t *ports; /* the ports that may be exposed; the command's environment has the first as PORT */
    size_t port_count;
    conf_preview_t *previews;
    size_t preview_count;
    uint32_t start_timeout; /* from its start until its ports listen; 0: wake.timeout */
    uint32_t idle;          /* without activity, before idle_action; 0: never */
    conf_idle_action_t idle_action;
    bool keep_alive; /* the edge never stops or freezes it */
    char *user; /* the user that it runs as if the edge was started as root; by default the edge's `user`,
                   never root */
} conf_process_t;

/* ---- the API host (docs/api.md) ---- */

/* How a server of an upstream is chosen. */
typedef enum conf_balance {
    CONF_BALANCE_P2C,         /* the better of two random servers, by requests in flight and latency */
    CONF_BALANCE_ROUND_ROBIN, /* in turn, by weight */
    CONF_BALANCE_LEAST,       /* the fewest requests in flight for its weight */
    CONF_BALANCE_HASH,        /* by box id, with bounded load: the calls of a box reach the same server */
} conf_balance_t;

/* The protocol towards an upstream's servers. */
typedef enum conf_protocol { CONF_PROTOCOL_HTTP1, CONF_PROTOCOL_H2 } conf_protocol_t;

#define CONF_NAME_MAX 63
/* Longest text of a server: a host name of at most 253 bytes and a port, padded to whole words. */
#define CONF_SERVER_MAX 263

/* A server of an upstream: an address, or a name that is resolved again after its TTL. */
typedef struct conf_server {
    char *host; /* lower case; an IPv6 address without brackets */
    uint16_t port;
    uint32_t weight;                /* 1-100 */
    char text[CONF_SERVER_MAX + 1]; /* "host:port", as printed and as commands name it */
} conf_server_t;

typedef struct conf_upstream {
    char name[CONF_NAME_MAX + 1];
    char pool[CONF_NAME_MAX + 2]; /* "=<name>": never equal to a box id */
    uint64_t id;                  /* a hash of the name */
    conf_server_t *servers;
    size_t server_count;
    conf_balance_t balance;
    conf_protocol_t protocol;

    bool tls;              /* use TLS towards the servers, always verified */
    char *tls_name;        /* name in SNI and in the certificate; "": each server's host */
    char *tls_ca;          /* PEM; "": the system's authorities */
    char *tls_certificate; /* PEM of the edge's own certificate; "": none */
    char *tls_key;
    conf_place_t tls_ca_place, tls_certificate_place, tls_key_place;

    char *health_path;        /* requested from each server with GET; "": no active checks */
    uint32_t health_interval; /* ms */
    uint32_t health_timeout;  /* ms */
    uint32_t health_rise;     /* successes in a row until a server is up again */
    uint32_t health_fall;     /* failures in a row until a server is down */

    uint32_t eject_failures; /* failed exchanges in a row until a server is ejected; 0: never */
    uint32_t eject_time;     /* ms of the first ejection, doubling to ten times that */
    uint32_t slow_start; /* ms in which a returning server's share rises to its full share; 0: immediately */
    uint32_t panic_percent; /* if fewer servers are usable, all are used; 0: never */

    uint32_t server_in_flight; /* requests at one server, over all workers; 0: no limit */
    uint32_t in_flight;        /* requests at all servers; 0: no limit */
    uint32_t queue;            /* requests that wait for a slot, over all workers */
    uint32_t queue_timeout;    /* ms */
    uint32_t retry_percent;    /* maximum retries per 100 requests */
    bool pool_after_body;      /* reuse connections after requests with a body */
    uint32_t first_byte;       /* ms for the response's first byte, from the end of the request */
} conf_upstream_t;

/* The limits of a key or a client address. */
typedef struct conf_plan {
    char name[CONF_NAME_MAX + 1];
    uint64_t id;         /* a hash of the name, not 0 */
    uint64_t rate_count; /* units in `rate_period_ms`; 0: no limit on the rate */
    uint64_t rate_period_ms;
    uint32_t burst;     /* units in one burst, 1 or more */
    uint32_t in_flight; /* simultaneous requests; 0: no limit */
} conf_plan_t;

/* The cost of a request other than one unit. The first match counts. */
typedef struct conf_cost {
    char method[16]; /* "*": any */
    char *path;    /* "/v2/box/{id}/exec": {…} is one segment; a "*" at the end matches everything below */
    uint32_t cost; /* 0: free */
} conf_cost_t;

/* A route of the API; fields as in conf_cost_t. */
typedef struct conf_route {
    char *path;
    char method[16];
} conf_route_t;

typedef enum conf_alias_mode { CONF_ALIAS_NONE, CONF_ALIAS_DASH } conf_alias_mode_t;

/* An origin whose pages may call the API: serialized, in lower case, or "*". */
typedef struct conf_origin {
    char *origin;
} conf_origin_t;

/* A declared key. */
typedef struct conf_api_key {
    char name[CONF_NAME_MAX + 1]; /* in logs */
    uint8_t sha256[32];           /* of the key */
    char plan[CONF_NAME_MAX + 1];
} conf_api_key_t;

typedef enum conf_limits_mode {
    CONF_LIMITS_ENFORCE,
    CONF_LIMITS_SHADOW, /* only logged and counted */
    CONF_LIMITS_OFF,
} conf_limits_mode_t;

typedef struct conf {
    char *source; /* path of the file, for messages */

    conf_listener_t *listeners; /* those of kind metrics come last */
    size_t listener_count;
    conf_certificate_t *certificates; /* none: the edge makes a local authority and a wildcard leaf */
    size_t certificate_count;

    char *preview_domain; /* lower case, no trailing dot: "preview.box.example.com" */
    uint16_t public_port; /* in URLs that the edge makes; by default the port of the first tls listener */
    char *node;           /* name of this machine in CDN-Loop and logs; by default the host name */

    unsigned workers; /* resolved: never 0 */
    char *user;       /* the user of workers and controller if started as root; "" keeps the rights */
    char *state_dir;  /* local CA, durable store */
    char *run_dir;    /* lock file, admin socket, volatile store (should be a tmpfs) */
    char *admin_socket;
    uint64_t store_map_bytes;

    char *access_log;    /* conf_log.h */
    uint8_t *log_fields; /* each an access_field_t; none: all */
    size_t log_field_count;
    uint32_t log_flush_ms; /* maximum time of an access line in a worker */
    conf_messages_t log_messages;

    struct {
        char *otlp;          /* URL of the receiver of traces; "": none are made */
        char *ca_file;       /* PEM; "": the system's */
        uint32_t rate;       /* of requests without a decision of their client, in millionths */
        uint32_t per_second; /* traces of one worker, of each kind of decision */
        uint32_t timeout;    /* for one call */
    } tracing;

    conf_proxy_t *trusted; /* proxies that are trusted to name their clients */
    size_t trusted_count;

    struct {
        uint32_t head_bytes;  /* request and response head */
        uint32_t head_fields; /* fields in a head */
        uint32_t streams;     /* concurrent HTTP/2 streams of a connection */
        uint32_t
            connections_per_client; /* of one client address (/64 for IPv6), over all workers; 0: no limit */
        uint32_t connections;       /* per worker */
        uint32_t origin_connections_per_client, origin_connections_per_box; /* of a worker; 0: its share */
        uint32_t origin_queue;            /* a worker's requests that wait for such a connection */
        uint64_t memory_bytes;            /* memory of a worker's exchanges before it sheds load */
        uint64_t memory_per_client_bytes; /* share of one client address and of one box, over all workers,
                                             once memory is short; 0: an eighth */
    } limits;

    struct {
        uint32_t handshake;     /* TLS, from accept */
        uint32_t head;          /* from a request's first byte to the end of its head */
        uint32_t body_idle;     /* between reads of a request body */
        uint32_t origin_queue;  /* wait for an origin connection within the limits of its client and box */
        uint32_t write_idle;    /* a client that takes no byte in this time is cut */
        uint32_t keep_alive;    /* between requests */
        uint32_t connect;       /* to an origin */
        uint32_t first_byte;    /* from the request's end to the response's first byte */
        uint32_t pool_idle;     /* maximum idle time of a pooled origin connection */
        uint32_t drain_delay;   /* on SIGTERM, before the drain */
        uint32_t drain;         /* on SIGTERM */
        uint32_t drain_tunnels; /* on a reload or an upgrade */
        uint32_t heartbeat;     /* a worker without a heartbeat in this time is killed */
    } timeouts;

    conf_box_t *boxes;
    size_t box_count;

    conf_process_t *processes;
    size_t process_count;

    struct {
        char *socket;  /* of the Docker Engine API; "": no such provider */
        char *label;   /* prefix of labels: "<label>.id", ".keep_alive", ".idle", ".init", ".ports" */
        bool pause;    /* `idle` is 30 minutes if it was 0 */
        uint32_t idle; /* containers without their own label are paused after this; 0: never */
    } docker;

    struct {
        char *url; /* base of the control plane, http or https, no '/' at the end; "": no such provider */
        char *token_file; /* its first line is the bearer token; "": none */
        char *ca_file;    /* PEM; "": the system's */
        uint32_t timeout; /* for one call */
    } control_plane;

    conf_network_t *origins; /* networks that boxes of docker and control_plane may be in */
    size_t origin_count;

    struct {
        uint32_t timeout;         /* maximum wait of a request */
        uint32_t page_after;      /* a navigation then gets the waiting page; 0: never */
        uint32_t idle_open;       /* an idle tunnel or event stream holds its box for this time */
        uint32_t waiters;         /* waiting requests, over all workers */
        uint32_t waiters_per_box; /* over all workers */
        uint32_t per_client;      /* wakes per minute that one client address may begin; 0: no limit */
    } wake;

    conf_failure_details_t failure_details;

    conf_upstream_t *upstreams;
    size_t upstream_count;
    conf_plan_t *plans;
    size_t plan_count;

    struct {
        char **hosts; /* names of the API, lower case; none: no API host */
        size_t host_count;
        char *upstream;        /* a name of `upstreams` */
        size_t upstream_index; /* its index, if `hosts` is not empty */
        char *default_plan;    /* of keys in no list, once the upstream has accepted them; "": client_plan */
        char *client_plan;     /* of a client address, for requests without such a key; "": no limits */
        const conf_plan_t *default_limits, *client_limits; /* the plans of those names; NULL: no limits */
        conf_limits_mode_t limits;
        conf_cost_t *costs;
        size_t cost_count;
        conf_api_key_t *keys;
        size_t key_count;
        char *settle_key;                 /* a file whose first line is a key that sees every box; "": none */
        bool previews;                    /* the edge answers /v2/box/{id}/preview */
        conf_alias_mode_t previews_alias; /* of ids with '_' */
        conf_route_t *unkeyed;            /* pass without a key, because they carry another proof */
        size_t unkeyed_count;
        conf_route_t *proves; /* a success shows that the upstream accepts the key */
        size_t proves_count;
        uint64_t new_keys_count, new_keys_period_ms; /* of one client address; 0: no limit */
        conf_origin_t *cors;                         /* origins whose preflights the edge answers */
        size_t cors_count;
    } api;

    unsigned refcount;
} conf_t;

/*
 * Collects the errors of a file as lines "file:line:col: key: sentence", and its doubtful parts as
 * "file:line:col: warning: key: sentence". Keeps the first CONF_ERRORS_MAX of them and counts all.
 */
typedef struct conf_errors conf_errors_t;

#define CONF_ERRORS_MAX 1000

conf_errors_t *conf_errors_new(void);
void conf_errors_free(conf_errors_t **errors);
/* Errors without warnings. */
size_t conf_errors_count(const conf_errors_t *errors);
size_t conf_errors_warnings(const conf_errors_t *errors);
/* Writes one line per error or warning, in the order of the file. */
void conf_errors_print(const conf_errors_t *errors, FILE *out);

/*
 * Loads `path`, or the bytes `text` under the name `path` (conf_parse). Adds all errors to
 * `errors`, not only the first. Returns a snapshot with one reference, owned by the caller, or NULL
 * after any error; warnings do not count.
 *
 * Both read no file but `path`. conf_check_files checks the files that the configuration names
 * (certificates, keys: readable, of the right kind). conf_check_places checks where the edge writes
 * (state_dir, run_dir, the access log) and where process boxes run, on this machine and as this user. Both
 * add errors and warnings, for certificates with their lines. conf_environment.h has the other inputs of the
 * defaults.
 */
conf_t *conf_load(const char *path, conf_errors_t *errors);
conf_t *conf_parse(const char *path, str_t text, conf_errors_t *errors);
void conf_check_files(const conf_t *conf, conf_errors_t *errors);
void conf_check_places(const conf_t *conf, conf_errors_t *errors);

conf_t *conf_acquire(const conf_t *conf);
/* Releases a reference and nulls it; the last one frees. NULL is allowed. */
void conf_release(conf_t **conf);

/* Returns whether `address` (IPv4 as mapped IPv6) is in one of the networks. */
bool conf_network_has(const conf_network_t *networks, size_t count, const struct in6_addr *address);
/* The first element of trusted_proxies whose network has `address`, or NULL. */
const conf_proxy_t *conf_trusted_proxy(const conf_t *conf, const struct in6_addr *address);

/*
 * Returns whether `address` is one of the edge's own listeners, so that a connection to it would
 * loop: the same address and port, or a loopback address on the port of a listener on all
 * addresses. Other addresses of this machine are not known here; CDN-Loop detects loops through
 * them.
 */
bool conf_listens_on(const conf_t *conf, const struct sockaddr *address);

/* The number of listeners that workers serve: the first ones. */
size_t conf_worker_listeners(const conf_t *conf);
/* The plan of that name, or NULL. */
const conf_plan_t *conf_plan(const conf_t *conf, const char *name);
/* Returns whether `host` (case, a trailing dot and a port are ignored) is one of api.hosts. */
bool conf_is_api_host(const conf_t *conf, str_t host);

/*
 * The units that a request takes of its plan; `path` has no query. If a path has several readings
 * (encoded, doubled slashes, capitals, ...), the dearest one counts.
 */
uint32_t conf_cost_of(const conf_t *conf, str_t method, str_t path);
/* Returns whether the request passes without a key in every reading of its path. */
bool conf_is_unkeyed(const conf_t *conf, str_t method, str_t path);
/* Returns whether a success proves the request's key in every reading of its path. */
bool conf_proves_key(const conf_t *conf, str_t method, str_t path);
/* Returns whether api.cors lets pages of this origin call the API. */
bool conf_allows_origin(const conf_t *conf, str_t origin);
/* Returns whether api.cors names this origin: `*` does not count. */
bool conf_lists_origin(const conf_t *conf, str_t origin);

/* Prints the configuration reference in Markdown, from the key table. */
void conf_print_reference(FILE *out);
/* Prints the key table as a complete commented YAML file with every default. */
void conf_print_default(FILE *out);

#endif
