/* Code that the commands share: options, and figures for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli_sockets.h"
#include "cli_words.h"

#define PARSE(takes, ...)                                                                                    \
    parse(takes, (char *[]){__VA_ARGS__, NULL}, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *))

static cli_t cli;

static bool parse(unsigned takes, char **argv, size_t argc)
{
    return cli_parse((int)argc, argv, takes, &cli);
}

static void options(void **state)
{
    (void)state;
    assert_true(PARSE(CLI_JSON | CLI_BOX, "preview", "list", "--json", "--box", "a", "-c", "f.yaml"));
    assert_true(cli.json);
    assert_string_equal(cli.box, "a");
    assert_string_equal(cli.conf, "f.yaml");
    assert_int_equal(cli.arg_count, 1);
    assert_string_equal(cli.args[0], "list");
    assert_true(PARSE(0, "status", "--socket=/run/x=y", "--help"));
    assert_string_equal(cli.socket, "/run/x=y");
    assert_true(cli.help);
    assert_true(PARSE(CLI_STATUS, "status", "--ready"));
    assert_true(cli.ready && !cli.json);
    assert_true(PARSE(CLI_CREATE, "preview", "create", "a", "1", "--host-header", "localhost"));
    assert_string_equal(cli.host_header, "localhost");
    assert_true(PARSE(CLI_CREATE, "preview", "create", "a", "1", "--protocol", "h2c"));
    assert_string_equal(cli.protocol, "h2c");
    assert_true(PARSE(CLI_KEY, "key", "create", "a", "--plan", "free", "--stdin"));
    assert_string_equal(cli.plan, "free");
    assert_true(cli.from_stdin && cli.arg_count == 2);
    assert_false(PARSE(CLI_JSON, "key", "--stdin"));
    assert_false(PARSE(CLI_JSON, "key", "--plan", "free"));
    assert_false(PARSE(CLI_KEY, "key", "--plan"));
    assert_true(PARSE(0, "x", "--", "--socket", "-"));
    assert_int_equal(cli.arg_count, 2);
    assert_string_equal(cli.args[0], "--socket");
    assert_true(PARSE(0, "x", "1", "2", "3", "4"));
    assert_int_equal(cli.arg_count, CLI_ARGS_MAX);
}

static void options_of_a_new_preview(void **state)
{
    (void)state;
    assert_true(PARSE(CLI_CREATE | CLI_KILL, "preview", "create", "--bearer", "a", "--basic", "1", "--label",
                      "x y", "--expires=2h", "--allow-origin", "https://a", "--allow-origin=https://b",
                      "--kill-tunnels"));
    assert_true(cli.bearer && cli.basic && cli.kill_tunnels);
    assert_string_equal(cli.label, "x y");
    assert_string_equal(cli.expires, "2h");
    assert_int_equal(cli.origin_count, 2);
    assert_string_equal(cli.origins[0], "https://a");
    assert_string_equal(cli.origins[1], "https://b");
    assert_int_equal(cli.arg_count, 3);
    assert_true(PARSE(CLI_CREATE, "preview"));
    assert_true(!cli.bearer && !cli.basic && !cli.kill_tunnels && cli.origin_count == 0 && cli.label == NULL);
    assert_false(PARSE(0, "preview", "--bearer"));
    assert_false(PARSE(CLI_CREATE, "preview", "--kill-tunnels"));
    assert_false(PARSE(CLI_KILL, "preview", "--basic"));
    assert_false(PARSE(CLI_CREATE, "preview", "--bearer=yes"));
    assert_false(PARSE(CLI_CREATE, "preview", "--allow-origin"));
    assert_false(PARSE(CLI_CREATE, "preview", "--label"));
}

static void origins_are_bounded(void **state)
{
    (void)state;
    char *argv[CLI_ORIGINS_MAX + 4] = {"preview"};
    for (size_t i = 1; i <= CLI_ORIGINS_MAX + 1; i++)
        argv[i] = "--allow-origin=https://a";
    assert_true(parse(CLI_CREATE, argv, CLI_ORIGINS_MAX + 1));
    assert_int_equal(cli.origin_count, CLI_ORIGINS_MAX);
    assert_false(parse(CLI_CREATE, argv, CLI_ORIGINS_MAX + 2));
}

static void wrong_options(void **state)
{
    (void)state;
    assert_false(PARSE(0, "status", "--json"));
    assert_false(PARSE(CLI_JSON, "status", "--json=yes"));
    assert_false(PARSE(CLI_JSON, "status", "--ready"));
    assert_false(PARSE(CLI_JSON, "status", "--port", "1"));
    assert_false(PARSE(CLI_JSON, "box", "list", "--box", "a"));
    assert_false(PARSE(0, "status", "--socket"));
    assert_false(PARSE(0, "status", "-c"));
    assert_false(PARSE(0, "status", "-x"));
    assert_false(PARSE(0, "x", "1", "2", "3", "4", "5"));
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        json_int_t seconds;
        const char *text;
    } cases[] = {
        {0, "0s"},          {59, "59s"},      {60, "1m 0s"},    {3599, "59m 59s"}, {3600, "1h 0m"},
        {86399, "23h 59m"}, {86400, "1d 0h"}, {90000, "1d 1h"}, {-5, "0s"},        {864000000, "10000d 0h"}};
    char out[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cli_duration(cases[i].seconds, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void sizes(void **state)
{
    (void)state;
    char out[32];
    cli_size(0, out);
    assert_string_equal(out, "0 B");
    cli_size(1023, out);
    assert_string_equal(out, "1023 B");
    cli_size(1024, out);
    assert_string_equal(out, "1.0 KiB");
    cli_size(1536 * 1024, out);
    assert_string_equal(out, "1.5 MiB");
    cli_size((json_int_t)16 << 30, out);
    assert_string_equal(out, "16.0 GiB");
    cli_size(INT64_MAX, out);
    assert_string_equal(out, "8388608.0 TiB");
}

static void members(void **state)
{
    (void)state;
    char out[32];
    json_t *object = json_pack("{s:s,s:I,s:I,s:I}", "text", "a", "number", (json_int_t)1 << 40, "time",
                               (json_int_t)1769860859, "zero", (json_int_t)0);
    assert_non_null(object);
    assert_string_equal(cli_text(object, "text"), "a");
    assert_string_equal(cli_text(object, "number"), "-");
    assert_string_equal(cli_text(object, "none"), "-");
    assert_true(cli_number(object, "number") == 1LL << 40);
    assert_true(cli_number(object, "none") == 0);
    cli_time(object, "time", out);
    assert_string_equal(out, "2026-01-31 12:00");
    cli_time(object, "zero", out);
    assert_string_equal(out, "-");
    cli_time(object, "none", out);
    assert_string_equal(out, "-");
    cli_left(object, out);
    assert_string_equal(out, "-");
    json_object_set_new(object, "expires_at", json_integer(1));
    cli_left(object, out);
    assert_string_equal(out, "0s"); /* long ago */
    json_decref(object);
}

