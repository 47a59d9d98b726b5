/* Response heads as HTTP/1 clients get them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http1_head.h"

#include "arena.h"

static arena_t arena;
static const str_t date = {"Sun, 06 Nov 1994 08:49:37 GMT", 29};

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_clear(&arena);
    return 0;
}

static void assert_text(str_t text, const char *expected)
{
    assert_int_equal(text.n, strlen(expected));
    assert_memory_equal(text.p, expected, text.n);
}

static void test_length(void **state)
{
    (void)state;
    response_t response = {.status = 200, .content_length = 0};
    http1_head_t head = {.date = date};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    response.content_length = UINT64_MAX - 1;
    str_t text = http1_head_text(&arena, &response, &head);
    assert_non_null(memmem(text.p, text.n, "Content-Length: 18446744073709551614\r\n", 38));
}

static void test_reason(void **state)
{
    (void)state;
    http1_head_t head = {.date = date};
    response_t response = {.status = 299, .reason = STR("Fine, I think")};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 299 Fine, I think\r\nContent-Length: 0\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    static char huge[30000];
    memset(huge, 'x', sizeof(huge));
    response.reason = str_make(huge, sizeof(huge));
    str_t text = http1_head_text(&arena, &response, &head);
    assert_true(text.n > sizeof(huge));
    assert_non_null(memmem(text.p, text.n, "xx\r\nContent-Length: 0\r\n", 23));
}

static void test_framing(void **state)
{
    (void)state;
    response_t response = {.status = 200, .content_length = LENGTH_UNKNOWN};
    http1_head_t head = {.chunked = true, .close = true, .date = date};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    head = (http1_head_t){.keep_alive = true, .date = date};
    response.content_length = 7;
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void test_no_content_has_no_length(void **state)
{
    (void)state;
    response_t response = {.status = 204, .content_length = 0, .bodyless = true};
    http1_head_t head = {.date = date};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void test_box_date_stays(void **state)
{
    (void)state;
    response_t response = {.status = 299, .content_length = 1};
    fields_add(&arena, &response.fields, FIELD_DATE, STR("DATE"), STR("then"));
    http1_head_t head = {.date = date};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 299 \r\nDATE: then\r\nContent-Length: 1\r\n\r\n");
}

static void test_tunnel(void **state)
{
    (void)state;
    response_t response = {.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    http1_head_t head = {.close = true, .date = date};
    assert_text(http1_head_text(&arena, &response, &head),
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
}

static void test_informational(void **state)
{
    (void)state;
    fields_t fields = {0};
    fields_add(&arena, &fields, FIELD_OTHER, STR("Link"), STR("</a.css>; rel=preload"));
    assert_text(http1_head_informational(&arena, 103, &fields),
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_framing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_content_has_no_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_box_date_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tunnel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_informational, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
