#include "requests.h"

#include "access_line.h"
#include "access_log.h"
#include "address.h"
#include "api.h"
#include "client.h"
#include "context.h"
#include "list.h"
#include "process.h"
#include "step.h"
#include "target_text.h"
#include "traffic.h"
#include "tunnel.h"
#include "worker.h"

/* Policy Violation (RFC 6455 section 7.4.1). */
#define CLOSE_POLICY 1008
/* The reason in the access line, and the code of the answer. */
#define KILLED "killed"

/* ---- the list ---- */

str_t requests_state(const exchange_t *ex)
{
    const await_source_t *source = await_source(ex);
    if (source != NULL)
        return str_from(source->name);
    switch (ex->state) {
    case EXCHANGE_HEAD:
        return STR("head");
    case EXCHANGE_STEPS:
        return str_from(ex->step->name);
    case EXCHANGE_ORIGIN:
        if (ex->origin_ops != NULL && ex->origin_ops->connected != NULL && !ex->origin_ops->connected(ex))
            return STR("connect");
        return ex->request_complete || ex->request.websocket ? STR("first_byte") : STR("upload");
    case EXCHANGE_RESPONSE:
        return STR("response");
    case EXCHANGE_TUNNEL:
        return STR("tunnel");
    case EXCHANGE_DONE:
        return STR("client"); /* it has not taken the rest of the response */
    }
    return STR("");
}

/* Whether the exchange is a request of a client, with a whole head. */
static bool is_request(const exchange_t *ex)
{
    return !ex->internal && ex->request_id[0] != '\0';
}

static size_t write_row(const exchange_t *ex, uint64_t now_us, char out[TRAFFIC_REQUEST_BYTES])
{
    char client[INET6_ADDRSTRLEN], path[TRAFFIC_PATH_MAX];
    size_t path_len = target_text_copy(ex->request.target, path, sizeof(path));
    traffic_request_t row = {.id = str_from(ex->request_id),
                             .state = requests_state(ex),
                             .kind = access_line_kind(ex),
                             .http = access_line_version(ex->request.version),
                             .client = address_text(remote_address(ex), client),
                             .method = ex->request.method,
                             .host = ex->request.authority,
                             .path = str_make(path, path_len < sizeof(path) ? path_len : sizeof(path)),
                             .origin = str_from(ex->origin_text),
                             .age_us = now_us > ex->times.start_us ? now_us - ex->times.start_us : 0,
                             .request_bytes = ex->request_bytes,
                             .response_bytes = ex->response_bytes};
    if (ex->routed) {
        row.box = str_from(ex->preview->id);
        row.port = ex->preview->port;
    }
    if (ex->api != NULL) {
        row.key = ex->api->key_name;
        row.upstream = str_from(ex->api->upstream->name);
    }
    return traffic_request_write(&row, out);
}

static bool matches(const exchange_t *ex, const traffic_question_t *question, uint64_t now_us)
{
    uint64_t age_us = now_us > ex->times.start_us ? now_us - ex->times.start_us : 0;
    if (age_us < question->older_than_us)
        return false;
    if (question->box[0] != '\0' && !(ex->routed && strcmp(question->box, ex->preview->id) == 0))
        return false;
    return question->state[0] == '\0' || str_eq(requests_state(ex), str_from(question->state));
}

/* Rows gather in a message until it is full. */
typedef struct page {
    channel_t *channel;
    uint64_t number;
    traffic_part_t kind;
    size_t used;
    char bytes[IPC_BYTES_MAX];
} page_t;

static void send_page(page_t *page)
{
    if (page->used > 1)
        (void)channel_send(page->channel, PROCESS_TRAFFIC, page->number, str_make(page->bytes, page->used),
                           NULL, 0);
    page->bytes[0] = (char)page->kind;
    page->used = 1;
}

static void send_end(channel_t *channel, uint64_t number, const traffic_end_t *end)
{
    char bytes[1 + TRAFFIC_END_BYTES] = {TRAFFIC_PART_END};
    size_t n = traffic_end_write(end, bytes + 1);
    (void)channel_send(channel, PROCESS_TRAFFIC, number, str_make(bytes, 1 + n), NULL, 0);
}

