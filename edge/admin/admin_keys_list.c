/*
 * API keys over the admin API: the list of the keys in the store, in pages; the first page also has the
 * declared keys.
 */
#include <assert.h>

#include "admin_internal.h"

#include "list.h"

typedef struct list_job {
    admin_job_t base;
    conf_t *conf; /* one reference; read-only on the thread */
    char from[STORE_KEY_NAME_MAX + 1];
    size_t limit;
    size_t count;
    store_key_t *found; /* limit + 1: the last one begins the next page */
    bool *revoked;      /* of the declared keys; NULL: not the first page */
} list_job_t;

/* ---- on the thread ---- */

static bool add_found(const store_key_t *key, void *arg)
{
    list_job_t *list = arg;
    list->found[list->count++] = *key;
    return list->count <= list->limit;
}

/* Finds the declared keys that the store has as revoked. */
static store_result_t look_at_declared(list_job_t *list, store_t *store)
{
    for (size_t i = 0; i < list->conf->api.key_count; i++) {
        store_key_t stored;
        store_result_t result = store_find_key(store, list->conf->api.keys[i].sha256, &stored);
        if (result != STORE_OK && result != STORE_NOT_FOUND)
            return result;
        list->revoked[i] = result == STORE_OK && stored.revoked_at != 0;
    }
    return STORE_OK;
}

static void list_run(store_job_t *job, store_t *store)
{
    list_job_t *list = CONTAINER_OF(list_job_t, base.job, job);
    store_result_t result = store_each_key(store, str_from(list->from), add_found, list);
    if (result == STORE_OK && list->revoked != NULL)
        result = look_at_declared(list, store);
    admin_job_result(&list->base, store, result);
}

/* ---- on the loop ---- */

static json_t *declared_json(const conf_api_key_t *key, bool revoked)
{
    json_t *json = json_pack("{s:s,s:s}", "name", key->name, "plan", key->plan);
    assert(json != NULL);
    if (revoked)
        json_object_set_new(json, "revoked", json_true());
    return json;
}

static void list_answer(exchange_t *ex, admin_job_t *job)
{
    const list_job_t *list = (const list_job_t *)job;
    if (job->result != STORE_OK) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *keys = json_array();
    for (size_t i = 0; i < list->count && i < list->limit; i++)
        json_array_append_new(keys, admin_key_json(list->conf, &list->found[i]));
    json_t *body = json_pack("{s:o}", "keys", keys);
    assert(body != NULL);
    if (list->revoked != NULL) {
        json_t *declared = json_array();
        for (size_t i = 0; i < list->conf->api.key_count; i++)
            json_array_append_new(declared, declared_json(&list->conf->api.keys[i], list->revoked[i]));
        json_object_set_new(body, "declared", declared);
    }
    if (list->count > list->limit)
        json_object_set_new(body, "next", json_string(list->found[list->limit].name));
    admin_reply(ex, 200, body);
}

static void list_fini(admin_job_t *job)
{
    list_job_t *list = (list_job_t *)job;
    conf_release(&list->conf);
    free(list->revoked);
    free(list->found);
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    list_job_t *list = arg;
    uint64_t limit;
    if (str_eq(name, STR("limit"))) {
        if (!str_to_uint(value, ADMIN_KEYS_MAX, &limit) || limit == 0)
            return false;
        list->limit = (size_t)limit;
        return true;
    }
    return str_eq(name, STR("from")) && admin_take_key_name(list->from, value);
}

void admin_keys_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    list_job_t *list = calloc(1, sizeof *list);
    assert(list != NULL);
    list->limit = ADMIN_KEYS_MAX;
    if (!admin_each_parameter(ex->request.target, take_parameter, list)) {
        free(list);
        admin_error(ex, 400, "bad_query", NULL, "The list takes from=<name> and limit=<1-%d>.",
                    ADMIN_KEYS_MAX);
        return;
    }
    list->conf = conf_acquire(ex->context->conf);
    list->found = calloc(list->limit + 1, sizeof *list->found);
    assert(list->found != NULL);
    if (list->from[0] == '\0') {
        list->revoked = calloc(list->conf->api.key_count + 1, sizeof *list->revoked);
        assert(list->revoked != NULL);
    }
    list->base.job.run = list_run;
    list->base.answer = list_answer;
    list->base.fini = list_fini;
    admin_job_start(ex, &list->base);
}
