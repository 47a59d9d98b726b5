#include "http1_parse.h"

#include <assert.h>

#include "arena.h"
#include "authority.h"
#include "grammar.h"
#include "http1_lines.h"
#include "websocket.h"

/* The state of one call. */
typedef struct parser {
    str_t text; /* from the request line on, at most max_bytes */
    size_t max_bytes;
    uint32_t max_fields;
    arena_t *pool;
    request_t *request;
    http1_request_head_t *head;
    http1_error_t *error;
    uint64_t seen; /* a bit per identity */
    str_t transfer_encoding;
    str_t expect;
    bool absolute;         /* the target was an absolute URL */
    uint16_t default_port; /* of that URL's scheme */
    str_t target_authority;
    bool has_close;
    bool has_keep_alive;
    bool has_upgrade;
    unsigned connection_options;
} parser_t;

#define NO_VERSION "The request line does not end with a space and HTTP/1.0 or HTTP/1.1."
/* Bytes to quote of other protocols: enough to recognize TLS or SSH. */
#define FIRST_BYTES 8

_Static_assert(FIELD_ID_COUNT <= 64, "parser_t.seen has a bit for each identity");

size_t http1_head_end(str_t data, size_t seen)
{
    size_t from = str_starts(data, STR("\r\n")) ? 2 : 0;
    if (seen > from + 3)
        from = seen - 3;
    if (from >= data.n)
        return 0;
    /* memchr passes a line at a time; memmem takes several instructions for each byte. */
    const char *at = data.p + from, *end = data.p + data.n;
    while (end - at >= 4 && (at = memchr(at, '\r', (size_t)(end - at) - 3)) != NULL) {
        if (memcmp(at, "\r\n\r\n", 4) == 0)
            return (size_t)(at - data.p) + 4;
        at++;
    }
    return 0;
}

static bool refuse(parser_t *p, int status, const char *code, const char *sentence)
{
    *p->error = (http1_error_t){status, code, sentence, {.reason = sentence}};
    return false;
}

static bool bad(parser_t *p, const char *sentence)
{
    return refuse(p, 400, "bad_request", sentence);
}

/* `bytes` go to the log. */
static bool bad_in(parser_t *p, const char *sentence, str_t bytes)
{
    (void)bad(p, sentence);
    p->error->fault.bytes = bytes;
    return false;
}

/* `reason`: the fault in the request line. */
static bool bad_line(parser_t *p, str_t line, const char *reason)
{
    (void)bad(p, "The request line is malformed.");
    p->error->fault = fault_of_request_line(reason, line);
    return false;
}

/* Refuses the field lines in `text`. */
static bool bad_lines(parser_t *p, str_t text)
{
    (void)bad(p, "A header field is malformed.");
    p->error->fault = fault_of_lines(text, false);
    return false;
}

static bool has(const parser_t *p, field_id_t id)
{
    return (p->seen >> id & 1) != 0;
}

/* ---- the request line (RFC 9112 section 3) ---- */

static bool take_version(parser_t *p, str_t line)
{
    str_t version = str_from_offset(line, line.n - 8);
    bool well_formed = version.n == 8 && memcmp(version.p, "HTTP/", 5) == 0 && version.p[5] >= '0' &&
                       version.p[5] <= '9' && version.p[6] == '.' && version.p[7] >= '0' &&
                       version.p[7] <= '9';
    if (!well_formed) {
        (void)bad_line(p, line, NO_VERSION);
        if (str_ieq(str_make(version.p, 5), STR("HTTP/")))
            p->error->fault.bytes = version;
        return false;
    }
    if (version.p[5] != '1' || version.p[7] > '1')
        return refuse(p, 505, "version_not_supported",
                      "The edge supports only HTTP/1.0, HTTP/1.1 and HTTP/2.");
    p->request->version = version.p[7] == '1' ? HTTP_1_1 : HTTP_1_0;
    return true;
}

/* absolute-form: the target becomes path and query; keeps the authority for resolve_authority. */
static bool take_absolute(parser_t *p, str_t target)
{
    str_t rest;
    if (target.n >= 7 && str_ieq(str_make(target.p, 7), STR("http://"))) {
        rest = str_from_offset(target, 7);
        p->default_port = 80;
    } else if (target.n >= 8 && str_ieq(str_make(target.p, 8), STR("https://"))) {
        rest = str_from_offset(target, 8);
        p->default_port = 443;
    } else {
        (void)bad(p, "The request target is neither a path nor an http or https URL.");
        p->error->fault = fault_of_text(p->error->sentence, target, grammar_is_target);
        return false;
    }
    size_t len = 0;
    while (len < rest.n && rest.p[len] != '/' && rest.p[len] != '?')
        len++;
    p->absolute = true;
    p->target_authority = str_make(rest.p, len);
    p->request->target = str_from_offset(rest, len);
    return true;
}

