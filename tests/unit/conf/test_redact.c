/* conf_redact.h: each key of the table is shown or removed as its row declares, and every key has a
 * declaration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "conf_keys.h"
#include "conf_redact.h"

/* Free-text keys whose values leave the machine. A new key joins this list only by a decision. */
static const char *const open_keys[] = {"preview_domain",
                                        "certificates.chain",
                                        "node",
                                        "user",
                                        "state_dir",
                                        "run_dir",
                                        "admin.socket",
                                        "log.access",
                                        "boxes.id",
                                        "processes.id",
                                        "processes.directory",
                                        "processes.user",
                                        "docker.socket",
                                        "listeners.tls_certificate",
                                        "docker.label",
                                        "control_plane.url",
                                        "tracing.otlp",
                                        "tracing.ca_file",
                                        "control_plane.ca_file",
                                        "upstreams.name",
                                        "upstreams.servers.address",
                                        "upstreams.tls_name",
                                        "upstreams.tls_ca",
                                        "upstreams.tls_certificate",
                                        "plans.name",
                                        "api.hosts",
                                        "api.upstream",
                                        "api.default_plan",
                                        "api.client_plan",
                                        "api.unkeyed.path",
                                        "api.proves.path",
                                        "api.cors.origin",
                                        "api.costs.path",
                                        "api.keys.name",
                                        "api.keys.plan"};
/* Paths of secrets: shown if the file exists. */
static const char *const file_keys[] = {"certificates.key",     "listeners.tls_key",
                                        "listeners.token_file", "control_plane.token_file",
                                        "upstreams.tls_key",    "api.settle_key"};

static unsigned removed_count;
static char removed_last[256];

static void note(void *arg, str_t value)
{
    (void)arg;
    removed_count++;
    snprintf(removed_last, sizeof(removed_last), "%.*s", STR_ARG(value));
}

static char *redact(const char *text, bool *whole)
{
    char *out = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&out, &len);
    removed_count = 0;
    removed_last[0] = '\0';
    bool ok = conf_redact(str_from(text), file, note, NULL);
    fclose(file);
    if (whole != NULL)
        *whole = ok;
    return out;
}

static void assert_redacts(const char *text, const char *wanted)
{
    bool whole;
    char *out = redact(text, &whole);
    assert_true(whole);
    assert_string_equal(out, wanted);
    free(out);
}

static bool is_in(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* ---- each row ---- */

typedef void (*visit_t)(const conf_key_t *key, const char *name, unsigned depth);

static void each(const conf_table_t *table, const char *prefix, unsigned depth, visit_t visit)
{
    for (size_t i = 0; i < table->count; i++) {
        char name[1024];
        const conf_key_t *key = &table->keys[i];
        snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key->name);
        if (key->type == CONF_MAPS)
            each(key->element, name, depth + 1, visit);
        else if (key->type != CONF_SECTION)
            visit(key, name, depth);
    }
}

static void has_its_mark(const conf_key_t *key, const char *name, unsigned depth)
{
    (void)depth;
    if (!conf_needs_mark(key->type)) {
        assert_int_equal(key->secrecy, CONF_UNMARKED);
        return;
    }
    conf_secrecy_t wanted = is_in(open_keys, sizeof(open_keys) / sizeof(open_keys[0]), name) ? CONF_OPEN
                            : is_in(file_keys, sizeof(file_keys) / sizeof(file_keys[0]), name)
                                ? CONF_SECRET_FILE
                                : CONF_SECRET;
    if (key->secrecy != wanted)
        fail_msg("%s is marked %d, and the lists of this test want %d", name, key->secrecy, wanted);
}

static void each_key_of_free_text_has_a_mark(void **state)
{
    (void)state;
    each(&conf_keys, "", 0, has_its_mark);
}

