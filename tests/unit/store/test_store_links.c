/* Links in the store. */
#include "record.h"
#include "store_fixture.h"
#include "store_links.h"

static void make_preview(fixture_t *f, const char *box, uint16_t port)
{
    store_preview_t preview = {.port = port, .bearer = true};
    (void)snprintf(preview.id, sizeof(preview.id), "%s", box);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

static store_link_t link_of(const char *box, uint16_t port)
{
    static uint64_t random;
    random += 0x123456789abcdef0u;
    store_link_t link = {.port = port,
                         .id = random,
                         .sha256 = {7},
                         .created_at = 10,
                         .expires_at = 100,
                         .sessions = STORE_LINK_SESSIONS,
                         .path = "/"};
    (void)snprintf(link.box, sizeof(link.box), "%s", box);
    return link;
}

static store_link_t put(fixture_t *f, const char *box, uint16_t port)
{
    store_link_t link = link_of(box, port);
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_OK);
    return link;
}

static bool collect(const store_link_t *link, void *arg)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 512 - n, "%s:%u:%u ", link->box, link->port, (unsigned)(link->id & 0xff));
    return true;
}

static void assert_links(fixture_t *f, const char *box, uint16_t port, const char *expected)
{
    char text[512] = "";
    assert_int_equal(store_each_link(f->store, str_from(box), port, collect, text), STORE_OK);
    assert_string_equal(text, expected);
}

static store_result_t open_it(fixture_t *f, const store_link_t *link, uint64_t now, store_link_t *out)
{
    return store_open_link(f->store, str_from(link->box), link->port, link->id, now, out);
}

static void a_link_is_read_as_written(void **state)
{
    fixture_t *f = *state;
    store_link_t link = link_of("box", 3000), got;
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_NOT_FOUND); /* no preview */
    make_preview(f, "box", 3000);
    link.once = link.read_only = link.allow_websocket = true;
    (void)snprintf(link.label, sizeof(link.label), "for review");
    (void)snprintf(link.path, sizeof(link.path), "/a?b=c");
    (void)snprintf(link.alias, sizeof(link.alias), "q7x2");
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_OK);
    assert_int_equal(store_get_link(f->store, STR("box"), 3000, link.id, &got), STORE_OK);
    assert_memory_equal(&got, &link, sizeof(got));
    assert_int_equal(store_find_link(f->store, STR("q7x2"), &got), STORE_OK);
    assert_int_equal(got.id, link.id);
    assert_int_equal(store_find_link(f->store, STR("q7x3"), &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_link(f->store, STR("box"), 3000, link.id + 1, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_link(f->store, STR("box"), 3000, link.id ^ 0x100, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_link(f->store, STR("box"), 3001, link.id, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_link(f->store, STR("box"), 3000, link.id | 0xff, &got), STORE_NOT_FOUND);
}

static void lists_are_of_one_box_and_port(void **state)
{
    fixture_t *f = *state;
    static const struct {
        const char *box;
        uint16_t port;
    } previews[] = {{"a", 80}, {"a", 3000}, {"a-3000", 80}, {"ab", 80}, {"b", 80}};
    for (size_t i = 0; i < 5; i++) {
        make_preview(f, previews[i].box, previews[i].port);
        (void)put(f, previews[i].box, previews[i].port);
    }
    (void)put(f, "a", 80);
    assert_links(f, "", 0, "a:3000:0 a-3000:80:0 a:80:0 a:80:1 ab:80:0 b:80:0 ");
}

static void lists_of_a_box(void **state)
{
    fixture_t *f = *state;
    make_preview(f, "a", 80);
    make_preview(f, "a", 8);
    make_preview(f, "a-80", 80);
    make_preview(f, "ab", 80);
    (void)put(f, "a", 80);
    (void)put(f, "a", 8);
    (void)put(f, "a-80", 80);
    (void)put(f, "ab", 80);
    assert_links(f, "a", 80, "a:80:0 ");
    assert_links(f, "a", 8, "a:8:0 ");
    assert_links(f, "a-80", 0, "a-80:80:0 ");
    assert_links(f, "c", 0, "");
    assert_links(f, "a", 0, "a:8:0 a:80:0 ");
}

static void sessions_are_counted(void **state)
{
    fixture_t *f = *state;
    store_link_t got;
    make_preview(f, "box", 80);
    store_link_t link = put(f, "box", 80);
    assert_int_equal(open_it(f, &link, 20, &got), STORE_OK);
    assert_true(got.opened == 1 && got.used_at == 20);
    assert_int_equal(open_it(f, &link, 15, &got), STORE_OK); /* the clock went back */
    assert_true(got.opened == 2 && got.used_at == 20);
    assert_int_equal(store_note_link(f->store, STR("box"), 80, link.id, 19), STORE_OK);
    assert_int_equal(store_note_link(f->store, STR("box"), 80, link.id, 30), STORE_OK);
    assert_int_equal(store_get_link(f->store, STR("box"), 80, link.id, &got), STORE_OK);
    assert_true(got.opened == 2 && got.used_at == 30);
    assert_int_equal(open_it(f, &link, 99, &got), STORE_OK);
    assert_int_equal(open_it(f, &link, 100, &got), STORE_NOT_FOUND); /* it has expired */
}

static void once_is_once(void **state)
{
    fixture_t *f = *state;
    store_link_t got, link = link_of("box", 80);
    make_preview(f, "box", 80);
    link.once = true;
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_OK);
    assert_int_equal(open_it(f, &link, 20, &got), STORE_OK);
    assert_int_equal(open_it(f, &link, 20, &got), STORE_CONFLICT);
    assert_int_equal(got.opened, 1);
}

static void a_link_ends_with_its_preview(void **state)
{
    fixture_t *f = *state;
    store_link_t got;
    make_preview(f, "box", 80);
    store_link_t link = put(f, "box", 80);
    store_change_t change = {.keep_version = true, .preview = {.port = 80, .id = "box", .bearer = true}};
    change.preview.version = link.version;
    assert_int_equal(store_apply(f->store, &change, 1), STORE_OK); /* a new label */
    assert_int_equal(open_it(f, &link, 20, &got), STORE_OK);
    make_preview(f, "box", 80); /* new credentials */
    assert_int_equal(open_it(f, &link, 20, &got), STORE_NOT_FOUND);
    link = put(f, "box", 80);
    assert_int_equal(store_delete_preview(f->store, STR("box"), 80), STORE_OK);
    assert_int_equal(open_it(f, &link, 20, &got), STORE_NOT_FOUND);
    assert_int_equal(store_get_link(f->store, STR("box"), 80, link.id, &got),
                     STORE_OK); /* until it is swept */
}

static void a_preview_has_a_hundred(void **state)
{
    fixture_t *f = *state;
    make_preview(f, "box", 80);
    make_preview(f, "box", 81);
    store_link_t first = put(f, "box", 80), got, one = link_of("box", 80);
    for (int i = 1; i < STORE_LINKS_PER_PREVIEW; i++)
        (void)put(f, "box", 80);
    assert_int_equal(store_put_link(f->store, &one, 10), STORE_TOO_MANY);
    (void)put(f, "box", 81);
    assert_int_equal(store_delete_link(f->store, first.id, &got), STORE_OK);
    assert_int_equal(got.id, first.id);
    assert_int_equal(store_delete_link(f->store, first.id, &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_link(f->store, &one, 10), STORE_OK);
    assert_int_equal(one.id & 0xff, 0);
    one = link_of("box", 80);
    assert_int_equal(store_put_link(f->store, &one, 99), STORE_TOO_MANY);
    assert_int_equal(store_put_link(f->store, &one, 100), STORE_OK); /* the others have expired */
}

static void a_host_belongs_to_one_link(void **state)
{
    fixture_t *f = *state;
    store_link_t got, link = link_of("box", 80), other = link_of("box", 80);
    make_preview(f, "box", 80);
    (void)snprintf(link.alias, sizeof(link.alias), "q7x2");
    other = link;
    other.id = 0x99999900;
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_OK);
    assert_int_equal(store_put_link(f->store, &other, 10), STORE_CONFLICT);
    assert_int_equal(store_delete_link(f->store, link.id, &got), STORE_OK);
    assert_int_equal(store_find_link(f->store, STR("q7x2"), &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_link(f->store, &other, 10), STORE_OK);
}

static void hosts_are_no_previews(void **state)
{
    (void)state;
    assert_true(store_link_alias_valid(STR("q7x2")));
    assert_false(store_link_alias_valid(STR("q-3000")));
    assert_false(store_link_alias_valid(STR("q_x")));
    assert_false(store_link_alias_valid(STR("")));
}

static void invalid_links_are_refused(void **state)
{
    fixture_t *f = *state;
    make_preview(f, "box", 80);
    store_link_t link = link_of("box", 80);
    link.path[0] = 'x';
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_FAILED);
    link = link_of("box", 80);
    link.sessions = 0;
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_FAILED);
    link = link_of("Box", 80);
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_FAILED);
    link = link_of("box", 80);
    memset(link.label, 'x', sizeof(link.label));
    assert_int_equal(store_put_link(f->store, &link, 10), STORE_FAILED);
}

