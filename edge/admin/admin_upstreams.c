/*
 * Upstreams over the admin API: the state of their servers, and drains. The shared balance has it all, and
 * this process, the controller, is its only writer.
 */
#include <assert.h>

#include "address.h"
#include "admin_internal.h"
#include "balance.h"
#include "process_log.h"

/* The current servers of an upstream. */
typedef struct views {
    size_t count;
    balance_view_t at[BALANCE_SERVERS_MAX];
} views_t;

static void look_all(const exchange_t *ex, unsigned index, views_t *views)
{
    const balance_t *balance = shm_balance(admin_of(ex)->shm);
    views->count = 0;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        views->count +=
            balance_look(balance, index, slot, loop_now(ex->context->loop), &views->at[views->count]);
}

/* ---- list ---- */

static json_t *view_json(const balance_view_t *view)
{
    char address[ADDRESS_PORT_BYTES];
    (void)address_port_text(&view->server.address, view->server.port, address);
    json_t *json = json_pack(
        "{s:s,s:s,s:I,s:I,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I}", "server", view->server.name, "address", address,
        "slot", (json_int_t)view->slot, "weight", (json_int_t)view->server.weight, "up", view->up, "drained",
        view->drained, "ejected_ms", (json_int_t)view->ejected_ms, "in_flight", (json_int_t)view->in_flight,
        "latency_us", (json_int_t)view->latency_us, "requests", (json_int_t)view->requests, "failures",
        (json_int_t)view->failures, "ejections", (json_int_t)view->ejections);
    assert(json != NULL);
    return json;
}

/* In the order of the configuration; addresses of a name are adjacent. */
static json_t *servers_json(const conf_upstream_t *conf, const views_t *views)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conf->server_count; i++) {
        bool found = false;
        for (size_t n = 0; n < views->count; n++) {
            if (strcmp(views->at[n].server.name, conf->servers[i].text) != 0)
                continue;
            json_array_append_new(list, view_json(&views->at[n]));
            found = true;
        }
        if (!found)
            json_array_append_new(list, json_pack("{s:s,s:n,s:I}", "server", conf->servers[i].text, "address",
                                                  "weight", (json_int_t)conf->servers[i].weight));
    }
    return list;
}

void admin_upstreams_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    const conf_t *conf = ex->context->conf;
    json_t *list = json_array();
    for (unsigned i = 0; i < conf->upstream_count; i++) {
        views_t views;
        look_all(ex, i, &views);
        json_t *one = json_pack("{s:s,s:I,s:o}", "name", conf->upstreams[i].name, "waiting",
                                (json_int_t)balance_waiters(shm_balance(admin_of(ex)->shm), i), "servers",
                                servers_json(&conf->upstreams[i], &views));
        assert(one != NULL);
        json_array_append_new(list, one);
    }
    json_t *answer = json_pack("{s:o}", "upstreams", list);
    assert(answer != NULL);
    admin_reply(ex, 200, answer);
}

/* ---- summary ---- */

json_t *admin_upstreams_json(const exchange_t *ex)
{
    const conf_t *conf = ex->context->conf;
    json_t *list = json_array();
    for (unsigned i = 0; i < conf->upstream_count; i++) {
        const conf_upstream_t *upstream = &conf->upstreams[i];
        views_t views;
        look_all(ex, i, &views);
        json_t *servers = servers_json(upstream, &views); /* with servers that have no address */
        size_t all = json_array_size(servers), usable = 0;
        json_decref(servers);
        for (size_t n = 0; n < views.count; n++)
            usable += views.at[n].up && !views.at[n].drained && views.at[n].ejected_ms == 0;
        json_t *one = json_pack("{s:s,s:I,s:I}", "name", upstream->name, "servers", (json_int_t)all, "usable",
                                (json_int_t)usable);
        assert(one != NULL);
        json_array_append_new(list, one);
    }
    return list;
}

/* ---- drain ---- */

/* Finds the upstream in the target; or answers and returns false. */
static bool take_upstream(exchange_t *ex, unsigned *index)
{
    const conf_t *conf = ex->context->conf;
    str_t name = str_from_offset(ex->request.target, STR("/v1/upstreams/").n);
    for (*index = 0; *index < conf->upstream_count; ++*index)
        if (str_eq(name, str_from(conf->upstreams[*index].name)))
            return true;
    admin_error(ex, 404, "no_upstream", NULL, "The configuration has no upstream of this name.");
    return false;
}

/* The server in the request; or answers and returns NULL. */
static const conf_server_t *take_server(exchange_t *ex, const conf_upstream_t *upstream, const json_t *object)
{
    const json_t *value = json_object_get(object, "server");
    str_t name = str_make(json_string_value(value), json_string_length(value));
    if (!json_is_string(value)) {
        admin_error(ex, 400, "bad_server", NULL, "\"server\" must be a server's address as text.");
        return NULL;
    }
    for (size_t i = 0; i < upstream->server_count; i++)
        if (str_eq(name, str_from(upstream->servers[i].text)))
            return &upstream->servers[i];
    admin_error(ex, 404, "no_server", NULL, "The upstream %s has no server of this name.", upstream->name);
    return NULL;
}

static void change(exchange_t *ex, unsigned index, const conf_server_t *server, bool drain)
{
    const conf_upstream_t *upstream = &ex->context->conf->upstreams[index];
    balance_t *balance = shm_balance(admin_of(ex)->shm);
    views_t views;
    json_int_t in_flight = 0;
    size_t addresses =
        balance_drain(balance, index, str_from(server->text), drain, loop_now(ex->context->loop));
    if (addresses == 0) {
        admin_error(ex, 409, "no_address", NULL, "The server %s has no address that is used.", server->text);
        return;
    }
    process_log(LOG_SERVER_DRAINED, "controller", "upstream %s: server %s %s by uid %ld", upstream->name,
                server->text, drain ? "drained" : "taken back", admin_peer_uid(ex));
    look_all(ex, index, &views);
    for (size_t n = 0; n < views.count; n++)
        if (strcmp(views.at[n].server.name, server->text) == 0)
            in_flight += views.at[n].in_flight;
    json_t *answer = json_pack("{s:s,s:s,s:b,s:I,s:I}", "upstream", upstream->name, "server", server->text,
                               "drained", drain, "addresses", (json_int_t)addresses, "in_flight", in_flight);
    assert(answer != NULL);
    admin_reply(ex, 200, answer);
}

void admin_upstreams_change(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    static admin_fields_t fields = {"server", "drained", NULL};
    unsigned index;
    bool drain;
    if (!take_upstream(ex, &index))
        return;
    json_t *object = admin_object(ex, body, "A change of an upstream", fields);
    if (object == NULL)
        return;
    const conf_server_t *server = take_server(ex, &ex->context->conf->upstreams[index], object);
    if (server != NULL && json_object_get(object, "drained") == NULL)
        admin_error(ex, 400, "bad_server", NULL, "\"drained\" is missing: true or false.");
    else if (server != NULL && admin_take_flag(ex, object, "drained", &drain))
        change(ex, index, server, drain);
    json_decref(object);
}
