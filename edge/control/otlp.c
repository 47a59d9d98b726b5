#include "otlp.h"

#include <assert.h>

#include <jansson.h>

#include "address.h"
#include "decimal.h"
#include "log_json.h"

/* Values of the protocol's enumerations. */
#define KIND_INTERNAL "1"
#define KIND_SERVER   "2"

/* ---- pieces of JSON ---- */

static char *put(char *at, const char *text)
{
    return log_json_raw(at, str_from(text));
}

/* A text in quotes, escaped, of at most as many bytes as its field, and the mark of a cut. */
static char *put_text(char *at, str_t value, size_t max)
{
    *at++ = '"';
    log_json_text_t text = {.at = at, .limit = at + max};
    log_json_text(&text, value);
    *text.at++ = '"';
    return text.at;
}

static char *put_number(char *at, uint64_t value)
{
    *at++ = '"';
    at = decimal_put(at, value);
    *at++ = '"';
    return at;
}

/* An attribute's beginning; it follows another one unless it is the first of its list. */
static char *begin_attribute(char *at, const char *key, const char *type)
{
    if (at[-1] != '[')
        *at++ = ',';
    at = put(put(at, "{\"key\":\""), key);
    return put(put(put(at, "\",\"value\":{\""), type), "\":");
}

static char *put_attribute(char *at, const char *key, str_t value, size_t max)
{
    return value.n == 0 ? at : put(put_text(begin_attribute(at, key, "stringValue"), value, max), "}}");
}

static char *put_int_attribute(char *at, const char *key, uint64_t value)
{
    return put(put_number(begin_attribute(at, key, "intValue"), value), "}}");
}

/* ---- a span ---- */

/* Until its attributes; `parent` may be empty. */
static char *begin_span(char *at, const trace_message_t *trace, str_t span, str_t parent)
{
    if (at[-1] != '[')
        *at++ = ',';
    at = put(put(at, "{\"traceId\":\""), trace->id);
    at = log_json_raw(put(at, "\",\"spanId\":\""), span);
    if (parent.n != 0)
        at = log_json_raw(put(at, "\",\"parentSpanId\":\""), parent);
    return put(at, "\"");
}

static char *put_times(char *at, uint64_t from_us, uint64_t to_us)
{
    at = put_number(put(at, ",\"startTimeUnixNano\":"), from_us * 1000);
    return put_number(put(at, ",\"endTimeUnixNano\":"), to_us * 1000);
}

