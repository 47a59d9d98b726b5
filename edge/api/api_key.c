/*
 * The key step: the API key that a request shows, and the edge's knowledge of it. Refuses no key yet: a
 * request without a valid key first uses the bucket of its client address (api_limit.c).
 */
#include "api.h"

#include "client.h"
#include "flights.h"
#include "sha256.h"
#include "worker.h"

_Static_assert(SHA256_BYTES == sizeof(((limit_id_t *)0)->sha256), "a key is named by its SHA-256");

/* Whether an upstream could take the field for the key's. */
static bool may_be_key(const field_t *field)
{
    return field->id == FIELD_X_BOX_API_KEY ||
           (field->id == FIELD_OTHER && str_ieq_alias(field->name, STR("x-box-api-key")));
}

/* The key's field. `*count` gets the number of fields that an upstream could take for it. */
static str_t key_field(const fields_t *fields, size_t *count)
{
    str_t value = {NULL, 0};
    *count = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        const field_t *field = &fields->at[i];
        if (field->id == FIELD_X_BOX_API_KEY)
            value = field->value;
        *count += may_be_key(field);
    }
    return value;
}

/* The token of Authorization: Bearer (RFC 6750 section 2.1); empty: none. */
static str_t bearer(const fields_t *fields)
{
    static const str_t scheme = {"bearer ", 7};
    str_t value = fields_value(fields, FIELD_AUTHORIZATION);
    if (value.n < scheme.n || !str_ieq(str_make(value.p, scheme.n), scheme))
        return str_make(NULL, 0);
    return str_trim(str_from_offset(value, scheme.n));
}

/* The key that the request shows: X-Box-Api-Key, otherwise Authorization: Bearer. Two different keys are bad,
 * since the upstream's choice is unknown. */
static api_key_state_t shown_key(const exchange_t *ex, str_t *key)
{
    const fields_t *fields = &ex->request.fields;
    size_t count;
    str_t token = bearer(fields);
    *key = key_field(fields, &count);
    if (count > 1 || (count == 1 && key->p == NULL) || fields_count(fields, FIELD_AUTHORIZATION) > 1)
        return API_KEY_BAD;
    if (count == 1 && token.n != 0 && !str_eq(token, *key))
        return API_KEY_BAD;
    if (count == 0)
        *key = token;
    if (count == 0 && token.n == 0)
        return API_KEY_NONE;
    return keys_is_token(*key) && key->n <= API_KEY_LEN_MAX ? API_KEY_UNPROVEN : API_KEY_BAD;
}

/* Looks up the key whose hash is in api->key. False: the store cannot be read. */
static bool look_up(exchange_t *ex, api_t *api)
{
    limit_t *limit = shm_limit(ex->context->shm);
    keys_entry_t entry;
    switch (keys_find(worker_of(ex->context)->keys, api->conf, api->key.sha256, &entry)) {
    case KEYS_KNOWN:
        api->key_state = API_KEY_KNOWN;
        api->key_name = str_dup(&ex->arena, str_from(entry.name));
        api->plan = entry.plan != NULL ? entry.plan : api->conf->api.default_limits;
        return true;
    case KEYS_REVOKED:
        api->key_state = API_KEY_REVOKED;
        return true;
    case KEYS_FAILED:
        return false;
    case KEYS_UNKNOWN:
        break;
    }
    if (limit_is_refused(limit, &api->key, loop_precise_us() * 1000))
        api->key_state = API_KEY_REFUSED;
    else if (limit_has(limit, &api->key))
        api->key_state = API_KEY_ACCEPTED;
    return true;
}

/* Preflights show no key by design, and some routes carry their own proof. */
static bool passes_without(const exchange_t *ex)
{
    return ex->api->preflight ||
           conf_is_unkeyed(ex->api->conf, ex->request.method, api_path_without_query(ex->request.target));
}

step_result_t step_api_key(exchange_t *ex)
{
    api_t *api = api_new(ex);
    flight_t *flight = flight_of(worker_of(ex->context)->flights, ex->flight);
    str_t key;
    if (flight != NULL)
        flight->api = true;
    api->key_state = shown_key(ex, &key);
    api->preflight = api->key_state == API_KEY_NONE && api_is_preflight(ex);
    if (api->key_state == API_KEY_NONE && passes_without(ex))
        api->key_state = API_KEY_NEEDLESS;
    if (api->key_state == API_KEY_UNPROVEN) {
        sha256(key, api->key.sha256);
        if (!look_up(ex, api)) {
            exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.",
                                 5);
            return STEP_DONE;
        }
    }
    if (api->key_state == API_KEY_ACCEPTED) {
        api->plan = api->conf->api.default_limits;
    } else if (api->key_state != API_KEY_KNOWN) {
        api->plan = api->conf->api.client_limits;
        api->plan_of_client = true;
    }
    return STEP_NEXT;
}

/* ---- keys sent to previews ---- */

/* As an app reads the value that strips the delimiters of lists and strings. */
static str_t stripped(str_t value)
{
    while (value.n != 0 && strchr(" \t\"',;", value.p[0]) != NULL)
        value = str_from_offset(value, 1);
    while (value.n != 0 && strchr(" \t\"',;", value.p[value.n - 1]) != NULL)
        value.n--;
    return value;
}

/* True also if the store cannot tell. */
static bool is_known(const exchange_t *ex, str_t key)
{
    limit_id_t id;
    keys_entry_t entry;
    sha256(key, id.sha256);
    return keys_find(worker_of(ex->context)->keys, ex->context->conf, id.sha256, &entry) != KEYS_UNKNOWN ||
           limit_has(shm_limit(ex->context->shm), &id);
}

void api_key_hide(exchange_t *ex)
{
    fields_t *fields = &ex->request.fields;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        const field_t *field = &fields->at[i];
        if (!may_be_key(field) || !is_known(ex, stripped(field->value)))
            fields->at[kept++] = fields->at[i];
    }
    fields->count = kept;
}
