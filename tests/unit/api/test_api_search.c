/* Which boxes a name may mean by which the API finds none. */
#include "store_fixture.h"

#include "api_search.h"

typedef struct world {
    fixture_t store;
    deletion_call_t meant, maybe;
    api_search_t search;
} world_t;

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    fixture_remove(&w->store);
    free(w);
    return 0;
}

static void begin(world_t *w, const char *name)
{
    w->meant.count = w->maybe.count = 0;
    w->search = (api_search_t){.store = w->store.store, .meant = &w->meant, .maybe = &w->maybe};
    api_search_add(&w->search, str_from(name));
}

static void put_preview(world_t *w, const char *id, uint16_t port)
{
    store_preview_t preview = fixture_preview(id, port);
    assert_int_equal(store_put_preview(w->store.store, &preview), STORE_OK);
}

/* "meant+maybe" */
static const char *found(world_t *w)
{
    static char text[256];
    size_t n = 0;
    text[0] = '\0';
    assert_true(api_search_end(&w->search));
    for (uint32_t i = 0; i < w->meant.count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s ", w->meant.ids[i]);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "+");
    for (uint32_t i = 0; i < w->maybe.count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", w->maybe.ids[i]);
    return text;
}

static void lists(void **state)
{
    world_t *w = *state;
    static const struct {
        const char *body;
        bool whole;
        const char *found;
    } rows[] = {
        {"[]", false, "+"},
        {"[{\"id\":\"a\",\"name\":\"n\"},{\"id\":\"b\",\"name\":\"m\"}]", false, "a +"},
        {"[{\"id\":\"b\",\"name\":\"m\"}]", false, "+"},                /* names are shown: none is meant */
        {"[{\"id\":\"a\"},{\"id\":\"b\",\"name\":\"m\"}]", false, "+"}, /* it has none */
        {"[{\"id\":\"a\"},{\"id\":\"b\",\"name\":null}]", false, "+ a b"},
        {"[{\"id\":\"a\"},{\"id\":\"a\"},{\"id\":\"none\"}]", false,
         "+ a"}, /* once, and with previews only */
        {"[{\"id\":\"n\"},{\"id\":\"a\"}]", false, "n +"},
        {"[{\"id\":\"a\",\"name\":\"n\"},{\"id\":\"b\",\"name\":\"n\"}]", false, "a b +"},
        {"{\"boxes\":[{\"id\":\"a\",\"name\":\"n\"}]}", false, "a +"}, /* it may be cut, as an array may */
        {"{\"boxes\":[],\"error\":null}", false, "+"},
        {"{\"boxes\":[],\"next\":null}", true, "+"},
        {"{\"boxes\":[],\"has_more\":false}", true, "+"},
        {"{\"boxes\":[],\"previous\":null}", false, "+"},
        {"{\"boxes\":[],\"total_pages\":0}", false, "+"},
        {"{\"boxes\":[],\"next\":null,\"has_more\":false,\"nextCursor\":\"\",\"total\":0}", true, "+"},
        {"{\"boxes\":[{\"id\":\"a\",\"name\":\"n\"}],\"next\":\"2\"}", false, "a +"},
        {"{\"boxes\":[],\"hasMore\":true}", false, "+"},
        {"{\"boxes\":[{\"id\":\"a\",\"name\":\"m\"}],\"total\":1}", true, "+"},
        {"{\"boxes\":[{\"id\":\"a\",\"name\":\"m\"}],\"total\":2}", false, "+"},
        {"{\"boxes\":[{\"id\":\"a\",\"name\":\"m\"}],\"count\":1,\"offset\":0,\"limit\":1}", false, "+"},
        {"{\"page\":1,\"pages\":1,\"boxes\":[{\"id\":\"a\",\"name\":\"m\"}]}", false, "+"},
        {"{\"boxes\":[],\"page\":{},\"pageCursor\":3}", false, "+"},
        {"{\"boxes\":[],\"others\":[]}", false, "+"},
        {"[{\"id\":\"a\"},{\"id\":\"A B\"}]", false, "+ a"},
        {"[{\"id\":\"a\"},7]", false, "+ a"},
        {"{}", false, "+"},
        {"7", false, "+"},
        {"", false, "+"},
        {"[{\"id\":\"a\",\"name\":\"n\"}", false, "+"},
    };
    put_preview(w, "a", 80);
    put_preview(w, "b", 80);
    put_preview(w, "n", 80);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(w, "n");
        assert_int_equal(api_search_take_list(&w->search, str_from(rows[i].body)), rows[i].whole);
        assert_string_equal(found(w), rows[i].found);
    }
}

static void several_names(void **state)
{
    world_t *w = *state;
    put_preview(w, "a", 80);
    put_preview(w, "b", 80);
    begin(w, "n");
    api_search_add(&w->search, STR("m"));
    api_search_add(&w->search, STR("n"));
    assert_int_equal(w->search.name_count, 2);
    assert_false(api_search_take_list(&w->search, STR("[{\"id\":\"a\",\"name\":\"m\"}]")));
    assert_false(api_search_matched(&w->search));
    assert_false(api_search_take_list(&w->search, STR("[{\"id\":\"b\",\"name\":\"n\"}]")));
    assert_true(api_search_matched(&w->search));
    assert_string_equal(found(w), "a b +");
    /* One that depends on its reader is never matched: each of the caller's boxes may be meant. */
    begin(w, "");
    assert_false(api_search_take_list(&w->search,
                                      STR("[{\"id\":\"a\",\"name\":\"m\"},{\"id\":\"b\",\"name\":\"\"}]")));
    assert_false(api_search_matched(&w->search));
    assert_string_equal(found(w), "+ a b");
}

static void take(world_t *w, const char *id, const char *name)
{
    json_t *box = json_pack("{s:s,s:s*}", "id", id, "name", name);
    assert_true(api_search_take(&w->search, box));
    json_decref(box);
}

static void bounds(void **state)
{
    world_t *w = *state;
    char id[16];
    for (int kind = 0; kind < 3; kind++) {
        begin(w, "n");
        for (int i = 0; i <= STORE_DELETIONS_AT_ONCE; i++) {
            assert_true(i == 0 || api_search_end(&w->search));
            snprintf(id, sizeof(id), "b%d", i);
            put_preview(w, id, 80);
            take(w, id, kind == 0 ? "n" : NULL);
        }
        if (kind == 2)
            take(w, "other", "m"); /* names are shown */
        assert_int_equal(api_search_end(&w->search), kind == 2);
    }
}

static void candidates(void **state)
{
    world_t *w = *state;
    static char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1];
    char id[16];
    begin(w, "n");
    assert_int_equal(api_search_candidates(&w->search, ids), 0);
    for (int i = 0; i < STORE_DELETIONS_AT_ONCE; i++) {
        snprintf(id, sizeof(id), "b%02d", i);
        put_preview(w, id, 80);
        put_preview(w, id, 81);
    }
    assert_int_equal(api_search_candidates(&w->search, ids), STORE_DELETIONS_AT_ONCE);
    assert_string_equal(ids[0], "b00");
    assert_string_equal(ids[STORE_DELETIONS_AT_ONCE - 1], "b99");
    put_preview(w, "c", 80);
    assert_true(api_search_candidates(&w->search, ids) > STORE_DELETIONS_AT_ONCE);
    take(w, "b07", "n"); /* it needs no question */
    assert_int_equal(api_search_candidates(&w->search, ids), STORE_DELETIONS_AT_ONCE);
    assert_string_equal(ids[7], "b08");
}

static void more_previews_than_are_looked_at(void **state)
{
    world_t *w = *state;
    static char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1];
    static store_change_t changes[API_SEARCH_PREVIEWS];
    for (uint16_t i = 0; i < API_SEARCH_PREVIEWS; i++)
        changes[i] = (store_change_t){.preview = fixture_preview("a", (uint16_t)(i + 1))};
    assert_int_equal(store_apply(w->store.store, changes, API_SEARCH_PREVIEWS), STORE_OK);
    begin(w, "n");
    assert_int_equal(api_search_candidates(&w->search, ids), 1);
    put_preview(w, "a", 10000);
    assert_true(api_search_candidates(&w->search, ids) > STORE_DELETIONS_AT_ONCE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(lists),
        TEST(several_names),
        TEST(bounds),
        TEST(candidates),
        TEST(more_previews_than_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
