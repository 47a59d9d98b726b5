/* "boxedge check": its verdict on the command line and on files, by exit code and output. A start and a
 * reload refuse the same files. */
#include "commands.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificates.h"
#include "own_addresses.h"
#include "said.h"
#include "snapshot.h"
#include "str.h"

/* Captures the command's stdout and stderr in `output`. */
static int run(char **argv, char *output, size_t room)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    said_t said;
    said_begin(&said);
    int code = cmd_check(argc, argv);
    said_end(&said, output, room);
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
        temporary("preview_domain: p.example\nlisteners: [{address: \"127.8.4.43:8443\", kind: tls}]\n"
                  "user: \"\"\nstate_dir: /tmp/boxedge-none/s\nrun_dir: /tmp/boxedge-none/r\nnode: n\n");
    assert_int_equal(RUN(output, "-c", path), 0);
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "%s: no errors (1 listener, 0 certificates, 0 boxes, 0 warnings)\n",
             path);
    assert_string_equal(output, wanted);
    assert_int_equal(RUN(output, "--config", path), 0);
    unlink(path);

    /* Errors of the text and warnings come together; file errors come only once the text is right. */
    path = temporary("preview_domain: p.example\nlisteners: [{address: \"127.8.4.43:8443\", kind: tls}]\n"
                     "state_dir: /tmp/boxedge-none/s\nrun_dir: /tmp/boxedge-none/r\nnode: n\nuser: \"\"\n"
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

/* ---- errors that `run` or clients would meet ---- */

#define DAY 86400
#define HEAD                                                                                                 \
    "preview_domain: p.example\nlisteners: [{address: \"127.8.4.43:8443\", kind: tls}]\n"                    \
    "user: \"\"\nrun_dir: r\nnode: n\n"

static char folder[] = "/tmp/boxedge-check-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void put_pem(const char *name, tls_pem_t pem)
{
    char file[64];
    snprintf(file, sizeof(file), "%s.pem", name);
    put(file, pem.chain);
    snprintf(file, sizeof(file), "%s.key", name);
    put(file, pem.key);
    tls_pem_fini(&pem);
}

/* Another file's key with a password, in the older form, whose first line equals that of a key without
 * one. */
static void put_encrypted(const char *from, const char *to)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, from);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    fclose(in);
    snprintf(path, sizeof(path), "%s/%s", folder, to);
    BIO *out = BIO_new_file(path, "w");
    assert_non_null(out);
    char password[] = "secret";
    assert_int_equal(PEM_write_bio_PrivateKey_traditional(out, key, EVP_aes_128_cbc(),
                                                          (unsigned char *)password, (int)strlen(password),
                                                          NULL, NULL),
                     1);
    EVP_PKEY_free(key);
    BIO_free(out);
    assert_int_equal(chmod(path, 0600), 0);
}

