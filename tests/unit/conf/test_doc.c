/* The pages made from the key table, and the example that people copy. */
#include "conf_fixture.h"

#include "conf_keys.h"
#include "conf_value.h"

static char *printed_by(void (*print)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    print(out);
    fclose(out);
    return text;
}

static char *content_of(const char *path)
{
    static const size_t room = 1024 * 1024;
    char *text = calloc(room, 1);
    FILE *in = fopen(path, "r");
    assert_non_null(text);
    if (in == NULL)
        fail_msg("%s cannot be read", path);
    size_t n = fread(text, 1, room - 1, in);
    assert_true(n < room - 1);
    fclose(in);
    return text;
}

static void committed_reference_is_current(void **state)
{
    (void)state;
    char *now = printed_by(conf_print_reference);
    char *committed = content_of(SOURCE_DIR "/docs/configuration.md");
    if (strcmp(now, committed) != 0)
        fail_msg("docs/configuration.md is stale: boxedge check --print-reference > docs/configuration.md");
    free(now);
    free(committed);
}

static void reference_has_every_key(void **state)
{
    (void)state;
    char *now = printed_by(conf_print_reference);
    for (size_t i = 0; i < conf_keys.count; i++) {
        const conf_key_t *key = &conf_keys.keys[i];
        char cell[128];
        snprintf(cell, sizeof(cell), key->type == CONF_SECTION ? "\n## `%s`\n" : "\n| `%s` | ", key->name);
        if (strstr(now, cell) == NULL)
            fail_msg("%s is not in the reference", key->name);
    }
    free(now);
}

/* The values of the commented file are the defaults. */
static void default_file_holds_the_defaults(void **state)
{
    (void)state;
    char *text = printed_by(conf_print_default);
    conf_t *conf = fixture_good(text);
    conf_t *plain = fixture_good(BASE);
    assert_memory_equal(&conf->limits, &plain->limits, sizeof(conf->limits));
    assert_memory_equal(&conf->timeouts, &plain->timeouts, sizeof(conf->timeouts));
    assert_int_equal(conf->store_map_bytes, plain->store_map_bytes);
    assert_int_equal(conf->workers, plain->workers);
    assert_string_equal(conf->user, plain->user);
    assert_string_equal(conf->access_log, plain->access_log);
    assert_string_equal(conf->state_dir, plain->state_dir);
    assert_string_equal(conf->run_dir, plain->run_dir);
    assert_int_equal(conf->listener_count, 4);
    assert_memory_equal(&conf->wake, &plain->wake, sizeof(conf->wake));
    assert_string_equal(conf->docker.label, plain->docker.label);
    assert_string_equal(conf->docker.socket, "");
    assert_string_equal(plain->control_plane.url, "");
    assert_int_equal(plain->origin_count, 5);
    conf_release(&conf);
    conf_release(&plain);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        if (line[0] == '#' && strcspn(line, "\n") > 140)
            fail_msg("a comment is too long: %.*s", (int)strcspn(line, "\n"), line);
    free(text);
}

/* With every "# key: example" line of the commented file uncommented, it still loads. */
static void default_file_has_good_examples(void **state)
{
    (void)state;
    char *text = printed_by(conf_print_default);
    size_t opened = 0;
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        str_t rest = str_trim(str_make(line, strcspn(line, "\n")));
        if (!str_starts(rest, STR("# ")))
            continue;
        const char *colon = memchr(rest.p, ':', rest.n);
        str_t name = str_make(rest.p + 2, colon != NULL ? (size_t)(colon - rest.p) - 2 : 0);
        for (size_t i = 0; i < conf_keys.count; i++) {
            const conf_key_t *key = &conf_keys.keys[i];
            if (key->derived == NULL || !str_eq(name, str_from(conf_keys_leaf(key))))
                continue;
            memcpy((char *)rest.p, "  ", 2);
            memmove((char *)rest.p, rest.p + 2, rest.n - 2);
            memcpy((char *)rest.p + rest.n - 2, "  ", 2);
            opened++;
        }
    }
    assert_int_equal(opened, 29);
    conf_t *conf = fixture_good(text);
    assert_string_equal(conf->run_dir, "/run/boxedge");
    assert_int_equal(conf->certificate_count, 1);
    assert_int_equal(conf->box_count, 1);
    assert_int_equal(conf->process_count, 1);
    assert_int_equal(conf->origin_count, 1);
    assert_int_equal(conf->upstream_count, 1);
    assert_ptr_equal(conf->api.default_limits, &conf->plans[0]);
    conf_release(&conf);
    free(text);
}

