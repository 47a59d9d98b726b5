/*
 * API keys over the admin API. A key is made here, or an existing one gets a name; its plan changes; it is
 * revoked, and remembered as such; a revoked key may be forgotten. A declared key can be revoked too: the
 * store then has a record of it.
 */
#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "admin_internal.h"
#include "credentials.h"
#include "keys.h"
#include "list.h"
#include "process_log.h"
#include "sha256.h"

/* The prefix by which people and code scanners recognise a leaked key. */
#define KEY_PREFIX   "box_"
#define KEY_TEXT_LEN (sizeof(KEY_PREFIX) - 1 + SECRET_TEXT_LEN)
/* Length of an imported key: a short one could be guessed. */
#define KEY_GIVEN_MIN 16
#define KEY_GIVEN_MAX 256
/* Maximum bytes of the names of plans in a sentence. */
#define PLANS_BYTES 320

typedef enum key_verb { KEY_CREATE, KEY_SET_PLAN, KEY_REVOKE, KEY_FORGET } key_verb_t;

/* The reason for no change, although the store works. */
typedef enum key_refusal {
    KEY_DONE,
    KEY_NAME_TAKEN,  /* by `stored` */
    KEY_TAKEN,       /* the key is `stored` */
    KEY_IS_REVOKED,  /* `stored` */
    KEY_NOT_REVOKED, /* `stored` */
    KEY_IS_DECLARED, /* the configuration decides about it */
    KEY_NOWHERE,
} key_refusal_t;

typedef struct key_job {
    admin_job_t base;
    key_verb_t verb;
    key_refusal_t refusal;
    store_key_t wanted;   /* the name; for KEY_CREATE all but revoked_at; for KEY_SET_PLAN the plan */
    uint64_t now;         /* unix seconds */
    conf_t *conf;         /* one reference; read-only on the thread */
    bool is_declared;     /* the configuration declares the name: `declared` */
    store_key_t declared; /* if is_declared: its hash and plan */
    store_key_t stored;   /* the record in the store after the change, or the one in its way */
    char secret[KEY_TEXT_LEN + 1]; /* for KEY_CREATE; empty: imported */
} key_job_t;

json_t *admin_key_json(const conf_t *conf, const store_key_t *key)
{
    json_t *json = json_pack("{s:s,s:s,s:I}", "name", key->name, "plan", key->plan, "created_at",
                             (json_int_t)key->created_at);
    assert(json != NULL);
    if (conf_plan(conf, key->plan) == NULL)
        json_object_set_new(json, "plan_missing", json_true());
    if (key->revoked_at != 0)
        json_object_set_new(json, "revoked_at", json_integer((json_int_t)key->revoked_at));
    return json;
}

/* The key's name in the configuration; NULL: not declared. */
static const char *declared_name(const conf_t *conf, const uint8_t sha256[SHA256_BYTES])
{
    for (size_t i = 0; i < conf->api.key_count; i++)
        if (memcmp(conf->api.keys[i].sha256, sha256, SHA256_BYTES) == 0)
            return conf->api.keys[i].name;
    return NULL;
}

/* ---- on the thread ---- */

/* Each returns the store's result. With STORE_OK, `refusal` is set if nothing was changed. */

static store_result_t write_key(key_job_t *job, store_t *store)
{
    job->base.job.changed = true;
    return store_put_key(store, &job->stored);
}

static store_result_t create(key_job_t *job, store_t *store)
{
    store_result_t result = store_get_key(store, str_from(job->wanted.name), &job->stored);
    if (result == STORE_OK) {
        job->refusal = KEY_NAME_TAKEN;
        return result;
    }
    if (result == STORE_NOT_FOUND)
        result = store_find_key(store, job->wanted.sha256, &job->stored);
    if (result == STORE_OK)
        job->refusal = KEY_TAKEN;
    if (result != STORE_NOT_FOUND)
        return result;
    job->stored = job->wanted;
    return write_key(job, store);
}

/* The record under the name, or of the key that is declared under it. */
static store_result_t find(key_job_t *job, store_t *store)
{
    store_result_t result = store_get_key(store, str_from(job->wanted.name), &job->stored);
    if (result == STORE_NOT_FOUND && job->is_declared)
        result = store_find_key(store, job->declared.sha256, &job->stored);
    return result;
}

