/* The refused parts of YAML, the position of each error, and the bounds of a file. */
#include "conf_fixture.h"

#include "conf_tree.h"

static char *errors_of(str_t text, conf_node_t **root)
{
    conf_errors_t *errors = conf_errors_new();
    *root = conf_tree_parse("t.yaml", text, errors);
    assert_non_null(*root);
    assert_int_equal((*root)->kind, CONF_NODE_MAP);
    char *printed = fixture_print(errors);
    conf_errors_free(&errors);
    return printed;
}

static void expect(str_t text, const char *wanted)
{
    conf_node_t *root;
    char *printed = errors_of(text, &root);
    if (strcmp(printed, wanted) != 0)
        fail_msg("%.*s\nshould give:\n%s\nbut gives:\n%s", STR_ARG(text), wanted, printed);
    free(printed);
    conf_tree_free(&root);
    assert_null(root);
}

static void places(void **state)
{
    (void)state;
    conf_node_t *root;
    char *printed = errors_of(STR("\xef\xbb\xbf"
                                  "# \xc3\xbc\na: \"x\"\nb:\n  - c: {d: e}\n  - ~\n"),
                              &root);
    assert_string_equal(printed, "");
    free(printed);
    assert_int_equal(root->count, 2);
    const conf_node_t *a = conf_node_get(root, STR("a"));
    assert_int_equal(a->place.line, 2);
    assert_int_equal(a->place.column, 4);
    assert_int_equal(a->name_place.column, 1);
    assert_false(a->plain);
    const conf_node_t *b = conf_node_get(root, STR("b"));
    assert_int_equal(b->kind, CONF_NODE_LIST);
    assert_int_equal(b->count, 2);
    const conf_node_t *c = conf_node_get(b->children[0], STR("c"));
    const conf_node_t *d = conf_node_get(c, STR("d"));
    assert_true(str_eq(d->text, STR("e")));
    assert_int_equal(d->place.line, 4);
    assert_int_equal(d->place.column, 12);
    assert_true(conf_node_is_null(b->children[1]));
    assert_false(conf_node_is_null(a));
    assert_null(conf_node_get(root, STR("c")));
    conf_tree_free(&root);
}

static void null_values(void **state)
{
    (void)state;
    conf_node_t *root;
    char *printed = errors_of(STR("{a: , b: ~, c: null, d: \"\", e: 'null', f: Null}"), &root);
    assert_string_equal(printed, "");
    free(printed);
    assert_true(conf_node_is_null(conf_node_get(root, STR("a"))));
    assert_true(conf_node_is_null(conf_node_get(root, STR("b"))));
    assert_true(conf_node_is_null(conf_node_get(root, STR("c"))));
    assert_false(conf_node_is_null(conf_node_get(root, STR("d"))));
    assert_false(conf_node_is_null(conf_node_get(root, STR("e"))));
    assert_false(conf_node_is_null(conf_node_get(root, STR("f"))));
    conf_tree_free(&root);
}

static void refused_features(void **state)
{
    (void)state;
    expect(STR("a: &x 1\nb: *x\n"),
           "t.yaml:1:4: anchors are not supported; write the value out where it is needed\n"
           "t.yaml:2:4: aliases are not supported; write the value out\n");
    expect(STR("a: &x [1]\nb: &y {c: 1}\n"),
           "t.yaml:1:4: anchors are not supported; write the value out where it is needed\n"
           "t.yaml:2:4: anchors are not supported; write the value out where it is needed\n");
    expect(STR("a: !!str 1\n"), "t.yaml:1:4: tags are not supported; write the plain value\n");
    expect(STR("a: !x [1]\n"), "t.yaml:1:4: tags are not supported; write the plain value\n");
    expect(STR("a: 1\n---\nb: 1\n"),
           "t.yaml:2:1: a second document begins here; a configuration is one document\n");
    expect(STR("? [a]\n: 1\n"), "t.yaml:1:3: a list or map cannot be a key; keys are words\n");
    expect(STR("? {a: b}\n: 1\n"), "t.yaml:1:3: a list or map cannot be a key; keys are words\n");
    expect(STR("%YAML 1.2\n---\na: 1\n"), "");
    expect(STR("# x\n%TAG ! x:\n---\na: 1\n"), "t.yaml:2:1: %TAG is not supported; write plain values\n");
    expect(STR("[a]"), "t.yaml:1:1: the file must be a map of keys, such as \"preview_domain: ...\"\n");
}

/* Each level doubles the expansion of the one before: ten lines would be a thousand values. */
static void expanding_aliases(void **state)
{
    (void)state;
    conf_node_t *root;
    char *printed = errors_of(STR("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"), &root);
    size_t refused = 0;
    for (const char *p = printed; (p = strstr(p, "aliases are not supported")) != NULL; p++)
        refused++;
    assert_int_equal(refused, 6);
    assert_int_equal(conf_node_get(root, STR("d"))->count, 2);
    assert_int_equal(conf_node_get(root, STR("d"))->children[0]->count, 0);
    assert_true(conf_node_get(root, STR("d"))->children[0]->skip);
    free(printed);
    conf_tree_free(&root);
}

