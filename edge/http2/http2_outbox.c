#include "http2_outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Enough for most turns of a connection; larger output gets the full size immediately. */
#define OUTPUT_FEW_BYTES 16384
/* Maximum bytes of a GOAWAY's debug data. */
#define REASON_BYTES 200

char *http2_outbox_reserve(http2_outbox_t *outbox, size_t n)
{
    if (outbox->size + n > outbox->capacity) {
        size_t capacity =
            outbox->size + n <= OUTPUT_FEW_BYTES ? OUTPUT_FEW_BYTES : (size_t)HTTP2_OUTPUT_BYTES;
        while (capacity < outbox->size + n)
            capacity *= 2;
        char *grown = realloc(outbox->bytes, capacity);
        if (grown == NULL)
            abort();
        outbox->bytes = grown;
        account_move(outbox->account, outbox->capacity, capacity);
        outbox->capacity = capacity;
    }
    return outbox->bytes + outbox->size;
}

/* Whether a DATA frame of n bytes keeps within HTTP2_OUTPUT_BYTES; a head may exceed it by a frame. */
static bool fits(const http2_outbox_t *outbox, size_t n)
{
    return outbox->size + HTTP2_FRAME_HEADER + n <= HTTP2_OUTPUT_BYTES;
}

char *http2_outbox_data(http2_outbox_t *outbox, const uint8_t *header, size_t n)
{
    if (!fits(outbox, n))
        return NULL;
    char *at = http2_outbox_reserve(outbox, HTTP2_FRAME_HEADER + n);
    memcpy(at, header, HTTP2_FRAME_HEADER);
    outbox->size += HTTP2_FRAME_HEADER + n;
    return at + HTTP2_FRAME_HEADER;
}

void http2_outbox_append(http2_outbox_t *outbox, const void *bytes, size_t n)
{
    memcpy(http2_outbox_reserve(outbox, n), bytes, n);
    outbox->size += n;
}

bool http2_outbox_gather(http2_outbox_t *outbox, nghttp2_session *session)
{
    ssize_t n = 1;
    while (n > 0 && outbox->size < HTTP2_OUTPUT_BYTES) { /* the last frame may exceed it */
        const uint8_t *piece;
        n = nghttp2_session_mem_send(session, &piece);
        if (n > 0)
            http2_outbox_append(outbox, piece, (size_t)n);
    }
    return n >= 0;
}

static void put32(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

void http2_outbox_goaway(http2_outbox_t *outbox, uint32_t last_stream, uint32_t code, str_t reason)
{
    size_t n = reason.n < REASON_BYTES ? reason.n : REASON_BYTES;
    uint8_t frame[HTTP2_FRAME_HEADER + 8] = {0, 0, (uint8_t)(8 + n), NGHTTP2_GOAWAY};
    put32(frame + HTTP2_FRAME_HEADER, last_stream & 0x7fffffff);
    put32(frame + HTTP2_FRAME_HEADER + 4, code);
    http2_outbox_append(outbox, frame, sizeof(frame));
    if (n != 0)
        http2_outbox_append(outbox, reason.p, n);
}

conn_result_t http2_outbox_write(http2_outbox_t *outbox, conn_t *conn, size_t *moved)
{
    *moved = 0;
    while (http2_outbox_pending(outbox)) {
        struct iovec iov = {outbox->bytes + outbox->sent, outbox->size - outbox->sent};
        size_t written;
        conn_result_t result = conn_write(conn, &iov, 1, &written);
        if (result != CONN_OK)
            return result;
        outbox->sent += written;
        *moved += written;
    }
    http2_outbox_clear(outbox);
    return CONN_OK;
}

void http2_outbox_clear(http2_outbox_t *outbox)
{
    account_sub(outbox->account, outbox->capacity);
    free(outbox->bytes);
    *outbox = (http2_outbox_t){.account = outbox->account};
}
