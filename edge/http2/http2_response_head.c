#include "http2_response_head.h"

#include "arena.h"

static const char bad_status[] =
    "The status is not a number from 100 to 999, or 101, which HTTP/2 does not have.";

static void take_status(http2_head_t *head, arena_t *pool, response_t *response, str_t value)
{
    uint64_t status;
    if (value.n == 3 && str_to_uint(value, 999, &status) && status >= 100 && status != 101) {
        response->status = (int)status;
        return;
    }
    http2_response_blame(head, pool, bad_status, value);
}

static void take_length(http2_head_t *head, response_t *response, str_t value)
{
    if (response->content_length != LENGTH_UNKNOWN ||
        !str_to_uint(value, INT64_MAX, &response->content_length))
        head->malformed = true;
}

http2_head_result_t http2_response_field(http2_head_t *head, arena_t *pool, const http2_head_limits_t *limits,
                                         response_t *response, str_t name, bool stable_name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    if (head->malformed || head->oversize)
        return result;
    if (name.n != 0 && name.p[0] == ':') {
        if (str_eq(name, STR(":status")))
            take_status(head, pool, response, value);
        else
            head->malformed = true;
        return result;
    }
    if (++head->count > limits->fields) {
        head->oversize = true;
        return result;
    }
    field_id_t id = field_lookup(name);
    if (id == FIELD_CONTENT_LENGTH) {
        take_length(head, response, value);
        return result;
    }
    if (id != FIELD_OTHER)
        name = field_name(id);
    else if (!stable_name)
        name = str_dup(pool, name);
    fields_add(pool, &response->fields, id, name, str_dup(pool, value));
    return result;
}

bool http2_response_finish(const http2_head_t *head, response_t *response, bool head_request, bool end_stream)
{
    if (head->malformed || head->oversize || response->status == 0)
        return false;
    bool never_a_body = response->status < 200 || response->status == 204;
    response->bodyless = never_a_body || response->status == 304 || head_request || end_stream;
    if (never_a_body)
        response->content_length = LENGTH_UNKNOWN;
    else if (end_stream && response->content_length == LENGTH_UNKNOWN && !head_request &&
             response->status != 304)
        response->content_length = 0; /* so that a client over HTTP/1 sees the end */
    return true;
}

/* ---- a field that nghttp2 refuses (RFC 9113 sections 8.2 and 8.3) ---- */

bool http2_response_refused_field(str_t message, int32_t *stream, str_t *name, str_t *value)
{
    static const char *const marks[] = {"stream: ", ", name: [", "], value: ["};
    str_t parts[3];
    for (size_t i = 0; i < 3; i++) {
        str_t mark = str_from(marks[i]);
        const char *at = message.n != 0 ? memmem(message.p, message.n, mark.p, mark.n) : NULL;
        if (at == NULL)
            return false;
        if (i != 0)
            parts[i - 1] = str_make(message.p, (size_t)(at - message.p));
        message = str_from_offset(message, (size_t)(at - message.p) + mark.n);
    }
    uint64_t id;
    if (!str_to_uint(parts[0], INT32_MAX, &id))
        return false;
    *stream = (int32_t)id;
    *name = parts[1];
    *value = message.n != 0 && message.p[message.n - 1] == ']' ? str_make(message.p, message.n - 1) : message;
    return true;
}

static bool has_capital(str_t name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return true;
    return false;
}

static bool is_of_connection(str_t name)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "transfer-encoding",
                                        "upgrade"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_eq(name, str_from(names[i])))
            return true;
    return false;
}

static const char *reason_of_status(const http2_head_t *head, const response_t *response)
{
    if (response->status != 0)
        return "The answer has :status twice.";
    return head->bytes != 0 ? "The answer has :status after another field." : bad_status;
}

static const char *reason_of_length(const response_t *response)
{
    bool never_a_body = (response->status != 0 && response->status < 200) || response->status == 204;
    if (never_a_body)
        return "An answer with 1xx or 204 has Content-Length.";
    return response->content_length != LENGTH_UNKNOWN ? "The answer has Content-Length twice."
                                                      : "Content-Length is not a number, or is too large.";
}

void http2_response_refused(http2_head_t *head, arena_t *pool, const response_t *response, str_t name,
                            str_t value)
{
    if (str_eq(name, STR(":status")))
        http2_response_blame(head, pool, reason_of_status(head, response), value);
    else if (name.n != 0 && name.p[0] == ':')
        http2_response_blame(head, pool, "The only field of an answer that begins with ':' is :status.",
                             name);
    else if (str_eq(name, STR("content-length")))
        http2_response_blame(head, pool, reason_of_length(response), value);
    else if (is_of_connection(name))
        http2_response_blame(head, pool, "The answer has a connection-specific field, which HTTP/2 forbids.",
                             name);
    else if (has_capital(name))
        http2_response_blame(head, pool, "The name of a header field has a capital letter.", name);
    else
        http2_response_blame(head, pool, HTTP2_RESPONSE_BAD_FIELD, name);
}

void http2_response_trailer_refused(http2_head_t *head, arena_t *pool, str_t name)
{
    response_t none = {.content_length = LENGTH_UNKNOWN};
    if (name.n != 0 && name.p[0] == ':')
        http2_response_blame(head, pool, FAULT_PSEUDO_TRAILER, name);
    else if (str_eq(name, STR("content-length")))
        http2_response_blame(head, pool, FAULT_TRAILER, name);
    else
        http2_response_refused(head, pool, &none, name, STR(""));
}

const char *http2_response_bad_section(const response_t *response, bool end_stream)
{
    if (response->status == 0)
        return "The answer has no :status.";
    if (response->status < 200)
        return end_stream ? "An interim answer (1xx) ends its stream." : NULL;
    if (end_stream && response->content_length != LENGTH_UNKNOWN && response->content_length != 0)
        return "The answer ends with its head, but its Content-Length announces a body.";
    return NULL;
}
