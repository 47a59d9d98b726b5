#include "conf_keys.h"

#define SECOND (1000u)
#define MINUTE (60u * SECOND)
#define HOUR   (60u * MINUTE)
#define DAY    (24u * HOUR)
#define KIB    (UINT64_C(1) << 10)
#define MIB    (UINT64_C(1) << 20)
#define GIB    (UINT64_C(1) << 30)
#define TIB    (UINT64_C(1) << 40)

/* Where a field lies. */
#define AT(type, field) .offset = offsetof(type, field), .width = sizeof(((type *)0)->field)
/* Where a list and its count lie. */
#define LIST(field, counter, element_type)                                                                   \
    .offset = offsetof(conf_t, field), .width = sizeof(((conf_t *)0)->field),                                \
    .count_offset = offsetof(conf_t, counter), .element_size = sizeof(element_type)
#define TABLE(rows)                                                                                          \
    {                                                                                                        \
        (rows), sizeof(rows) / sizeof((rows)[0])                                                             \
    }

static const conf_key_t listener_rows[] = {
    {.name = "address",
     .type = CONF_ADDRESS,
     .required = true,
     .doc = "Where to accept connections.",
     .example = "\"0.0.0.0:443\"",
     AT(conf_listener_t, address)},
    {.name = "kind",
     .type = CONF_LISTENER_KIND,
     .required = true,
     .doc = "`tls` carries previews; `redirect` answers plain HTTP with a redirect to https; `plain` carries "
            "previews without TLS, for use behind another proxy; `health` answers `/healthz` and `/readyz`.",
     .example = "tls",
     AT(conf_listener_t, kind)},
    {.name = "proxy_protocol",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc =
         "Whether each connection begins with a PROXY protocol header (version 1 or 2), whose address then "
         "counts as the client's. Whoever reaches such a listener can claim any address, so let only the "
         "proxy reach it; connections without the header are closed.",
     AT(conf_listener_t, proxy_protocol)},
};
static const conf_table_t listener_table = TABLE(listener_rows);

static const conf_key_t certificate_rows[] = {
    {.name = "chain",
     .type = CONF_PATH,
     .required = true,
     .doc = "PEM file with the certificate, followed by its intermediates.",
     .example = "/etc/boxedge/tls/fullchain.pem",
     AT(conf_certificate_t, chain_path)},
    {.name = "key",
     .type = CONF_PATH,
     .required = true,
     .doc = "PEM file with the private key; nobody but its owner should be able to read it.",
     .example = "/etc/boxedge/tls/key.pem",
     AT(conf_certificate_t, key_path)},
};
static const conf_table_t certificate_table = TABLE(certificate_rows);

static const conf_key_t box_rows[] = {
    {.name = "id",
     .type = CONF_BOX_ID,
     .required = true,
     .doc = "The box's name in host names.",
     .example = "demo-box",
     AT(conf_box_t, id)},
    {.name = "address",
     .type = CONF_BOX_ADDRESS,
     .required = true,
     .doc =
         "Where the box is. With a port, every preview of the box goes to that port; without, each goes to "
         "its own.",
     .example = "127.0.0.1",
     AT(conf_box_t, address)},
};
static const conf_table_t box_table = TABLE(box_rows);

