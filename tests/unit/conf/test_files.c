/* Files: the configuration itself, and the files that it names. */
#include "conf_fixture.h"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
#define KEY         "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"

static char dir[] = "/tmp/boxedge-conf-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static void put(const char *name, const char *text, mode_t mode)
{
    FILE *out = fopen(name, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(name, mode), 0);
}

/* Checks the files of a configuration with `chain` and `key`; `wanted` omits the directory and has "@" in its
 * place. */
static void expect_of(const char *more, const char *wanted)
{
    char text[1024];
    snprintf(text, sizeof(text), BASE "state_dir: s\nrun_dir: r\nnode: n\n%s", more);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("e.yaml", str_from(text), errors);
    assert_non_null(conf);
    conf_check_files(conf, errors);
    conf_check_places(conf, errors);
    char *printed = fixture_print(errors);
    char lines[4096];
    size_t used = 0;
    for (const char *p = printed; *p != '\0' && used < sizeof(lines) - 1; p++) {
        bool here = strncmp(p, dir, strlen(dir)) == 0;
        lines[used++] = here ? '@' : *p;
        p += here ? strlen(dir) - 1 : 0;
    }
    lines[used] = '\0';
    if (strcmp(lines, wanted) != 0)
        fail_msg("%s\nshould give:\n%s\nbut gives:\n%s", text, wanted, lines);
    free(printed);
    conf_release(&conf);
    conf_errors_free(&errors);
}

/* The same without a user to become. */
static void expect(const char *more, const char *wanted)
{
    char text[1024];
    snprintf(text, sizeof(text), "user: \"\"\n%s", more);
    expect_of(text, wanted);
}