static store_result_t set_plan(key_job_t *job, store_t *store)
{
    store_result_t result = find(job, store);
    if (result == STORE_NOT_FOUND) {
        job->refusal = job->is_declared ? KEY_IS_DECLARED : KEY_NOWHERE;
        return STORE_OK;
    }
    if (result != STORE_OK)
        return result;
    if (job->stored.revoked_at != 0) {
        job->refusal = KEY_IS_REVOKED;
        return STORE_OK;
    }
    if (declared_name(job->conf, job->stored.sha256) != NULL) {
        job->refusal = KEY_IS_DECLARED;
        return STORE_OK;
    }
    memcpy(job->stored.plan, job->wanted.plan, sizeof(job->stored.plan));
    return write_key(job, store);
}

/* A key whose record is damaged can be revoked too: its plan and times are lost. */
static bool find_lost(key_job_t *job, store_t *store)
{
    job->stored = (store_key_t){.plan = "unknown"};
    memcpy(job->stored.name, job->wanted.name, sizeof(job->stored.name));
    return store_bad_record(store) &&
           store_get_key_hash(store, str_from(job->wanted.name), job->stored.sha256) == STORE_OK;
}

static store_result_t revoke_key(key_job_t *job, store_t *store)
{
    store_result_t result = find(job, store);
    if (result == STORE_FAILED && find_lost(job, store))
        result = STORE_OK;
    if (result == STORE_NOT_FOUND && !job->is_declared) {
        job->refusal = KEY_NOWHERE;
        return STORE_OK;
    }
    if (result == STORE_NOT_FOUND)
        job->stored = job->declared;
    else if (result != STORE_OK || job->stored.revoked_at != 0)
        return result; /* revoked already */
    job->stored.revoked_at = job->now;
    return write_key(job, store);
}

static store_result_t forget(key_job_t *job, store_t *store)
{
    store_result_t result = find(job, store);
    if (result == STORE_NOT_FOUND)
        job->refusal = job->is_declared ? KEY_NOT_REVOKED : KEY_NOWHERE;
    else if (result == STORE_OK && job->stored.revoked_at == 0)
        job->refusal = KEY_NOT_REVOKED;
    if (job->refusal != KEY_DONE)
        return STORE_OK;
    if (result != STORE_OK)
        return result;
    job->base.job.changed = true;
    return store_delete_key(store, str_from(job->stored.name));
}

static void key_run(store_job_t *job, store_t *store)
{
    static store_result_t (*const verbs[])(key_job_t *, store_t *) = {
        [KEY_CREATE] = create, [KEY_SET_PLAN] = set_plan, [KEY_REVOKE] = revoke_key, [KEY_FORGET] = forget};
    key_job_t *key = CONTAINER_OF(key_job_t, base.job, job);
    store_result_t result = verbs[key->verb](key, store);
    job->changed = job->changed && result == STORE_OK;
    admin_job_result(&key->base, store, result);
}

/* ---- on the loop ---- */

static void key_finished(const admin_job_t *job)
{
    static const char *const done[] = {[KEY_CREATE] = "created",
                                       [KEY_SET_PLAN] = "given another plan",
                                       [KEY_REVOKE] = "revoked",
                                       [KEY_FORGET] = "forgotten"};
    const key_job_t *key = (const key_job_t *)job;
    if (job->job.changed)
        process_log(LOG_KEY_CHANGED, "controller", "API key %s (plan %s) %s by uid %ld", key->stored.name,
                    key->stored.plan, done[key->verb], job->uid);
}

static void key_fini(admin_job_t *job)
{
    key_job_t *key = (key_job_t *)job;
    OPENSSL_cleanse(key->secret, sizeof(key->secret));
    conf_release(&key->conf);
}

static void refuse(exchange_t *ex, const key_job_t *job)
{
    const char *name = job->wanted.name;
    switch (job->refusal) {
    case KEY_NAME_TAKEN:
        admin_error(ex, 409, "name_taken", NULL, "The key %s already exists%s.", name,
                    job->stored.revoked_at != 0 ? ", which is revoked: take another name, or forget it" : "");
        return;
    case KEY_TAKEN:
        admin_error(ex, 409, "key_taken", NULL, "This key already exists as %s%s.", job->stored.name,
                    job->stored.revoked_at != 0 ? ", which is revoked" : "");
        return;
    case KEY_IS_REVOKED:
        admin_error(ex, 409, "key_revoked", NULL, "The key %s is revoked.", name);
        return;
    case KEY_NOT_REVOKED:
        admin_error(ex, 409, "not_revoked", NULL,
                    "The key %s is not revoked: only a revoked one can be forgotten.", name);
        return;
    case KEY_IS_DECLARED:
        admin_error(ex, 409, "key_declared", NULL,
                    "The key %s is declared in the configuration: change its plan there.", name);
        return;
    case KEY_NOWHERE:
        admin_error(ex, 404, "no_key", NULL, "There is no key %s.", name);
        return;
    case KEY_DONE:
        break;
    }
    assert(!"a refusal");
}