static const conf_key_t rows[] = {
    {.name = "preview_domain",
     .type = CONF_DOMAIN,
     .required = true,
     .doc = "Previews are served at `<box id>-<port>.<this domain>`; a wildcard DNS record points it at the "
            "edge. Give it a domain of its own, because previews can set cookies for it.",
     .example = "preview.box.example.com",
     AT(conf_t, preview_domain)},
    {.name = "public_port",
     .type = CONF_UINT,
     .min = 1,
     .max = 65535,
     .derived = "the port of the first `tls` listener",
     .doc = "The port in URLs that the edge makes; set it where clients reach the edge through another port.",
     .example = "443",
     AT(conf_t, public_port)},
    {.name = "listeners",
     .type = CONF_MAPS,
     .min = 1,
     .max = 64,
     .required = true,
     .doc = "Where the edge accepts connections.",
     .example = "[{address: \"0.0.0.0:443\", kind: tls}, {address: \"0.0.0.0:80\", kind: redirect}, "
                "{address: \"127.0.0.1:8081\", kind: health}]",
     LIST(listeners, listener_count, conf_listener_t),
     .element = &listener_table},
    {.name = "certificates",
     .type = CONF_MAPS,
     .max = 1024,
     .derived = "none: the edge makes a local authority and a wildcard certificate in `state_dir`",
     .doc = "Certificates for the `tls` listeners, chosen by the client's server name; the first one serves "
            "clients that name none.",
     .example = "[{chain: /etc/boxedge/tls/fullchain.pem, key: /etc/boxedge/tls/key.pem}]",
     LIST(certificates, certificate_count, conf_certificate_t),
     .element = &certificate_table},
    {.name = "workers",
     .type = CONF_UINT,
     .unit = "processes",
     .max = 256,
     .fallback = "0",
     .doc = "How many processes serve traffic; 0 is one for each CPU that the edge may run on.",
     AT(conf_t, workers)},
    {.name = "node",
     .type = CONF_NODE,
     .derived = "the host name",
     .doc = "The name of this machine in logs and in `CDN-Loop`; give each edge of a fleet its own.",
     .example = "edge-1",
     AT(conf_t, node)},
    {.name = "user",
     .type = CONF_USER,
     .fallback = "boxedge",
     .doc = "When started as root, the user whose rights the workers and the controller run with; \"\" keeps "
            "root's. Without effect when not started as root.",
     AT(conf_t, user)},
    {.name = "state_dir",
     .type = CONF_PATH,
     .derived = "`/var/lib/boxedge` as root, else `$XDG_STATE_HOME/boxedge` or `~/.local/state/boxedge`",
     .doc = "Directory of what must survive a restart: previews, the local authority.",
     .example = "/var/lib/boxedge",
     AT(conf_t, state_dir)},
    {.name = "run_dir",
     .type = CONF_PATH,
     .derived = "`/run/boxedge` as root, else `$XDG_RUNTIME_DIR/boxedge` or `run` in `state_dir`",
     .doc = "Directory of what need not survive a reboot: lock, admin socket, box states. A tmpfs is best.",
     .example = "/run/boxedge",
     AT(conf_t, run_dir)},
    {.name = "admin", .type = CONF_SECTION, .doc = "How operators reach the running edge."},
    {.name = "admin.socket",
     .type = CONF_PATH,
     .derived = "`admin.sock` in `run_dir`",
     .doc = "Unix socket of the admin interface and of `/metrics`.",
     .example = "/run/boxedge/admin.sock",
     AT(conf_t, admin_socket)},
    {.name = "store", .type = CONF_SECTION, .doc = "Where previews and box states are recorded."},
    {.name = "store.map_size",
     .type = CONF_SIZE,
     .min = MIB,
     .max = 16 * TIB,
     .fallback = "16GiB",
     .doc = "The most that each store may grow to, a multiple of 4KiB. The file is sparse: only what is used "
            "takes room on the disk.",
     AT(conf_t, store_map_bytes)},
    {.name = "log", .type = CONF_SECTION, .doc = "Logs."},
    {.name = "log.access",
     .type = CONF_LOG,
     .fallback = "stdout",
     .doc = "Where the access log goes, one JSON line a request; a file is opened again on SIGUSR1.",
     AT(conf_t, access_log)},
    {.name = "trusted_proxies",
     .type = CONF_NETWORKS,
     .max = 256,
     .derived = "none",
     .doc = "Networks of the proxies in front of the edge: only from them do `X-Forwarded-*` and "
            "`X-Request-Id` count.",
     .example = "[10.0.0.0/8, \"fd00::/8\"]",
     LIST(trusted, trusted_count, conf_network_t)},
    {.name = "limits", .type = CONF_SECTION, .doc = "How much one client, and all of them, may use."},
    {.name = "limits.head_size",
     .type = CONF_SIZE,
     .min = 1 * KIB,
     .max = 256 * KIB,
     .fallback = "32KiB",
     .doc = "A request's or response's head; more is answered with 431 or 502.",
     AT(conf_t, limits.head_bytes)},
    {.name = "limits.head_fields",
     .type = CONF_UINT,
     .unit = "fields",
     .min = 10,
     .max = 1000,
     .fallback = "100",
     .doc = "Fields in a head; more is answered with 431 or 502.",
     AT(conf_t, limits.head_fields)},
    {.name = "limits.streams",
     .type = CONF_UINT,
     .unit = "streams",
     .min = 1,
     .max = 1000,
     .fallback = "128",
     .doc = "Requests that one HTTP/2 connection may have open at a time.",
     AT(conf_t, limits.streams)},
    {.name = "limits.connections_per_client",
     .type = CONF_UINT,
     .unit = "connections",
     .max = 1000000,
     .fallback = "1024",
     .doc = "Connections of one client address (of one /64 for IPv6) over all workers; 0 is no limit.",
     AT(conf_t, limits.connections_per_client)},
    {.name = "limits.connections",
     .type = CONF_UINT,
     .unit = "connections",
     .min = 16,
     .max = 1000000,
     .fallback = "32768",
     .doc = "Client connections that one worker holds.",
     AT(conf_t, limits.connections)},
    {.name = "limits.memory",
     .type = CONF_SIZE,
     .min = 4 * MIB,
     .max = TIB,
     .fallback = "256MiB",
     .doc = "What one worker may hold in buffers; above it, new requests are answered with 503.",
     AT(conf_t, limits.memory_bytes)},
    {.name = "timeouts", .type = CONF_SECTION, .doc = "How long the edge waits for others."},
    {.name = "timeouts.handshake",
     .type = CONF_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "10s",
     .doc = "For the TLS handshake, from accepting the connection.",
     AT(conf_t, timeouts.handshake)},
    {.name = "timeouts.head",
     .type = CONF_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "10s",
     .doc = "For a request's head, from its first byte to its end.",
     AT(conf_t, timeouts.head)},
    {.name = "timeouts.body_idle",
     .type = CONF_DURATION,
     .min = 10,
     .max = DAY,
     .fallback = "60s",
     .doc = "For the next bytes of a request's body.",
     AT(conf_t, timeouts.body_idle)},
    {.name = "timeouts.write_idle",
     .type = CONF_DURATION,
     .min = 10,
     .max = DAY,
     .fallback = "60s",
     .doc = "For a client to take the next bytes of a response; then it is cut.",
     AT(conf_t, timeouts.write_idle)},
    {.name = "timeouts.keep_alive",
     .type = CONF_DURATION,
     .min = 10,
     .max = DAY,
     .fallback = "75s",
     .doc = "For the next request on an idle client connection.",
     AT(conf_t, timeouts.keep_alive)},
    {.name = "timeouts.connect",
     .type = CONF_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "5s",
     .doc = "For connecting to a box.",
     AT(conf_t, timeouts.connect)},
    {.name = "timeouts.first_byte",
     .type = CONF_DURATION,
     .min = 10,
     .max = DAY,
     .fallback = "15m",
     .doc = "For the first byte of a box's response, from the end of the request.",
     AT(conf_t, timeouts.first_byte)},
    {.name = "timeouts.pool_idle",
     .type = CONF_DURATION,
     .min = 10,
     .max = 10 * MINUTE,
     .fallback = "4s",
     .doc = "An idle connection to a box is used again within this time; many servers close at 5s.",
     AT(conf_t, timeouts.pool_idle)},
    {.name = "timeouts.drain",
     .type = CONF_DURATION,
     .min = 0,
     .max = DAY,
     .fallback = "30s",
     .doc = "For requests and tunnels to end after SIGTERM; then they are cut.",
     AT(conf_t, timeouts.drain)},
    {.name = "timeouts.heartbeat",
     .type = CONF_DURATION,
     .min = SECOND,
     .max = 10 * MINUTE,
     .fallback = "5s",
     .doc = "A worker that shows no life for so long is killed and replaced.",
     AT(conf_t, timeouts.heartbeat)},
    {.name = "boxes",
     .type = CONF_MAPS,
     .max = 16384,
     .derived = "none",
     .doc = "Boxes at fixed addresses that always run.",
     .example = "[{id: demo-box, address: 127.0.0.1}]",
     LIST(boxes, box_count, conf_box_t),
     .element = &box_table},
};
const conf_table_t conf_keys = TABLE(rows);

const conf_key_t *conf_keys_find(const conf_table_t *table, str_t name)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_eq(str_from(table->keys[i].name), name))
            return &table->keys[i];
    return NULL;
}

const char *conf_keys_leaf(const conf_key_t *key)
{
    const char *dot = strrchr(key->name, '.');
    return dot != NULL ? dot + 1 : key->name;
}

bool conf_keys_in(const conf_key_t *key, str_t prefix)
{
    str_t section = str_make(key->name, (size_t)(conf_keys_leaf(key) - key->name));
    if (section.n != 0)
        section.n--; /* the dot */
    return str_eq(section, prefix);
}