static void syntax_errors(void **state)
{
    (void)state;
    expect(STR("a:\n\tb: 1\n"), "t.yaml:2:1: not valid YAML: a tab cannot indent a line; use spaces\n");
    expect(STR("a:\n  b: 1\n \tc: 1\n"),
           "t.yaml:3:2: not valid YAML: a tab cannot indent a line; use spaces\n");
    expect(STR("a: b: c\n"), "t.yaml:1:5: not valid YAML: mapping values are not allowed in this context\n");
    expect(STR("a: [1,\n"),
           "t.yaml:2:1: not valid YAML: did not find expected node content (while parsing a flow "
           "node in line 2)\n");
    /* Without a final line end, the end of the file is in its last line. */
    expect(STR("a: [1,"),
           "t.yaml:1:7: not valid YAML: did not find expected node content (while parsing a flow node "
           "in line 1)\n");
    expect(STR("a: \"x\n"),
           "t.yaml:2:1: not valid YAML: found unexpected end of stream (while scanning a quoted "
           "scalar in line 1)\n");
    expect(STR("a: *b\n"), "t.yaml:1:4: aliases are not supported; write the value out\n");
    expect(STR("a: 1\nb: \xff\n"),
           "t.yaml:2:4: not valid YAML: invalid leading UTF-8 octet (files are UTF-8 text)\n");
    expect(str_make("a: 1\0", 5),
           "t.yaml:1:5: not valid YAML: control characters are not allowed (files are UTF-8 text)\n");
    expect(STR("a: \x01\n"),
           "t.yaml:1:4: not valid YAML: control characters are not allowed (files are UTF-8 text)\n");
}

/* After a syntax error, the values before it remain, and open nodes are marked as cut. */
static void cut_by_an_error(void **state)
{
    (void)state;
    conf_node_t *root;
    char *printed = errors_of(STR("a: {b: 1}\nc: {d: [1, 2\n"), &root);
    free(printed);
    assert_true(root->cut);
    assert_false(conf_node_get(root, STR("a"))->cut);
    assert_true(conf_node_get(root, STR("c"))->cut);
    assert_true(conf_node_get(conf_node_get(root, STR("c")), STR("d"))->cut);
    conf_tree_free(&root);
    /* Then a key after the error is not reported as missing, and earlier errors are still reported. */
    fixture_bad(
        "workers: x\nlisteners: [{address: \"127.0.0.1:1\", ",
        "e.yaml:1:10: workers: \"x\" is not a whole number; allowed: a whole number of processes from 0 to "
        "256\n"
        "e.yaml:2:38: not valid YAML: did not find expected node content (while parsing a flow node in line "
        "2)\n");
}

/* `count` times `piece` between `before` and `after`. */
static str_t repeated(const char *before, const char *piece, size_t count, const char *after)
{
    size_t room = strlen(before) + strlen(piece) * count + strlen(after);
    char *text = malloc(room + 1);
    assert_non_null(text);
    char *at = stpcpy(text, before);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, piece);
    stpcpy(at, after);
    return str_make(text, room);
}

static void expect_repeated(const char *before, const char *piece, size_t count, const char *after,
                            const char *wanted)
{
    str_t text = repeated(before, piece, count, after);
    expect(text, wanted);
    free((char *)text.p);
}

static void depth_at_its_bound(void **state)
{
    (void)state;
    expect(STR("a: [[[[[[[x]]]]]]]\n"), "");
    expect(STR("a: [[[[[[[[x]]]]]]]]\n"),
           "t.yaml:1:11: lists and maps are nested too deeply; at most 8 levels are allowed\n");
    expect(STR("a: {a: {a: {a: {a: {a: {a: {a: {}}}}}}}}\n"),
           "t.yaml:1:32: lists and maps are nested too deeply; at most 8 levels are allowed\n");
    /* The deepest nesting that a file may have. */
    expect_repeated("a: ", "[", CONF_FILE_MAX - 3, "",
                    "t.yaml:1:11: lists and maps are nested too deeply; at most 8 levels are allowed\n");
    expect_repeated("", "- ", CONF_FILE_MAX / 2, "",
                    "t.yaml:1:1: the file must be a map of keys, such as \"preview_domain: ...\"\n"
                    "t.yaml:1:17: lists and maps are nested too deeply; at most 8 levels are allowed\n");
}

static void nodes_at_their_bound(void **state)
{
    (void)state;
    /* The map and the list are nodes too. */
    expect_repeated("a: [", "x,", CONF_NODES_MAX - 2, "]", "");
    char wanted[128];
    snprintf(wanted, sizeof(wanted), "t.yaml:1:%d: too many values; at most %d are allowed\n",
             4 + 2 * (CONF_NODES_MAX - 2) + 1, CONF_NODES_MAX);
    expect_repeated("a: [", "x,", CONF_NODES_MAX - 1, "]", wanted);
}

static void keys_at_their_bound(void **state)
{
    (void)state;
    char text[4096];
    size_t used = 0;
    for (size_t i = 0; i < CONF_KEYS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "k%zu: 1\n", i);
    expect(str_make(text, used), "");
    used += (size_t)snprintf(text + used, sizeof(text) - used, "more: 1\n");
    expect(str_make(text, used), "t.yaml:257:7: too many keys in one map; at most 256 are allowed\n");
}

static void size_at_its_bound(void **state)
{
    (void)state;
    expect_repeated("a: 1\n", "#", CONF_FILE_MAX - 5, "", "");
    expect_repeated("a: 1\n", "#", CONF_FILE_MAX - 4, "",
                    "t.yaml: is larger than 1 MiB, the largest that is allowed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(null_values),
        cmocka_unit_test(refused_features),
        cmocka_unit_test(expanding_aliases),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(cut_by_an_error),
        cmocka_unit_test(depth_at_its_bound),
        cmocka_unit_test(nodes_at_their_bound),
        cmocka_unit_test(keys_at_their_bound),
        cmocka_unit_test(size_at_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