/* "a.b" and "c" as a file has them: sections as maps, lists of maps with one element. */
static char *file_with(const char *name, const char *value)
{
    char *out = NULL, copy[128];
    size_t len = 0;
    unsigned depth = 0;
    const conf_table_t *table = &conf_keys;
    char section[128] = "";
    FILE *file = open_memstream(&out, &len);
    snprintf(copy, sizeof(copy), "%s", name);
    for (char *rest = copy, *word = strsep(&rest, "."); word != NULL; word = strsep(&rest, ".")) {
        char dotted[260];
        snprintf(dotted, sizeof(dotted), "%s%s%s", section, section[0] != '\0' ? "." : "", word);
        const conf_key_t *key = conf_keys_find(table, str_from(dotted));
        assert_non_null(key);
        fprintf(file, "%s:", word);
        if (key->type == CONF_SECTION || key->type == CONF_MAPS)
            fprintf(file, " %s{", key->type == CONF_MAPS ? "[" : "");
        snprintf(section, sizeof(section), "%.127s", key->type == CONF_SECTION ? dotted : "");
        if (key->type == CONF_MAPS)
            table = key->element;
        copy[sizeof(copy) - 1 - depth++] = key->type == CONF_MAPS      ? ']'
                                           : key->type == CONF_SECTION ? '}'
                                                                       : ' ';
    }
    fprintf(file, " %s", value);
    for (unsigned i = depth; i-- > 0;)
        fprintf(file, "%s",
                copy[sizeof(copy) - 1 - i] == ']'   ? "}]"
                : copy[sizeof(copy) - 1 - i] == '}' ? "}"
                                                    : "");
    fputc('\n', file);
    fclose(file);
    return out;
}

/* A word that is valid as free text, and is neither a number, an address nor an existing path. */
#define WORD "sesame-0815-open"

static void shows_what_its_mark_says(const conf_key_t *key, const char *name, unsigned depth)
{
    static const char *const forms[] = {
        WORD,     "[" WORD "]",    "[" WORD ", " WORD "]", "{" WORD ": " WORD "}",
        "/" WORD, "https://" WORD, "[A=" WORD "]"};
    (void)depth;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        char *text = file_with(name, forms[i]), *out = redact(text, NULL);
        bool shown = strstr(out, WORD) != NULL;
        if (shown && key->secrecy != CONF_OPEN && strchr(forms[i], ':') != forms[i] + 1 + strlen(WORD))
            fail_msg("%s shows %s", name, text);
        if (!shown)
            assert_non_null(strstr(removed_last, WORD));
        free(out);
        free(text);
    }
}

static void no_key_shows_what_it_should_not(void **state)
{
    (void)state;
    each(&conf_keys, "", 0, shows_what_its_mark_says);
}

/* ---- forms ---- */

static void values_are_shown_where_they_fit(void **state)
{
    (void)state;
    assert_redacts("workers: 2\nnode: edge-1 # a comment\n", "\"workers\": \"2\"\n\"node\": \"edge-1\"\n");
    assert_redacts("workers: two\n", "\"workers\": \"(removed)\"\n");
    assert_string_equal(removed_last, "two");
    assert_redacts("wrokers: 2\n", "\"wrokers\": \"(removed)\"\n");
    assert_redacts("api: {settle_key: /dev/null}\n", "\"api\": \n  \"settle_key\": \"/dev/null\"\n");
    assert_redacts("api: {settle_key: /dev/nulll}\n", "\"api\": \n  \"settle_key\": \"(removed)\"\n");
    assert_redacts("api: {settle_key: null}\n", "\"api\": \n  \"settle_key\": \n");
}

static void variables_keep_their_names(void **state)
{
    (void)state;
    assert_redacts(
        "processes: [{environment: [\"A=b=c\", \"D=\", e]}]\n",
        "\"processes\": \n  - \n    \"environment\": \n      - \"A=(removed)\"\n      - \"D=(removed)\"\n"
        "      - \"(removed)\"\n");
    assert_int_equal(removed_count, 2);
}

static void commands_keep_their_program(void **state)
{
    (void)state;
    assert_redacts("processes: [{command: [/bin/app, --key, \"x\"]}]\n",
                   "\"processes\": \n  - \n    \"command\": \n      - \"/bin/app\"\n      - \"(removed)\"\n"
                   "      - \"(removed)\"\n");
    /* A single word is a command line. */
    assert_redacts("processes: [{command: [\"/bin/app key\"]}]\n",
                   "\"processes\": \n  - \n    \"command\": \n      - \"(removed)\"\n");
    assert_redacts("processes: [{command: /bin/app key}]\n",
                   "\"processes\": \n  - \n    \"command\": \"(removed)\"\n");
}

static void what_is_no_yaml_is_refused(void **state)
{
    static const char *const bad[] = {"workers: [\n", "- a\n", "secret", "a: &x secret\nb: *x\n",
                                      "a: !t secret\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bool whole;
        char *out = redact(bad[i], &whole);
        assert_null(strstr(out, "secret"));
        free(out);
    }
    bool whole;
    free(redact("workers: [\n", &whole));
    assert_false(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_of_free_text_has_a_mark), cmocka_unit_test(no_key_shows_what_it_should_not),
        cmocka_unit_test(values_are_shown_where_they_fit),  cmocka_unit_test(variables_keep_their_names),
        cmocka_unit_test(commands_keep_their_program),      cmocka_unit_test(what_is_no_yaml_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
