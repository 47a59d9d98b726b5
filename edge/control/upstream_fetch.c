#include "upstream_fetch.h"

#include <arpa/inet.h>
#include <stdio.h>

/* The URL's host is the name for the check of the certificate. False: too long. */
static bool write_url(const conf_upstream_t *conf, const balance_server_t *server, const char *path,
                      char out[UPSTREAM_URL_MAX])
{
    struct in6_addr address;
    const char *host = conf->servers[server->index].host;
    if (conf->tls && conf->tls_name[0] != '\0')
        host = conf->tls_name;
    bool v6 = inet_pton(AF_INET6, host, &address) == 1;
    int n = snprintf(out, UPSTREAM_URL_MAX, "%s://%s%s%s:%u%s", conf->tls ? "https" : "http", v6 ? "[" : "",
                     host, v6 ? "]" : "", server->port, path);
    return n > 0 && n < UPSTREAM_URL_MAX;
}

/* NULL for "". */
static const char *path_of(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

bool upstream_fetch_init(upstream_fetch_t *out, const conf_upstream_t *conf, const balance_server_t *server,
                         const char *path)
{
    (void)address_port_text(&server->address, server->port, out->place);
    out->fetch = (fetch_request_t){
        .method = "GET",
        .url = out->url,
        .ca_file = path_of(conf->tls_ca),
        .certificate = path_of(conf->tls_certificate),
        .key = path_of(conf->tls_key),
        .connect_to = out->place,
        .http2 = conf->protocol == CONF_PROTOCOL_H2,
        .alone = true,
    };
    return write_url(conf, server, path, out->url);
}
