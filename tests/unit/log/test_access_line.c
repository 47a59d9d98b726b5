/* The access line: its contents, secrets that it never contains, and valid JSON of bounded length for every
 * exchange. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>

#include "access_line.h"
#include "arena.h"
#include "client.h"
#include "context_fixture.h"
#include "wake_times.h"

/* 2026-01-31T23:59:58.007Z */
#define WALL_US 1769903998007000ull

typedef struct fixture {
    client_t client;
    exchange_t ex;
    access_clock_t clock;
    field_t fields[8];
    char line[ACCESS_LINE_MAX];
    size_t len;
} fixture_t;

static void add_field(fixture_t *f, field_id_t id, str_t name, str_t value)
{
    assert_true(f->ex.request.fields.count < 8);
    f->fields[f->ex.request.fields.count++] = (field_t){.name = name, .value = value, .id = id};
}

static int set_up(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->client.kind = CONF_LISTENER_TLS;
    f->client.address = (struct in6_addr){{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 17}}};
    exchange_t *ex = &f->ex;
    ex->preview = &preview_none;
    ex->client = &f->client;
    ex->remote = remote_of_connection(&f->client);
    ex->request.version = HTTP_1_1;
    ex->request.method = STR("GET");
    ex->request.authority = STR("demo-3000.preview.box.localhost:8443");
    ex->request.target = STR("/");
    ex->request.fields = (fields_t){.at = f->fields, .capacity = 8};
    ex->times.wall_us = WALL_US;
    ex->times.start_us = 1000;
    ex->status = 200;
    memcpy(ex->request_id, "01J-id", 7);
    arena_init(&f->ex.arena);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *f = *state;
    preview_drop(&f->ex.preview);
    arena_clear(&f->ex.arena);
    free(f);
    return 0;
}

/* Writes the line and parses it; the caller releases. */
static json_t *line(fixture_t *f, exchange_end_t how)
{
    memset(f->line, 0, sizeof f->line);
    f->len = access_line(f->line, &f->clock, &f->ex, how, 1000 + 12345);
    assert_in_range(f->len, 2, ACCESS_LINE_MAX);
    assert_int_equal(f->line[f->len - 1], '\n');
    assert_null(memchr(f->line, '\n', f->len - 1));
    json_error_t error;
    json_t *object = json_loadb(f->line, f->len, JSON_ALLOW_NUL, &error);
    if (object == NULL)
        fail_msg("%s in %s", error.text, f->line);
    return object;
}

static void assert_text(json_t *object, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(object, key));
    if (want == NULL)
        assert_null(json_object_get(object, key));
    else {
        assert_non_null(got);
        assert_string_equal(got, want);
    }
}

static void assert_number(json_t *object, const char *key, double want)
{
    json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    assert_true(json_number_value(value) == want);
}

static void a_full_line(void **state)
{
    fixture_t *f = *state;
    exchange_t *ex = &f->ex;
    ex->routed = true;
    memcpy(test_preview(ex)->id, "demo", 5);
    test_preview(ex)->port = 3000;
    ex->request_bytes = 5;
    ex->response_bytes = 1ull << 33;
    ex->times.connect_us = 1500;
    ex->times.first_byte_us = 2001;
    memcpy(ex->origin_text, "10.0.0.7:3000", 14);
    ex->sent_again = true;
    add_field(f, FIELD_USER_AGENT, STR("User-Agent"), STR("curl/7.88.1"));
    json_t *o = line(f, EXCHANGE_END_COMPLETE);
    assert_text(o, "time", "2026-01-31T23:59:58.007Z");
    assert_text(o, "request_id", "01J-id");
    assert_text(o, "client", "192.0.2.17");
    assert_text(o, "host", "demo-3000.preview.box.localhost:8443");
    assert_text(o, "box", "demo");
    assert_number(o, "port", 3000);
    assert_text(o, "kind", "preview");
    assert_text(o, "method", "GET");
    assert_text(o, "path", "/");
    assert_text(o, "http", "1.1");
    assert_true(json_is_true(json_object_get(o, "tls")));
    assert_text(o, "user_agent", "curl/7.88.1");
    assert_number(o, "status", 200);
    assert_number(o, "request_bytes", 5);
    assert_number(o, "response_bytes", (double)(1ull << 33));
    assert_number(o, "duration_ms", 12.345);
    assert_number(o, "connect_ms", 1.5);
    assert_number(o, "first_byte_ms", 2.001);
    assert_text(o, "origin", "10.0.0.7:3000");
    assert_text(o, "reason", NULL);
    assert_true(json_is_false(json_object_get(o, "tunnel")));
    assert_true(json_is_true(json_object_get(o, "resent")));
    assert_text(o, "end", "complete");
    assert_int_equal(json_object_size(o), 23 - 1);
    json_decref(o);
}

