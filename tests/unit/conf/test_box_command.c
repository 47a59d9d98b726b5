/* The command and environment of a process box. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "box_command.h"

static char *one[] = {(char *)"npm run dev | cat"};
static char *many[] = {(char *)"node", (char *)"server.js", (char *)""};
static uint16_t ports[] = {3000, 3001};

static void one_word_is_for_the_shell(void **state)
{
    (void)state;
    conf_process_t process = {.command = one, .command_count = 1};
    char **argv = box_command_argv(&process);
    assert_string_equal(argv[0], "/bin/sh");
    assert_string_equal(argv[1], "-c");
    assert_string_equal(argv[2], "npm run dev | cat");
    assert_null(argv[3]);
    free(argv);
    process = (conf_process_t){.command = many, .command_count = 3};
    argv = box_command_argv(&process);
    assert_string_equal(argv[0], "node");
    assert_string_equal(argv[1], "server.js");
    assert_string_equal(argv[2], "");
    assert_null(argv[3]);
    free(argv);
}

static void expect_env(const conf_process_t *process, const char *const *want, size_t count)
{
    char **env = box_command_env(process, "/home/me", "p.example");
    for (size_t i = 0; i < count; i++)
        assert_string_equal(env[i], want[i]);
    assert_null(env[count]);
    box_command_free_env(&env);
    assert_null(env);
    box_command_free_env(&env);
}

static void nothing_of_the_edges_environment(void **state)
{
    (void)state;
    setenv("SECRET_OF_THE_EDGE", "x", 1);
    conf_process_t process = {.ports = ports, .port_count = 2};
    static const char *const want[] = {"PATH=" BOX_COMMAND_PATH, "HOME=/home/me", "LANG=C.UTF-8",
                                       BOX_COMMAND_VITE_HOSTS "=.p.example", "PORT=3000"};
    expect_env(&process, want, 5);
    process.port_count = 0;
    expect_env(&process, want, 4);
    static char *own[] = {(char *)BOX_COMMAND_VITE_HOSTS "=mine"};
    process.environment = own;
    process.environment_count = 1;
    static const char *const declared[] = {"PATH=" BOX_COMMAND_PATH, "HOME=/home/me", "LANG=C.UTF-8",
                                           BOX_COMMAND_VITE_HOSTS "=mine"};
    expect_env(&process, declared, 4);
}

static void the_later_of_one_name_counts(void **state)
{
    (void)state;
    char *declared[] = {(char *)"A=1", (char *)"PORT=80", (char *)"A=2", (char *)"PATHS=x", (char *)"HOME="};
    conf_process_t process = {
        .ports = ports, .port_count = 1, .environment = declared, .environment_count = 5};
    static const char *const want[] = {"PATH=" BOX_COMMAND_PATH,
                                       "HOME=",
                                       "LANG=C.UTF-8",
                                       BOX_COMMAND_VITE_HOSTS "=.p.example",
                                       "PORT=80",
                                       "A=2",
                                       "PATHS=x"};
    expect_env(&process, want, 7);
}

static void what_makes_another_process(void **state)
{
    (void)state;
    char *env[] = {(char *)"A=1"};
    conf_process_t base = {.command = many,
                           .command_count = 3,
                           .directory = (char *)"/srv",
                           .user = (char *)"",
                           .ports = ports,
                           .port_count = 1,
                           .environment = env,
                           .environment_count = 1};
    conf_process_t other = base;
    other.idle = 5;
    other.keep_alive = true;
    other.idle_action = CONF_IDLE_FREEZE;
    assert_true(box_command_same(&base, &other)); /* its treatment is no reason to restart it */
    other = base;
    other.command_count = 2;
    assert_false(box_command_same(&base, &other));
    other = base;
    other.directory = (char *)"/srv2";
    assert_false(box_command_same(&base, &other));
    other = base;
    other.user = (char *)"www";
    assert_false(box_command_same(&base, &other));
    other = base;
    other.ports = ports + 1;
    assert_false(box_command_same(&base, &other));
    other = base;
    other.environment_count = 0;
    assert_false(box_command_same(&base, &other));
    char *env2[] = {(char *)"A=2"};
    other = base;
    other.environment = env2;
    assert_false(box_command_same(&base, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_word_is_for_the_shell),
        cmocka_unit_test(nothing_of_the_edges_environment),
        cmocka_unit_test(the_later_of_one_name_counts),
        cmocka_unit_test(what_makes_another_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
