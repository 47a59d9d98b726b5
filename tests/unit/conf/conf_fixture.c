#include "conf_fixture.h"

conf_environment_t fixture_environment(void)
{
    return (conf_environment_t){.cpus = 3, .host_name = "edge-host", .cwd = "/srv", .home = "/home/op"};
}

char *fixture_print(const conf_errors_t *errors)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    conf_errors_print(errors, out);
    fclose(out);
    return text;
}

conf_t *fixture_parse_in(const conf_environment_t *env, str_t text, char **printed)
{
    char *copy = malloc(text.n != 0 ? text.n : 1);
    assert_non_null(copy);
    memcpy(copy, text.p, text.n);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse_in(env, "e.yaml", str_make(copy, text.n), errors);
    assert_true((conf == NULL) == (conf_errors_count(errors) != 0));
    *printed = fixture_print(errors);
    conf_errors_free(&errors);
    free(copy);
    return conf;
}

conf_t *fixture_good(const char *text)
{
    conf_environment_t env = fixture_environment();
    char *printed;
    conf_t *conf = fixture_parse_in(&env, str_from(text), &printed);
    if (printed[0] != '\0')
        fail_msg("%s\nshould have no errors, but:\n%s", text, printed);
    free(printed);
    return conf;
}

void fixture_expect_in(const conf_environment_t *env, const char *text, bool good, const char *wanted)
{
    char *printed;
    conf_t *conf = fixture_parse_in(env, str_from(text), &printed);
    if (strcmp(printed, wanted) != 0)
        fail_msg("%s\nshould give:\n%s\nbut gives:\n%s", text, wanted, printed);
    assert_int_equal(conf != NULL, good);
    free(printed);
    conf_release(&conf);
}

void fixture_bad(const char *text, const char *wanted)
{
    conf_environment_t env = fixture_environment();
    fixture_expect_in(&env, text, false, wanted);
}

void fixture_doubtful(const char *text, const char *wanted)
{
    conf_environment_t env = fixture_environment();
    fixture_expect_in(&env, text, true, wanted);
}
