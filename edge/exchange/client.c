/*
 * See client.h: the worker's list of clients, and the counts of its members.
 */
#include "client.h"

#include <assert.h>

#include "context.h"
#include "farewell.h"
#include "list.h"

void client_init(client_t *client, const client_t *accepted)
{
    assert(accepted->context != NULL && accepted->conn != NULL);
    *client = *accepted;
    client->link = (list_t){NULL, NULL};
    list_insert(&client->context->clients, &client->link);
    client->context->client_count++;
    client->account = (account_t){.parent = &client->context->memory.account};
    client_set_share(client);
    client->tls = conn_ssl(client->conn) != NULL;
    if (client->tls)
        client_keeps(client, 0, CONN_TLS_STATE_BYTES);
}

void client_set_share(client_t *client)
{
    assert(client->account.held == 0);
    if (client->context->shm != NULL && !client->local)
        client->account.share = shm_share_of_client(client->context->shm, &client->address);
}

void client_keeps(client_t *client, uint64_t before, uint64_t after)
{
    account_move(&client->account, before, after);
    client->context->connection_bytes += after - before; /* modulo 2^64 */
}

bool client_is_proxy(const client_t *client)
{
    return conf_trusted_proxy(client->context->conf, &client->address) != NULL;
}

static uint32_t limit_of(const client_t *client)
{
    bool unlimited = client->kind == CONF_LISTENER_HEALTH || client_is_proxy(client);
    return unlimited ? 0 : client->context->conf->limits.connections_per_client;
}

static _Atomic uint64_t *listener_open(const client_t *client)
{
    measure_cell_t *cells = client->context->counters->measures.listeners;
    return &cells[client->listener].counts[MEASURE_LISTENER_OPEN];
}

bool client_count(client_t *client, bool limited)
{
    context_t *context = client->context;
    assert(!client->counted);
    if (!shm_client_add(context->shm, context->index, &client->address, limited ? limit_of(client) : 0))
        return false;
    counter_add(&context->counters->connections_open, 1);
    counter_add(listener_open(client), 1);
    client->counted = true;
    return true;
}

void client_uncount(client_t *client)
{
    context_t *context = client->context;
    if (!client->counted)
        return;
    counter_sub(&context->counters->connections_open, 1);
    if (atomic_load_explicit(listener_open(client), memory_order_relaxed) !=
        0) /* 0: a reload took its cell */
        counter_sub(listener_open(client), 1);
    shm_client_remove(context->shm, context->index, &client->address);
    client->counted = false;
}

void client_fini(client_t *client)
{
    context_t *context = client->context;
    assert(list_is_linked(&client->link) && context->client_count > 0);
    list_unlink(&client->link);
    context->client_count--;
    if (client->conn != NULL)
        farewell_begin(client); /* it may take the connection and its count */
    client_uncount(client);
    if (client->tls)
        client_keeps(client, CONN_TLS_STATE_BYTES, 0);
    if (client->conn != NULL)
        conn_free(&client->conn);
}
