/* The tracker of WebSocket frames. The first byte selects the pieces in which the stream comes. The position
 * must not depend on them, must agree with a plain reading of the frames, and no byte may be lost. */
#include "heads.h"
#include "websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* Reads whole frames from the start; true if the stream ends after one, and none was odd or final. */
static bool ends_between(const uint8_t *p, size_t n)
{
    while (n != 0) {
        if (n < 2)
            return false;
        unsigned opcode = p[0] & 15;
        uint64_t len = p[1] & 0x7f;
        size_t header = 2;
        if (len >= 126) {
            header = len == 126 ? 4 : 10;
            if (n < header)
                return false;
            len = 0;
            for (size_t i = 2; i < header; i++)
                len = len << 8 | p[i];
        }
        header += (p[1] & 0x80) != 0 ? 4 : 0;
        bool known = opcode <= 2 || opcode == 9 || opcode == 10;
        bool control_ok = opcode < 8 || (len <= 125 && (p[0] & 0x80) != 0);
        if (!known || !control_ok || n < header || len > n - header)
            return false;
        p += header + len;
        n -= header + (size_t)len;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 1)
        return 0;
    str_t data = str_make((const char *)input + 1, size - 1);
    size_t step = (size_t)input[0] + 1;
    websocket_frames_t whole = {.left = 0}, pieces = {.left = 0};
    websocket_frames_feed(&whole, data);
    for (size_t n = 0; n < data.n; n += step)
        websocket_frames_feed(&pieces, str_make(data.p + n, data.n - n < step ? data.n - n : step));
    assert(whole.unknown == pieces.unknown && whole.closed == pieces.closed);
    assert(websocket_frames_between(&whole) == websocket_frames_between(&pieces));
    assert(websocket_frames_between(&whole) == ends_between(input + 1, size - 1));
    assert(whole.payload_bytes == pieces.payload_bytes && whole.control_bytes == pieces.control_bytes);
    assert(whole.payload_bytes + whole.control_bytes <= data.n);
    if (!whole.unknown)
        assert(whole.left == pieces.left && whole.header_len == pieces.header_len);
    bool valid = websocket_key_valid(data);
    assert(!valid || data.n == 24);
    return 0;
}
