#include "request_head.h"

#include <assert.h>

#include "arena.h"
#include "client.h"
#include "target_text.h"

/* Lives in its own arena. */
struct request_head {
    arena_t arena;
    arena_mark_t seen; /* the arena is counted up to here */
    uint64_t bytes;    /* bytes counted so far */
};

typedef struct kept {
    field_id_t id;
    uint16_t bytes;
    uint8_t times;
} kept_t;

static const kept_t kept[] = {
#define X(id, bytes, times) {FIELD_##id, bytes, times},
    FIELDS_KEPT(X)
#undef X
};

#define KEPT_COUNT (sizeof(kept) / sizeof(kept[0]))

arena_t *request_head_arena(exchange_t *ex)
{
    if (ex->head == NULL) {
        arena_t arena;
        arena_init(&arena);
        request_head_t *head = arena_alloc(&arena, sizeof(*head));
        *head = (request_head_t){.arena = arena};
        ex->head = head;
    }
    return &ex->head->arena;
}

void request_head_count(exchange_t *ex)
{
    request_head_t *head = ex->head;
    if (!arena_has_grown(&head->arena, &head->seen))
        return;
    size_t n = arena_growth(&head->arena, &head->seen);
    head->bytes += n;
    account_add(&ex->account, n);
}

void request_head_free(exchange_t *ex)
{
    request_head_t *head = ex->head;
    if (head == NULL)
        return;
    ex->head = NULL;
    account_sub(&ex->account, head->bytes);
    arena_t arena = head->arena;
    arena_clear(&arena);
}

/* Whether later trailers need this Connection field. Only HTTP/2 origins get trailers. */
static bool names_trailers(const exchange_t *ex, const field_t *field)
{
    return field->id == FIELD_CONNECTION && ex->target.h2 && !ex->request_complete;
}

/* Whether the field is kept, with the first *bytes of its value. `count` has the kept fields of each name. */
static bool keeps(const exchange_t *ex, const field_t *field, unsigned count[KEPT_COUNT], size_t *bytes)
{
    *bytes = field->value.n;
    if (names_trailers(ex, field))
        return true;
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        if (kept[i].id != field->id)
            continue;
        if (*bytes > kept[i].bytes)
            *bytes = kept[i].bytes;
        return count[i]++ < kept[i].times;
    }
    return false;
}

static fields_t kept_fields(exchange_t *ex)
{
    const fields_t *all = &ex->request.fields;
    unsigned count[KEPT_COUNT] = {0};
    fields_t fields = {0};
    size_t bytes;
    fields_reserve(&ex->arena, &fields, KEPT_COUNT + 1);
    for (uint32_t i = 0; i < all->count; i++)
        if (keeps(ex, &all->at[i], count, &bytes))
            fields_add(&ex->arena, &fields, all->at[i].id, field_name(all->at[i].id),
                       str_dup(&ex->arena, str_make(all->at[i].value.p, bytes)));
    fields.dropped = true;
    return fields;
}

void request_head_drop(exchange_t *ex)
{
    request_t *request = &ex->request;
    if (ex->client->local)
        return;
    fields_t fields = kept_fields(ex);
    exchange_give_back(ex, request->fields.at); /* allocated while the head was small */
    request->fields = fields;
    request->method = str_dup(&ex->arena, request->method);
    request->authority = str_dup(&ex->arena, request->authority);
    request->target = target_text(&ex->arena, request->target);
    request->websocket_key = STR("");
    request_head_free(ex);
    exchange_count(ex);
}
