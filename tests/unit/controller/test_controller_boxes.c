/* The static provider: the store's boxes follow the configuration, and a generation never returns. */
#include "store_fixture.h"

#include <arpa/inet.h>

#include "controller.h"

static int set_up(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_make(f);
    fixture_open(f, FIXTURE_MAP_BYTES);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_remove(*state);
    free(*state);
    return 0;
}

/* Puts the boxes of a configuration whose `boxes` are this YAML; returns whether anything was written. */
static bool put(fixture_t *f, const char *boxes, uint64_t now_us)
{
    char text[1024];
    snprintf(text, sizeof text,
             "preview_domain: preview.test\nstate_dir: /nonexistent\n"
             "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\nboxes: [%s]\n",
             boxes);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("test.yaml", str_from(text), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(conf);
    conf_errors_free(&errors);
    bool changed;
    assert_int_equal(controller_put_boxes(f->store, conf, now_us, &changed), STORE_OK);
    conf_release(&conf);
    return changed;
}

static store_box_t get(fixture_t *f, const char *id)
{
    store_box_t box;
    assert_int_equal(store_get_box(f->store, str_from(id), &box), STORE_OK);
    return box;
}

static void assert_address(const store_box_t *box, const char *want)
{
    struct in6_addr address;
    assert_int_equal(inet_pton(AF_INET6, want, &address), 1);
    assert_memory_equal(&box->address, &address, sizeof address);
}

static void boxes_are_recorded(void **state)
{
    fixture_t *f = *state;
    assert_true(put(f, "{id: a, address: 10.0.0.7}, {id: b, address: \"[2001:db8::1]:3000\"}", 1000));
    store_box_t a = get(f, "a");
    store_box_t b = get(f, "b");
    assert_int_equal(a.state, BOX_RUNNING);
    assert_address(&a, "::ffff:10.0.0.7");
    assert_int_equal(a.fixed_port, 0);
    assert_address(&b, "2001:db8::1");
    assert_int_equal(b.fixed_port, 3000);
    assert_true(a.generation > 1000 && b.generation > 1000 && a.generation != b.generation);
}

static void what_stays_keeps_its_generation(void **state)
{
    fixture_t *f = *state;
    put(f, "{id: a, address: 10.0.0.7}, {id: b, address: 10.0.0.8}", 1000);
    uint64_t a = get(f, "a").generation;
    assert_false(put(f, "{id: b, address: 10.0.0.8}, {id: a, address: 10.0.0.7}", 2000));
    assert_int_equal(get(f, "a").generation, a);
    assert_true(put(f, "{id: b, address: 10.0.0.9}, {id: a, address: 10.0.0.7}", 3000));
    assert_int_equal(get(f, "a").generation, a);
    assert_true(get(f, "b").generation > 3000);
    /* Another port is another place. */
    uint64_t b = get(f, "b").generation;
    assert_true(put(f, "{id: b, address: \"10.0.0.9:80\"}, {id: a, address: 10.0.0.7}", 3000));
    assert_true(get(f, "b").generation > b);
}

static void what_is_gone_is_removed(void **state)
{
    fixture_t *f = *state;
    put(f, "{id: a, address: 10.0.0.7}, {id: b, address: 10.0.0.8}, {id: c, address: 10.0.0.9}", 1000);
    assert_true(put(f, "{id: b, address: 10.0.0.8}", 2000));
    store_box_t box;
    assert_int_equal(store_get_box(f->store, STR("a"), &box), STORE_NOT_FOUND);
    assert_int_equal(store_get_box(f->store, STR("c"), &box), STORE_NOT_FOUND);
    assert_int_equal(get(f, "b").state, BOX_RUNNING);
    assert_true(put(f, "", 3000));
    assert_int_equal(store_get_box(f->store, STR("b"), &box), STORE_NOT_FOUND);
    assert_false(put(f, "", 4000));
}

/* A box that returns at another address gets an unused number, also after the clock went back. */
static void a_generation_never_comes_back(void **state)
{
    fixture_t *f = *state;
    put(f, "{id: a, address: 10.0.0.7}", 5000);
    uint64_t first = get(f, "a").generation;
    put(f, "", 6000);
    put(f, "{id: a, address: 10.0.0.8}", 7000);
    uint64_t second = get(f, "a").generation;
    assert_true(second > first);
    put(f, "{id: a, address: 10.0.0.7}", 100);
    assert_true(get(f, "a").generation > second);
}

static void put_box_of(fixture_t *f, const char *id, box_provider_t provider, uint64_t generation)
{
    store_box_t box = {.state = BOX_RUNNING, .provider = provider, .generation = generation, .fixed_port = 0};
    strncpy(box.id, id, sizeof box.id - 1);
    inet_pton(AF_INET6, "::ffff:10.0.0.7", &box.address);
    assert_int_equal(store_put_box(f->store, &box), STORE_OK);
}

/* Boxes of other providers come and go with those providers' reports. */
static void boxes_of_others_stay(void **state)
{
    fixture_t *f = *state;
    put_box_of(f, "process", PROVIDER_PROCESS, 9001);
    put_box_of(f, "docker", PROVIDER_DOCKER, 9002);
    put_box_of(f, "http", PROVIDER_HTTP, 9003);
    assert_false(put(f, "", 1000));
    assert_true(put(f, "{id: a, address: 10.0.0.7}", 1000));
    assert_true(put(f, "", 2000));
    static const char *const ids[] = {"process", "docker", "http"};
    for (unsigned i = 0; i < 3; i++) {
        store_box_t box = get(f, ids[i]);
        assert_int_equal(box.provider, PROVIDER_PROCESS + (int)i);
        assert_true(box.generation == 9001 + i);
    }
}

/* The configuration takes an id over from another provider: connections from before are not used again, even
 * at the same address. */
static void an_id_of_another_is_taken_over(void **state)
{
    fixture_t *f = *state;
    put_box_of(f, "a", PROVIDER_DOCKER, 9001);
    assert_true(put(f, "{id: a, address: 10.0.0.7}", 1000));
    store_box_t box = get(f, "a");
    assert_int_equal(box.provider, PROVIDER_STATIC);
    assert_int_equal(box.state, BOX_RUNNING);
    assert_true(box.generation > 9001);
    assert_false(put(f, "{id: a, address: 10.0.0.7}", 2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(boxes_are_recorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_stays_keeps_its_generation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_gone_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_generation_never_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(boxes_of_others_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_of_another_is_taken_over, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