static void a_wake(void **state)
{
    static const struct {
        wake_outcome_t outcome;
        const char *text;
    } table[] = {{WAKE_OUTCOME_NONE, NULL},         {WAKE_OUTCOME_OK, "ok"},
                 {WAKE_OUTCOME_FAILED, "failed"},   {WAKE_OUTCOME_PAGE, "page"},
                 {WAKE_OUTCOME_REFUSED, "refused"}, {WAKE_OUTCOME_LEFT, "left"}};
    fixture_t *f = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *wake_times_make(&f->ex) = (wake_times_t){.outcome = table[i].outcome, .waited_ms = 2001};
        json_t *o = line(f, EXCHANGE_END_COMPLETE);
        assert_text(o, "wake", table[i].text);
        if (table[i].text != NULL)
            assert_number(o, "wake_ms", 2001);
        else
            assert_null(json_object_get(o, "wake_ms"));
        json_decref(o);
    }
}

static void a_refused_request(void **state)
{
    fixture_t *f = *state;
    f->ex.request = (request_t){0};
    f->ex.times.start_us = 0;
    f->ex.local_code = "bad_request";
    f->ex.status = 400;
    json_t *o = line(f, EXCHANGE_END_CUT);
    assert_text(o, "kind", "none");
    assert_text(o, "path", "");
    assert_text(o, "http", "");
    assert_text(o, "box", NULL);
    assert_text(o, "origin", NULL);
    assert_text(o, "user_agent", NULL);
    assert_text(o, "reason", "bad_request");
    assert_number(o, "duration_ms", 0);
    assert_null(json_object_get(o, "connect_ms"));
    assert_text(o, "end", "cut");
    json_decref(o);
}

static void kinds(void **state)
{
    fixture_t *f = *state;
    f->client.kind = CONF_LISTENER_REDIRECT;
    f->ex.remote = remote_of_connection(&f->client);
    json_t *o = line(f, EXCHANGE_END_CLIENT_GONE);
    assert_text(o, "kind", "redirect");
    assert_true(json_is_false(json_object_get(o, "tls")));
    assert_text(o, "end", "client_gone");
    json_decref(o);
    f->client.kind = CONF_LISTENER_HEALTH;
    f->ex.remote.trusted = f->ex.remote.named = true;
    f->ex.remote.address.s6_addr[15] = 18;
    f->ex.request.version = HTTP_2;
    o = line(f, EXCHANGE_END_COMPLETE);
    assert_text(o, "kind", "health");
    assert_text(o, "client", "192.0.2.18");
    assert_text(o, "proxy", "192.0.2.17");
    assert_text(o, "http", "2");
    json_decref(o);
}

static void the_clock_goes_on(void **state)
{
    fixture_t *f = *state;
    json_decref(line(f, EXCHANGE_END_COMPLETE));
    f->ex.times.wall_us += 992000;
    json_t *o = line(f, EXCHANGE_END_COMPLETE);
    assert_text(o, "time", "2026-01-31T23:59:58.999Z");
    json_decref(o);
    f->ex.times.wall_us += 1000;
    o = line(f, EXCHANGE_END_COMPLETE);
    assert_text(o, "time", "2026-01-31T23:59:59.000Z");
    json_decref(o);
}