static void example_loads(void **state)
{
    (void)state;
    char *text = content_of(SOURCE_DIR "/deploy/boxedge.example.yaml");
    conf_t *conf = fixture_good(text);
    assert_string_equal(conf->preview_domain, "preview.box.example.com");
    assert_int_equal(conf->box_count, 2);
    conf_release(&conf);
    /* The full example contains every key of the file, at least in a comment. */
    for (size_t i = 0; i < conf_keys.count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s:", conf_keys_leaf(&conf_keys.keys[i]));
        if (strstr(text, name) == NULL)
            fail_msg("%s is not in the example", conf_keys.keys[i].name);
    }
    free(text);
}

/* The commented API part of the example is valid once it is uncommented. */
static void example_of_the_api_loads(void **state)
{
    (void)state;
    char *text = content_of(SOURCE_DIR "/deploy/boxedge.example.yaml");
    char *part = strstr(text, "\n# upstreams:");
    assert_non_null(part);
    for (char *at = part; at != NULL; at = strchr(at + 1, '\n'))
        if (at[1] == '#')
            memmove(at + 1, at + (at[2] == ' ' ? 3 : 2), strlen(at + (at[2] == ' ' ? 3 : 2)) + 1);
    conf_t *conf = fixture_good(text);
    assert_int_equal(conf->upstream_count, 1);
    assert_int_equal(conf->upstreams[0].server_count, 2);
    assert_int_equal(conf->api.host_count, 1);
    assert_ptr_equal(conf->api.default_limits, &conf->plans[0]);
    assert_ptr_equal(conf->api.client_limits, &conf->plans[1]);
    assert_int_equal(conf->api.key_count, 1);
    assert_int_equal(conf->api.cost_count, 1);
    conf_release(&conf);
    free(text);
}

static void table_is_consistent(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_keys.count; i++) {
        const conf_key_t *key = &conf_keys.keys[i];
        assert_ptr_equal(conf_keys_find(&conf_keys, str_from(key->name)), key); /* no name twice */
        assert_non_null(key->doc);
        assert_null(strchr(key->doc, '|'));
        if (key->type == CONF_SECTION)
            continue;
        /* Exactly one of: required, a fixed default, one that depends. */
        assert_int_equal(key->required + (key->fallback != NULL) + (key->derived != NULL), 1);
        assert_true(key->fallback != NULL || key->example != NULL);
        assert_true(key->width != 0 && key->offset + key->width <= sizeof(conf_t));
        assert_true(key->min <= key->max);
    }
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(conf_keys_distance(STR(""), STR("")), 0);
    assert_int_equal(conf_keys_distance(STR(""), STR("abc")), 3);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("")), 3);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("abc")), 0);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("abd")), 1);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("ab")), 1);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("xabc")), 1);
    assert_int_equal(conf_keys_distance(STR("abc"), STR("acb")), 1);
    assert_int_equal(conf_keys_distance(STR("kitten"), STR("sitting")), 3);
    char name[65];
    memset(name, 'a', sizeof(name));
    assert_int_equal(conf_keys_distance(str_make(name, 64), STR("a")), 63);
    assert_int_equal(conf_keys_distance(STR("a"), str_make(name, 64)), 63);
    assert_true(conf_keys_distance(str_make(name, 65), STR("a")) == SIZE_MAX);
    assert_true(conf_keys_distance(STR("a"), str_make(name, 65)) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_reference_is_current),
        cmocka_unit_test(reference_has_every_key),
        cmocka_unit_test(default_file_holds_the_defaults),
        cmocka_unit_test(default_file_has_good_examples),
        cmocka_unit_test(example_loads),
        cmocka_unit_test(example_of_the_api_loads),
        cmocka_unit_test(table_is_consistent),
        cmocka_unit_test(distances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
