#include "access_line.h"

#include <assert.h>
#include <time.h>

#include "access.h"
#include "address.h"
#include "api.h"
#include "arena.h"
#include "cause.h"
#include "client.h"
#include "decimal.h"
#include "exchange_measure.h"
#include "forward.h"
#include "links.h"
#include "log_json.h"
#include "target_text.h"
#include "trace.h"
#include "wake_times.h"

/* Maximum bytes of each text of a line, escaped. */
#define ID_BYTES     36
#define HOST_BYTES   255
#define METHOD_BYTES 32
#define PATH_BYTES   TARGET_TEXT_BYTES
#define ORIGIN_BYTES 64
#define CODE_BYTES   48
#define DETAIL_BYTES 128
#define API_BYTES    (3 * CONF_NAME_MAX)
/* All the rest: names, punctuation, numbers, the address, and a mark for each text that was cut. */
#define REST_BYTES 1024

_Static_assert(ID_BYTES + HOST_BYTES + METHOD_BYTES + PATH_BYTES + ORIGIN_BYTES + CODE_BYTES +
                       FIELD_AGENT_BYTES + DETAIL_BYTES + API_BYTES + REST_BYTES <=
                   ACCESS_LINE_MAX,
               "every line fits");

static char *write_time(char *at, access_clock_t *clock, uint64_t wall_us)
{
    uint64_t second = wall_us / 1000000;
    if (clock->second != second || clock->text[0] == '\0') {
        struct tm tm;
        time_t when = (time_t)second;
        gmtime_r(&when, &tm);
        size_t n = strftime(clock->text, sizeof clock->text, "%Y-%m-%dT%H:%M:%S", &tm);
        assert(n == sizeof clock->text - 1);
        clock->second = second;
    }
    at = log_json_raw(at, STR("{\"time\":\""));
    at = log_json_raw(at, str_make(clock->text, sizeof clock->text - 1));
    unsigned ms = (unsigned)(wall_us / 1000 % 1000);
    *at++ = '.';
    *at++ = (char)('0' + ms / 100);
    *at++ = (char)('0' + ms / 10 % 10);
    *at++ = (char)('0' + ms % 10);
    return log_json_raw(at, STR("Z\""));
}

/* `before` is the punctuation, the name and the opening quote. */
static char *write_text(char *at, str_t before, str_t value, size_t max)
{
    at = log_json_raw(at, before);
    log_json_text_t text = {.at = at, .limit = at + max};
    log_json_text(&text, value);
    *text.at++ = '"';
    return text.at;
}

/* The edge's own words need no escaping. */
static char *write_own(char *at, str_t before, const char *value, size_t max)
{
    at = log_json_raw(log_json_raw(at, before), str_make(value, strnlen(value, max)));
    *at++ = '"';
    return at;
}

static char *write_uint(char *at, str_t before, uint64_t value)
{
    return decimal_put(log_json_raw(at, before), value);
}

static char *write_bool(char *at, str_t before, bool value)
{
    return log_json_raw(log_json_raw(at, before), value ? STR("true") : STR("false"));
}

static void add_escaped(str_t part, void *arg)
{
    log_json_text(arg, part);
}

static char *write_path(char *at, str_t target)
{
    at = log_json_raw(at, STR(",\"path\":\""));
    log_json_text_t text = {.at = at, .limit = at + PATH_BYTES};
    target_text_parts(target, add_escaped, &text);
    *text.at++ = '"';
    return text.at;
}

str_t access_line_kind(const exchange_t *ex)
{
    return str_from(measure_kind_text(exchange_kind(ex)));
}

str_t access_line_version(http_version_t version)
{
    switch (version) {
    case HTTP_1_0:
        return STR("1.0");
    case HTTP_1_1:
        return STR("1.1");
    case HTTP_2:
        return STR("2");
    }
    return STR(""); /* the head was refused before its version was known */
}

static str_t end_text(exchange_end_t how)
{
    switch (how) {
    case EXCHANGE_END_COMPLETE:
        return STR("complete");
    case EXCHANGE_END_CLIENT_GONE:
        return STR("client_gone");
    case EXCHANGE_END_CUT:
        return STR("cut");
    }
    return STR("");
}

/* The trace of the client, or of the edge. A valid id has no characters to escape. */
static char *write_trace(char *at, const exchange_t *ex)
{
    str_t inbound = ex->trace == NULL ? forward_inbound_trace(ex) : STR("");
    if (ex->trace == NULL && inbound.n == 0)
        return at;
    at = log_json_raw(log_json_raw(at, STR(",\"trace_id\":\"")),
                      ex->trace != NULL ? trace_id(ex->trace) : traceparent_id(inbound));
    *at++ = '"';
    return at;
}

/* The link whose session opened the preview. */
static char *write_link(char *at, uint64_t id)
{
    char text[LINK_ID_DIGITS + 1];
    link_id_text(id, text);
    return write_own(at, STR(",\"link\":\""), text, LINK_ID_DIGITS);
}