static void key_answer(exchange_t *ex, admin_job_t *job)
{
    const key_job_t *key = (const key_job_t *)job;
    if (job->result == STORE_TOO_MANY) {
        admin_error(ex, 507, "keys_full", NULL,
                    "The limit of %d keys, including revoked ones, is reached: nothing was changed.",
                    STORE_KEYS_MAX);
        return;
    }
    if (job->result != STORE_OK) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    if (key->refusal != KEY_DONE) {
        refuse(ex, key);
        return;
    }
    json_t *body = admin_key_json(ex->context->conf, &key->stored);
    if (key->verb == KEY_CREATE && key->secret[0] != '\0')
        json_object_set_new(body, "key", json_string(key->secret));
    if (key->verb == KEY_FORGET)
        json_object_set_new(body, "forgotten", json_true());
    if (key->verb == KEY_REVOKE && key->is_declared &&
        memcmp(key->declared.sha256, key->stored.sha256, sizeof(key->stored.sha256)) != 0)
        json_object_set_new(body, "note",
                            json_string("The configuration declares another key of this name, which is still "
                                        "in force: remove it from api.keys."));
    admin_reply(ex, key->verb == KEY_CREATE ? 201 : 200, body);
}

/* ---- reading requests ---- */

bool admin_take_key_name(char out[STORE_KEY_NAME_MAX + 1], str_t name)
{
    if (!store_key_name_valid(name))
        return false;
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
    return true;
}

static bool take_name(exchange_t *ex, str_t name, key_job_t *job)
{
    if (!admin_take_key_name(job->wanted.name, name)) {
        admin_error(ex, 400, "bad_name", NULL,
                    "The name of a key must be 1 to %d letters, digits, \"-\", \".\" and \"_\".",
                    STORE_KEY_NAME_MAX);
        return false;
    }
    const conf_t *conf = job->conf;
    for (size_t i = 0; i < conf->api.key_count && !job->is_declared; i++) {
        const conf_api_key_t *declared = &conf->api.keys[i];
        if (strcmp(declared->name, job->wanted.name) != 0)
            continue;
        job->is_declared = true;
        job->declared = job->wanted;
        job->declared.created_at = job->now;
        memcpy(job->declared.sha256, declared->sha256, sizeof(declared->sha256));
        memcpy(job->declared.plan, declared->plan, sizeof(declared->plan));
    }
    return true;
}

static void refuse_plan(exchange_t *ex, str_t plan)
{
    const conf_t *conf = ex->context->conf;
    char known[PLANS_BYTES] = "";
    size_t used = 0, shown = 0;
    while (shown < conf->plan_count && used + CONF_NAME_MAX + 8 < sizeof known) {
        const char *name = conf->plans[shown++].name;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used != 0 ? ", " : "", name);
    }
    plan.n = plan.n < CONF_NAME_MAX ? plan.n : CONF_NAME_MAX;
    if (conf->plan_count == 0)
        admin_error(ex, 400, "unknown_plan", NULL,
                    "There is no plan \"%.*s\": the configuration has no plans. Add some under `plans`.",
                    STR_ARG(plan));
    else
        admin_error(ex, 400, "unknown_plan", NULL, "There is no plan \"%.*s\": the configuration has %s%s.",
                    STR_ARG(plan), known, shown < conf->plan_count ? ", ..." : "");
}

static bool take_plan(exchange_t *ex, const json_t *object, key_job_t *job)
{
    const json_t *value = json_object_get(object, "plan");
    str_t plan = str_make(json_string_value(value), json_string_length(value));
    if (!json_is_string(value)) {
        admin_error(ex, 400, "bad_plan", NULL, "\"plan\" must be the name of a plan.");
        return false;
    }
    if (plan.n > CONF_NAME_MAX || conf_plan(ex->context->conf, plan.p) == NULL) {
        refuse_plan(ex, plan);
        return false;
    }
    memcpy(job->wanted.plan, plan.p, plan.n + 1);
    return true;
}

static void make_key(key_job_t *job)
{
    uint8_t random[32];
    int made = RAND_bytes(random, sizeof(random));
    assert(made == 1);
    memcpy(job->secret, KEY_PREFIX, sizeof(KEY_PREFIX));
    secret_make(random, job->secret + sizeof(KEY_PREFIX) - 1);
    OPENSSL_cleanse(random, sizeof(random));
    sha256(str_from(job->secret), job->wanted.sha256);
}

