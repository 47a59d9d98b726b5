/* Both codecs of a fuzzed exchange. They assert their own expectations. */
#include "fuzz_world.h"

void fuzz_take(exchange_t *ex)
{
    assert(fuzz_world.taken_count < FUZZ_TAKEN);
    fuzz_world.taken[fuzz_world.taken_count++] = ex;
}

void fuzz_forget(exchange_t *ex)
{
    for (size_t i = 0; i < fuzz_world.taken_count; i++)
        if (fuzz_world.taken[i] == ex)
            fuzz_world.taken[i--] = fuzz_world.taken[--fuzz_world.taken_count];
}

/* ---- the client codec ---- */

static void send_informational(exchange_t *ex, int status, const fields_t *fields)
{
    (void)fields;
    assert(status >= 100 && status < 200 && ((fuzz_call_t *)ex->codec)->heads == 0);
}

static void send_head(exchange_t *ex)
{
    fuzz_call_t *call = ex->codec;
    assert(call->heads++ == 0 && call->cuts == 0);
    call->length = ex->response.bodyless ? 0 : ex->response.content_length;
}

static size_t room_of(const exchange_t *ex)
{
    return ((fuzz_call_t *)ex->codec)->room;
}

static void send_body(exchange_t *ex, str_t data)
{
    fuzz_call_t *call = ex->codec;
    assert(call->heads == 1 && call->ends == 0 && call->cuts == 0 && call->staged_count < FUZZ_SLICES);
    call->staged[call->staged_count++] = data;
    call->room -= data.n < call->room ? data.n : call->room;
    call->got += data.n;
    assert(call->got <= call->length);
}

static void send_end(exchange_t *ex)
{
    fuzz_call_t *call = ex->codec;
    assert(call->heads == 1 && call->cuts == 0 && call->ends++ == 0);
    assert(call->length == LENGTH_UNKNOWN || call->got == call->length);
}

static void flush(exchange_t *ex)
{
    fuzz_call_t *call = ex->codec;
    static char out[EXCHANGE_BODY_BYTES];
    for (size_t i = 0; i < call->staged_count; i++)
        if (call->staged[i].n <= sizeof(out))
            memcpy(out, call->staged[i].p, call->staged[i].n); /* does it still exist? */
    call->staged_count = 0;
}

static void cut(exchange_t *ex)
{
    fuzz_call_t *call = ex->codec;
    /* A tunnel whose box has ended is cut if its rest cannot be delivered. */
    assert((call->ends == 0 || ex->response.tunnel) && call->staged_count == 0 && call->cuts++ == 0);
}

static void nothing(exchange_t *ex)
{
    (void)ex;
}

const client_ops_t fuzz_client_ops = {
    .send_informational = send_informational,
    .send_head = send_head,
    .room = room_of,
    .send_body = send_body,
    .send_end = send_end,
    .flush = flush,
    .cut = cut,
    .resume_request = nothing,
};

/* ---- the origin codec ---- */

fuzz_origin_t *fuzz_origin_of(const exchange_t *ex)
{
    return ex->origin;
}

/* It lets go first, like the codecs. */
static void let_go(exchange_t *ex)
{
    fuzz_forget(ex);
    ex->origin_ops = NULL;
}

void fuzz_origin_fails(exchange_t *ex, origin_failure_t failure)
{
    let_go(ex);
    exchange_origin_failed(ex, failure);
}

static size_t origin_room_now(const exchange_t *ex)
{
    return buffer_size(&ex->held) != 0 ? 0 : fuzz_origin_of(ex)->room;
}

static void origin_send_body(exchange_t *ex, str_t data)
{
    fuzz_origin_t *origin = fuzz_origin_of(ex);
    assert(data.n <= origin->room);
    origin->room -= data.n;
    origin->took = true;
}

static void origin_flushes(exchange_t *ex)
{
    if ((fuzz_origin_of(ex)->nature & ORIGIN_FAILS_AT_FLUSH) != 0)
        fuzz_origin_fails(ex, ORIGIN_CLOSED);
}

static bool origin_has_sent(const exchange_t *ex)
{
    return fuzz_origin_of(ex)->room != 0;
}

void fuzz_origin_sends(exchange_t *ex, size_t n)
{
    size_t most = exchange_response_body_room(ex);
    n = n < most ? n : most;
    if (n == 0)
        return;
    char *piece = malloc(n); /* gone after the flush */
    memset(piece, '\x81', n);
    exchange_response_body(ex, str_make(piece, n));
    exchange_response_flush(ex);
    free(piece);
}

static void origin_resumes(exchange_t *ex)
{
    bool begun = ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_TUNNEL;
    if ((fuzz_origin_of(ex)->nature & ORIGIN_TALKS_ON) != 0 && begun && !fuzz_origin_of(ex)->ended)
        fuzz_origin_sends(ex, 1000);
}

static bool origin_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    fuzz_origin_t *origin = fuzz_origin_of(ex);
    if ((origin->nature & ORIGIN_GOES_ELSEWHERE) == 0 || origin->took || ex->state != EXCHANGE_ORIGIN)
        return false;
    ex->box = *now;
    ex->box_epoch = epoch;
    return true;
}

const origin_ops_t fuzz_origin_ops = {
    .room = origin_room_now,
    .send_body = origin_send_body,
    .send_end = nothing,
    .flush = origin_flushes,
    .sent = origin_has_sent,
    .resume_response = origin_resumes,
    .cancel = fuzz_forget,
    .again = origin_again,
};

void fuzz_origin_head(exchange_t *ex, uint8_t kind)
{
    static const int statuses[] = {200, 204, 404, 503};
    bool tunnel = ex->request.websocket && (kind & 8) == 0;
    bool bodyless = !tunnel && ((kind & 4) != 0 || str_eq(ex->request.method, STR("HEAD")));
    ex->response = (response_t){.status = tunnel     ? 101
                                          : bodyless ? 204
                                                     : statuses[(kind & 3) & ~1],
                                .content_length = LENGTH_UNKNOWN,
                                .bodyless = bodyless,
                                .tunnel = tunnel};
    exchange_response_head(ex);
    exchange_response_flush(ex);
    if (!bodyless || ex->origin_ops == NULL)
        return;
    let_go(ex);
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

void fuzz_origin_ends(exchange_t *ex)
{
    fuzz_origin_of(ex)->ended = true;
    if (ex->state == EXCHANGE_RESPONSE)
        let_go(ex);
    exchange_response_end(ex);
    exchange_response_flush(ex);
}
