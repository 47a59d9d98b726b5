/* Request heads. The first byte selects the pieces in which the rest comes. Pieces and whole must agree, and
 * an accepted head, written again from its parse result, must parse to the same. */
#include "heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check_ok(const request_parse_t *p, str_t data)
{
    const request_t *request = &p->request;
    assert(p->head.len > 0 && p->head.len <= data.n);
    assert(memcmp(data.p + p->head.len - 4, "\r\n\r\n", 4) == 0);
    assert(request->target.n != 0 && (request->target.p[0] == '/' || str_eq(request->target, STR("*"))));
    assert(request->authority.n != 0 || request->version == HTTP_1_0);
    assert(!p->head.chunked || request->content_length == LENGTH_UNKNOWN);
    assert(request->has_body || !request->expect_continue);
    assert(fields_count(&request->fields, FIELD_COOKIE) <= 1);
    assert(fields_find(&request->fields, FIELD_HOST) == NULL);
    assert(fields_find(&request->fields, FIELD_CONTENT_LENGTH) == NULL);
    assert(fields_find(&request->fields, FIELD_TRANSFER_ENCODING) == NULL);
    text_t text = request_text(p);
    request_parse_t again;
    parse_request_whole(&again, str_make(text.p, text.n));
    assert(again.result == HTTP1_OK && again.head.len == text.n && requests_equal(p, &again));
    request_parse_fini(&again);
    free(text.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1)
        return 0;
    str_t data = str_make((const char *)input + 1, size - 1);
    request_parse_t whole, pieces;
    parse_request_whole(&whole, data);
    parse_request_in_pieces(&pieces, data, (size_t)input[0] + 1);
    /* If the head comes slowly, its errors may show only at its end. */
    assert((pieces.result == HTTP1_OK) == (whole.result == HTTP1_OK));
    assert(whole.result != HTTP1_INCOMPLETE || pieces.result == HTTP1_INCOMPLETE);
    if (whole.result == HTTP1_OK) {
        assert(pieces.head.len == whole.head.len && requests_equal(&whole, &pieces));
        check_ok(&whole, data);
    }
    /* An empty line ends every head, good or bad: the server relies on it. */
    assert(whole.result != HTTP1_INCOMPLETE || memmem(data.p, data.n, "\r\n\r\n", 4) == NULL);
    if (whole.result == HTTP1_BAD)
        assert(whole.error.status >= 400 && whole.error.code != NULL && whole.error.sentence != NULL);
    request_parse_fini(&whole);
    request_parse_fini(&pieces);
    return 0;
}