/* A later edge may add flags: an edge that does not know one must not open the link without it. */
static void unknown_records_are_refused(void **state)
{
    (void)state;
    char record[RECORD_LINK_MAX + 1];
    store_link_t got, link = link_of("box", 80);
    link.id = store_link_id(link.id, 5);
    size_t n = record_encode_link(&link, record);
    assert_true(record_decode_link(str_make(record, n), STR("box-80"), 5, &got));
    assert_false(record_decode_link(str_make(record, n), STR("box-80"), 6, &got));
    assert_false(record_decode_link(str_make(record, n), STR("box80"), 5, &got));
    assert_false(record_decode_link(str_make(record, n), STR("box-0"), 5, &got));
    assert_false(record_decode_link(str_make(record, n), STR("-80"), 5, &got));
    assert_false(record_decode_link(str_make(record, n + 1), STR("box-80"), 5, &got));
    for (size_t i = 0; i < n; i++)
        assert_false(record_decode_link(str_make(record, i), STR("box-80"), 5, &got));
    record[1] = 8;
    assert_false(record_decode_link(str_make(record, n), STR("box-80"), 5, &got));
    record[1] = 0;
    record[0] = 2;
    assert_false(record_decode_link(str_make(record, n), STR("box-80"), 5, &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_is_read_as_written, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(lists_are_of_one_box_and_port, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(lists_of_a_box, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(sessions_are_counted, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(once_is_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_link_ends_with_its_preview, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_preview_has_a_hundred, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_host_belongs_to_one_link, fixture_setup, fixture_teardown),
        cmocka_unit_test(hosts_are_no_previews),
        cmocka_unit_test_setup_teardown(invalid_links_are_refused, fixture_setup, fixture_teardown),
        cmocka_unit_test(unknown_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