/* The list of the context has the oldest exchange first. */
static void list_requests(context_t *context, const traffic_question_t *question, channel_t *channel,
                          uint64_t number)
{
    page_t page = {.channel = channel, .number = number, .kind = TRAFFIC_PART_REQUESTS};
    traffic_end_t end = {.open = 0};
    uint64_t now_us = loop_precise_us();
    send_page(&page);
    for (list_t *link = context->exchanges.next; link != &context->exchanges; link = link->next) {
        const exchange_t *ex = CONTAINER_OF(exchange_t, in_context, link);
        if (!is_request(ex))
            continue;
        end.open++;
        if (!matches(ex, question, now_us) || ++end.matched > question->limit)
            continue;
        if (sizeof(page.bytes) - page.used < TRAFFIC_REQUEST_BYTES)
            send_page(&page);
        page.used += write_row(ex, now_us, page.bytes + page.used);
    }
    send_page(&page);
    send_end(channel, number, &end);
}

/* ---- recent lines ---- */

typedef struct search {
    page_t page;
    str_t find;
    uint64_t limit;
    traffic_end_t end;
} search_t;

static bool take_line(void *arg, str_t line)
{
    search_t *search = arg;
    page_t *page = &search->page;
    if (line.n > TRAFFIC_LINE_MAX || (search->find.n != 0 && !recent_line_matches(line, search->find)))
        return true;
    if (sizeof(page->bytes) - page->used < TRAFFIC_LINE_BYTES)
        send_page(page);
    page->used += traffic_line_write(line, page->bytes + page->used);
    return ++search->end.matched != search->limit;
}

/* A search through all lines takes the loop a few milliseconds. Only an operator asks for it. */
static void list_recent(context_t *context, const traffic_question_t *question, channel_t *channel,
                        uint64_t number)
{
    search_t search = {.page = {.channel = channel, .number = number, .kind = TRAFFIC_PART_LINES},
                       .find = str_from(question->find),
                       .limit = question->limit};
    send_page(&search.page);
    if (worker_of(context)->log != NULL && question->limit != 0)
        access_log_recent(worker_of(context)->log, take_line, &search, &search.end.open);
    send_page(&search.page);
    send_end(channel, number, &search.end);
}

/* ---- the end of a request ---- */

/* Its head went to the client, so that only a reset can end the response. */
static traffic_ending_t reset(exchange_t *ex)
{
    exchange_cut(ex);
    if (ex->client_ops->abort != NULL) /* the client may not take the bytes before the cut */
        ex->client_ops->abort(ex);
    return TRAFFIC_RESET;
}

static traffic_ending_t end_request(exchange_t *ex)
{
    switch (ex->state) {
    case EXCHANGE_HEAD:
    case EXCHANGE_STEPS:
    case EXCHANGE_ORIGIN:
        exchange_reply_error(ex, 503, KILLED, "The operator of this edge ended this request.", 0);
        return TRAFFIC_ANSWERED;
    case EXCHANGE_TUNNEL:
        tunnel_end(ex, KILLED, CLOSE_POLICY, STR("ended by the operator"));
        if (ex->state == EXCHANGE_DONE && ex->response_complete)
            return TRAFFIC_CLOSED;
        break;
    case EXCHANGE_RESPONSE:
    case EXCHANGE_DONE:
        break;
    }
    ex->local_code = KILLED;
    return reset(ex);
}

/*
 * The end of one may end exchanges of the edge that serve it, but no other request of a client: those end at
 * the end of a turn only. So the pointers stay valid.
 */
static void kill_requests(context_t *context, str_t id, channel_t *channel, uint64_t number)
{
    exchange_t *found[REQUESTS_KILL_MAX];
    size_t count = 0;
    traffic_end_t end = {.open = 0};
    for (list_t *link = context->exchanges.next; link != &context->exchanges && count < REQUESTS_KILL_MAX;
         link = link->next) {
        exchange_t *ex = CONTAINER_OF(exchange_t, in_context, link);
        if (is_request(ex) && ex->state != EXCHANGE_HEAD && str_eq(str_from(ex->request_id), id))
            found[count++] = ex;
    }
    for (size_t i = 0; i < count; i++)
        end.ended[end_request(found[i])]++;
    send_end(channel, number, &end);
}

void requests_take(context_t *context, channel_t *channel, const ipc_message_t *message)
{
    traffic_question_t question;
    if (!traffic_question_read(str_make(message->bytes, message->len), &question))
        return;
    switch (question.op) {
    case TRAFFIC_LIST:
        list_requests(context, &question, channel, message->value);
        break;
    case TRAFFIC_KILL:
        kill_requests(context, str_from(question.request_id), channel, message->value);
        break;
    case TRAFFIC_TOP:
        if (worker_of(context)->traffic != NULL)
            traffic_answer(worker_of(context)->traffic, question.by, loop_precise_us(), channel,
                           message->value);
        send_end(channel, message->value, &(traffic_end_t){.open = 0});
        break;
    case TRAFFIC_RECENT:
        list_recent(context, &question, channel, message->value);
        break;
    }
}
