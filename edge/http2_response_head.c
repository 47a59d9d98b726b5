#include "http2_response_head.h"

static void take_status(http2_head_t *head, response_t *response, str_t value)
{
    uint64_t status;
    if (value.n == 3 && str_to_uint(value, 999, &status) && status >= 100 && status != 101) {
        response->status = (int)status;
        return;
    }
    head->malformed = true;
    head->fault = "The status is not a number from 100 to 999, or 101, which HTTP/2 does not have.";
}

static void take_length(http2_head_t *head, response_t *response, str_t value)
{
    if (response->content_length != LENGTH_UNKNOWN ||
        !str_to_uint(value, INT64_MAX, &response->content_length))
        head->malformed = true;
}

http2_head_result_t http2_response_field(http2_head_t *head, h2o_mem_pool_t *pool,
                                         const http2_head_limits_t *limits, response_t *response, str_t name,
                                         bool stable_name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    if (head->malformed || head->oversize)
        return result;
    if (name.n != 0 && name.p[0] == ':') {
        if (str_eq(name, STR(":status")))
            take_status(head, response, value);
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
        response->content_length = 0; /* so a client over HTTP/1 sees the end */
    return true;
}
