/* The verdict on the credentials of a request: with a session, without one, and under a lockout. */
#include "verdict.h"

#include "credentials.h"
#include "lockout_fixture.h"

#define CELLS 64
#define T     ((uint64_t)3600000)

static const str_t token = {"right token", 11}, password = {"user:right", 10}, wrong = {"wrong", 5};

typedef struct world {
    uint8_t bearer[32], basic[32];
    verdict_secrets_t secrets;
    struct in6_addr client;
    verdict_guard_t guard;
} world_t;

static int set_up(void **state)
{
    static world_t w;
    secret_hash(token, w.bearer);
    secret_hash(password, w.basic);
    w.secrets = (verdict_secrets_t){.bearer = w.bearer, .basic = w.basic};
    w.client = ipv4(1);
    w.guard = (verdict_guard_t){
        .lockout = lockout_fixture_table_new(CELLS), .client = &w.client, .preview = 7, .now_ms = T};
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world_t *w = *state;
    lockout_fixture_table_free(w->guard.lockout, CELLS);
    return 0;
}

static void expect(verdict_t verdict, verdict_kind_t kind, bool own_authorization)
{
    assert_int_equal(verdict.kind, kind);
    assert_int_equal(verdict.own_authorization, own_authorization);
    assert_int_equal(verdict.retry_after != 0, kind == VERDICT_LOCKED);
}