/* The client and the request. */
static char *write_request(char *at, const exchange_t *ex)
{
    char address[INET6_ADDRSTRLEN];
    at = write_own(at, STR(",\"request_id\":\""), ex->request_id, ID_BYTES);
    if (ex->trace != NULL || fields_find(&ex->request.fields, FIELD_TRACEPARENT) != NULL)
        at = write_trace(at, ex);
    at = log_json_raw(at, STR(",\"client\":\""));
    at = log_json_raw(at, address_text(remote_address(ex), address));
    if (remote_is_trusted(ex)) {
        at = log_json_raw(at, STR("\",\"proxy\":\""));
        at = log_json_raw(at, address_text(&ex->client->address, address));
    }
    at = write_text(at, STR("\",\"host\":\""), ex->request.authority, HOST_BYTES);
    if (ex->routed) {
        at = write_own(at, STR(",\"box\":\""), ex->preview->id, BOX_ID_MAX);
        at = write_uint(at, STR(",\"port\":"), ex->preview->port);
    }
    if (ex->link != NULL)
        at = write_link(at, ex->link->id);
    at = log_json_raw(at, STR(",\"kind\":\""));
    at = log_json_raw(at, access_line_kind(ex));
    at = write_text(at, STR("\",\"method\":\""), ex->request.method, METHOD_BYTES);
    at = write_path(at, ex->request.target);
    at = log_json_raw(at, STR(",\"http\":\""));
    at = log_json_raw(at, access_line_version(ex->request.version));
    at = write_bool(at, STR("\",\"tls\":"), remote_is_https(ex));
    str_t agent = fields_value(&ex->request.fields, FIELD_USER_AGENT);
    if (agent.n != 0)
        at = write_text(at, STR(",\"user_agent\":\""), agent, FIELD_AGENT_BYTES);
    return at;
}

static str_t wake_text(wake_outcome_t outcome)
{
    switch (outcome) {
    case WAKE_OUTCOME_NONE:
        break;
    case WAKE_OUTCOME_OK:
        return STR("ok");
    case WAKE_OUTCOME_FAILED:
        return STR("failed");
    case WAKE_OUTCOME_PAGE:
        return STR("page");
    case WAKE_OUTCOME_REFUSED:
        return STR("refused");
    case WAKE_OUTCOME_LEFT:
        return STR("left");
    }
    return STR("");
}

static char *write_wake(char *at, const exchange_t *ex)
{
    if (ex->wake == NULL || wake_outcome(ex) == WAKE_OUTCOME_NONE)
        return at;
    at = log_json_raw(log_json_raw(at, STR(",\"wake\":\"")), wake_text(wake_outcome(ex)));
    return write_uint(at, STR("\",\"wake_ms\":"), wake_times(ex)->waited_ms);
}

static str_t limited_text(limit_result_t result)
{
    switch (result) {
    case LIMIT_ADMITTED:
        break;
    case LIMIT_RATE:
        return STR("rate");
    case LIMIT_COST:
        return STR("cost");
    case LIMIT_IN_FLIGHT:
        return STR("in_flight");
    }
    return STR("");
}

/* The key, the limit and the number of servers. */
static char *write_api(char *at, const exchange_t *ex)
{
    const api_t *api = ex->api;
    if (api == NULL)
        return at;
    if (api->key_name.n != 0)
        at = write_text(at, STR(",\"key\":\""), api->key_name, CONF_NAME_MAX);
    if (api->plan != NULL)
        at = write_own(at, STR(",\"plan\":\""), api->plan->name, CONF_NAME_MAX);
    if (api->limited != LIMIT_ADMITTED) {
        at = log_json_raw(log_json_raw(at, STR(",\"limited\":\"")), limited_text(api->limited));
        *at++ = '"';
    }
    at = write_own(at, STR(",\"upstream\":\""), api->upstream->name, CONF_NAME_MAX);
    if (api->attempts != 0)
        at = write_uint(at, STR(",\"attempts\":"), api->attempts);
    if (api->queued_ms != 0)
        at = write_uint(at, STR(",\"queued_ms\":"), api->queued_ms);
    return at;
}

/* The result. */
static char *write_response(char *at, const exchange_t *ex, exchange_end_t how, uint64_t now_us)
{
    uint64_t start = ex->times.start_us;
    at = write_uint(at, STR(",\"status\":"), (uint64_t)(unsigned)ex->status);
    at = write_uint(at, STR(",\"request_bytes\":"), ex->request_bytes);
    at = write_uint(at, STR(",\"response_bytes\":"), ex->response_bytes);
    at = log_json_raw(at, STR(",\"duration_ms\":"));
    at = log_json_ms(at, start != 0 && now_us > start ? now_us - start : 0);
    at = write_wake(at, ex);
    at = write_api(at, ex);
    if (ex->times.connect_us != 0)
        at = log_json_ms(log_json_raw(at, STR(",\"connect_ms\":")), ex->times.connect_us);
    if (ex->times.first_byte_us != 0)
        at = log_json_ms(log_json_raw(at, STR(",\"first_byte_ms\":")), ex->times.first_byte_us);
    if (ex->origin_text[0] != '\0')
        at = write_own(at, STR(",\"origin\":\""), ex->origin_text, ORIGIN_BYTES);
    if (ex->local_code != NULL)
        at = write_own(at, STR(",\"reason\":\""), ex->local_code, CODE_BYTES);
    const char *cause = cause_text(ex);
    if (cause != NULL)
        at = write_text(at, STR(",\"detail\":\""), str_from(cause), DETAIL_BYTES);
    at = write_bool(at, STR(",\"tunnel\":"), ex->response.tunnel);
    at = write_bool(at, STR(",\"resent\":"), ex->sent_again);
    at = log_json_raw(at, STR(",\"end\":\""));
    at = log_json_raw(at, end_text(how));
    return log_json_raw(at, STR("\"}\n"));
}

size_t access_line(char out[ACCESS_LINE_MAX], access_clock_t *clock, const exchange_t *ex, exchange_end_t how,
                   uint64_t now_us)
{
    char *at = write_time(out, clock, ex->times.wall_us);
    at = write_request(at, ex);
    at = write_response(at, ex, how, now_us);
    assert(at - out <= ACCESS_LINE_MAX);
    return (size_t)(at - out);
}
