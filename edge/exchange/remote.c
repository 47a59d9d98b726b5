#include "remote.h"

#include <assert.h>

#include "client.h"
#include "context.h"
#include "remote_field.h"

remote_t remote_of_connection(const client_t *client)
{
    return (remote_t){.address = client->address, .https = client->kind == CONF_LISTENER_TLS};
}

/* Two lines are ambiguous: a proxy may have added its own after its client's. */
static bool is_forwarded_https(const fields_t *fields)
{
    return fields_count(fields, FIELD_X_FORWARDED_PROTO) == 1 &&
           str_ieq(fields_value(fields, FIELD_X_FORWARDED_PROTO), STR("https"));
}

void remote_find(exchange_t *ex)
{
    const client_t *client = ex->client;
    const conf_t *conf = ex->context->conf;
    ex->remote = remote_of_connection(client);
    const conf_proxy_t *proxy = conf_trusted_proxy(conf, &client->address);
    if (proxy == NULL)
        return;
    remote_t *remote = &ex->remote;
    remote->trusted = true;
    remote->named = remote_field_read(conf, proxy->client_field, &ex->request.fields, &remote->address);
    if (client->tls_terminated)
        remote->https = is_forwarded_https(&ex->request.fields);
}

void remote_inherit(exchange_t *ex, const exchange_t *from)
{
    ex->remote = from->remote;
    ex->remote.counted = false; /* `from` is counted, not `ex` */
}

const struct in6_addr *remote_address(const exchange_t *ex)
{
    return &ex->remote.address;
}

bool remote_is_https(const exchange_t *ex)
{
    return ex->remote.https;
}

bool remote_is_trusted(const exchange_t *ex)
{
    return ex->remote.trusted;
}

bool remote_count(exchange_t *ex)
{
    context_t *context = ex->context;
    uint32_t limit = context->conf->limits.connections_per_client;
    bool limited = ex->client->counted && ex->client->kind != CONF_LISTENER_HEALTH;
    if (!ex->remote.named || limit == 0 || !limited)
        return true;
    assert(!ex->remote.counted);
    ex->remote.counted = shm_client_add(context->shm, context->index, &ex->remote.address, limit);
    return ex->remote.counted;
}

void remote_uncount(exchange_t *ex)
{
    if (!ex->remote.counted)
        return;
    shm_client_remove(ex->context->shm, ex->context->index, &ex->remote.address);
    ex->remote.counted = false;
}

bool remote_gives_id(const exchange_t *ex, str_t id)
{
    if (id.n == 0 || id.n >= sizeof(ex->request_id))
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = str_lower(id.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return remote_is_trusted(ex);
}
