/*
 * A change of the configuration or of a name's addresses builds the servers of all upstreams anew from both;
 * the balance and the checks keep unchanged servers.
 */
#include "upstreams.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "health.h"
#include "process_log.h"
#include "resolver.h"

/* The addresses of a server of the configuration. */
typedef struct server_addresses {
    size_t count;
    struct in6_addr at[RESOLVER_ADDRESSES_MAX];
} server_addresses_t;

struct upstreams {
    loop_t *loop;
    conf_t *conf;
    balance_t *balance;
    random_source_t *random;
    resolver_t *resolver;
    health_t *health[BALANCE_UPSTREAMS_MAX];
    /* Per server, the first unusable address, which the log has already; all zeros: none. */
    struct in6_addr refused[BALANCE_UPSTREAMS_MAX][BALANCE_SERVERS_MAX];
};

/* ---- addresses that are never used ---- */

/* Why the edge must not connect there; NULL: it may. */
static const char *refusal_of(const conf_t *conf, const struct in6_addr *address, uint16_t port)
{
    struct sockaddr_storage socket_address;
    if (address_is_nowhere(address))
        return "no server's address";
    if (address_is_link_local(address))
        return "a link-local address";
    if (IN6_IS_ADDR_MULTICAST(address) || (address_is_v4(address) && address_v4(address)[0] >= 224))
        return "an address of a group";
    (void)address_make(address, port, &socket_address);
    return conf_listens_on(conf, (const struct sockaddr *)&socket_address) ? "the edge's own listener" : NULL;
}

/* Removes unusable addresses, and logs the first one if it is new. */
static void filter(upstreams_t *upstreams, unsigned index, size_t i, server_addresses_t *addresses)
{
    const conf_server_t *server = &upstreams->conf->upstreams[index].servers[i];
    struct in6_addr first = {0}, *logged = &upstreams->refused[index][i];
    const char *why = NULL;
    size_t kept = 0;
    for (size_t n = 0; n < addresses->count; n++) {
        const char *refusal = refusal_of(upstreams->conf, &addresses->at[n], server->port);
        if (refusal == NULL) {
            addresses->at[kept++] = addresses->at[n];
        } else if (why == NULL) {
            why = refusal;
            first = addresses->at[n];
        }
    }
    if (why != NULL && memcmp(logged, &first, sizeof(first)) != 0) {
        char text[INET6_ADDRSTRLEN];
        (void)address_text(&first, text);
        process_log(LOG_SERVER_EXCLUDED, "controller",
                    "upstream %s: server %s is at %s, %s, and the edge never connects there%s",
                    upstreams->conf->upstreams[index].name, server->text, text, why,
                    addresses->count - kept > 1 ? "; some of its other addresses are excluded too" : "");
    }
    *logged = first;
    addresses->count = kept;
}

/* ---- servers ---- */

/* Keeps the addresses in the balance, from a previous process, until this one has resolved the name. */
static void keep_addresses(const upstreams_t *upstreams, unsigned index, const conf_server_t *server,
                           server_addresses_t *addresses)
{
    balance_view_t view;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX && addresses->count < RESOLVER_ADDRESSES_MAX; slot++)
        if (balance_look(upstreams->balance, index, slot, loop_now(upstreams->loop), &view) &&
            strcmp(view.server.name, server->text) == 0)
            addresses->at[addresses->count++] = view.server.address;
}

static void find_addresses(upstreams_t *upstreams, unsigned index, size_t i, server_addresses_t *addresses)
{
    const conf_server_t *server = &upstreams->conf->upstreams[index].servers[i];
    const struct in6_addr *found;
    if (address_parse(server->host, &addresses->at[0])) {
        addresses->count = 1;
    } else {
        addresses->count = resolver_look(upstreams->resolver, server->host, &found);
        if (addresses->count > 0)
            memcpy(addresses->at, found, addresses->count * sizeof(*found));
        else
            keep_addresses(upstreams, index, server, addresses);
    }
    filter(upstreams, index, i, addresses);
}

/* One address of each server, then a second of those with more, and so on while room is left. */
static size_t collect(const conf_upstream_t *conf, const server_addresses_t *addresses, balance_server_t *out)
{
    size_t count = 0;
    for (size_t n = 0; n < RESOLVER_ADDRESSES_MAX; n++)
        for (size_t i = 0; i < conf->server_count && count < BALANCE_SERVERS_MAX; i++) {
            const conf_server_t *from = &conf->servers[i];
            if (n >= addresses[i].count)
                continue;
            balance_server_t *server = &out[count++];
            *server = (balance_server_t){.index = (uint16_t)i,
                                         .address = addresses[i].at[n],
                                         .port = from->port,
                                         .weight = from->weight};
            memcpy(server->name, from->text, sizeof(server->name));
        }
    return count;
}