static int make_folder(void **state)
{
    (void)state;
    time_t now = time(NULL);
    if (mkdtemp(folder) == NULL)
        return -1;
    put_pem("good", certificate_make("DNS:*.p.example", now - DAY, 30));
    put_pem("other", certificate_make("DNS:*.p.example", now - DAY, 30));
    put_pem("expired", certificate_make("DNS:*.p.example", now - 30 * DAY, 2));
    put_pem("early", certificate_make("DNS:*.p.example", now + DAY, 2));
    put_pem("stranger", certificate_make("DNS:elsewhere.example", now - DAY, 30));
    put_pem("api", certificate_make("DNS:api.example", now - DAY, 30));
    put_encrypted("good.key", "encrypted.key");
    put("file", "");
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Whether a start (`running` is NULL) or a reload takes the file; its messages go into `output`. */
static bool starts(const char *path, const conf_t *running, char *output, size_t room)
{
    FILE *out = fmemopen(output, room, "w");
    assert_non_null(out);
    snapshot_t *snapshot = snapshot_load(path, running, out);
    bool ok = snapshot != NULL && snapshot_load_keys(snapshot, (uint64_t)time(NULL), out);
    fclose(out);
    snapshot_free(&snapshot);
    return ok;
}

static conf_t *running_conf(void)
{
    char path[128], text[1024];
    snprintf(text, sizeof(text), "%sstate_dir: s\n", HEAD);
    put("running.yaml", text);
    snprintf(path, sizeof(path), "%s/running.yaml", folder);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_load(path, errors);
    assert_non_null(conf);
    conf_errors_free(&errors);
    return conf;
}

/* A start and a reload refuse the same files as `check`, and no others. */
static void expect_the_same_of_run(const char *path, const char *text, bool good)
{
    char said[4096] = "";
    conf_t *running = running_conf();
    for (int reload = 0; reload < 2; reload++)
        if (starts(path, reload ? running : NULL, said, sizeof(said)) != good)
            fail_msg("%s\nis %s by %s:\n%s", text, good ? "refused" : "taken",
                     reload ? "a reload" : "a start", said);
    conf_release(&running);
}

/* Checks a configuration with `more`; the messages contain each of `wanted`, up to NULL. */
static void expect(const char *more, int code, const char *const wanted[])
{
    char text[1024], path[128], output[4096];
    snprintf(text, sizeof(text), "%s%s", HEAD, more);
    put("e.yaml", text);
    snprintf(path, sizeof(path), "%s/e.yaml", folder);
    int got = RUN(output, "-c", path);
    for (size_t i = 0; wanted[i] != NULL; i++)
        if (strstr(output, wanted[i]) == NULL)
            fail_msg("%s\nshould say \"%s\" but says:\n%s", text, wanted[i], output);
    if (got != code)
        fail_msg("%s\nends with %d:\n%s", text, got, output);
    expect_the_same_of_run(path, text, code == 0);
}

#define EXPECT(more, code, ...) expect((more), (code), (const char *const[]){__VA_ARGS__, NULL})

static void certificates(void **state)
{
    (void)state;
    EXPECT("state_dir: s\ncertificates: [{chain: good.pem, key: good.key}]\n", 0, "no errors", "0 warnings");
    EXPECT("state_dir: s\ncertificates: [{chain: good.pem, key: other.key}]\n", 1,
           "/e.yaml:7:39: certificates.key: ",
           "/other.key\": certificate (*.p.example): the key does not belong to the certificate");
    EXPECT("state_dir: s\ncertificates: [{chain: good.pem, key: encrypted.key}]\n", 1,
           "certificates.key: ", "without a password is needed");
    EXPECT("state_dir: s\ncertificates: [{chain: expired.pem, key: expired.key}]\n", 0,
           "/e.yaml:7:24: warning: ", "it has expired; clients will refuse it", "1 warning)");
    EXPECT("state_dir: s\ncertificates: [{chain: early.pem, key: early.key}]\n", 0,
           "it is not valid yet; clients");
    EXPECT("state_dir: s\ncertificates: [{chain: stranger.pem, key: stranger.key}]\n", 0,
           "stranger.pem\" covers none of the hosts of this edge",
           "warning: certificates: none is for *.p.example: requests for it over TLS get 421");
    EXPECT("state_dir: s\ncertificates: [{chain: good.pem, key: good.key}]\n"
           "upstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\napi: {hosts: [api.example]}\n",
           0, "none is for api.example: ");
    EXPECT("state_dir: s\ncertificates: [{chain: good.pem, key: good.key}, {chain: api.pem, key: api.key}]\n"
           "upstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\napi: {hosts: [api.example]}\n",
           0, "no errors");
    EXPECT("state_dir: s\nupstreams: [{name: api, servers: [\"127.0.0.1:1\"], tls: true, tls_certificate: "
           "good.pem, "
           "tls_key: other.key}]\n",
           1, "upstreams: ", "the key does not belong to the certificate");
}

static void places_that_cannot_be_written(void **state)
{
    (void)state;
    EXPECT("state_dir: file/s\n", 1, "state_dir: the directory ", "cannot be ", "Not a directory");
    EXPECT("state_dir: s\nlog: {access: file/a.log}\n", 1,
           "log.access: ", "cannot be written: Not a directory");
    EXPECT("state_dir: s\nlog: {access: none/a.log}\n", 1, "log.access: ", "No such file");
    EXPECT("state_dir: s\nlog: {access: .}\n", 1, "log.access: ", "is a directory; allowed: a file");
    if (geteuid() == 0)
        return; /* a user who may write everywhere */
    EXPECT("state_dir: /proc/s\n", 1, "state_dir: the directory \"/proc/s\" cannot be made");
}

static void expect_exposure(const char *box, bool good)
{
    static const struct {
        const char *conf;
        bool exposes;
    } apis[] = {{"upstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\napi: {hosts: [api.example]}\n", true},
                {"upstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\n"
                 "api: {hosts: [api.example], previews: false}\n",
                 false},
                {"", false}};
    for (size_t j = 0; j < sizeof(apis) / sizeof(apis[0]); j++) {
        char more[512];
        bool taken = good || !apis[j].exposes;
        snprintf(more, sizeof(more), "state_dir: s\nboxes: [{id: dev, %s}]\n%s", box, apis[j].conf);
        EXPECT(more, taken ? 0 : 1,
               taken ? "no errors" : "/e.yaml:7:9: boxes[0].ports: is missing: \"dev\" is this machine (",
               taken ? "" : "such as ports: [3000]");
    }
}

/* At an address of this machine: without ports, with them, and at one port. */
static void expect_own(const char *address)
{
    char box[128];
    const char *open = strchr(address, ':') != NULL ? "[" : "", *close = open[0] != '\0' ? "]" : "";
    snprintf(box, sizeof(box), "address: \"%s%s%s\"", open, address, close);
    expect_exposure(box, false);
    snprintf(box, sizeof(box), "address: \"%s%s%s\", ports: [3000]", open, address, close);
    expect_exposure(box, true);
    snprintf(box, sizeof(box), "address: \"%s%s%s:3000\"", open, address, close);
    expect_exposure(box, true);
}

/* Every owner of an API key could publish any port of such a box, at each address of this machine. */
static void machines_without_declared_ports(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1", "127.5.0.1", "::1"};
    char address[INET6_ADDRSTRLEN], box[128];
    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
        expect_own(loopback[i]);
    for (size_t i = 0; own_fixture(i, address); i++)
        expect_own(address);
    expect_exposure("address: 203.0.113.7", true); /* nobody's */
    expect_exposure("address: \"[2001:db8::7]\"", true);
    static const char *const nowhere[] = {"0.0.0.0", "0.0.0.1", "[::]", "[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        snprintf(box, sizeof(box), "state_dir: s\nboxes: [{id: dev, address: \"%s\"}]\n", nowhere[i]);
        EXPECT(box, 1, "/e.yaml:7:28: boxes[0].address: ");
    }
}

/* Errors of the text, of limits and of files alike. */
static void what_is_refused_in_general(void **state)
{
    (void)state;
    EXPECT("state_dir: s\nworkers: 257\n", 1, "workers: ");
    EXPECT("state_dir: s\nworkers: 256\n", 0, "no errors");
    EXPECT("state_dir: s\nno_such_key: 1\n", 1, "no_such_key");
    EXPECT("state_dir: s\ncertificates: [{chain: none.pem, key: none.key}]\n", 1,
           "none.pem\" cannot be read");
    EXPECT("state_dir: s\nboxes: [{id: a, address: \"127.8.4.43:8443\"}]\n", 1, "is a listener of the edge");
    EXPECT("state_dir: s\ncontrol_plane: {url: \"https://c.example\", token_file: none}\n", 1,
           "control_plane.token_file: ");
    EXPECT("state_dir: s\nupstreams: [{name: api, servers: [\"127.0.0.1:1\"], tls: true, tls_ca: file}]\n", 1,
           "has no certificate in it");
    EXPECT("state_dir: s\nupstreams: [{name: api, servers: [\"127.0.0.1:1\"]}]\n"
           "api: {hosts: [api.example], settle_key: none}\n",
           1, "api.settle_key: ");
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
    assert_true(str_starts(str_from(output), STR("boxedge check: -c FILE is missing\n\nusage: ")));
    assert_int_equal(RUN(output, "-c"), 2);
    assert_int_equal(RUN(output, "-x"), 2);
    assert_int_equal(RUN(output, "-c", "a", "b"), 2);
    assert_int_equal(RUN(output, "--print-default", "a"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(certificates),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(machines_without_declared_ports),
        cmocka_unit_test(what_is_refused_in_general),
        cmocka_unit_test(pages),
        cmocka_unit_test(wrong_command_lines),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
