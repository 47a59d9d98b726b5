/* The echoing end of a WebSocket with any bytes in any pieces: its memory stays bounded, and pieces do not
 * affect its output. */
#include <assert.h>
#include <stdlib.h>

#include "websocket_echo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The output for `data` in pieces of `piece`; to be freed. */
static char *echo_all(str_t data, size_t piece, size_t *len)
{
    websocket_echo_t *echo = websocket_echo_new();
    char *sent = malloc(1);
    *len = 0;
    while (data.n != 0) {
        size_t room = websocket_echo_room(echo);
        size_t n = data.n < piece ? data.n : piece;
        n = n < room ? n : room;
        assert(n != 0); /* the output was drained */
        websocket_echo_feed(echo, str_make(data.p, n));
        data = str_from_offset(data, n);
        str_t output = websocket_echo_output(echo);
        assert(output.n <= WEBSOCKET_ECHO_MESSAGE_MAX + 3 * 65536);
        sent = realloc(sent, *len + output.n + 1);
        if (output.n != 0)
            memcpy(sent + *len, output.p, output.n);
        *len += output.n;
        websocket_echo_consume(echo, output.n);
    }
    websocket_echo_free(&echo);
    return sent;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    str_t frames = str_make((const char *)data + 1, size - 1);
    size_t whole_len, pieces_len;
    char *whole = echo_all(frames, 65536, &whole_len);
    char *pieces = echo_all(frames, 1 + data[0], &pieces_len);
    assert(whole_len == pieces_len && memcmp(whole, pieces, whole_len) == 0);
    free(whole);
    free(pieces);
    return 0;
}