static void set_servers(upstreams_t *upstreams, unsigned index);

static void set_again(void *owner, unsigned index)
{
    upstreams_t *upstreams = owner;
    if (index < upstreams->conf->upstream_count)
        set_servers(upstreams, index);
}

static void set_servers(upstreams_t *upstreams, unsigned index)
{
    const conf_upstream_t *conf = &upstreams->conf->upstreams[index];
    balance_server_t servers[BALANCE_SERVERS_MAX];
    assert(conf->server_count <= BALANCE_SERVERS_MAX);
    server_addresses_t *addresses = calloc(conf->server_count, sizeof(*addresses));
    assert(addresses != NULL);
    for (size_t i = 0; i < conf->server_count; i++)
        find_addresses(upstreams, index, i, &addresses[i]);
    size_t count = collect(conf, addresses, servers);
    free(addresses);
    balance_set(upstreams->balance, index, upstreams->conf->upstreams[index].id, servers, count,
                loop_now(upstreams->loop));
    if (upstreams->health[index] == NULL)
        upstreams->health[index] =
            health_new(upstreams->loop, upstreams->balance, index, upstreams->random, set_again, upstreams);
    health_set(upstreams->health[index], conf);
}

static void set_all(void *owner)
{
    upstreams_t *upstreams = owner;
    for (unsigned i = 0; i < upstreams->conf->upstream_count; i++)
        set_servers(upstreams, i);
    for (unsigned i = (unsigned)upstreams->conf->upstream_count; i < BALANCE_UPSTREAMS_MAX; i++) {
        if (upstreams->health[i] == NULL)
            continue; /* never had any: its memory stays untouched */
        balance_set(upstreams->balance, i, 0, NULL, 0, loop_now(upstreams->loop));
        health_free(&upstreams->health[i]);
    }
}

static void set_names(upstreams_t *upstreams)
{
    const char *names[BALANCE_UPSTREAMS_MAX * BALANCE_SERVERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < upstreams->conf->upstream_count; i++)
        for (size_t j = 0; j < upstreams->conf->upstreams[i].server_count; j++) {
            struct in6_addr address;
            const char *host = upstreams->conf->upstreams[i].servers[j].host;
            if (!address_parse(host, &address))
                names[count++] = host;
        }
    resolver_set(upstreams->resolver, names, count);
}

bool upstreams_have(const upstreams_t *upstreams, unsigned upstream, const balance_server_t *server)
{
    const conf_t *conf = upstreams->conf;
    if (upstream >= conf->upstream_count || !balance_is_of(server, &conf->upstreams[upstream]))
        return false;
    const conf_server_t *own = &conf->upstreams[upstream].servers[server->index];
    struct in6_addr literal;
    const struct in6_addr *addresses = &literal;
    size_t count =
        address_parse(own->host, &literal) ? 1 : resolver_look(upstreams->resolver, own->host, &addresses);
    if (server->port != own->port || refusal_of(conf, &server->address, server->port) != NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (memcmp(&addresses[i], &server->address, sizeof(server->address)) == 0)
            return true;
    return false;
}

resolver_figures_t upstreams_names(const upstreams_t *upstreams)
{
    return resolver_figures(upstreams->resolver);
}

/* ---- life ---- */

upstreams_t *upstreams_new(loop_t *loop, const conf_t *conf, balance_t *balance)
{
    upstreams_t *upstreams = calloc(1, sizeof(*upstreams));
    assert(upstreams != NULL);
    *upstreams = (upstreams_t){.loop = loop, .balance = balance, .random = random_source_new()};
    upstreams->resolver = resolver_new(loop, &resolver_defaults, upstreams->random, set_all, upstreams);
    upstreams_set_conf(upstreams, conf);
    return upstreams;
}

void upstreams_free(upstreams_t **upstreams)
{
    upstreams_t *u = *upstreams;
    *upstreams = NULL;
    if (u == NULL)
        return;
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        health_free(&u->health[i]);
    resolver_free(&u->resolver);
    random_source_free(&u->random);
    conf_release(&u->conf);
    free(u);
}

void upstreams_set_conf(upstreams_t *upstreams, const conf_t *conf)
{
    conf_t *before = upstreams->conf;
    assert(conf->upstream_count <= BALANCE_UPSTREAMS_MAX);
    upstreams->conf = conf_acquire(conf);
    memset(upstreams->refused, 0, sizeof(upstreams->refused));
    set_names(upstreams);
    set_all(upstreams);
    conf_release(&before);
}
