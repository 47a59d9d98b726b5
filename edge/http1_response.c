#include "http1_response.h"

#include <assert.h>

#include "grammar.h"
#include "http1_lines.h"

typedef struct parser {
    response_t *response;
    http1_response_head_t *head;
    bool http_1_0;
    bool has_length;
    bool has_transfer_encoding;
    bool says_close;
    bool says_keep_alive;
} parser_t;

/* status-line = HTTP-version SP 3DIGIT SP [reason]; the last SP is left out by some servers, where no reason
 * follows (RFC 9112 section 4). */
static bool take_status_line(parser_t *p, str_t line)
{
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || (line.p[7] != '0' && line.p[7] != '1') ||
        line.p[8] != ' ')
        return false;
    uint64_t status;
    if (!str_to_uint(str_make(line.p + 9, 3), 599, &status) || status < 100)
        return false;
    if (line.n > 12 && (line.p[12] != ' ' || !grammar_is_field_value(str_from_offset(line, 13))))
        return false;
    p->http_1_0 = line.p[7] == '0';
    p->response->status = (int)status;
    return true;
}

static void take_connection(parser_t *p, str_t value)
{
    str_t option;
    while (str_next_element(&value, &option)) {
        if (str_ieq(option, STR("close")))
            p->says_close = true;
        else if (str_ieq(option, STR("keep-alive")))
            p->says_keep_alive = true;
    }
}

/* Keep-Alive: timeout=5, max=100. What is not understood is as if not given. */
static void take_keep_alive(parser_t *p, str_t value)
{
    str_t parameter, prefix = STR("timeout=");
    uint64_t seconds;
    while (str_next_element(&value, &parameter))
        if (parameter.n > prefix.n && str_ieq(str_make(parameter.p, prefix.n), prefix) &&
            str_to_uint(str_from_offset(parameter, prefix.n), UINT32_MAX, &seconds))
            p->head->keep_alive_timeout_s = (uint32_t)seconds;
}

static bool take_field(parser_t *p, h2o_mem_pool_t *pool, const field_t *field)
{
    switch (field->id) {
    case FIELD_CONTENT_LENGTH:
        if (p->has_length)
            return false;
        p->has_length = true;
        return str_to_uint(field->value, INT64_MAX, &p->response->content_length);
    case FIELD_TRANSFER_ENCODING:
        if (p->has_transfer_encoding)
            return false;
        p->has_transfer_encoding = true;
        return str_ieq(field->value, STR("chunked"));
    case FIELD_CONNECTION:
        take_connection(p, field->value);
        break;
    case FIELD_KEEP_ALIVE:
        take_keep_alive(p, field->value);
        break;
    default:
        break;
    }
    fields_add(pool, &p->response->fields, field->id, field->name, field->value);
    return true;
}

/* RFC 9112 section 6.3. */
static bool resolve_framing(parser_t *p, bool head_request)
{
    response_t *response = p->response;
    if (p->has_transfer_encoding && (p->has_length || p->http_1_0))
        return false;
    p->head->keep_alive = !p->says_close && (!p->http_1_0 || p->says_keep_alive);
    bool never_a_body = response->status < 200 || response->status == 204;
    if (never_a_body || response->status == 304 || head_request) {
        response->bodyless = true;
        p->head->no_body_by_rule = true;
        /* An origin that announces a body here may send it too: the connection is not to be trusted further.
         */
        if (p->has_transfer_encoding || (p->has_length && response->content_length != 0))
            p->head->keep_alive = false;
        if (never_a_body)
            response->content_length = LENGTH_UNKNOWN;
        return true;
    }
    p->head->chunked = p->has_transfer_encoding;
    p->head->until_close = !p->has_transfer_encoding && !p->has_length;
    if (p->head->until_close)
        p->head->keep_alive = false;
    response->bodyless = p->has_length && response->content_length == 0;
    return true;
}

/* What has come of a status line: wrong already, or not yet. */
static http1_parse_t line_incomplete(str_t text, size_t max_bytes)
{
    str_t start = STR("HTTP/1.");
    size_t n = text.n < start.n ? text.n : start.n;
    if (text.n >= max_bytes || memcmp(text.p, start.p, n) != 0)
        return HTTP1_BAD;
    return HTTP1_INCOMPLETE;
}

/* The status line is the first `line_len` bytes of `text`, with its line end; `seen` bytes were seen before.
 */
static http1_lines_result_t cut_head(parser_t *p, str_t text, size_t line_len, size_t seen,
                                     uint32_t max_fields, h2o_mem_pool_t *pool, http1_lines_t *lines)
{
    if (line_len < 2 || text.p[line_len - 2] != '\r')
        return HTTP1_LINES_BAD;
    str_t line = str_make(text.p, line_len - 2);
    /* A line that an earlier call found good is not looked at again before the head is complete. */
    bool line_taken = seen < line_len;
    if (line_taken && !take_status_line(p, line))
        return HTTP1_LINES_BAD;
    size_t len = 0;
    http1_lines_result_t cut = http1_lines_cut(
        str_from_offset(text, line_len), line_taken ? 0 : seen - line_len, max_fields, pool, lines, &len);
    if (cut == HTTP1_LINES_OK && !line_taken && !take_status_line(p, line))
        return HTTP1_LINES_BAD;
    p->head->len = line_len + len;
    return cut;
}

http1_parse_t http1_parse_response(str_t data, size_t last_len, size_t max_bytes, uint32_t max_fields,
                                   bool head_request, h2o_mem_pool_t *pool, response_t *response,
                                   http1_response_head_t *head)
{
    assert(last_len <= data.n && max_bytes > 0 && max_fields > 0);
    *response = (response_t){.content_length = LENGTH_UNKNOWN};
    *head = (http1_response_head_t){.len = 0};
    if (data.n == 0)
        return HTTP1_INCOMPLETE;
    str_t text = str_make(data.p, data.n < max_bytes ? data.n : max_bytes);
    const char *line_feed = memchr(text.p, '\n', text.n);
    if (line_feed == NULL)
        return line_incomplete(text, max_bytes);
    parser_t p = {.response = response, .head = head};
    http1_lines_t lines;
    http1_lines_result_t cut = cut_head(&p, text, (size_t)(line_feed - text.p) + 1,
                                        last_len < text.n ? last_len : text.n, max_fields, pool, &lines);
    if (cut == HTTP1_LINES_INCOMPLETE && text.n < max_bytes)
        return HTTP1_INCOMPLETE;
    if (cut != HTTP1_LINES_OK)
        return HTTP1_BAD;
    fields_reserve(pool, &response->fields, (uint32_t)lines.count);
    for (size_t i = 0; i < lines.count; i++) {
        field_t field;
        if (!http1_lines_field(&lines.at[i], &field) || !take_field(&p, pool, &field))
            return HTTP1_BAD;
    }
    return resolve_framing(&p, head_request) ? HTTP1_OK : HTTP1_BAD;
}
