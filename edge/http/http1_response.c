#include "http1_response.h"

#include <assert.h>

#include "arena.h"
#include "grammar.h"
#include "http1_lines.h"

#define OVER_BYTES "The head of the answer is larger than limits.head_size allows."

typedef struct bounds {
    size_t bytes;
    uint32_t fields;
} bounds_t;

typedef struct parser {
    response_t *response;
    http1_response_head_t *head;
    bool bare_lf; /* lines end with LF alone */
    bool http_1_0;
    bool has_length;
    bool has_transfer_encoding;
    bool has_close;
    bool has_keep_alive;
} parser_t;

static bool bad(parser_t *p, const char *reason, str_t bytes)
{
    p->head->fault = (fault_t){.kind = FAULT_MALFORMED, .reason = reason, .bytes = bytes};
    return false;
}

static http1_parse_t over_limit(parser_t *p, const char *reason)
{
    p->head->fault = (fault_t){.kind = FAULT_OVER_LIMIT, .reason = reason};
    return HTTP1_BAD;
}

/* Whether the text is the first frame of every HTTP/2 server (RFC 9113 section 3.4): SETTINGS on stream 0. */
static bool is_http2(str_t text)
{
    return text.n >= 9 && text.p[0] == 0 && memcmp(text.p + 3, "\4\0\0\0\0\0", 6) == 0 &&
           ((uint8_t)text.p[1] << 8 | (uint8_t)text.p[2]) % 6 == 0;
}

static bool not_http1(parser_t *p, str_t text)
{
    (void)bad(p, "The answer does not begin with HTTP/1.0 or HTTP/1.1.", text);
    if (is_http2(text)) {
        p->head->fault.kind = FAULT_HTTP2;
        p->head->fault.reason = "The answer begins with a SETTINGS frame of HTTP/2.";
    }
    return false;
}

/* status-line = HTTP-version SP 3DIGIT SP [reason]; some servers omit the last SP if no reason follows (RFC
 * 9112 section 4). Statuses above 599 have no meaning in HTTP but may have one for the app. */
static bool take_status_line(parser_t *p, str_t line)
{
    if (line.n < 8 || memcmp(line.p, "HTTP/1.", 7) != 0 || (line.p[7] != '0' && line.p[7] != '1'))
        return not_http1(p, line);
    uint64_t status;
    bool three = line.n >= 12 && line.p[8] == ' ' && (line.n == 12 || line.p[12] == ' ');
    if (!three || !str_to_uint(str_make(line.p + 9, 3), 999, &status) || status < 100)
        return bad(p, "The status is not a number from 100 to 999 between single spaces.", line);
    if (line.n > 12 && !grammar_is_field_value(str_from_offset(line, 13)))
        return bad(p, "The reason phrase has a control character.", str_make(line.p, 12));
    p->http_1_0 = line.p[7] == '0';
    p->response->status = (int)status;
    p->response->reason = line.n > 12 ? str_from_offset(line, 13) : str_make(NULL, 0);
    return true;
}

static void take_connection(parser_t *p, str_t value)
{
    str_t option;
    while (str_next_element(&value, &option)) {
        if (str_ieq(option, STR("close")))
            p->has_close = true;
        else if (str_ieq(option, STR("keep-alive")))
            p->has_keep_alive = true;
    }
}

/* Keep-Alive: timeout=5, max=100. Ignores parameters that it does not understand. */
static void take_keep_alive(parser_t *p, str_t value)
{
    str_t parameter, prefix = STR("timeout=");
    uint64_t seconds;
    while (str_next_element(&value, &parameter))
        if (parameter.n > prefix.n && str_ieq(str_make(parameter.p, prefix.n), prefix) &&
            str_to_uint(str_from_offset(parameter, prefix.n), UINT32_MAX, &seconds))
            p->head->keep_alive_timeout_s = (uint32_t)seconds;
}

/* A number, or the same number several times (RFC 9112 section 6.3). */
static bool take_length(parser_t *p, const field_t *field)
{
    str_t rest = field->value;
    for (;;) {
        const char *comma = memchr(rest.p, ',', rest.n);
        str_t one = str_trim(str_make(rest.p, comma != NULL ? (size_t)(comma - rest.p) : rest.n));
        uint64_t length;
        if (!str_to_uint(one, INT64_MAX, &length))
            return bad(p, "Content-Length is not a number.", field->value);
        if (p->has_length && length != p->response->content_length)
            return bad(p, "Content-Length appears more than once, with different numbers.", field->value);
        p->has_length = true;
        p->response->content_length = length;
        if (comma == NULL)
            return true;
        rest = str_from_offset(rest, (size_t)(comma - rest.p) + 1);
    }
}