/* ---- where commands look for the edge ---- */

static void make_conf(char path[32], const char *more)
{
    snprintf(path, 32, "/tmp/test-cli-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "preview_domain: a.example\nlisteners: [{address: \"127.0.0.1:1\", kind: tls}]\n%s", more);
    assert_int_equal(fclose(file), 0);
}

static void sockets_that_are_named(void **state)
{
    (void)state;
    cli_sockets_t sockets;
    char path[32];
    assert_int_equal(setenv("BOXEDGE_SOCKET", "/run/e.sock", 1), 0);
    assert_true(cli_sockets_find(&sockets, "/run/a.sock", "/nonexistent"));
    assert_int_equal(sockets.count, 1);
    assert_string_equal(sockets.paths[0], "/run/a.sock");
    cli_sockets_free(&sockets);
    make_conf(path, "admin: {socket: /run/c.sock}\n");
    assert_true(cli_sockets_find(&sockets, NULL, path));
    assert_int_equal(sockets.count, 1);
    assert_string_equal(sockets.paths[0], "/run/c.sock");
    cli_sockets_free(&sockets);
    assert_true(cli_sockets_find(&sockets, NULL, NULL));
    assert_int_equal(sockets.count, 1);
    assert_string_equal(sockets.paths[0], "/run/e.sock");
    cli_sockets_free(&sockets);
    assert_false(cli_sockets_find(&sockets, NULL, "/nonexistent"));
    assert_int_equal(unlink(path), 0);
}

/* Without directories in the configuration, the default of the edge's user counts, not that of the command's:
 * root's for an edge that root started. */
static void sockets_in_default_directories(void **state)
{
    (void)state;
    static const char roots[] = "/run/boxedge/admin.sock";
    cli_sockets_t sockets;
    char path[32];
    make_conf(path, "");
    assert_int_equal(unsetenv("BOXEDGE_SOCKET"), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/tmp/runtime-of-the-test", 1), 0);
    for (int named = 0; named < 2; named++) {
        assert_true(cli_sockets_find(&sockets, NULL, named ? path : NULL));
        bool root_found = false;
        for (size_t i = 0; i < sockets.count; i++)
            root_found |= strcmp(sockets.paths[i], roots) == 0;
        assert_true(root_found);
        if (geteuid() != 0)
            assert_int_equal(strncmp(sockets.paths[0], "/tmp/runtime-of-the-test/", 25), 0);
        cli_sockets_free(&sockets);
    }
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options),
        cmocka_unit_test(options_of_a_new_preview),
        cmocka_unit_test(origins_are_bounded),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(members),
        cmocka_unit_test(sockets_that_are_named),
        cmocka_unit_test(sockets_in_default_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
