#include "heads.h"

#include "arena.h"

str_t heads_copy(char **bytes, str_t data)
{
    free(*bytes);
    *bytes = malloc(data.n != 0 ? data.n : 1);
    assert(*bytes != NULL);
    if (data.n != 0)
        memcpy(*bytes, data.p, data.n);
    return str_make(*bytes, data.n);
}

void parse_request_in_pieces(request_parse_t *p, str_t data, size_t step)
{
    *p = (request_parse_t){.result = HTTP1_INCOMPLETE};
    arena_init(&p->pool);
    size_t seen = 0;
    for (size_t n = data.n != 0 ? 1 : 0;; n = n + step < data.n ? n + step : data.n) {
        str_t part = heads_copy(&p->bytes, str_make(data.p, n));
        p->result = http1_parse_request(part, seen, HEADS_MAX_BYTES, HEADS_MAX_FIELDS, &p->pool, &p->request,
                                        &p->head, &p->error);
        seen = n;
        if (p->result != HTTP1_INCOMPLETE || n == data.n)
            return;
    }
}

void parse_request_whole(request_parse_t *p, str_t data)
{
    *p = (request_parse_t){.result = HTTP1_INCOMPLETE};
    arena_init(&p->pool);
    p->result = http1_parse_request(heads_copy(&p->bytes, data), 0, HEADS_MAX_BYTES, HEADS_MAX_FIELDS,
                                    &p->pool, &p->request, &p->head, &p->error);
}

void request_parse_fini(request_parse_t *p)
{
    free(p->bytes);
    arena_clear(&p->pool);
}

void parse_response_in_pieces(response_parse_t *p, str_t data, size_t step, bool head_request)
{
    *p = (response_parse_t){.result = HTTP1_INCOMPLETE};
    arena_init(&p->pool);
    size_t seen = 0;
    for (size_t n = data.n != 0 ? 1 : 0;; n = n + step < data.n ? n + step : data.n) {
        str_t part = heads_copy(&p->bytes, str_make(data.p, n));
        p->result = http1_parse_response(part, seen, HEADS_MAX_BYTES, HEADS_MAX_FIELDS, head_request,
                                         &p->pool, &p->response, &p->head);
        seen = n;
        if (p->result != HTTP1_INCOMPLETE || n == data.n)
            return;
    }
}

void parse_response_whole(response_parse_t *p, str_t data, bool head_request)
{
    *p = (response_parse_t){.result = HTTP1_INCOMPLETE};
    arena_init(&p->pool);
    p->result = http1_parse_response(heads_copy(&p->bytes, data), 0, HEADS_MAX_BYTES, HEADS_MAX_FIELDS,
                                     head_request, &p->pool, &p->response, &p->head);
}

void response_parse_fini(response_parse_t *p)
{
    free(p->bytes);
    arena_clear(&p->pool);
}

bool fields_equal(const fields_t *a, const fields_t *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->at[i].id != b->at[i].id || !str_eq(a->at[i].name, b->at[i].name) ||
            !str_eq(a->at[i].value, b->at[i].value))
            return false;
    return true;
}

bool requests_equal(const request_parse_t *a, const request_parse_t *b)
{
    const request_t *x = &a->request, *y = &b->request;
    return x->version == y->version && str_eq(x->method, y->method) && str_eq(x->authority, y->authority) &&
           str_eq(x->target, y->target) && fields_equal(&x->fields, &y->fields) &&
           x->content_length == y->content_length && x->has_body == y->has_body &&
           x->unambiguous == y->unambiguous && x->expect_continue == y->expect_continue &&
           x->websocket == y->websocket && str_eq(x->websocket_key, y->websocket_key) &&
           a->head.chunked == b->head.chunked && a->head.keep_alive == b->head.keep_alive;
}