/* The path of an absolute URL may be empty, also before a query (RFC 9112 section 3.2). */
static void complete_path(parser_t *p)
{
    request_t *request = p->request;
    str_t target = request->target;
    if (target.n == 0) {
        /* Section 3.2.4: OPTIONS without a path asks about the server. */
        request->target = str_eq(request->method, STR("OPTIONS")) ? STR("*") : STR("/");
    } else if (target.p[0] == '?') {
        char *path = arena_alloc(p->pool, target.n + 1);
        path[0] = '/';
        memcpy(path + 1, target.p, target.n);
        request->target = str_make(path, target.n + 1);
    }
}

static bool take_target(parser_t *p, str_t target)
{
    if (!grammar_is_target(target)) {
        (void)bad(p, "The request target is empty or has characters that must be percent-encoded.");
        p->error->fault = fault_of_text(p->error->sentence, target, grammar_is_target);
        return false;
    }
    if (str_eq(p->request->method, STR("CONNECT")))
        return refuse(p, 501, "not_implemented", "The edge does not support CONNECT.");
    if (target.p[0] != '/' && !str_eq(target, STR("*")))
        return take_absolute(p, target);
    if (target.p[0] == '*' && !str_eq(p->request->method, STR("OPTIONS")))
        return bad_in(p, "The target * goes with OPTIONS only.", p->request->method);
    p->request->target = target;
    return true;
}

static bool bad_method(parser_t *p, str_t line, str_t method)
{
    (void)bad(p, "The request line is malformed.");
    fault_t *fault = &p->error->fault;
    *fault = fault_of_text("The method is not a token.", method, grammar_is_token);
    if (method.n == line.n && fault->bytes.n > FIRST_BYTES)
        fault->bytes.n = FIRST_BYTES; /* this may not be a request line at all */
    return false;
}

static bool take_request_line(parser_t *p, str_t line)
{
    const char *space = memchr(line.p, ' ', line.n);
    str_t method = str_make(line.p, space != NULL ? (size_t)(space - line.p) : line.n);
    if (!grammar_is_token(method))
        return bad_method(p, line, method);
    if (space != NULL && method.n <= HTTP1_METHOD_MAX)
        p->request->method = method;
    if (line.n < method.n + 10 || line.p[line.n - 9] != ' ')
        return bad_line(p, line, NO_VERSION);
    if (method.n > HTTP1_METHOD_MAX)
        return refuse(p, 501, "not_implemented", "The method is too long.");
    return take_version(p, line) && take_target(p, str_make(line.p + method.n + 1, line.n - method.n - 10));
}

/* The request line has no end yet. */
static http1_parse_t line_incomplete(parser_t *p)
{
    if (p->text.n != 0 && !grammar_is_token(str_make(p->text.p, 1))) {
        size_t n = p->text.n < FIRST_BYTES ? p->text.n : FIRST_BYTES;
        (void)bad_in(p, "This is not an HTTP request.", str_make(p->text.p, n));
        return HTTP1_BAD;
    }
    if (p->text.n < p->max_bytes)
        return HTTP1_INCOMPLETE;
    const char *space = memchr(p->text.p, ' ', p->text.n);
    if (space != NULL && space - p->text.p <= HTTP1_METHOD_MAX)
        refuse(p, 414, "uri_too_long", "The request target is too long.");
    else
        bad_line(p, p->text, "The method is longer than 32 bytes, or no space follows it.");
    return HTTP1_BAD;
}

/* ---- fields ---- */

/* Whether Connection may name this option: the edge decides by the other ones, which must stay. */
static bool connection_may_name(str_t option)
{
    static const str_t forbidden[] = {
        {"host", 4}, {"content-length", 14}, {"cookie", 6}, {"authorization", 13}};
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
        if (str_ieq(option, forbidden[i]))
            return false;
    str_t prefix = STR("x-forwarded-");
    return option.n < prefix.n || !str_ieq(str_make(option.p, prefix.n), prefix);
}

static bool take_connection(parser_t *p, str_t value)
{
    str_t option;
    while (str_next_element(&value, &option)) {
        if (++p->connection_options > HTTP1_CONNECTION_OPTIONS)
            return bad(p, "Connection names too many fields.");
        if (str_ieq(option, STR("close")))
            p->has_close = true;
        else if (str_ieq(option, STR("keep-alive")))
            p->has_keep_alive = true;
        else if (str_ieq(option, STR("upgrade")))
            p->has_upgrade = true;
        else if (!connection_may_name(option))
            return bad_in(p, "Connection names a field that must not be removed.", option);
    }
    return true;
}

