/* Rows of the key table for connections: listeners, certificates, proxies in front. */
#include "conf_rows.h"

static const conf_key_t listener_rows[] = {
    {.name = "address",
     .type = CONF_ADDRESS,
     .derived = "`127.0.0.1:9464` for `metrics`; others need one",
     .doc = "Address and port to listen on. An IPv6 address accepts IPv6 clients only: set `ipv4`, or use "
            "`[::]:443` beside `0.0.0.0:443`.",
     .example = "\"0.0.0.0:443\"",
     AT(conf_listener_t, address)},
    {.name = "kind",
     .type = CONF_LISTENER_KIND,
     .required = true,
     .doc = "`tls` carries previews; `redirect` answers plain HTTP with a redirect to https; `plain` carries "
            "previews without TLS, for use behind another proxy; `health` answers `/healthz` and `/readyz`; "
            "`metrics` answers these two and `/metrics`.",
     .example = "tls",
     AT(conf_listener_t, kind)},
    {.name = "ipv4",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "For a listener at `[::]`: whether it also accepts IPv4 clients at all addresses. A restart "
            "changes it, a reload cannot.",
     AT(conf_listener_t, ipv4)},
    {.name = "proxy_protocol",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "Whether each connection begins with a PROXY protocol header (version 1 or 2) that names the "
            "client's address. Any peer of such a listener can claim any address, so let only the proxy "
            "reach it. The edge closes connections without the header.",
     AT(conf_listener_t, proxy_protocol)},
    {.name = "tls_terminated",
     .type = CONF_BOOL,
     .fallback = "false",
     .doc = "For a `plain` listener: whether a request with exactly one `X-Forwarded-Proto: https` from a "
            "proxy in `trusted_proxies` counts as https, with sign-in and cookies. The proxy must overwrite "
            "that field.",
     AT(conf_listener_t, tls_terminated)},
    {.name = "tls_certificate",
     .type = CONF_NO_PATH,
     .secrecy = CONF_OPEN,
     .derived = "none: no TLS",
     .doc = "For a `metrics` listener: PEM file with its certificate, followed by the intermediates. The "
            "edge's user reads it, and never the keys of `certificates`.",
     .example = "/etc/boxedge/metrics.pem",
     AT(conf_listener_t, tls_certificate)},
    {.name = "tls_key",
     .type = CONF_NO_PATH,
     .secrecy = CONF_SECRET_FILE,
     .derived = "none",
     .doc = "For a `metrics` listener: PEM file with the key of `tls_certificate`.",
     .example = "/etc/boxedge/metrics.key",
     AT(conf_listener_t, tls_key)},
    {.name = "token_file",
     .type = CONF_NO_PATH,
     .secrecy = CONF_SECRET_FILE,
     .derived = "none: everyone who reaches the port reads the metrics",
     .doc = "For a `metrics` listener: file whose first line is the bearer token that `/metrics` asks for. "
            "`/healthz` and `/readyz` need none.",
     .example = "/etc/boxedge/metrics.token",
     AT(conf_listener_t, token_file)},
};
const conf_table_t conf_listener_keys = TABLE(listener_rows);

static const conf_key_t certificate_rows[] = {
    {.name = "chain",
     .type = CONF_PATH,
     .secrecy = CONF_OPEN,
     .required = true,
     .doc = "PEM file with the certificate, followed by its intermediates.",
     .example = "/etc/boxedge/tls/fullchain.pem",
     AT(conf_certificate_t, chain_path)},
    {.name = "key",
     .type = CONF_PATH,
     .secrecy = CONF_SECRET_FILE,
     .required = true,
     .doc = "PEM file with the private key. Only its owner should be able to read it.",
     .example = "/etc/boxedge/tls/key.pem",
     AT(conf_certificate_t, key_path)},
};
const conf_table_t conf_certificate_keys = TABLE(certificate_rows);

static const char *const client_fields[] = {[CONF_CLIENT_X_FORWARDED_FOR] = "X-Forwarded-For",
                                            [CONF_CLIENT_FORWARDED] = "Forwarded",
                                            [CONF_CLIENT_X_REAL_IP] = "X-Real-IP",
                                            [CONF_CLIENT_CF_CONNECTING_IP] = "CF-Connecting-IP",
                                            NULL};

static const conf_key_t proxy_rows[] = {
    {.name = "network",
     .type = CONF_NETWORK,
     .required = true,
     .doc = "Source of the proxies' connections: a network, or one address.",
     .example = "10.0.0.0/8",
     AT(conf_proxy_t, network)},
    {.name = "client_field",
     .type = CONF_CHOICE,
     .choices = client_fields,
     .fallback = "X-Forwarded-For",
     .doc = "Field in which the proxies name the client. In a list, the rightmost address that is not a "
            "trusted proxy's counts. The proxies must set the field, or append to it, for every request.",
     AT(conf_proxy_t, client_field)},
};
const conf_table_t conf_proxy_keys = TABLE(proxy_rows);