static bool take_field(parser_t *p, arena_t *pool, const field_t *field)
{
    switch (field->id) {
    case FIELD_CONTENT_LENGTH:
        return take_length(p, field);
    case FIELD_TRANSFER_ENCODING:
        if (p->has_transfer_encoding || !str_ieq(field->value, STR("chunked")))
            return bad(p, "Transfer-Encoding is not exactly chunked.", field->value);
        p->has_transfer_encoding = true;
        return true;
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
    if (p->has_transfer_encoding && p->has_length)
        return bad(p, "Content-Length and Transfer-Encoding exclude each other.", STR(""));
    if (p->has_transfer_encoding && p->http_1_0)
        return bad(p, "HTTP/1.0 has no Transfer-Encoding.", STR(""));
    p->head->keep_alive = !p->has_close && (!p->http_1_0 || p->has_keep_alive);
    bool never_a_body = response->status < 200 || response->status == 204;
    if (never_a_body || response->status == 304 || head_request) {
        response->bodyless = true;
        p->head->no_body_by_rule = true;
        /* An origin that announces a body here may also send it: do not reuse the connection. */
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

/* Judges an incomplete status line: bad already, or incomplete. */
static http1_parse_t line_incomplete(parser_t *p, str_t text, size_t max_bytes)
{
    str_t start = STR("HTTP/1.");
    size_t n = text.n < start.n ? text.n : start.n;
    if (memcmp(text.p, start.p, n) != 0) {
        (void)not_http1(p, text);
        return HTTP1_BAD;
    }
    return text.n >= max_bytes ? over_limit(p, OVER_BYTES) : HTTP1_INCOMPLETE;
}

static http1_parse_t bad_lines(parser_t *p, str_t lines)
{
    p->head->fault = fault_of_lines(lines, p->bare_lf);
    return HTTP1_BAD;
}

static bool take_fields(parser_t *p, arena_t *pool, const http1_lines_t *lines, str_t text)
{
    fields_reserve(pool, &p->response->fields, (uint32_t)lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        field_t field;
        bool good = p->bare_lf ? http1_lines_field_bare(&lines->at[i], &field)
                               : http1_lines_field(&lines->at[i], &field);
        if (!good) {
            (void)bad_lines(p, text);
            return false;
        }
        if (!take_field(p, pool, &field))
            return false;
    }
    return true;
}

/* The first `line_len` bytes of `text` are the status line with its line end. Earlier calls saw `seen`
 * bytes. */
static http1_parse_t parse_head(parser_t *p, str_t text, size_t line_len, size_t seen, const bounds_t *bounds,
                                arena_t *pool)
{
    p->bare_lf = line_len < 2 || text.p[line_len - 2] != '\r';
    str_t line = str_make(text.p, line_len - (p->bare_lf ? 1 : 2));
    /* Do not check a line again before the head is complete if an earlier call found it good. */
    bool line_taken = seen < line_len;
    if (line_taken && !take_status_line(p, line))
        return HTTP1_BAD;
    http1_lines_t lines;
    size_t len = 0, last = line_taken ? 0 : seen - line_len;
    str_t rest = str_from_offset(text, line_len);
    http1_lines_result_t cut = p->bare_lf
                                   ? http1_lines_cut_bare(rest, last, bounds->fields, pool, &lines, &len)
                                   : http1_lines_cut(rest, last, bounds->fields, pool, &lines, &len);
    p->head->len = line_len + len;
    switch (cut) {
    case HTTP1_LINES_INCOMPLETE:
        return text.n < bounds->bytes ? HTTP1_INCOMPLETE : over_limit(p, OVER_BYTES);
    case HTTP1_LINES_TOO_MANY:
        return over_limit(p, "The answer has more header fields than limits.head_fields allows.");
    case HTTP1_LINES_BAD:
        return bad_lines(p, rest);
    case HTTP1_LINES_OK:
        break;
    }
    bool good = (line_taken || take_status_line(p, line)) && take_fields(p, pool, &lines, rest);
    return good ? HTTP1_OK : HTTP1_BAD;
}

http1_parse_t http1_parse_response(str_t data, size_t last_len, size_t max_bytes, uint32_t max_fields,
                                   bool head_request, arena_t *pool, response_t *response,
                                   http1_response_head_t *head)
{
    assert(last_len <= data.n && max_bytes > 0 && max_fields > 0);
    *response = (response_t){.content_length = LENGTH_UNKNOWN};
    *head = (http1_response_head_t){.len = 0};
    if (data.n == 0)
        return HTTP1_INCOMPLETE;
    parser_t p = {.response = response, .head = head};
    str_t text = str_make(data.p, data.n < max_bytes ? data.n : max_bytes);
    const char *line_feed = memchr(text.p, '\n', text.n);
    if (line_feed == NULL)
        return line_incomplete(&p, text, max_bytes);
    bounds_t bounds = {max_bytes, max_fields};
    http1_parse_t parsed = parse_head(&p, text, (size_t)(line_feed - text.p) + 1,
                                      last_len < text.n ? last_len : text.n, &bounds, pool);
    if (parsed != HTTP1_OK)
        return parsed;
    return resolve_framing(&p, head_request) ? HTTP1_OK : HTTP1_BAD;
}
