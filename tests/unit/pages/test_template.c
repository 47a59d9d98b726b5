/* Filling in pages: outside values stay text, and no placeholder is forgotten. */
#include "pages_fixture.h"

#include "failure_page.h"
#include "signin_page.h"
#include "template.h"
#include "wake_page.h"

#define HOSTILE "<x>\"'&\x01\xff"
#define ESCAPED "&lt;x&gt;&quot;&#39;&amp;??"

static void expect(str_t page, const char *text)
{
    if (!str_eq(page, str_from(text)))
        fail_msg("got %.*s, not %s", STR_ARG(page), text);
}

typedef struct values {
    str_t name, more;
} values_t;

static const template_piece_t pieces[] = {
    {.kind = TEMPLATE_MARKUP, .text = {"<a>", 3}},
    {.kind = TEMPLATE_VALUE, .text = {"name", 4}, .offset = offsetof(values_t, name)},
    {.kind = TEMPLATE_IF, .text = {"more", 4}, .offset = offsetof(values_t, more)},
    {.kind = TEMPLATE_MARKUP, .text = {"<b>", 3}},
    {.kind = TEMPLATE_BREAKABLE, .text = {"more", 4}, .offset = offsetof(values_t, more)},
    {.kind = TEMPLATE_END},
    {.kind = TEMPLATE_MARKUP, .text = {"<c>", 3}},
};

static str_t filled(str_t name, str_t more)
{
    values_t values = {.name = name, .more = more};
    return template_fill(&pages_pool, pieces, sizeof(pieces) / sizeof(pieces[0]), &values);
}

static void values_are_escaped(void **state)
{
    (void)state;
    expect(filled(STR(HOSTILE), STR("")), "<a>" ESCAPED "<c>");
    expect(filled(STR(""), STR("a.b<.")), "<a><b>a.<wbr>b&lt;.<wbr><c>");
    expect(filled(STR("{{more}}"), STR("x")), "<a>{{more}}<b>x<c>");
    expect(template_escape(&pages_pool, STR(HOSTILE)), ESCAPED);
    expect(template_escape(&pages_pool, str_make(NULL, 0)), "");
}

static void a_forgotten_value_shows(void **state)
{
    (void)state;
    expect(filled(str_make(NULL, 0), STR("")), "<a>{{name}}<c>");
    expect(filled(STR(""), str_make(NULL, 0)), "<a><b>{{more}}<c>");
    expect(filled(template_text(str_make(NULL, 0), 9), template_flag(false)), "<a><c>");
    expect(filled(template_text(STR("abc"), 2), template_flag(true)), "<a>ab<b>set<c>");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    static char text[TEMPLATE_VALUE_MAX + 1];
    memset(text, '"', sizeof text);
    assert_int_equal(filled(str_make(text, TEMPLATE_VALUE_MAX - 1), STR("")).n,
                     6 + (TEMPLATE_VALUE_MAX - 1) * 6);
    assert_int_equal(filled(str_make(text, TEMPLATE_VALUE_MAX), STR("")).n, 6 + TEMPLATE_VALUE_MAX * 6);
    assert_int_equal(filled(str_make(text, sizeof text), STR("")).n, 6 + TEMPLATE_VALUE_MAX * 6);
}

/* Each value is filled in, and none of it is markup. */
static void expect_page(str_t page, unsigned values)
{
    unsigned seen = 0;
    for (str_t rest = page; page_contains(rest, ESCAPED); seen++) {
        const char *at = memmem(rest.p, rest.n, ESCAPED, strlen(ESCAPED));
        rest = str_from_offset(rest, (size_t)(at - rest.p) + 1);
    }
    assert_int_equal(seen, values);
    assert_false(page_contains(page, "{{"));
    assert_false(page_contains(page, "<x>"));
    assert_false(page_contains(page, "src="));
    assert_false(page_contains(page, "<!--"));
}

static void every_page_of_an_error(void **state)
{
    (void)state;
    page_error_t nothing = {.status = 404};
    expect_page(page_error(&pages_pool, &nothing), 0);
    page_error_t error = {.status = 404,
                          .sentence = HOSTILE,
                          .detail = HOSTILE "2",
                          .request_id = STR(HOSTILE),
                          .host = STR(HOSTILE)};
    expect_page(page_error(&pages_pool, &error), 4);
    failure_page_t failure = {.error = error,
                              .code = "port_not_listening",
                              .box = HOSTILE,
                              .provider = PROVIDER_PROCESS,
                              .nonce = STR(HOSTILE)};
    expect_page(failure_page(&pages_pool, &failure), 6);
}

static void every_page_of_signing_in(void **state)
{
    (void)state;
    signin_page_t page = {.box = HOSTILE,
                          .label = HOSTILE,
                          .action = HOSTILE,
                          .next = STR(HOSTILE),
                          .basic = true,
                          .problem = HOSTILE,
                          .nonce = STR(HOSTILE)};
    expect_page(signin_page_form(&pages_pool, &page), 8);
    expect_page(signin_page_open_tab(&pages_pool, &page), 4);
    expect_page(signin_page_sign_out(&pages_pool, HOSTILE, 1, HOSTILE), 2);
    page.problem = NULL;
    page.label = "";
    page.basic = false;
    expect_page(signin_page_form(&pages_pool, &page), 4);
}

static void every_page_of_a_wake(void **state)
{
    (void)state;
    for (wake_stage_t stage = WAKE_RESUMING; stage <= WAKE_LISTENING; stage++) {
        wake_page_t page = {.box = HOSTILE, .request_id = HOSTILE, .nonce = STR(HOSTILE), .stage = stage};
        expect_page(wake_page(&pages_pool, &page), 3);
        page.failure = HOSTILE;
        page.has_log = true;
        expect_page(wake_page(&pages_pool, &page), 5);
        page.asleep = true;
        expect_page(wake_page(&pages_pool, &page), 4);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, pages_set_up, pages_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(values_are_escaped),     TEST(a_forgotten_value_shows),  TEST(long_values_are_cut),
        TEST(every_page_of_an_error), TEST(every_page_of_signing_in), TEST(every_page_of_a_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