static void certificates(void **state)
{
    (void)state;
    put("c.pem", "text before\n" CERTIFICATE, 0644);
    put("k.pem", KEY, 0600);
    expect("certificates: [{chain: c.pem, key: k.pem}]\n", "");
    put("k.pem", "-----BEGIN EC PRIVATE KEY-----\n", 0640);
    expect("certificates: [{chain: c.pem, key: k.pem}]\n", "");
    put("k.pem", "-----BEGIN RSA PRIVATE KEY-----\n", 0600);
    expect("certificates: [{chain: c.pem, key: k.pem}]\n", "");
    put("k.pem", KEY CERTIFICATE, 0600); /* both in one file */
    expect("certificates: [{chain: k.pem, key: k.pem}]\n", "");
    put("k.pem", KEY, 0604);
    expect("certificates: [{chain: c.pem, key: k.pem}]\n",
           "e.yaml:7:36: warning: certificates.key: \"@/k.pem\" can be read by every user of this machine; "
           "chmod 600 "
           "prevents that\n");
    put("k.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 0600);
    expect("certificates: [{chain: c.pem, key: k.pem}]\n",
           "e.yaml:7:36: certificates.key: \"@/k.pem\" has no private key in it; allowed: a PEM file with "
           "\"-----BEGIN PRIVATE KEY-----\", not encrypted\n");
    put("k.pem", KEY, 0600);
    expect("certificates: [{chain: k.pem, key: c.pem}]\n",
           "e.yaml:7:24: certificates.chain: \"@/k.pem\" has no certificate in it; allowed: a PEM file with "
           "\"-----BEGIN CERTIFICATE-----\"\n"
           "e.yaml:7:36: certificates.key: \"@/c.pem\" has no private key in it; allowed: a PEM file with "
           "\"-----BEGIN PRIVATE KEY-----\", not encrypted\n"
           "e.yaml:7:36: warning: certificates.key: \"@/c.pem\" can be read by every user of this machine; "
           "chmod 600 "
           "prevents that\n");
    unlink("c.pem");
    unlink("k.pem");
}

static void files_of_upstreams(void **state)
{
    (void)state;
#define UPSTREAM "upstreams:\n  - {name: u, servers: [\"h:1\"], "
    put("c.pem", CERTIFICATE, 0644);
    put("k.pem", KEY, 0600);
    expect(UPSTREAM "tls: true, tls_ca: c.pem, tls_certificate: c.pem, tls_key: k.pem}\n", "");
    expect(UPSTREAM "tls: true}\n", "");
    expect(UPSTREAM "tls: true, tls_ca: k.pem, tls_certificate: k.pem, tls_key: c.pem}\n",
           "e.yaml:8:52: upstreams[0].tls_ca: \"@/k.pem\" has no certificate in it; allowed: a PEM file with "
           "\"-----BEGIN CERTIFICATE-----\"\n"
           "e.yaml:8:76: upstreams[0].tls_certificate: \"@/k.pem\" has no certificate in it; allowed: a PEM "
           "file with \"-----BEGIN CERTIFICATE-----\"\n"
           "e.yaml:8:92: upstreams[0].tls_key: \"@/c.pem\" has no private key in it; allowed: a PEM file "
           "with \"-----BEGIN PRIVATE KEY-----\", not encrypted\n"
           "e.yaml:8:92: warning: upstreams[0].tls_key: \"@/c.pem\" can be read by every user of this "
           "machine; chmod 600 prevents that\n");
    expect(UPSTREAM "tls: true, tls_ca: none, tls_certificate: none, tls_key: none}\n",
           "e.yaml:8:52: upstreams[0].tls_ca: \"@/none\" cannot be read: No such file or directory\n"
           "e.yaml:8:75: upstreams[0].tls_certificate: \"@/none\" cannot be read: No such file or "
           "directory\n"
           "e.yaml:8:90: upstreams[0].tls_key: \"@/none\" cannot be read: No such file or directory\n");
    /* Not used: not read. */
    expect(UPSTREAM "tls_ca: none}\n",
           "e.yaml:8:41: warning: upstreams[0].tls_ca: has no effect without `tls: true`\n");
    unlink("c.pem");
    unlink("k.pem");
}

static void files_that_are_none(void **state)
{
    (void)state;
    expect("certificates:\n  - {chain: none.pem, key: none.key}\n",
           "e.yaml:8:13: certificates.chain: \"@/none.pem\" cannot be read: No such file or directory\n"
           "e.yaml:8:28: certificates.key: \"@/none.key\" cannot be read: No such file or directory\n");
    /* A FIFO must not block the check, and a device or an endless file must not fill memory. */
    assert_int_equal(mkfifo("fifo", 0600), 0);
    expect("certificates: [{chain: fifo, key: /dev/zero}]\n",
           "e.yaml:7:24: certificates.chain: \"@/fifo\" is not a regular file of at most 1 MiB; allowed: a "
           "PEM file\n"
           "e.yaml:7:35: certificates.key: \"/dev/zero\" is not a regular file of at most 1 MiB; allowed: a "
           "PEM file\n");
    unlink("fifo");
    put("k.pem", KEY, 0600);
    put("big.pem", CERTIFICATE, 0600);
    assert_int_equal(truncate("big.pem", 1024 * 1024), 0);
    expect("certificates: [{chain: big.pem, key: k.pem}]\n", "");
    assert_int_equal(truncate("big.pem", 1024 * 1024 + 1), 0);
    expect("certificates: [{chain: big.pem, key: k.pem}]\n",
           "e.yaml:7:24: certificates.chain: \"@/big.pem\" is not a regular file of at most 1 MiB; allowed: "
           "a PEM "
           "file\n");
    unlink("big.pem");
    unlink("k.pem");
}

static void directories(void **state)
{
    (void)state;
    put("s", "", 0600);
    put("r", "", 0600);
    expect("", "e.yaml: state_dir: \"@/s\" exists and is not a directory; allowed: a directory, or a path "
               "that does not exist\n"
               "e.yaml: run_dir: \"@/r\" exists and is not a directory; allowed: a directory, or a path that "
               "does not exist\n");
    unlink("s");
    unlink("r");
    assert_int_equal(mkdir("s", 0700), 0);
    expect("", "");
    rmdir("s");
}

static void control_plane_files(void **state)
{
    (void)state;
#define PLANE "control_plane: {url: \"https://control.example\", "
    put("t", "secret\n", 0600);
    expect(PLANE "token_file: t}\n", "");
    put("t", "secret", 0604);
    expect(PLANE "token_file: t}\n",
           "e.yaml: warning: control_plane.token_file: \"@/t\" can be read by every "
           "user of this machine; chmod 600 prevents that\n");
    put("t", " secret \r\n", 0600); /* white space removed */
    expect(PLANE "token_file: t}\n", "");
    char longest[4098];
    memset(longest, 'x', sizeof(longest));
    longest[4096] = '\n';
    longest[4097] = '\0';
    const char *no_token =
        "e.yaml: control_plane.token_file: \"@/t\" has no token of at most 4 KiB in its first "
        "line; allowed: a file with one\n";
    put("t", longest, 0600);
    expect(PLANE "token_file: t}\n", "");
    longest[4096] = 'x';
    put("t", longest, 0600);
    expect(PLANE "token_file: t}\n", no_token);
    static const char *const empty[] = {"", "\n", " \t\n", "\r\n", "\nsecret\n"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        put("t", empty[i], 0600);
        expect(PLANE "token_file: t}\n", no_token);
    }
    expect(
        PLANE "token_file: /dev/zero, ca_file: t}\n",
        "e.yaml: control_plane.token_file: \"/dev/zero\" is not a regular file of at most 1 MiB; allowed: a "
        "file with the token in its first line\n"
        "e.yaml: control_plane.ca_file: \"@/t\" has no certificate in it; allowed: a PEM file with "
        "\"-----BEGIN CERTIFICATE-----\"\n");
    expect(PLANE "token_file: none, ca_file: none}\n",
           "e.yaml: control_plane.token_file: \"@/none\" cannot be read: No such file or directory\n"
           "e.yaml: control_plane.ca_file: \"@/none\" cannot be read: No such file or directory\n");
    /* Not used: not read. */
    expect("control_plane: {token_file: none, ca_file: none}\n", "");
    put("t", CERTIFICATE, 0600);
    expect(PLANE "ca_file: t}\n", "");
    unlink("t");
}

static void settle_key_file(void **state)
{
    (void)state;
#define HOST "upstreams: [{name: a, servers: [\"127.0.0.1:1\"]}]\napi: {hosts: [api.example.net], "
    put("t", "k-1\n", 0600);
    expect(HOST "settle_key: t}\n", "");
    put("t", "k-1\n", 0604);
    expect(HOST "settle_key: t}\n",
           "e.yaml: warning: api.settle_key: \"@/t\" can be read by every user of this "
           "machine; chmod 600 prevents that\n");
    put("t", "\n", 0600);
    expect(HOST "settle_key: t}\n",
           "e.yaml: api.settle_key: \"@/t\" has no key of at most 4 KiB in its first "
           "line; allowed: a file with one\n");
    unlink("t");
    expect(HOST "settle_key: t}\n",
           "e.yaml: api.settle_key: \"@/t\" cannot be read: No such file or directory\n");
    expect("api: {settle_key: t}\n", ""); /* not used: not read */
}

/* Whether the user that the edge becomes can read the files that it will need. */
static void files_for_the_user(void **state)
{
    (void)state;
    const struct passwd *nobody = getpwnam("nobody");
    if (geteuid() != 0 || nobody == NULL)
        skip();
#define AS_NOBODY "user: nobody\n" PLANE "token_file: t}\n"
    const char *refused = "e.yaml: warning: control_plane.token_file: \"@/t\" cannot be read by \"nobody\", "
                          "the edge's user; chown it to that user\n";
    put("t", "secret\n", 0600);
    expect_of(AS_NOBODY, refused);
    assert_int_equal(chown("t", nobody->pw_uid, 0), 0);
    expect_of(AS_NOBODY, "");
    put("t", "secret\n", 0240); /* its owner may not, though others may */
    expect_of(AS_NOBODY, refused);
    assert_int_equal(chown("t", 0, nobody->pw_gid), 0);
    expect_of(AS_NOBODY, "");
    put("t", "secret\n", 0600);
    expect_of(AS_NOBODY, refused);
    unlink("t");
    /* An upstream's files are read before the change of user, except for active checks. */
    put("c", CERTIFICATE, 0644);
    put("k", KEY, 0600);
    expect_of("user: nobody\n" UPSTREAM "tls: true, tls_ca: c, tls_certificate: c, tls_key: k}\n", "");
    expect_of("user: nobody\n" UPSTREAM
              "tls: true, tls_ca: c, tls_certificate: c, tls_key: k, health_path: /}\n",
              "e.yaml:8:84: warning: upstreams[0].tls_key: \"@/k\" cannot be read by \"nobody\", the edge's "
              "user; chown it to that user\n");
    assert_int_equal(chown("k", nobody->pw_uid, 0), 0);
    expect_of("user: nobody\n" UPSTREAM "tls: true, tls_certificate: c, tls_key: k, health_path: /}\n", "");
    unlink("c");
    unlink("k");
}

static void loading(void **state)
{
    (void)state;
    conf_errors_t *errors = conf_errors_new();
    put("good.yaml", BASE "state_dir: s\nnode: n\n", 0600);
    conf_t *conf = conf_load("good.yaml", errors);
    assert_non_null(conf);
    assert_int_equal(conf_errors_count(errors), 0);
    assert_string_equal(conf->state_dir + strlen(conf->state_dir) - 2, "/s");
    conf_release(&conf);

    assert_null(conf_load("none.yaml", errors));
    assert_null(conf_load(".", errors));
    assert_null(conf_load("/dev/zero", errors));
    char *printed = fixture_print(errors);
    assert_string_equal(printed, "none.yaml: cannot be read: No such file or directory\n"
                                 ".: cannot be read: Is a directory\n"
                                 "/dev/zero: is larger than 1 MiB, the largest that is allowed\n");
    free(printed);
    assert_int_equal(conf_errors_count(errors), 3);
    conf_errors_free(&errors);
    assert_null(errors);
    conf_errors_free(&errors);
    unlink("good.yaml");
}

/* Input in pieces is joined: `boxedge check -c <(generate)`. */
static void loading_from_a_pipe(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        FILE *out = fdopen(ends[1], "w");
        close(ends[0]);
        for (int i = 0; out != NULL && i < 20000; i++) /* more than a pipe holds */
            fputs("# a comment\n", out);
        fputs(BASE "state_dir: /s\nnode: n\n", out);
        _exit(fclose(out) == 0 ? 0 : 1);
    }
    close(ends[1]);
    char path[32];
    snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_load(path, errors);
    assert_non_null(conf);
    assert_string_equal(conf->preview_domain, "p.example");
    conf_release(&conf);
    conf_errors_free(&errors);
    close(ends[0]);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void processes(void **state)
{
    (void)state;
    expect("processes: [{id: web, command: x, ports: [3000], directory: /, user: nobody}]\n", "");
    expect("processes: [{id: web, command: x, ports: [3000], directory: /no/such, user: nobody}]\n",
           "e.yaml: warning: processes.directory: \"/no/such\", the directory of web, is not a directory on "
           "this machine\n");
    if (geteuid() != 0)
        return; /* only root can choose a user */
    expect(
        "processes: [{id: web, command: x, ports: [3000], directory: /, user: no-such-user}]\n",
        "e.yaml: warning: processes.user: the user \"no-such-user\" of web does not exist on this machine\n");
    expect("processes: [{id: web, command: x, ports: [3000], directory: /}]\n",
           "e.yaml: warning: processes.user: web would run as root and will not be started; set another user "
           "for it\n");
    expect_of("user: nobody\nprocesses: [{id: web, command: x, ports: [3000], directory: /}]\n",
              "e.yaml: warning: processes.user: web would run as \"nobody\", the edge's own user: it could "
              "open the admin socket and read the store; set another user for it\n");
    expect_of("user: root\nprocesses: [{id: web, command: x, ports: [3000], directory: /}]\n",
              "e.yaml: warning: processes.user: web would run as root and will not be started; set another "
              "user for it\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates),        cmocka_unit_test(files_of_upstreams),
        cmocka_unit_test(files_that_are_none), cmocka_unit_test(directories),
        cmocka_unit_test(control_plane_files), cmocka_unit_test(settle_key_file),
        cmocka_unit_test(files_for_the_user),  cmocka_unit_test(loading),
        cmocka_unit_test(loading_from_a_pipe), cmocka_unit_test(processes),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
