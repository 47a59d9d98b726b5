/* Shared code of both HTTP/2 ends: sessions that talk to each other, bodies at the bounds of a frame, the
 * outbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "arena.h"
#include "http2_outbox.h"
#include "http2_session.h"

#define WINDOW 1000000

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    (void)session;
    (void)frame;
    ++*(unsigned *)owner;
    return 0;
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
}

static nghttp2_session *session_new(bool server, http2_memory_t *memory, unsigned *frames)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 12345}};
    const http2_session_setup_t setup = {.server = server,
                                         .set_callbacks = set_callbacks,
                                         .head_bytes = 65536,
                                         .settings = settings,
                                         .settings_count = 1,
                                         .window = WINDOW};
    return http2_session_new(&setup, memory, frames);
}

static void carry(nghttp2_session *from, nghttp2_session *to)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(from, &bytes)) > 0)
        assert_int_equal(nghttp2_session_mem_recv(to, bytes, (size_t)n), n);
    assert_int_equal(n, 0);
}

static void two_ends_agree(void **state)
{
    (void)state;
    http2_memory_t memory[2];
    unsigned frames[2] = {0};
    nghttp2_session *client = session_new(false, &memory[0], &frames[0]);
    nghttp2_session *server = session_new(true, &memory[1], &frames[1]);
    carry(client, server);
    carry(server, client);
    carry(client, server);
    nghttp2_session *both[] = {client, server};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(nghttp2_session_get_remote_settings(both[i], NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE),
                         12345);
        assert_int_equal(nghttp2_session_get_remote_window_size(both[i]), WINDOW);
        assert_int_equal(frames[i], 3); /* SETTINGS, WINDOW_UPDATE, the ACK */
        assert_true(memory[i].bytes > 1000);
        nghttp2_session_del(both[i]);
        assert_int_equal(memory[i].bytes, 0);
    }
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        size_t n, available;
        bool complete;
        ssize_t result;
        uint32_t flags;
    } cases[] = {
        {100, 0, false, NGHTTP2_ERR_DEFERRED, 0},
        {100, 0, true, 0, NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF},
        {100, 99, false, 99, NGHTTP2_DATA_FLAG_NO_COPY},
        {100, 99, true, 99, NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF},
        {100, 100, false, 100, NGHTTP2_DATA_FLAG_NO_COPY},
        {100, 100, true, 100, NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF},
        {100, 101, false, 100, NGHTTP2_DATA_FLAG_NO_COPY},
        {100, 101, true, 100, NGHTTP2_DATA_FLAG_NO_COPY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t flags = 0;
        assert_int_equal(http2_read_body(cases[i].n, cases[i].available, cases[i].complete, &flags),
                         cases[i].result);
        assert_int_equal(flags, cases[i].flags);
    }
}

static void lists_of_fields(void **state)
{
    (void)state;
    arena_t pool;
    fields_t fields = {0};
    arena_init(&pool);
    fields_add(&pool, &fields, FIELD_OTHER, STR("a"), STR("one"));
    fields_add(&pool, &fields, FIELD_OTHER, STR("bc"), STR(""));
    nghttp2_nv *list = http2_nv_list(&pool, &fields);
    for (uint32_t i = 0; i < fields.count; i++) {
        assert_true(str_eq(str_make((char *)list[i].name, list[i].namelen), fields.at[i].name));
        assert_true(str_eq(str_make((char *)list[i].value, list[i].valuelen), fields.at[i].value));
        assert_int_equal(list[i].flags, NGHTTP2_NV_FLAG_NONE);
    }
    arena_clear(&pool);
}

static void frames_keep_to_the_bound(void **state)
{
    (void)state;
    static const uint8_t header[HTTP2_FRAME_HEADER] = "12345678";
    account_root_t root;
    account_root_init(&root, NULL);
    http2_outbox_t outbox = {.account = &root.account};
    size_t n = HTTP2_OUTPUT_BYTES - HTTP2_FRAME_HEADER;
    assert_null(http2_outbox_data(&outbox, header, n + 1));
    assert_false(http2_outbox_pending(&outbox));
    char *body = http2_outbox_data(&outbox, header, n);
    assert_non_null(body);
    memset(body, 'x', n);
    assert_int_equal(outbox.size, HTTP2_OUTPUT_BYTES);
    assert_memory_equal(outbox.bytes, header, sizeof(header));
    assert_ptr_equal(body, outbox.bytes + HTTP2_FRAME_HEADER);
    assert_null(http2_outbox_data(&outbox, header, 0));
    http2_outbox_clear(&outbox);
    assert_non_null(http2_outbox_data(&outbox, header, 0));
    assert_int_equal(outbox.size, HTTP2_FRAME_HEADER);
    http2_outbox_clear(&outbox);
    assert_int_equal(root.held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ends_agree),
        cmocka_unit_test(bodies),
        cmocka_unit_test(lists_of_fields),
        cmocka_unit_test(frames_keep_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
