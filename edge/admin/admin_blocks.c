/*
 * Blocks over the admin API: list, create, delete. The value of a block is the end of the path, unencoded
 * even with a network's slash: DELETE /v1/blocks/cidr/192.0.2.0/24.
 */
#include <assert.h>

#include "admin_internal.h"
#include "conf_net.h"
#include "hostname.h"
#include "list.h"
#include "process_log.h"

static const char *const kind_names[] = {
    [BLOCK_BOX] = "box", [BLOCK_PREVIEW] = "preview", [BLOCK_CIDR] = "cidr"};
#define KIND_COUNT (sizeof kind_names / sizeof *kind_names)

static json_t *block_json(const store_block_t *block)
{
    json_t *json = json_pack("{s:s,s:s,s:I}", "kind", kind_names[block->kind], "value", block->text,
                             "created_at", (json_int_t)block->created_at);
    assert(json != NULL);
    return json;
}

/* ---- names of blocks ---- */

static bool take_kind(str_t name, store_block_kind_t *kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (!str_eq(name, str_from(kind_names[i])))
            continue;
        *kind = (store_block_kind_t)i;
        return true;
    }
    return false;
}

/* Writes the canonical text of a value of this kind. Returns NULL, or the error. */
static const char *take_value(store_block_kind_t kind, str_t value, char out[STORE_BLOCK_TEXT_MAX + 1])
{
    char id[BOX_ID_MAX + 1];
    hostname_t label;
    conf_network_t network;
    const char *why = NULL;
    switch (kind) {
    case BLOCK_BOX:
        if (!admin_take_id(id, value))
            return "must be a box id: 1 to 57 of a-z 0-9 - _, with a letter or digit at both ends";
        snprintf(out, STORE_BLOCK_TEXT_MAX + 1, "%s", id);
        break;
    case BLOCK_PREVIEW:
        if (!hostname_parse_label(value, &label))
            return "must be <box id>-<port>";
        snprintf(out, STORE_BLOCK_TEXT_MAX + 1, "%s-%u", label.id, label.port);
        break;
    case BLOCK_CIDR:
        why = conf_net_read_network(value, &network);
        if (why == NULL)
            conf_net_print_network(&network, out);
        break;
    }
    return why;
}

/* Fills the block, or answers and returns false. */
static bool take_block(exchange_t *ex, str_t kind, str_t value, store_block_t *block)
{
    if (!take_kind(kind, &block->kind)) {
        admin_error(ex, 400, "bad_kind", NULL, "\"kind\" must be box, preview or cidr.");
        return false;
    }
    const char *why = take_value(block->kind, value, block->text);
    if (why != NULL)
        admin_error(ex, 400, "bad_value", NULL, "The value of the block %s.", why);
    return why == NULL;
}

/* ---- changes ---- */

typedef struct block_job {
    admin_job_t base;
    bool remove;
    store_block_t block;
} block_job_t;

static void change_run(store_job_t *job, store_t *store)
{
    block_job_t *change = CONTAINER_OF(block_job_t, base.job, job);
    store_result_t result = change->remove
                                ? store_delete_block(store, change->block.kind, str_from(change->block.text))
                                : store_put_block(store, &change->block);
    job->changed = result == STORE_OK;
    admin_job_result(&change->base, store, result);
}

/* The change is on disk, and every worker's next request sees it; only open tunnels need a message. */
static void change_finished(const admin_job_t *job)
{
    const block_job_t *change = (const block_job_t *)job;
    if (job->result != STORE_OK)
        return;
    process_log(LOG_BLOCK_CHANGED, "controller", "%s %s %s by uid %ld", kind_names[change->block.kind],
                change->block.text, change->remove ? "unblocked" : "blocked", job->uid);
    if (!change->remove)
        job->controls->end_tunnels(job->owner, "blocks", 0);
}

static void change_answer(exchange_t *ex, admin_job_t *job)
{
    const block_job_t *change = (const block_job_t *)job;
    if (job->result == STORE_TOO_MANY) {
        admin_error(ex, 507, "blocks_full", NULL, "The limit of %d blocks is reached: nothing was changed.",
                    STORE_BLOCKS_MAX);
        return;
    }
    if (job->result == STORE_NOT_FOUND) {
        admin_error(ex, 404, "no_block", NULL, "There is no block of %s %s.", kind_names[change->block.kind],
                    change->block.text);
        return;
    }
    if (job->result != STORE_OK) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *body = block_json(&change->block);
    if (change->remove) {
        json_object_del(body, "created_at");
        json_object_set_new(body, "deleted", json_true());
    }
    admin_reply(ex, change->remove ? 200 : 201, body);
}

static void start_change(exchange_t *ex, bool remove, const store_block_t *block)
{
    block_job_t *change = calloc(1, sizeof *change);
    assert(change != NULL);
    change->remove = remove;
    change->block = *block;
    change->base.job.run = change_run;
    change->base.finished = change_finished;
    change->base.answer = change_answer;
    admin_job_start(ex, &change->base);
}

static str_t string_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return str_make(json_string_value(value), json_string_length(value));
}

void admin_blocks_create(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    static admin_fields_t fields = {"kind", "value", NULL};
    store_block_t block = {.created_at = loop_wall_us(ex->context->loop) / 1000000};
    json_t *object = admin_object(ex, body, "A block", fields);
    bool ok = object != NULL && take_block(ex, string_of(object, "kind"), string_of(object, "value"), &block);
    json_decref(object);
    if (ok)
        start_change(ex, false, &block);
}

void admin_blocks_delete(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    store_block_t block = {.created_at = 0};
    str_t rest = str_from_offset(ex->request.target, STR("/v1/blocks/").n);
    const char *slash = rest.n != 0 ? memchr(rest.p, '/', rest.n) : NULL;
    if (body.n != 0 || slash == NULL) {
        admin_error(ex, 400, "bad_block", NULL,
                    "A block is deleted with DELETE /v1/blocks/<kind>/<value> and no body.");
        return;
    }
    str_t kind = str_make(rest.p, (size_t)(slash - rest.p));
    if (take_block(ex, kind, str_from_offset(rest, kind.n + 1), &block))
        start_change(ex, true, &block);
}

/* ---- list ---- */

typedef struct list_job {
    admin_job_t base;
    json_t *blocks;
} list_job_t;

static bool add_block(const store_block_t *block, void *arg)
{
    json_array_append_new(arg, block_json(block));
    return true;
}

static void list_run(store_job_t *job, store_t *store)
{
    list_job_t *list = CONTAINER_OF(list_job_t, base.job, job);
    admin_job_result(&list->base, store, store_each_block(store, add_block, list->blocks));
}

static void list_answer(exchange_t *ex, admin_job_t *job)
{
    const list_job_t *list = (const list_job_t *)job;
    if (job->result != STORE_OK) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *body = json_pack("{s:O}", "blocks", list->blocks);
    assert(body != NULL);
    admin_reply(ex, 200, body);
}

static void list_fini(admin_job_t *job)
{
    json_decref(((list_job_t *)job)->blocks);
}

void admin_blocks_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    list_job_t *list = calloc(1, sizeof *list);
    assert(list != NULL);
    list->blocks = json_array();
    list->base.job.run = list_run;
    list->base.answer = list_answer;
    list->base.fini = list_fini;
    admin_job_start(ex, &list->base);
}