bool responses_equal(const response_parse_t *a, const response_parse_t *b)
{
    const response_t *x = &a->response, *y = &b->response;
    return x->status == y->status && fields_equal(&x->fields, &y->fields) &&
           x->content_length == y->content_length && x->bodyless == y->bodyless && x->tunnel == y->tunnel &&
           a->head.chunked == b->head.chunked && a->head.keep_alive == b->head.keep_alive &&
           a->head.until_close == b->head.until_close &&
           a->head.keep_alive_timeout_s == b->head.keep_alive_timeout_s;
}

void text_add(text_t *text, str_t s)
{
    if (s.n == 0)
        return;
    if (text->n + s.n > text->capacity) {
        text->capacity = 2 * (text->n + s.n);
        text->p = realloc(text->p, text->capacity);
        assert(text->p != NULL);
    }
    memcpy(text->p + text->n, s.p, s.n);
    text->n += s.n;
}

void text_add_fields(text_t *text, const fields_t *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        text_add(text, fields->at[i].name);
        text_add(text, STR(": "));
        text_add(text, fields->at[i].value);
        text_add(text, STR("\r\n"));
    }
}

static void text_add_framing(text_t *text, bool chunked, uint64_t content_length)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "Content-Length: %llu\r\n", (unsigned long long)content_length);
    if (chunked)
        text_add(text, STR("Transfer-Encoding: chunked\r\n"));
    else if (content_length != LENGTH_UNKNOWN)
        text_add(text, str_make(line, (size_t)n));
}

text_t request_text(const request_parse_t *p)
{
    const request_t *request = &p->request;
    text_t text = {NULL, 0, 0};
    text_add(&text, request->method);
    text_add(&text, STR(" "));
    text_add(&text, request->target);
    text_add(&text, request->version == HTTP_1_1 ? STR(" HTTP/1.1\r\n") : STR(" HTTP/1.0\r\n"));
    if (request->authority.n != 0) {
        text_add(&text, STR("Host: "));
        text_add(&text, request->authority);
        text_add(&text, STR("\r\n"));
    }
    text_add_framing(&text, p->head.chunked, request->content_length);
    text_add_fields(&text, &request->fields);
    text_add(&text, STR("\r\n"));
    return text;
}

text_t response_text(const response_parse_t *p, bool http_1_0)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "HTTP/1.%d %d \r\n", http_1_0 ? 0 : 1, p->response.status);
    text_t text = {NULL, 0, 0};
    text_add(&text, str_make(line, (size_t)n));
    text_add_framing(&text, p->head.chunked, p->response.content_length);
    text_add_fields(&text, &p->response.fields);
    text_add(&text, STR("\r\n"));
    return text;
}

void parse_request_all_ways(request_parse_t *whole, str_t data)
{
    static const size_t steps[] = {1, 2, 3, 7, 64};
    parse_request_whole(whole, data);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        request_parse_t pieces;
        parse_request_in_pieces(&pieces, data, steps[i]);
        if (pieces.result != whole->result) {
            fprintf(stderr, "result %d in steps of %zu, %d at once: %.*s\n", pieces.result, steps[i],
                    whole->result, STR_ARG(data));
            abort();
        }
        if (whole->result == HTTP1_OK)
            assert(requests_equal(whole, &pieces) && whole->head.len == pieces.head.len);
        request_parse_fini(&pieces);
    }
}

void parse_response_all_ways(response_parse_t *whole, str_t data, bool head_request)
{
    static const size_t steps[] = {1, 2, 3, 7, 64};
    parse_response_whole(whole, data, head_request);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        response_parse_t pieces;
        parse_response_in_pieces(&pieces, data, steps[i], head_request);
        if (pieces.result != whole->result) {
            fprintf(stderr, "result %d in steps of %zu, %d at once: %.*s\n", pieces.result, steps[i],
                    whole->result, STR_ARG(data));
            abort();
        }
        if (whole->result == HTTP1_OK)
            assert(responses_equal(whole, &pieces) && whole->head.len == pieces.head.len);
        response_parse_fini(&pieces);
    }
}
