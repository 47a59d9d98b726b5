/* Signatures of servers that refuse a host: at each length of the beginning, and next to them. */
#include "exchange_world.h"

#include "host_signature.h"

static response_t head_of(arena_t *arena, int status, const char *type, uint64_t length)
{
    response_t head = {.status = status, .content_length = length};
    if (type[0] != '\0')
        fields_add(arena, &head.fields, FIELD_CONTENT_TYPE, STR("content-type"), str_from(type));
    return head;
}

static const struct {
    const char *server;
    int status;
    const char *type, *body, *quote;
} known[] = {
    {"Vite", 403, "text/plain", "Blocked request. This host (\"a\") is not allowed.\nTo allow",
     "Blocked request. This host (\"a\") is not allowed."},
    {"Angular", 403, "text/html",
     "<!doctype html>\n<title>Blocked request</title><h1>Blocked request. This host (\"a\") is not "
     "allowed.</h1>",
     "Blocked request. This host (\"a\") is not allowed."},
    {"webpack-dev-server", 403, "", "Invalid Host header", "Invalid Host header"},
    {"webpack-dev-server", 200, "text/html; charset=utf-8", "Invalid Host header", "Invalid Host header"},
    {"Django", 400, "text/html", "<!DOCTYPE html>\n<title>DisallowedHost\n  at /</title>", "DisallowedHost"},
    {"Rails", 403, "text/html; charset=UTF-8",
     "<!DOCTYPE html><title>Action Controller: Exception caught</title><h1>Blocked hosts: a\x01\xc3<",
     "Blocked hosts: a??"},
    {"Jupyter", 403, "text/html", "<!DOCTYPE HTML><title>Jupyter Server</title><h1>403 : Forbidden</h1>",
     "403 : Forbidden"},
};

static void test_each_at_each_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        arena_t arena;
        arena_init(&arena);
        str_t body = str_from(known[i].body);
        response_t head = head_of(&arena, known[i].status, known[i].type, body.n);
        const host_signature_t *found = NULL;
        assert_true(host_signature_possible(&head));
        host_match_t last = HOST_MATCH_MORE;
        for (size_t n = 0; n < body.n && last == HOST_MATCH_MORE; n++) {
            char *exact = malloc(n != 0 ? n : 1); /* no byte behind it may be read */
            memcpy(exact, body.p, n);
            last = host_signature_match(&head, str_make(exact, n), false, &found);
            if (last == HOST_MATCH_MORE)
                assert_int_equal(host_signature_match(&head, str_make(exact, n), true, &found),
                                 HOST_MATCH_NONE);
            free(exact);
        }
        assert_int_not_equal(last, HOST_MATCH_NONE);
        assert_int_equal(host_signature_match(&head, body, true, &found), HOST_MATCH_FOUND);
        assert_string_equal(host_signature_server(found), known[i].server);
        char quote[HOST_SIGNATURE_QUOTE];
        assert_true(str_eq(host_signature_quote(found, body, quote), str_from(known[i].quote)));
        /* Another status, type, encoding or first byte. */
        response_t other = head_of(&arena, 404, known[i].type, body.n);
        assert_false(host_signature_possible(&other));
        other = head_of(&arena, known[i].status, "application/json", body.n);
        assert_false(host_signature_possible(&other));
        fields_add(&arena, &head.fields, FIELD_OTHER, STR("Content-Encoding"), STR("gzip"));
        assert_false(host_signature_possible(&head));
        assert_int_equal(host_signature_match(&head, STR("x"), false, &found), HOST_MATCH_NONE);
        arena_clear(&arena);
    }
}

/* Most answers with 200 need no look at all. */
static void test_heads(void **state)
{
    (void)state;
    arena_t arena;
    arena_init(&arena);
    response_t head = head_of(&arena, 200, "text/html", 19);
    assert_true(host_signature_possible(&head));
    head.content_length = 18;
    assert_false(host_signature_possible(&head));
    head.content_length = LENGTH_UNKNOWN;
    assert_false(host_signature_possible(&head));
    head = head_of(&arena, 403, "", LENGTH_UNKNOWN);
    assert_true(host_signature_possible(&head));
    head.bodyless = true;
    assert_false(host_signature_possible(&head));
    arena_clear(&arena);
}

static void test_bounds(void **state)
{
    (void)state;
    arena_t arena;
    arena_init(&arena);
    response_t head = head_of(&arena, 400, "text/html", LENGTH_UNKNOWN);
    const host_signature_t *found;
    static char body[HOST_SIGNATURE_BYTES + 1];
    memset(body, ' ', sizeof(body));
    memcpy(body, "<!DOCTYPE html>", 15);
    assert_int_equal(host_signature_match(&head, str_make(body, 1023), false, &found), HOST_MATCH_MORE);
    assert_int_equal(host_signature_match(&head, str_make(body, 1024), false, &found), HOST_MATCH_NONE);
    memcpy(body + 1024 - 21, "<title>DisallowedHost", 21); /* the last place */
    assert_int_equal(host_signature_match(&head, str_make(body, 1024), false, &found), HOST_MATCH_FOUND);
    memcpy(body + 1024 - 21, " <title>DisallowedHost", 22);
    assert_int_equal(host_signature_match(&head, str_make(body, 1100), false, &found), HOST_MATCH_NONE);
    /* A quote has a bound, too. */
    head = head_of(&arena, 403, "text/plain", LENGTH_UNKNOWN);
    memset(body, 'x', sizeof(body));
    memcpy(body, "Blocked request. This host (", 28);
    memcpy(body + 900, ") is not allowed.", 17);
    char quote[HOST_SIGNATURE_QUOTE];
    assert_int_equal(host_signature_match(&head, str_make(body, 917), false, &found), HOST_MATCH_FOUND);
    assert_int_equal(host_signature_quote(found, str_make(body, 917), quote).n, HOST_SIGNATURE_QUOTE);
    arena_clear(&arena);
}

static void test_handshakes(void **state)
{
    (void)state;
    assert_true(host_signature_of_handshake(STR("/_next/hmr?id=x"), STR("Unauthorized")));
    assert_true(host_signature_of_handshake(STR("/base/_next/webpack-hmr"), STR("Unauthorized")));
    assert_false(host_signature_of_handshake(STR("/chat"), STR("Unauthorized")));
    assert_false(host_signature_of_handshake(STR("/_next/hmr"), STR("Unauthorized.")));
    assert_false(host_signature_of_handshake(STR("/_next/hmr"), STR("Unauth")));
    assert_false(host_signature_of_handshake(STR("/_next/hmr"), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_at_each_length),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