static bool take_field(parser_t *p, const field_t *field)
{
    request_t *request = p->request;
    if (field->id == FIELD_OTHER) {
        fields_add(p->pool, &request->fields, field->id, field->name, field->value);
        return true;
    }
    if (has(p, field->id) && field_is_single(field->id))
        return bad_in(p, "A field that must appear once appears twice.", field->name);
    p->seen |= UINT64_C(1) << field->id;
    switch (field->id) {
    case FIELD_HOST:
        request->authority = field->value;
        return true;
    case FIELD_CONTENT_LENGTH:
        if (!str_to_uint(field->value, INT64_MAX, &request->content_length))
            return bad_in(p, "Content-Length is not a number.", field->value);
        return true;
    case FIELD_TRANSFER_ENCODING:
        p->transfer_encoding = field->value;
        return true;
    case FIELD_CONNECTION:
        if (!take_connection(p, field->value))
            return false;
        break;
    case FIELD_EXPECT:
        p->expect = field->value;
        break;
    default:
        break;
    }
    fields_add(p->pool, &request->fields, field->id, field->name, field->value);
    return true;
}

static bool take_fields(parser_t *p, const http1_lines_t *lines, str_t text)
{
    fields_reserve(p->pool, &p->request->fields, (uint32_t)lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        field_t field;
        if (!http1_lines_field(&lines->at[i], &field))
            return bad_lines(p, text);
        if (!take_field(p, &field))
            return false;
    }
    if (has(p, FIELD_COOKIE))
        fields_join_cookies(p->pool, &p->request->fields);
    return true;
}

/* ---- the fields together ---- */

/* RFC 9112 section 6. */
static bool resolve_framing(parser_t *p)
{
    request_t *request = p->request;
    if (!has(p, FIELD_TRANSFER_ENCODING)) {
        request->has_body = request->content_length != LENGTH_UNKNOWN && request->content_length != 0;
        return true;
    }
    if (has(p, FIELD_CONTENT_LENGTH))
        return bad(p, "Content-Length and Transfer-Encoding exclude each other.");
    if (request->version == HTTP_1_0)
        return bad(p, "HTTP/1.0 has no Transfer-Encoding.");
    if (!str_ieq(p->transfer_encoding, STR("chunked"))) {
        if (grammar_is_token(p->transfer_encoding) && !str_ieq(p->transfer_encoding, STR("identity")))
            return refuse(p, 501, "not_implemented", "The only supported transfer coding is chunked.");
        return bad_in(p, "Transfer-Encoding is not exactly chunked.", p->transfer_encoding);
    }
    p->head->chunked = true;
    request->has_body = true;
    return true;
}

/* RFC 9112 section 3.2 and 3.3: the target's authority wins, and Host must agree with it. */
static bool resolve_authority(parser_t *p)
{
    request_t *request = p->request;
    authority_t host, target;
    if (!has(p, FIELD_HOST)) {
        if (request->version != HTTP_1_0)
            return bad(p, "Host is missing.");
    } else if (!authority_parse(request->authority, &host)) {
        return bad_in(p, "Host is not a host name.", authority_harmless(request->authority));
    }
    if (!p->absolute)
        return true;
    complete_path(p);
    if (!authority_parse(p->target_authority, &target))
        return bad_in(p, "The request target's host is not a host name.",
                      authority_harmless(p->target_authority));
    if (has(p, FIELD_HOST) && !authority_same(&target, &host, p->default_port))
        return bad_in(p, "Host and the request target disagree.", request->authority);
    request->authority = p->target_authority;
    return true;
}

/* RFC 9110 section 10.1.1; HTTP/1.0 knows no Expect. */
static bool resolve_expect(parser_t *p)
{
    if (!has(p, FIELD_EXPECT) || p->request->version == HTTP_1_0)
        return true;
    if (!str_ieq(p->expect, STR("100-continue")))
        return refuse(p, 417, "expectation_failed", "The only supported expectation is 100-continue.");
    p->request->expect_continue = p->request->has_body;
    return true;
}

static bool upgrades_to_websocket(const fields_t *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        str_t rest = fields->at[i].value, protocol;
        while (fields->at[i].id == FIELD_UPGRADE && str_next_element(&rest, &protocol))
            if (str_ieq(protocol, STR("websocket")))
                return true;
    }
    return false;
}

/* RFC 6455 section 4.2.1. An incomplete handshake is an ordinary request; its Upgrade is dropped later. */
static bool resolve_websocket(parser_t *p)
{
    request_t *request = p->request;
    if (!has(p, FIELD_UPGRADE) || !p->has_upgrade || request->version != HTTP_1_1 ||
        !str_eq(request->method, STR("GET")) || !upgrades_to_websocket(&request->fields))
        return true;
    str_t key = fields_value(&request->fields, FIELD_SEC_WEBSOCKET_KEY);
    if (!str_eq(fields_value(&request->fields, FIELD_SEC_WEBSOCKET_VERSION), STR("13")) ||
        !websocket_key_valid(key))
        return true;
    if (request->has_body)
        return bad(p, "A WebSocket handshake has no body.");
    request->websocket = true;
    request->websocket_key = key;
    return true;
}

