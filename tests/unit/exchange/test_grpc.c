/* The edge's own errors, as gRPC clients read them. */
#include "exchange_world.h"

#include "grpc.h"

static void test_what_is_a_call(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is;
    } cases[] = {
        {"application/grpc", true},
        {"application/grpc+proto", true},
        {"Application/GRPC; a=b", true},
        {"application/grpc-web+proto", false},
        {"application/grp", false},
        {"", false},
        {"text/html", false},
    };
    exchange_world_t *world = exchange_world_new();
    request_t *request = &world->ex->request;
    request->version = HTTP_2;
    assert_false(grpc_is_request(request));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        request->fields = (fields_t){0};
        fields_add(&world->ex->arena, &request->fields, FIELD_CONTENT_TYPE, STR("content-type"),
                   str_from(cases[i].type));
        request->version = HTTP_2;
        assert_int_equal(grpc_is_request(request), cases[i].is);
        request->version = HTTP_1_1;
        assert_false(grpc_is_request(request));
    }
    exchange_start(world->ex);
    exchange_world_free(world);
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        unsigned grpc;
    } cases[] = {
        {400, "bad_request", 13},
        {401, "unauthorized", 16},
        {403, "blocked", 7},
        {404, "not_found", 12},
        {408, NULL, 4},
        {418, NULL, 2},
        {429, "rate_limited", 8},
        {500, NULL, 13},
        {502, "origin_closed", 14},
        {503, "overloaded", 14},
        {504, NULL, 14},
        {504, "connect_timeout", 14},
        {504, "origin_timeout", 4},
        {507, "store_full", 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(grpc_status_of(cases[i].status, cases[i].code), cases[i].grpc);
}

static str_t field_of(const exchange_t *ex, const char *name)
{
    for (uint32_t i = 0; i < ex->response.fields.count; i++)
        if (str_ieq(ex->response.fields.at[i].name, str_from(name)))
            return ex->response.fields.at[i].value;
    return str_make(NULL, 0);
}

static void test_an_error_is_trailers_only(void **state)
{
    (void)state;
    exchange_world_t *world = exchange_world_new();
    exchange_t *ex = world->ex;
    world->answer = STEP_WAIT;
    ex->request.version = HTTP_2;
    fields_add(&ex->arena, &ex->request.fields, FIELD_CONTENT_TYPE, STR("content-type"),
               STR("application/grpc"));
    exchange_start(ex);
    exchange_reply_error(ex, 503, "overloaded", "100 % is \"full\" \xc3\xa4.", 7);
    assert_int_equal(ex->response.status, 200);
    assert_true(ex->response.bodyless);
    assert_true(str_eq(field_of(ex, "content-type"), STR("application/grpc")));
    assert_true(str_eq(field_of(ex, "grpc-status"), STR("14")));
    assert_true(str_eq(field_of(ex, "grpc-message"), STR("100 %25 is \"full\" %C3%A4.")));
    assert_true(str_eq(field_of(ex, "retry-after"), STR("7")));
    assert_string_equal(ex->local_code, "overloaded");
    assert_int_equal(world->ends, 1);
    expect_out(world, STR(""));
    exchange_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_call),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_an_error_is_trailers_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
