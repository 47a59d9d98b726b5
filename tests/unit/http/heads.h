/* Shared code of the tests and fuzzers of HTTP/1 heads: parsing a head in pieces, comparing the results, and
 * writing it again. */
#ifndef BOXEDGE_TEST_HEADS_H
#define BOXEDGE_TEST_HEADS_H

#include <assert.h>
#include <stdlib.h>

#include "arena.h"
#include "http1_parse.h"
#include "http1_response.h"

#define HEADS_MAX_BYTES  32768
#define HEADS_MAX_FIELDS 100

/* A request head and its parse result; `bytes` is a copy of exactly the given bytes, so that the address
 * sanitizer sees a read beyond them. */
typedef struct request_parse {
    http1_parse_t result;
    char *bytes;
    arena_t pool;
    request_t request;
    http1_request_head_t head;
    http1_error_t error;
} request_parse_t;

typedef struct response_parse {
    http1_parse_t result;
    char *bytes;
    arena_t pool;
    response_t response;
    http1_response_head_t head;
} response_parse_t;

str_t heads_copy(char **bytes, str_t data);

/* Gives the first byte, then `step` more at a time, until the result is not HTTP1_INCOMPLETE. */
void parse_request_in_pieces(request_parse_t *p, str_t data, size_t step);
void parse_request_whole(request_parse_t *p, str_t data);
void request_parse_fini(request_parse_t *p);
void parse_response_in_pieces(response_parse_t *p, str_t data, size_t step, bool head_request);
void parse_response_whole(response_parse_t *p, str_t data, bool head_request);
void response_parse_fini(response_parse_t *p);
bool fields_equal(const fields_t *a, const fields_t *b);
bool requests_equal(const request_parse_t *a, const request_parse_t *b);
bool responses_equal(const response_parse_t *a, const response_parse_t *b);

/* A growing text. */
typedef struct text {
    char *p;
    size_t n, capacity;
} text_t;

void text_add(text_t *text, str_t s);
void text_add_fields(text_t *text, const fields_t *fields);

/* The head written again from the parse result; the caller frees text.p. */
text_t request_text(const request_parse_t *p);
text_t response_text(const response_parse_t *p, bool http_1_0);

/* Parses the whole and pieces of several sizes; the results must agree. */
void parse_request_all_ways(request_parse_t *whole, str_t data);
void parse_response_all_ways(response_parse_t *whole, str_t data, bool head_request);

#endif
