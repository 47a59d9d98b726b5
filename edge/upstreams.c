#include "upstreams.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

struct upstreams {
    loop_t *loop;
    conf_t *conf;
    balance_t *balance;
};

/* False where `host` is a name. */
static bool read_address(const char *host, struct in6_addr *out)
{
    struct in_addr v4;
    if (inet_pton(AF_INET6, host, out) == 1)
        return true;
    if (inet_pton(AF_INET, host, &v4) != 1)
        return false;
    *out = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff}};
    memcpy(&out->s6_addr[12], &v4, sizeof(v4));
    return true;
}

static void set_servers(upstreams_t *upstreams, unsigned index)
{
    const conf_upstream_t *upstream = &upstreams->conf->upstreams[index];
    balance_server_t servers[BALANCE_SERVERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < upstream->server_count && count < BALANCE_SERVERS_MAX; i++) {
        const conf_server_t *from = &upstream->servers[i];
        balance_server_t *server = &servers[count];
        *server = (balance_server_t){.index = (uint16_t)i, .port = from->port, .weight = from->weight};
        memcpy(server->name, from->text, sizeof(server->name));
        count += read_address(from->host, &server->address);
    }
    balance_set(upstreams->balance, index, servers, count, loop_now(upstreams->loop));
}

upstreams_t *upstreams_new(loop_t *loop, const conf_t *conf, balance_t *balance)
{
    upstreams_t *upstreams = calloc(1, sizeof(*upstreams));
    assert(upstreams != NULL);
    *upstreams = (upstreams_t){.loop = loop, .balance = balance};
    upstreams_set_conf(upstreams, conf);
    return upstreams;
}

void upstreams_free(upstreams_t **upstreams)
{
    if (*upstreams == NULL)
        return;
    conf_release(&(*upstreams)->conf);
    free(*upstreams);
    *upstreams = NULL;
}

void upstreams_set_conf(upstreams_t *upstreams, const conf_t *conf)
{
    conf_t *before = upstreams->conf;
    upstreams->conf = conf_acquire(conf);
    for (unsigned i = 0; i < conf->upstream_count; i++)
        set_servers(upstreams, i);
    for (unsigned i = (unsigned)conf->upstream_count; before != NULL && i < before->upstream_count; i++)
        balance_set(upstreams->balance, i, NULL, 0, loop_now(upstreams->loop));
    conf_release(&before);
}