static void tokens_are_cut_from_the_query(void **state)
{
    fixture_t *f = *state;
    static const char *const cases[][2] = {
        {"/?preview_token=SECRET", "/?preview_token=***"},
        {"/a?x=1&preview_token=SECRET&y=2", "/a?x=1&preview_token=***&y=2"},
        {"/?preview_token=SECRET=SECRET&y", "/?preview_token=***&y"},
        {"/?%70review%5ftoken=SECRET", "/?%70review%5ftoken=***"},
        {"/?%50REVIEW_%54oken=SECRET", "/?%50REVIEW_%54oken=***"},
        {"/?a;preview_token=SECRET;b", "/?a;preview_token=***;b"},
        {"/?a?preview_token=SECRET", "/?a?preview_token=***"},
        {"/?preview_token=a&preview_token=b", "/?preview_token=***&preview_token=***"},
        {"/?preview_token=", "/?preview_token=***"},
        {"/.well-known/boxedge/sign-in?token=SECRET", "/.well-known/boxedge/sign-in?***"},
        {"/.well-known/boxedge/link?key=SECRET", "/.well-known/boxedge/link?***"},
        {"/.well-known/boxedge/link/SECRET", "/.well-known/boxedge/link***"},
        {"/.well-known/boxedge/linkSECRET?a", "/.well-known/boxedge/link***"},
        {"/.well-known/boxedge/link", "/.well-known/boxedge/link"},
        {"/.well-known/boxedge/sign-in?SECRET", "/.well-known/boxedge/sign-in?***"},
        {"/.well-known/boxedge/wake?next=%2f&x=SECRET", "/.well-known/boxedge/wake?***"},
        {"/v2/browser/cdp?token=SECRET&x=1", "/v2/browser/cdp?token=***&x=1"},
        {"/?X-Box-Api-Key=SECRET&apikey=SECRET", "/?X-Box-Api-Key=***&apikey=***"},
        {"/?%74oken=SECRET&TOKEN=SECRET", "/?%74oken=***&TOKEN=***"},
        {"/?access_token=SECRET&id-token=SECRET", "/?access_token=***&id-token=***"},
        {"/?user=u&password=SECRET&client_secret=SECRET", "/?user=u&password=***&client_secret=***"},
        {"/?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET&sig=SECRET&key=SECRET",
         "/?X-Amz-Signature=***&X-Amz-Credential=***&sig=***&key=***"},
        {"/?a_name_that_is_longer_than_all_that_is_kept_of_it_token=SECRET",
         "/?a_name_that_is_longer_than_all_that_is_kept_of_it_token=***"},
        /* No such parameter. */
        {"/preview_token=x", "/preview_token=x"},
        {"/?preview_tokens=x&preview_toke=y&=z", "/?preview_tokens=x&preview_toke=y&=z"},
        {"/?keyword=x&monkey=y&postcode=z&oauth=w", "/?keyword=x&monkey=y&postcode=z&oauth=w"},
        {"/?%7=x&%&%zz=1&", "/?%7=x&%&%zz=1&"},
        {"/?", "/?"},
        {"*", "*"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f->ex.request.target = str_from(cases[i][0]);
        json_t *o = line(f, EXCHANGE_END_COMPLETE);
        assert_text(o, "path", cases[i][1]);
        assert_null(strstr(f->line, "SECRET"));
        json_decref(o);
    }
}

static void credentials_are_not_shown(void **state)
{
    fixture_t *f = *state;
    add_field(f, FIELD_AUTHORIZATION, STR("Authorization"), STR("Bearer SECRET"));
    add_field(f, FIELD_COOKIE, STR("Cookie"), STR("__Host-boxedge=SECRET"));
    add_field(f, FIELD_OTHER, STR("X-Preview-Token"), STR("SECRET"));
    json_decref(line(f, EXCHANGE_END_COMPLETE));
    assert_null(strstr(f->line, "SECRET"));
}

/* Everything at its longest, in bytes that take the most room. */
static void the_longest_line_fits(void **state)
{
    fixture_t *f = *state;
    exchange_t *ex = &f->ex;
    static char worst[32768];
    memset(worst, '\x01', sizeof worst);
    str_t long_text = str_make(worst, sizeof worst);
    ex->request.method = ex->request.authority = ex->request.target = long_text;
    add_field(f, FIELD_USER_AGENT, STR("User-Agent"), long_text);
    memset(ex->request_id, 'f', sizeof ex->request_id - 1);
    memset(test_preview(ex)->id, 'a', BOX_ID_MAX);
    memset(ex->origin_text, '9', sizeof ex->origin_text - 1);
    ex->routed = true;
    test_preview(ex)->port = 65535;
    ex->status = 599;
    ex->request_bytes = ex->response_bytes = INT64_MAX;
    ex->times.connect_us = ex->times.first_byte_us = UINT32_MAX;
    static char code[200];
    memset(code, 'c', sizeof code - 1);
    ex->local_code = code;
    memset(&f->client.address, 0xfe, sizeof f->client.address);
    json_decref(line(f, EXCHANGE_END_CLIENT_GONE));
    assert_in_range(f->len, 2500, ACCESS_LINE_MAX);

    worst[0] = '/';
    worst[1] = '?';
    json_t *o = line(f, EXCHANGE_END_CLIENT_GONE);
    assert_in_range(json_string_length(json_object_get(o, "path")), 300, 2048);
    json_decref(o);
}

/* A token must not leak because its parameter is where the path is cut. */
static void a_token_at_the_cut(void **state)
{
    fixture_t *f = *state;
    static char target[4096];
    for (size_t at = 2000; at < 2060; at++) {
        memset(target, 'x', sizeof target);
        target[0] = '/';
        memcpy(target + at, "?preview_token=SECRETSECRET", 27);
        f->ex.request.target = str_make(target, at + 27);
        json_decref(line(f, EXCHANGE_END_COMPLETE));
        assert_null(strstr(f->line, "S"));
    }
}

/* Of one valid traceparent; how valid values look is a matter of test_forward.c. */
static void the_trace_of_the_client(void **state)
{
    fixture_t *f = *state;
    const char *id = "4bf92f3577b34da6a3ce929d0e0e4736";
    json_t *object = line(f, EXCHANGE_END_COMPLETE);
    assert_null(json_object_get(object, "trace_id"));
    json_decref(object);
    add_field(f, FIELD_TRACEPARENT, STR("traceparent"),
              STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    object = line(f, EXCHANGE_END_COMPLETE);
    assert_string_equal(json_string_value(json_object_get(object, "trace_id")), id);
    json_decref(object);
    add_field(f, FIELD_TRACEPARENT, STR("traceparent"),
              STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    object = line(f, EXCHANGE_END_COMPLETE);
    assert_null(json_object_get(object, "trace_id"));
    json_decref(object);
    f->ex.request.fields.count = 1;
    f->fields[0].value.n--;
    object = line(f, EXCHANGE_END_COMPLETE);
    assert_null(json_object_get(object, "trace_id"));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wake, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_clock_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens_are_cut_from_the_query, set_up, tear_down),
        cmocka_unit_test_setup_teardown(credentials_are_not_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_line_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_at_the_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_trace_of_the_client, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
