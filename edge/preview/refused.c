#include "refused.h"

#include <assert.h>
#include <stdlib.h>

#include "access.h"
#include "arena.h"
#include "box_ports_message.h"
#include "fnv.h"
#include "list.h"
#include "process.h"
#include "text.h"
#include "worker.h"

/* Ports of boxes that are remembered. Two that share a cell displace each other. */
#define CELLS 256

typedef enum cell_state { CELL_EMPTY, CELL_PENDING, CELL_KNOWN } cell_state_t;

typedef struct cell {
    cell_state_t state;
    uint16_t label_len;
    char label[BOX_PORTS_LABEL_MAX]; /* "<id>-<port>" */
    uint64_t generation;
    uint64_t since_ms; /* when the request was sent (CELL_PENDING) or the answer came (CELL_KNOWN) */
    box_ports_answer_t answer;
    list_t waiters; /* refusal_t, in CELL_PENDING */
} cell_t;

/* An exchange whose box refused it, in its arena. */
typedef struct refusal {
    list_t link; /* in cell_t.waiters, while it waits */
    exchange_t *ex;
    cell_t *cell;             /* that it waits for */
    bool answered;            /* `cell` has the answer */
    origin_failure_t failure; /* ORIGIN_NOT_LISTENING or ORIGIN_CLOSED */
} refusal_t;

struct refused {
    worker_t *worker;
    channel_t *channel;
    cell_t cells[CELLS];
};

refused_t *refused_new(worker_t *worker)
{
    refused_t *refused = calloc(1, sizeof(*refused));
    assert(refused != NULL);
    refused->worker = worker;
    for (size_t i = 0; i < CELLS; i++)
        list_init(&refused->cells[i].waiters);
    return refused;
}

void refused_free(refused_t **refused)
{
    if (*refused == NULL)
        return;
    for (size_t i = 0; i < CELLS; i++)
        assert(list_is_empty(&(*refused)->cells[i].waiters));
    free(*refused);
    *refused = NULL;
}

void refused_set_channel(refused_t *refused, channel_t *channel)
{
    refused->channel = channel;
}

/* ---- the failure ---- */

/* "Listening in the box: ports 5173, 9229 (on its loopback only)." */
static void put_ports(exchange_t *ex, const box_ports_answer_t *answer, text_t *text)
{
    if (answer->count == 0)
        text_put(text, STR("Nothing listens in the box on any port that can be exposed."));
    else
        text_put(text, answer->count == 1 ? STR("Listening in the box: port ")
                                          : STR("Listening in the box: ports "));
    for (size_t i = 0; i < answer->count; i++) {
        text_put(text, i != 0 ? STR(", ") : STR(""));
        text_put(text, str_decimal(&ex->arena, answer->ports[i].port));
        bool hidden = answer->ports[i].loopback && ex->box.provider != PROVIDER_PROCESS;
        text_put(text, hidden ? STR(" (on its loopback only)") : STR(""));
    }
    text_put(text, answer->count != 0 ? STR(".") : STR(""));
}

/* Sentences on the ports, if relevant and known, and on the last line of the log; NULL: neither. */
static const char *details_text(exchange_t *ex, const box_ports_answer_t *answer, bool ports)
{
    bool has_line = answer->line[0] != '\0', has_ports = ports && answer->known;
    if (!has_ports && !has_line)
        return NULL;
    text_t text = text_new(&ex->arena, 128 + (size_t)answer->count * 32 + sizeof(answer->line));
    if (has_ports)
        put_ports(ex, answer, &text);
    if (has_line) {
        text_put(&text, has_ports ? STR(" ") : STR(""));
        text_put(&text, STR("The last line of its log: "));
        text_put(&text, str_from(answer->line));
        text_put(&text, STR("."));
    }
    text_put(&text, str_make("", 1)); /* terminating NUL */
    return text_str(&text).p;
}

static void fail(exchange_t *ex, origin_failure_t failure, const box_ports_answer_t *answer)
{
    bool refused = failure == ORIGIN_NOT_LISTENING;
    if (refused && answer->known) {
        const box_port_t *port = box_ports_find(answer->ports, answer->count, ex->preview->port);
        /* The edge reaches boxes without a separate network on loopback. */
        if (port != NULL && port->loopback && ex->box.provider != PROVIDER_PROCESS)
            failure = ORIGIN_ON_LOOPBACK;
    }
    if (failure != ORIGIN_ON_LOOPBACK && access_reads_details(ex)) {
        const char *text = details_text(ex, answer, refused);
        ex->detail = text != NULL ? text : ex->detail;
    }
    exchange_origin_failed(ex, failure);
}

static void settle(cell_t *cell, uint64_t now, const box_ports_answer_t *answer)
{
    list_t leavers;
    cell->state = CELL_KNOWN;
    cell->since_ms = now;
    cell->answer = *answer;
    list_init(&leavers);
    list_insert_all(&leavers, &cell->waiters);
    while (!list_is_empty(&leavers)) { /* a failure may end other exchanges */
        refusal_t *refusal = CONTAINER_OF(refusal_t, link, leavers.next);
        refusal->answered = true;
        await_complete(refusal->ex);
    }
}