static bool resolve(parser_t *p)
{
    p->head->keep_alive = !p->has_close && (p->request->version == HTTP_1_1 || p->has_keep_alive);
    p->request->unambiguous = resolve_authority(p);
    return p->request->unambiguous && resolve_framing(p) && resolve_expect(p) && resolve_websocket(p);
}

/* Reads Host and Origin of a head over its limits, from the lines within them. */
static void take_sender(parser_t *p, const http1_lines_t *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        field_t field;
        if (!http1_lines_field(&lines->at[i], &field))
            return;
        if ((field.id == FIELD_HOST || field.id == FIELD_ORIGIN) && !take_field(p, &field))
            return;
    }
    p->request->unambiguous = resolve_authority(p);
}

/* ---- the head ---- */

static bool cut_succeeded(parser_t *p, http1_lines_result_t cut, const http1_lines_t *lines, str_t text)
{
    switch (cut) {
    case HTTP1_LINES_OK:
        return true;
    case HTTP1_LINES_BAD:
        return bad_lines(p, text);
    case HTTP1_LINES_TOO_MANY:
        take_sender(p, lines);
        return refuse(p, 431, "head_too_large", "The request has too many header fields.");
    case HTTP1_LINES_INCOMPLETE:
        break;
    }
    take_sender(p, lines);
    return refuse(p, 431, "head_too_large", "The request's header fields are too large.");
}

/* The first `line_len` bytes of p->text are the request line with its line end. Earlier calls saw `seen`
 * bytes. */
static http1_parse_t parse_head(parser_t *p, size_t line_len, size_t seen)
{
    if (line_len < 2 || p->text.p[line_len - 2] != '\r') {
        str_t line = str_make(p->text.p, line_len - 1);
        (void)bad(p, "The request line does not end with CR LF.");
        p->error->fault = fault_of_request_line(p->error->sentence, line);
        return HTTP1_BAD;
    }
    str_t line = str_make(p->text.p, line_len - 2);
    /* Do not check a line again before the head is complete if an earlier call found it good. */
    bool line_taken = seen < line_len;
    if (line_taken && !take_request_line(p, line))
        return HTTP1_BAD;
    http1_lines_t lines;
    str_t rest = str_from_offset(p->text, line_len);
    size_t len = 0;
    http1_lines_result_t cut =
        http1_lines_cut(rest, line_taken ? 0 : seen - line_len, p->max_fields, p->pool, &lines, &len);
    if (cut == HTTP1_LINES_INCOMPLETE && p->text.n < p->max_bytes)
        return HTTP1_INCOMPLETE;
    p->head->len = line_len + len;
    bool good = (line_taken || take_request_line(p, line)) && cut_succeeded(p, cut, &lines, rest) &&
                take_fields(p, &lines, rest) && resolve(p);
    return good ? HTTP1_OK : HTTP1_BAD;
}

http1_parse_t http1_parse_request(str_t data, size_t last_len, size_t max_bytes, uint32_t max_fields,
                                  arena_t *pool, request_t *request, http1_request_head_t *head,
                                  http1_error_t *error)
{
    assert(last_len <= data.n && max_bytes > 0 && max_fields > 0);
    *request = (request_t){.version = HTTP_1_1, .content_length = LENGTH_UNKNOWN};
    *head = (http1_request_head_t){.len = 0};
    parser_t p = {.max_bytes = max_bytes,
                  .max_fields = max_fields,
                  .pool = pool,
                  .request = request,
                  .head = head,
                  .error = error};
    size_t skip = str_starts(data, STR("\r\n")) ? 2 : 0;
    if (data.n == skip || (data.n == 1 && data.p[0] == '\r'))
        return HTTP1_INCOMPLETE;
    p.text = str_from_offset(data, skip);
    if (p.text.n > max_bytes)
        p.text.n = max_bytes;
    size_t seen = last_len > skip ? last_len - skip : 0;
    if (seen > p.text.n)
        seen = p.text.n;
    const char *line_feed = memchr(p.text.p, '\n', p.text.n);
    http1_parse_t parsed =
        line_feed != NULL ? parse_head(&p, (size_t)(line_feed - p.text.p) + 1, seen) : line_incomplete(&p);
    if (parsed == HTTP1_OK)
        head->len += skip;
    authority_t authority;
    if (parsed == HTTP1_BAD && !authority_parse(request->authority, &authority))
        request->authority = STR("");
    return parsed;
}
