/* "boxedge check": what it says about the command line and about files, by its exit code and its output. */
#include "cmd_check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "str.h"

/* Runs the command with stdout and stderr in one temporary file, whose content comes into `output`. */
static int run(char **argv, char *output, size_t room)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO);
    int err = dup(STDERR_FILENO);
    assert_true(out >= 0 && err >= 0);
    dup2(fileno(file), STDOUT_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    int code = cmd_check(argc, argv);
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(file);
    size_t n = fread(output, 1, room - 1, file);
    output[n] = '\0';
    fclose(file);
    return code;
}

#define RUN(output, ...) run((char *[]){"check", __VA_ARGS__, NULL}, (output), sizeof(output))

static char *temporary(const char *text)
{
    static char path[32];
    snprintf(path, sizeof(path), "/tmp/boxedge-check-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return path;
}

static void files(void **state)
{
    (void)state;
    char output[4096];
    char *path =
        temporary("preview_domain: p.example\nlisteners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"
                  "user: \"\"\nstate_dir: /nowhere/s\nrun_dir: /nowhere/r\nnode: n\n");
    assert_int_equal(RUN(output, "-c", path), 0);
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "%s: no errors (1 listener, 0 certificates, 0 boxes, 0 warnings)\n",
             path);
    assert_string_equal(output, wanted);
    assert_int_equal(RUN(output, "--config", path), 0);
    unlink(path);

    /* Errors of the text and warnings come together; those of files only where the text is right. */
    path = temporary("preview_domain: p.example\nlisteners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"
                     "state_dir: /nowhere/s\nrun_dir: /nowhere/r\nnode: n\nuser: \"\"\n"
                     "trusted_proxies: [0.0.0.0/0]\ncertificates: [{chain: /nowhere/c, key: /nowhere/k}]\n");
    assert_int_equal(RUN(output, "-c", path), 1);
    snprintf(wanted, sizeof(wanted), "%s:7:19: warning: trusted_proxies: ", path);
    assert_int_equal(strncmp(output, wanted, strlen(wanted)), 0);
    snprintf(wanted, sizeof(wanted), "\n%s:8:24: certificates.chain: \"/nowhere/c\" cannot be read: ", path);
    assert_non_null(strstr(output, wanted));
    snprintf(wanted, sizeof(wanted), "\n%s: 2 errors\n", path);
    assert_non_null(strstr(output, wanted));
    unlink(path);

    assert_int_equal(RUN(output, "-c", "/nowhere/e.yaml"), 1);
    assert_string_equal(
        output, "/nowhere/e.yaml: cannot be read: No such file or directory\n/nowhere/e.yaml: 1 error\n");
}

static void pages(void **state)
{
    (void)state;
    char output[65536];
    assert_int_equal(RUN(output, "--print-reference"), 0);
    assert_true(str_starts(str_from(output), STR("# Configuration\n")));
    assert_int_equal(RUN(output, "--print-default"), 0);
    assert_non_null(strstr(output, "\nworkers: 0\n"));
    assert_int_equal(RUN(output, "--help"), 0);
    assert_true(str_starts(str_from(output), STR("usage: ")));
}

static void wrong_command_lines(void **state)
{
    (void)state;
    char output[4096];
    assert_int_equal(run((char *[]){"check", NULL}, output, sizeof(output)), 2);
    assert_true(str_starts(str_from(output), STR("usage: ")));
    assert_int_equal(RUN(output, "-c"), 2);
    assert_int_equal(RUN(output, "-x"), 2);
    assert_int_equal(RUN(output, "-c", "a", "b"), 2);
    assert_int_equal(RUN(output, "--print-default", "a"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(pages),
        cmocka_unit_test(wrong_command_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
