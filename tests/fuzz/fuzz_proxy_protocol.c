/* The beginning of a connection, any bytes: the verdict never changes when more bytes come, except from
 * "more"; a header ends within its bytes and its bounds; no connection waits forever. */
#include <assert.h>
#include <stdlib.h>

#include "proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of just that size. */
static proxy_protocol_result_t parse(const uint8_t *data, size_t n, proxy_protocol_t *out)
{
    char *exact = malloc(n + 1);
    assert(exact != NULL);
    if (n != 0)
        memcpy(exact + 1, data, n);
    proxy_protocol_result_t result = proxy_protocol_parse(str_make(exact + 1, n), out);
    free(exact);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    proxy_protocol_t whole, part;
    proxy_protocol_result_t result = parse(data, size, &whole);
    assert(result != PROXY_PROTOCOL_MORE || size < PROXY_PROTOCOL_MAX);
    if (result == PROXY_PROTOCOL_DONE)
        assert(whole.len > 0 && whole.len <= size && whole.len <= PROXY_PROTOCOL_MAX);
    bool decided = false;
    for (size_t n = 0; n < size; n++) {
        proxy_protocol_result_t before = parse(data, n, &part);
        assert(before == PROXY_PROTOCOL_MORE ? !decided : before == result);
        decided = decided || before != PROXY_PROTOCOL_MORE;
        if (before != PROXY_PROTOCOL_DONE)
            continue;
        assert(part.len == whole.len && part.has_client == whole.has_client && part.port == whole.port);
        assert(memcmp(&part.address, &whole.address, sizeof(part.address)) == 0);
        if (n > whole.len + 8)
            break;
    }
    return 0;
}
