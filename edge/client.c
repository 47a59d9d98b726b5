/*
 * See client.h: entering and leaving the worker's list, and the counts that go with it.
 */
#include "client.h"

#include <assert.h>

#include "address.h"
#include "worker.h"

void client_init(client_t *client, const client_t *accepted)
{
    assert(accepted->worker != NULL && accepted->conn != NULL);
    *client = *accepted;
    client->link = (h2o_linklist_t){NULL, NULL};
    h2o_linklist_insert(&client->worker->clients, &client->link);
    client->worker->client_count++;
}

void client_fini(client_t *client)
{
    worker_t *worker = client->worker;
    assert(h2o_linklist_is_linked(&client->link) && worker->client_count > 0);
    h2o_linklist_unlink(&client->link);
    worker->client_count--;
    if (client->counted) {
        counter_sub(&worker->counters->connections_open, 1);
        shm_client_remove(worker->shm, worker->index, &client->address);
        client->counted = false;
    }
    if (client->conn != NULL)
        conn_free(&client->conn);
}

str_t client_address_text(const client_t *client, char out[INET6_ADDRSTRLEN])
{
    return address_text(&client->address, out);
}