/* ---- the wait for the reason ---- */

static void leave(exchange_t *ex, await_end_t how)
{
    (void)how;
    list_unlink(&ex->refusal->link);
}

/* The answer has come, or the first of the cell's deadlines has passed: nobody else waits for it either. */
static void go_on(exchange_t *ex)
{
    static const box_ports_answer_t unknown;
    refusal_t *refusal = ex->refusal;
    if (!refusal->answered)
        settle(refusal->cell, loop_now(ex->context->loop), &unknown);
    fail(ex, refusal->failure, &refusal->cell->answer);
}

static const await_source_t source = {.name = "reason", .leave = leave, .go_on = go_on};

static void hold(cell_t *cell, exchange_t *ex)
{
    ex->refusal->cell = cell;
    list_insert(&cell->waiters, &ex->refusal->link);
    await_hold(ex, &source, REFUSED_WAIT_MS);
}

bool refused_waits(const exchange_t *ex)
{
    return await_source(ex) == &source;
}

/* ---- requests to the controller ---- */

/* Collisions need no defence: they only hide the reason from a refused client. */
static size_t cell_of(str_t label, uint64_t generation)
{
    return fnv_end(fnv_text(FNV_START ^ generation, label)) % CELLS;
}

static bool is_for(const cell_t *cell, str_t label, uint64_t generation)
{
    return cell->state != CELL_EMPTY && cell->generation == generation &&
           str_eq(str_make(cell->label, cell->label_len), label);
}

/* A request that nobody waits for any more counts for as long as a wait would last. */
static bool is_pending(const cell_t *cell, uint64_t now)
{
    return cell->state == CELL_PENDING &&
           (!list_is_empty(&cell->waiters) || now - cell->since_ms < REFUSED_WAIT_MS);
}

static bool request_ports(refused_t *refused, cell_t *cell, uint64_t now, str_t label, uint64_t generation)
{
    if (refused->channel == NULL ||
        !channel_send(refused->channel, PROCESS_BOX_PORTS_REQUEST, generation, label, NULL, 0))
        return false;
    cell->state = CELL_PENDING;
    cell->generation = generation;
    cell->label_len = (uint16_t)label.n;
    memcpy(cell->label, label.p, label.n);
    cell->since_ms = now;
    return true;
}

static void explain(exchange_t *ex, origin_failure_t failure)
{
    static const box_ports_answer_t unknown;
    refused_t *refused = worker_of(ex->context)->refused;
    char text[BOX_PORTS_LABEL_MAX + 1];
    assert(ex->origin_ops == NULL);
    if (refused == NULL || (ex->box.pid == 0 && !store_keeps_log(ex->box.provider))) {
        fail(ex, failure, &unknown);
        return;
    }
    int n = snprintf(text, sizeof(text), "%s-%u", ex->preview->id, ex->preview->port);
    assert(n > 0 && n <= BOX_PORTS_LABEL_MAX); /* a preview's label fits */
    str_t label = str_make(text, (size_t)n);
    uint64_t generation = ex->box.generation;
    cell_t *cell = &refused->cells[cell_of(label, generation)];
    bool mine = is_for(cell, label, generation);
    uint64_t now = loop_now(ex->context->loop);
    bool fresh = mine && cell->state == CELL_KNOWN && now - cell->since_ms < REFUSED_FRESH_MS;
    if (fresh)
        fail(ex, failure, &cell->answer);
    else if (is_pending(cell, now) ? mine : request_ports(refused, cell, now, label, generation))
        hold(cell, ex);
    else
        fail(ex, failure, &unknown);
}

bool refused_origin_left(exchange_t *ex, const origin_failure_t *failure)
{
    if (failure == NULL || ex->refusal != NULL || !ex->target.is_box || ex->state >= EXCHANGE_RESPONSE)
        return true;
    bool closed = *failure == ORIGIN_CLOSED && store_keeps_log(ex->box.provider) && access_reads_details(ex);
    if (!closed && *failure != ORIGIN_NOT_LISTENING)
        return true;
    ex->refusal = arena_alloc(&ex->arena, sizeof(*ex->refusal));
    *ex->refusal = (refusal_t){.ex = ex, .failure = *failure};
    explain(ex, *failure);
    return false;
}

void refused_message(refused_t *refused, const ipc_message_t *message)
{
    box_ports_answer_t answer;
    str_t label;
    if (message->type != PROCESS_BOX_PORTS ||
        !box_ports_parse(str_make(message->bytes, message->len), &label, &answer))
        return;
    cell_t *cell = &refused->cells[cell_of(label, message->value)];
    if (cell->state == CELL_PENDING && is_for(cell, label, message->value))
        settle(cell, loop_now(refused->worker->context.loop), &answer);
}
