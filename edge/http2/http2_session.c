#include "http2_session.h"

#include <assert.h>
#include <stdlib.h>

#include "arena.h"

/* nghttp2 overestimates the size of a field block, and each end adds its own fields. */
#define BLOCK_EXTRA 65536

static nghttp2_option *option_new(const http2_session_setup_t *setup)
{
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, BLOCK_EXTRA + 2 * (size_t)setup->head_bytes);
    /* http2_guard.h counts resets; it distinguishes busy browsers from attacks. */
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    nghttp2_option_set_no_http_messaging(option, setup->unchecked);
    return option;
}

nghttp2_session *http2_session_new(const http2_session_setup_t *setup, http2_memory_t *memory, void *owner)
{
    nghttp2_session *session;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option = option_new(setup);
    http2_memory_init(memory);
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        abort();
    setup->set_callbacks(callbacks);
    int failed = setup->server
                     ? nghttp2_session_server_new3(&session, callbacks, owner, option, &memory->functions)
                     : nghttp2_session_client_new3(&session, callbacks, owner, option, &memory->functions);
    if (failed != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    failed = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, setup->settings, setup->settings_count);
    failed |= nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, setup->window);
    assert(failed == 0);
    return session;
}

nghttp2_nv *http2_nv_list(arena_t *pool, const fields_t *fields)
{
    nghttp2_nv *list = arena_alloc(pool, fields->count * sizeof(*list));
    for (uint32_t i = 0; i < fields->count; i++)
        list[i] = http2_nv(fields->at[i].name, fields->at[i].value);
    return list;
}

ssize_t http2_read_body(size_t n, size_t available, bool complete, uint32_t *flags)
{
    if (available == 0 && !complete)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < available)
        return (ssize_t)n;
    if (complete)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)available;
}

const char *http2_error_reason(uint32_t code)
{
    switch (code) {
    case NGHTTP2_COMPRESSION_ERROR:
        return "A field block cannot be decoded (HPACK).";
    case NGHTTP2_FRAME_SIZE_ERROR:
        return "A frame is longer than 16384 bytes, or has a length that its kind does not allow.";
    case NGHTTP2_FLOW_CONTROL_ERROR:
        return "DATA passes the connection's window, or a window grows over 2^31 - 1 bytes.";
    case NGHTTP2_STREAM_CLOSED:
        return "A frame came for a stream that has ended.";
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return "A frame is over a bound of the edge.";
    case NGHTTP2_INTERNAL_ERROR:
        return "The edge failed.";
    default:
        return "A frame breaks a rule of HTTP/2.";
    }
}
