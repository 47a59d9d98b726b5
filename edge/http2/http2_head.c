#include "http2_head.h"

#include "grammar.h"

/* The addition of SETTINGS_MAX_HEADER_LIST_SIZE for each field. */
#define FIELD_OVERHEAD 32

http2_head_result_t http2_head_count(http2_head_t *head, const http2_head_limits_t *limits, size_t n)
{
    head->bytes += n + FIELD_OVERHEAD;
    if (head->bytes > limits->bytes)
        head->oversize = true;
    return head->bytes / HTTP2_HEAD_HOPELESS > limits->bytes ? HTTP2_HEAD_HOPELESS_SIZE : HTTP2_HEAD_OK;
}

bool http2_head_field_is_valid(str_t name, bool stable_name, str_t value)
{
    const char *p = value.p;
    if (value.n != 0 && (p[0] == ' ' || p[0] == '\t' || p[value.n - 1] == ' ' || p[value.n - 1] == '\t'))
        return false;
    if (!grammar_is_field_value(value))
        return false;
    if (stable_name)
        return true;
    if (name.n != 0 && name.p[0] == ':')
        return true; /* take_pseudo knows the few that exist */
    bool capital = false;
    for (size_t i = 0; i < name.n; i++)
        capital |= name.p[i] >= 'A' && name.p[i] <= 'Z';
    return !capital && grammar_is_token(name);
}

void http2_head_blame(http2_head_t *head, arena_t *pool, const fault_t *fault)
{
    head->malformed = true;
    if (head->fault.reason != NULL)
        return;
    head->fault = *fault;
    /* One byte more than the quote, so that a reader sees the cut. */
    size_t n = fault->bytes.n <= FAULT_BYTES ? fault->bytes.n : FAULT_BYTES + 1;
    head->fault.bytes = str_dup(pool, str_make(fault->bytes.p, n));
}

http2_head_result_t http2_trailer_field(http2_head_t *head, arena_t *pool, fields_t *trailers,
                                        const http2_head_limits_t *limits, str_t name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    field_id_t id = field_lookup(name);
    if (++head->count > limits->fields)
        head->oversize = true;
    if (name.n != 0 && name.p[0] == ':')
        http2_head_blame(head, pool, &(fault_t){.reason = FAULT_PSEUDO_TRAILER, .bytes = name});
    else if (!http2_head_field_is_valid(name, false, value)) {
        fault_t fault = fault_of_http2_field(name, value);
        http2_head_blame(head, pool, &fault);
    } else if (!field_trailer_allowed(id, name))
        http2_head_blame(head, pool, &(fault_t){.reason = FAULT_TRAILER, .bytes = name});
    if (head->malformed || head->oversize)
        return result;
    fields_add(pool, trailers, id, str_dup(pool, name), str_dup(pool, value));
    return result;
}

http2_head_result_t http2_head_invalid(http2_head_t *head, const http2_head_limits_t *limits, size_t name_len,
                                       size_t value_len)
{
    head->malformed = true;
    return http2_head_count(head, limits, name_len + value_len);
}