static void without_a_session_a_secret_must_match(void **state)
{
    world_t *w = *state;
    static const struct {
        verdict_shown_t shown;
        verdict_kind_t kind;
        bool own_authorization;
    } table[] = {
        {{.token = {NULL, 0}}, VERDICT_MISSING, false},
        {{.token = token}, VERDICT_PASS, false},
        {{.token = wrong}, VERDICT_WRONG, false},
        {{.authorization = token}, VERDICT_PASS, true},
        {{.authorization = password, .basic = true}, VERDICT_PASS, true},
        {{.authorization = token, .basic = true}, VERDICT_WRONG, false},
        {{.authorization = password}, VERDICT_WRONG, false},
        /* The token opens the preview: an Authorization field beside it is the app's, unless it matches
         * too. */
        {{.token = token, .authorization = wrong}, VERDICT_PASS, false},
        {{.token = token, .authorization = token}, VERDICT_PASS, true},
        {{.token = wrong, .authorization = token}, VERDICT_PASS, true},
        {{.token = wrong, .authorization = wrong}, VERDICT_WRONG, false},
        {{.query = token}, VERDICT_SIGN_IN, false},
        {{.query = wrong}, VERDICT_WRONG, false},
        {{.token = wrong, .query = token}, VERDICT_SIGN_IN, false},
        {{.token = token, .query = wrong}, VERDICT_PASS, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect(verdict_of_secrets(&table[i].shown, &w->secrets, &w->guard), table[i].kind,
               table[i].own_authorization);
}

static void a_form_that_the_preview_does_not_take_never_matches(void **state)
{
    world_t *w = *state;
    const verdict_secrets_t basic_only = {.basic = w->basic}, none = {0};
    const verdict_shown_t by_token = {.token = token}, by_query = {.query = token},
                          by_password = {.authorization = password, .basic = true};
    expect(verdict_of_secrets(&by_token, &basic_only, &w->guard), VERDICT_WRONG, false);
    expect(verdict_of_secrets(&by_query, &basic_only, &w->guard), VERDICT_WRONG, false);
    expect(verdict_of_secrets(&by_password, &none, &w->guard), VERDICT_WRONG, false);
    expect(verdict_of_secrets(&by_password, &basic_only, &w->guard), VERDICT_PASS, true);
}

static void a_session_needs_no_secret(void **state)
{
    world_t *w = *state;
    static const browser_request_t same = {.method = {"POST", 4}, .sec_fetch_site = {"same-origin", 11}},
                                   other = {.method = {"POST", 4}, .sec_fetch_site = {"cross-site", 10}};
    static const struct {
        const browser_request_t *browser;
        verdict_shown_t shown;
        verdict_kind_t kind;
        bool own_authorization;
    } table[] = {
        {&same, {.token = {NULL, 0}}, VERDICT_PASS, false},
        {&other, {.token = {NULL, 0}}, VERDICT_CROSS_SITE, false},
        {&other, {.token = token}, VERDICT_PASS, false},
        {&other, {.token = wrong}, VERDICT_CROSS_SITE, false},
        {&other, {.authorization = token}, VERDICT_PASS, true},
        {&same, {.authorization = wrong}, VERDICT_PASS, false},
        {&other, {.authorization = password, .basic = true}, VERDICT_PASS, true},
        {&same, {.query = token}, VERDICT_SIGN_IN, false},
        {&same, {.query = wrong}, VERDICT_DROP_TOKEN, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        expect(verdict_of_session(&table[i].shown, &w->secrets, table[i].browser,
                                  STR("https://a-3000.preview.test"), STR("")),
               table[i].kind, table[i].own_authorization);
}

static void show_wrong_secrets(const verdict_guard_t *guard, const verdict_secrets_t *secrets, int times)
{
    for (int i = 0; i < times; i++) {
        char text[] = {(char)('a' + i), '\0'};
        unsigned retry_after = 0;
        assert_int_equal(secret_check(guard, str_from(text), secrets->bearer, &retry_after), SECRET_WRONG);
    }
}

static void during_a_lockout_nothing_is_compared(void **state)
{
    world_t *w = *state;
    const verdict_shown_t by_token = {.token = token, .authorization = token}, by_query = {.query = token},
                          by_password = {.authorization = password, .basic = true};
    show_wrong_secrets(&w->guard, &w->secrets, LOCKOUT_FAILURES);
    expect(verdict_of_secrets(&by_token, &w->secrets, &w->guard), VERDICT_LOCKED, false);
    expect(verdict_of_secrets(&by_query, &w->secrets, &w->guard), VERDICT_LOCKED, false);
    verdict_t verdict = verdict_of_secrets(&by_password, &w->secrets, &w->guard);
    expect(verdict, VERDICT_LOCKED, false);
    assert_int_equal(verdict.retry_after, LOCKOUT_LOCK_MS / 1000);
    /* A lockout concerns one preview and one client. */
    verdict_guard_t other_preview = w->guard, other_client = w->guard;
    struct in6_addr stranger = ipv4(2);
    other_preview.preview = 8;
    other_client.client = &stranger;
    expect(verdict_of_secrets(&by_query, &w->secrets, &other_preview), VERDICT_SIGN_IN, false);
    expect(verdict_of_secrets(&by_query, &w->secrets, &other_client), VERDICT_SIGN_IN, false);
    w->guard.now_ms += LOCKOUT_LOCK_MS;
    expect(verdict_of_secrets(&by_query, &w->secrets, &w->guard), VERDICT_SIGN_IN, false);
}

/* Pages of other origins lock out only themselves; the visitor's own lockout holds for them too. */
static void embedded_requests_count_apart(void **state)
{
    world_t *w = *state;
    const verdict_shown_t by_token = {.token = token};
    verdict_guard_t embedded = w->guard;
    embedded.embedded = true;
    show_wrong_secrets(&embedded, &w->secrets, LOCKOUT_FAILURES);
    expect(verdict_of_secrets(&by_token, &w->secrets, &embedded), VERDICT_LOCKED, false);
    expect(verdict_of_secrets(&by_token, &w->secrets, &w->guard), VERDICT_PASS, false);
    w->guard.now_ms = embedded.now_ms += LOCKOUT_LOCK_MS;
    show_wrong_secrets(&w->guard, &w->secrets, LOCKOUT_FAILURES);
    expect(verdict_of_secrets(&by_token, &w->secrets, &embedded), VERDICT_LOCKED, false);
}

static void without_a_lockout_secrets_are_compared(void **state)
{
    world_t *w = *state;
    const verdict_shown_t by_token = {.token = token};
    verdict_guard_t guard = w->guard;
    guard.lockout = NULL;
    show_wrong_secrets(&guard, &w->secrets, LOCKOUT_FAILURES + 1);
    expect(verdict_of_secrets(&by_token, &w->secrets, &guard), VERDICT_PASS, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_session_a_secret_must_match, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_form_that_the_preview_does_not_take_never_matches, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_session_needs_no_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(during_a_lockout_nothing_is_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(embedded_requests_count_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_lockout_secrets_are_compared, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
