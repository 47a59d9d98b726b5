/* Response heads, like fuzz_http1_request.c for requests. The first byte selects the pieces in which the head
 * comes, its lowest bit whether the request was HEAD. */
#include "heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void check_ok(const response_parse_t *p, str_t data, bool head_request)
{
    const response_t *response = &p->response;
    assert(p->head.len > 0 && p->head.len <= data.n);
    /* All lines end with LF alone, or none does. */
    bool bare_lf = memmem(data.p, p->head.len, "\r", 1) == NULL;
    str_t end = bare_lf ? STR("\n\n") : STR("\r\n\r\n");
    assert(memcmp(data.p + p->head.len - end.n, end.p, end.n) == 0);
    assert(response->status >= 100 && response->status <= 999 && !response->tunnel);
    bool length = !response->bodyless && response->content_length != LENGTH_UNKNOWN;
    assert(response->bodyless + p->head.chunked + p->head.until_close + length == 1);
    assert(!p->head.until_close || !p->head.keep_alive);
    assert(fields_find(&response->fields, FIELD_CONTENT_LENGTH) == NULL);
    assert(fields_find(&response->fields, FIELD_TRANSFER_ENCODING) == NULL);
    text_t text = response_text(p, memcmp(data.p, "HTTP/1.0", 8) == 0);
    response_parse_t again;
    parse_response_whole(&again, str_make(text.p, text.n), head_request);
    assert(again.result == HTTP1_OK && again.head.len == text.n);
    /* A body that a bodiless response announces is not written again, and then the connection may
     * continue. */
    if (!response->bodyless)
        assert(responses_equal(p, &again));
    response_parse_fini(&again);
    free(text.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1)
        return 0;
    bool head_request = (input[0] & 1) != 0;
    str_t data = str_make((const char *)input + 1, size - 1);
    response_parse_t whole, pieces;
    parse_response_whole(&whole, data, head_request);
    parse_response_in_pieces(&pieces, data, (size_t)(input[0] >> 1) + 1, head_request);
    assert((pieces.result == HTTP1_OK) == (whole.result == HTTP1_OK));
    assert(whole.result != HTTP1_INCOMPLETE || pieces.result == HTTP1_INCOMPLETE);
    assert(whole.result != HTTP1_BAD || whole.head.fault.reason != NULL);
    if (whole.result == HTTP1_OK) {
        assert(pieces.head.len == whole.head.len && responses_equal(&whole, &pieces));
        check_ok(&whole, data, head_request);
    }
    response_parse_fini(&whole);
    response_parse_fini(&pieces);
    return 0;
}