/* The methods of RFC 9110 and RFC 5789; the conventions call others "_OTHER". */
static bool is_known_method(const char *method)
{
    static const char *const known[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                        "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(method, known[i]) == 0)
            return true;
    return false;
}

/* Why the request failed, for the edge or its app; "": it did not. */
static str_t error_type(const trace_message_t *trace, char status[8])
{
    if (trace->status < 500 && !trace->cut)
        return STR("");
    if (trace->code[0] != '\0')
        return str_from(trace->code);
    if (trace->cut)
        return STR("cut");
    int n = snprintf(status, 8, "%u", trace->status);
    return str_make(status, (size_t)n);
}

/* The host and the port of an authority. */
static char *put_server(char *at, const trace_message_t *trace)
{
    str_t host = str_from(trace->host);
    const char *colon = strrchr(trace->host, ':');
    uint64_t port;
    if (colon != NULL && str_to_uint(str_from(colon + 1), UINT16_MAX, &port))
        host.n = (size_t)(colon - trace->host);
    else
        port = trace->local_port;
    at = put_attribute(at, "server.address", host, TRACE_HOST_MAX);
    return port != 0 ? put_int_attribute(at, "server.port", port) : at;
}

static char *put_path(char *at, const trace_message_t *trace)
{
    str_t path = str_from(trace->path);
    const char *query = strchr(trace->path, '?');
    if (query != NULL)
        path.n = (size_t)(query - trace->path);
    at = put_attribute(at, "url.path", path, TRACE_PATH_MAX);
    return query != NULL ? put_attribute(at, "url.query", str_from(query + 1), TRACE_PATH_MAX) : at;
}

static char *put_request_attributes(char *at, const trace_message_t *trace, str_t error)
{
    char address[INET6_ADDRSTRLEN];
    bool known = is_known_method(trace->method);
    at = put_attribute(at, "http.request.method", known ? str_from(trace->method) : STR("_OTHER"),
                       TRACE_METHOD_MAX);
    if (!known)
        at = put_attribute(at, "http.request.method_original", str_from(trace->method), TRACE_METHOD_MAX);
    at = put_attribute(at, "url.scheme", trace->https ? STR("https") : STR("http"), 5);
    at = put_path(at, trace);
    at = put_server(at, trace);
    at = put_attribute(at, "client.address", address_text(&trace->client, address), INET6_ADDRSTRLEN);
    if (trace->client_port != 0)
        at = put_int_attribute(at, "client.port", trace->client_port);
    at = put_attribute(at, "network.protocol.name", STR("http"), 4);
    at = put_attribute(at, "network.protocol.version", str_from(trace->version), sizeof(trace->version));
    if (trace->status != 0)
        at = put_int_attribute(at, "http.response.status_code", trace->status);
    at = put_attribute(at, "error.type", error, TRACE_CODE_MAX);
    at = put_attribute(at, "boxedge.request_id", str_from(trace->request_id), sizeof(trace->request_id));
    at = put_attribute(at, "boxedge.kind", str_from(measure_kind_text((measure_kind_t)trace->kind)), 16);
    at = put_attribute(at, "boxedge.box", str_from(trace->box), BOX_ID_MAX);
    if (trace->port != 0)
        at = put_int_attribute(at, "boxedge.port", trace->port);
    at = put_attribute(at, "boxedge.code", str_from(trace->code), TRACE_CODE_MAX);
    at = put_attribute(at, "boxedge.origin", str_from(trace->origin), TRACE_ORIGIN_MAX);
    return trace->gone ? put_attribute(at, "boxedge.end", STR("client_gone"), 16) : at;
}

/* The span's status: 2 is an error. */
static char *end_span(char *at, bool failed)
{
    return put(at, failed ? "],\"status\":{\"code\":2}}" : "],\"status\":{}}");
}

static char *put_request(char *at, const trace_message_t *trace)
{
    char status[8];
    str_t error = error_type(trace, status);
    const char *name = is_known_method(trace->method) ? trace->method : "HTTP";
    at = begin_span(at, trace, str_from(trace->span), str_from(trace->parent));
    at = put(put(put(at, ",\"name\":\""), name), "\",\"kind\":" KIND_SERVER);
    at = put_times(at, trace->wall_us, trace->wall_us + trace->took_us);
    at = put_request_attributes(put(at, ",\"attributes\":["), trace, error);
    return end_span(at, error.n != 0);
}

static char *put_phase(char *at, const trace_message_t *trace, trace_phase_t phase, random_source_t *random)
{
    const trace_span_t *span = &trace->phases[phase];
    char id[16];
    do
        random_hex(random, id, sizeof(id));
    while (strspn(id, "0") >= sizeof(id));
    at = begin_span(at, trace, str_make(id, sizeof(id)), str_from(trace->span));
    at = put(put(put(at, ",\"name\":\""), trace_phase_text(phase)), "\",\"kind\":" KIND_INTERNAL);
    at = put_times(at, trace->wall_us + span->from_us, trace->wall_us + span->to_us);
    return end_span(put(at, ",\"attributes\":["), span->failed);
}

static char *put_trace(char *at, const trace_message_t *trace, random_source_t *random)
{
    at = put_request(at, trace);
    for (unsigned i = 0; i < TRACE_PHASES; i++)
        if (trace->phases[i].there)
            at = put_phase(at, trace, (trace_phase_t)i, random);
    return at;
}

size_t otlp_write(char *out, const char *node, const trace_message_t *const *traces, size_t count,
                  random_source_t *random)
{
    char *at = put(out, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    at = put_attribute(at, "service.name", STR("boxedge"), 16);
    at = put_attribute(at, "service.version", STR(BOXEDGE_VERSION), 64);
    at = put_attribute(at, "service.instance.id", str_from(node), 64);
    at = put(at, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"boxedge\",\"version\":\"" BOXEDGE_VERSION
                 "\"},\"spans\":[");
    assert(at - out <= OTLP_FRAME_BYTES / 2);
    for (size_t i = 0; i < count; i++) {
        const char *before = at;
        at = put_trace(at, traces[i], random);
        assert(at - before <= OTLP_TRACE_BYTES);
    }
    return (size_t)(put(at, "]}]}]}") - out);
}

uint64_t otlp_rejected(str_t answer)
{
    json_t *root = answer.n != 0 ? json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *rejected = json_object_get(json_object_get(root, "partialSuccess"), "rejectedSpans");
    uint64_t spans = 0;
    if (json_is_integer(rejected) && json_integer_value(rejected) > 0)
        spans = (uint64_t)json_integer_value(rejected);
    else if (json_is_string(rejected))
        (void)!str_to_uint(str_from(json_string_value(rejected)), UINT32_MAX, &spans);
    json_decref(root);
    return spans;
}