/* Takes the hash of the key in the request, or makes a key. */
static bool take_key(exchange_t *ex, const json_t *object, key_job_t *job)
{
    const json_t *value = json_object_get(object, "key");
    str_t key = str_make(json_string_value(value), json_string_length(value));
    if (value == NULL) {
        make_key(job);
        return true;
    }
    bool ok = json_is_string(value) && key.n >= KEY_GIVEN_MIN && key.n <= KEY_GIVEN_MAX && keys_is_token(key);
    if (!ok) {
        admin_error(ex, 400, "bad_key", NULL,
                    "\"key\" must be %d to %d visible ASCII characters, without quotes, commas, "
                    "semicolons, backslashes and brackets.",
                    KEY_GIVEN_MIN, KEY_GIVEN_MAX);
        return false;
    }
    sha256(key, job->wanted.sha256);
    return true;
}

/* Refuses a key that the configuration declares already. */
static bool is_new(exchange_t *ex, const key_job_t *job)
{
    const char *same = job->is_declared ? job->wanted.name : declared_name(job->conf, job->wanted.sha256);
    if (same != NULL)
        admin_error(ex, 409, "key_declared", NULL, "The configuration declares %s %s already.",
                    job->is_declared ? "a key" : "this key as", same);
    return same == NULL;
}

static key_job_t *key_job_new(const exchange_t *ex, key_verb_t verb)
{
    key_job_t *job = calloc(1, sizeof *job);
    assert(job != NULL);
    job->verb = verb;
    job->conf = conf_acquire(ex->context->conf);
    job->now = loop_wall_us(ex->context->loop) / 1000000;
    job->base.job.run = key_run;
    job->base.finished = key_finished;
    job->base.answer = key_answer;
    job->base.fini = key_fini;
    return job;
}

/* Begins the job, or frees it if the exchange is answered. */
static void start(exchange_t *ex, key_job_t *job, bool ok)
{
    if (ok) {
        admin_job_start(ex, &job->base);
        return;
    }
    key_fini(&job->base);
    free(job);
}

void admin_keys_create(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    static admin_fields_t fields = {"name", "plan", "key", NULL};
    key_job_t *job = key_job_new(ex, KEY_CREATE);
    job->wanted.created_at = job->now;
    json_t *object = admin_object(ex, body, "A key", fields);
    const json_t *value = json_object_get(object, "name");
    str_t name = str_make(json_string_value(value), json_string_length(value));
    bool ok = object != NULL && take_name(ex, name, job) && take_plan(ex, object, job) &&
              take_key(ex, object, job) && is_new(ex, job);
    json_decref(object);
    start(ex, job, ok);
}

/* The part of the target after "/v1/keys/"; *query is the rest, with its '?'. */
static str_t path_name(const exchange_t *ex, str_t *query)
{
    str_t rest = str_from_offset(ex->request.target, STR("/v1/keys/").n);
    const char *mark = memchr(rest.p, '?', rest.n);
    str_t name = str_make(rest.p, mark != NULL ? (size_t)(mark - rest.p) : rest.n);
    *query = str_from_offset(rest, name.n);
    return name;
}

void admin_keys_set_plan(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    static admin_fields_t fields = {"plan", NULL};
    str_t query;
    key_job_t *job = key_job_new(ex, KEY_SET_PLAN);
    bool ok = take_name(ex, path_name(ex, &query), job);
    if (ok && query.n != 0) {
        admin_error(ex, 400, "bad_query", NULL, "The plan of a key is changed without a query.");
        ok = false;
    }
    json_t *object = ok ? admin_object(ex, body, "The plan of a key", fields) : NULL;
    ok = object != NULL && take_plan(ex, object, job);
    json_decref(object);
    start(ex, job, ok);
}

void admin_keys_revoke(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    str_t query, name = path_name(ex, &query);
    bool forgets = str_eq(query, STR("?forget=1"));
    if (body.n != 0 || (query.n != 0 && !forgets)) {
        admin_error(ex, 400, "bad_revocation", NULL,
                    "A key is revoked with DELETE /v1/keys/<name> and forgotten, once it is revoked, with "
                    "DELETE /v1/keys/<name>?forget=1, and no body.");
        return;
    }
    key_job_t *job = key_job_new(ex, forgets ? KEY_FORGET : KEY_REVOKE);
    start(ex, job, take_name(ex, name, job));
}
