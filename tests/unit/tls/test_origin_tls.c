/* TLS to servers of upstreams, against a server that the test plays in memory: over TLS 1.2 and 1.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "certificates.h"
#include "origin_tls.h"

#define PAIR_BYTES 65536

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static tls_pem_t authority, other_authority, client;
static time_t now;

/* ---- a world ---- */

typedef struct connection {
    SSL *edge, *server;
    bool good; /* both sides have finished, and agree on the protocol */
    bool resumed;
} connection_t;

static conf_t *conf_of(const char *upstream)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "preview_domain: p.test\nnode: n\nlisteners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"
             "upstreams: [%s]\n",
             upstream);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("t.yaml", str_from(text), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    assert_non_null(conf);
    return conf;
}

static tls_pem_t pem_of(const tls_pem_t *trusted, const tls_pem_t *shown)
{
    return (tls_pem_t){.authorities = trusted != NULL ? trusted->chain : (char *)"",
                       .chain = shown != NULL ? shown->chain : (char *)"",
                       .key = shown != NULL ? shown->key : (char *)""};
}

static origin_tls_t *make(const char *upstream, tls_pem_t pem, origin_tls_t *before)
{
    char error[256] = "";
    conf_t *conf = conf_of(upstream);
    tls_pem_t pems[] = {pem, pem};
    origin_tls_t *tls = origin_tls_new(conf, pems, before, error, sizeof(error));
    conf_release(&conf);
    assert_string_equal(error, "");
    assert_non_null(tls);
    return tls;
}

/* Selects the test's protocol. NULL: none. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                  unsigned in_len, void *arg)
{
    (void)ssl;
    (void)in;
    (void)in_len;
    if (arg == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    *out = arg;
    *out_len = (unsigned char)strlen(arg);
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_new(const tls_pem_t *pem, int version, const char *protocol)
{
    SSL_CTX *ctx = server_tls(pem, version);
    SSL_CTX_set_alpn_select_cb(ctx, choose, (void *)protocol);
    return ctx;
}

static void ask_for_client(SSL_CTX *ctx)
{
    BIO *bio = BIO_new_mem_buf(client.chain, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_free(cert);
    BIO_free(bio);
}

/* Handshake, and a byte from the server, which brings the records behind it (tickets, alerts). */
static connection_t talk(SSL *edge, SSL_CTX *ctx)
{
    connection_t c = {.edge = edge, .server = SSL_new(ctx)};
    BIO *a, *b;
    char byte;
    assert_non_null(edge);
    assert_int_equal(BIO_new_bio_pair(&a, PAIR_BYTES, &b, PAIR_BYTES), 1);
    SSL_set_bio(c.edge, a, a);
    SSL_set_bio(c.server, b, b);
    SSL_set_accept_state(c.server);
    int mine = 0, theirs = 0;
    for (int i = 0; i < 10; i++) {
        ERR_clear_error();
        mine = SSL_do_handshake(c.edge);
        theirs = SSL_do_handshake(c.server);
    }
    if (theirs == 1)
        (void)SSL_write(c.server, "x", 1);
    bool heard = mine == 1 && SSL_read(c.edge, &byte, 1) == 1;
    c.good = heard && theirs == 1 && origin_tls_agreed(c.edge);
    c.resumed = c.good && SSL_session_reused(c.edge) == 1;
    return c;
}

static void hang_up(connection_t *c)
{
    SSL_set_shutdown(c->edge, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_set_shutdown(c->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->edge);
    SSL_free(c->server);
}

/* `reason` NULL: it works. */
static void expect(origin_tls_t *tls, const tls_pem_t *leaf, const char *reason)
{
    for (size_t i = 0; i < 2; i++) {
        char said[256] = "";
        SSL_CTX *ctx = server_new(leaf, versions[i], "http/1.1");
        connection_t c = talk(origin_tls_make(tls, 0, 0), ctx);
        if (!c.good) {
            assert_true(origin_tls_failed(c.edge, (i + 1) * ORIGIN_TLS_REPORT_MS, said, sizeof(said)));
            assert_false(origin_tls_failed(c.edge, (i + 2) * ORIGIN_TLS_REPORT_MS - 1, said, sizeof(said)));
        }
        assert_string_equal(said, reason != NULL ? reason : "");
        assert_true(c.good == (reason == NULL));
        hang_up(&c);
        SSL_CTX_free(ctx);
    }
}

static void expect_for(const char *upstream, const tls_pem_t *trusted, const tls_pem_t *leaf,
                       const char *reason)
{
    origin_tls_t *tls = make(upstream, pem_of(trusted, NULL), NULL);
    expect(tls, leaf, reason);
    origin_tls_release(&tls);
    assert_null(tls);
}

#define BY_NAME    "{name: api, servers: [\"api.test:443\"], tls: true, tls_ca: ca.pem}"
#define BY_SYSTEM  "{name: api, servers: [\"api.test:443\"], tls: true}"
#define BY_ADDRESS "{name: api, servers: [\"192.0.2.7:443\"], tls: true, tls_ca: ca.pem}"

/* ---- the server's identity ---- */

static void a_certificate_must_have_the_name(void **state)
{
    (void)state;
    tls_pem_t right = certificate_issue("DNS:api.test", now, 2, &authority, false);
    tls_pem_t wild = certificate_issue("DNS:*.api.test", now, 2, &authority, false);
    tls_pem_t wrong = certificate_issue("DNS:other.test", now, 2, &authority, false);
    tls_pem_t nameless = certificate_issue(NULL, now, 2, &authority, false);
    expect_for(BY_NAME, &authority, &right, NULL);
    expect_for("{name: api, servers: [\"v1.api.test:443\"], tls: true, tls_ca: ca.pem}", &authority, &wild,
               NULL);
    expect_for(BY_NAME, &authority, &wild, "hostname mismatch (api.test)");
    expect_for(BY_NAME, &authority, &wrong, "hostname mismatch (api.test)");
    expect_for("{name: api, servers: [\"192.0.2.7:443\"], tls: true, tls_ca: ca.pem, tls_name: api.test}",
               &authority, &right, NULL);
    expect_for("{name: api, servers: [\"api.test:443\"], tls: true, tls_ca: ca.pem, tls_name: b.test}",
               &authority, &right, "hostname mismatch (b.test)");
    /* The common name does not count (RFC 9525). */
    expect_for("{name: api, servers: [\"common.test:443\"], tls: true, tls_ca: ca.pem}", &authority,
               &nameless, "hostname mismatch (common.test)");
    tls_pem_fini(&right);
    tls_pem_fini(&wild);
    tls_pem_fini(&wrong);
    tls_pem_fini(&nameless);
}

static void an_address_is_no_name(void **state)
{
    (void)state;
    tls_pem_t right = certificate_issue("IP:192.0.2.7", now, 2, &authority, false);
    tls_pem_t wrong = certificate_issue("IP:192.0.2.8,DNS:192.0.2.7", now, 2, &authority, false);
    tls_pem_t v6 = certificate_issue("IP:2001:db8::7", now, 2, &authority, false);
    expect_for(BY_ADDRESS, &authority, &right, NULL);
    expect_for(BY_ADDRESS, &authority, &wrong, "IP address mismatch (192.0.2.7)");
    expect_for("{name: api, servers: [\"[2001:db8::7]:443\"], tls: true, tls_ca: ca.pem}", &authority, &v6,
               NULL);
    tls_pem_fini(&right);
    tls_pem_fini(&wrong);
    tls_pem_fini(&v6);
}

static void a_certificate_must_be_vouched_for_and_in_time(void **state)
{
    (void)state;
    tls_pem_t right = certificate_issue("DNS:api.test", now, 2, &authority, false);
    tls_pem_t expired = certificate_issue("DNS:api.test", now - 10 * 86400, 2, &authority, false);
    tls_pem_t early = certificate_issue("DNS:api.test", now + 86400, 2, &authority, false);
    tls_pem_t own = certificate_make("DNS:api.test", now, 2);
    expect_for(BY_NAME, &other_authority, &right, "certificate signature failure (api.test)");
    expect_for(BY_NAME, &authority, &expired, "certificate has expired (api.test)");
    expect_for(BY_NAME, &authority, &early, "certificate is not yet valid (api.test)");
    expect_for(BY_NAME, &authority, &own, "self-signed certificate (api.test)");
    expect_for(BY_SYSTEM, NULL, &right, "unable to get local issuer certificate (api.test)");
    expect_for(BY_SYSTEM, &authority, &right, NULL);
    /* The system's certificate must be a root; a private authority need not be. */
    expect_for(BY_SYSTEM, &right, &right, "unable to get local issuer certificate (api.test)");
    expect_for(BY_NAME, &right, &right, NULL);
    expect_for(BY_NAME, &own, &own, NULL);
    tls_pem_fini(&right);
    tls_pem_fini(&expired);
    tls_pem_fini(&early);
    tls_pem_fini(&own);
}

static const char *name_seen(SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name != NULL ? name : "none";
}

static void the_server_is_told_the_name_and_never_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *upstream, *names, *sni;
    } cases[] = {
        {BY_NAME, "DNS:api.test", "api.test"},
        {BY_ADDRESS, "IP:192.0.2.7", "none"},
    };
    for (size_t i = 0; i < 2; i++) {
        tls_pem_t leaf = certificate_issue(cases[i].names, now, 2, &authority, false);
        origin_tls_t *tls = make(cases[i].upstream, pem_of(&authority, NULL), NULL);
        SSL_CTX *ctx = server_new(&leaf, TLS1_3_VERSION, NULL); /* no ALPN: HTTP/1 */
        connection_t c = talk(origin_tls_make(tls, 0, 0), ctx);
        assert_true(c.good);
        assert_string_equal(name_seen(c.server), cases[i].sni);
        hang_up(&c);
        SSL_CTX_free(ctx);
        origin_tls_release(&tls);
        tls_pem_fini(&leaf);
    }
}

/* ---- protocols ---- */

static void http2_must_be_agreed_on(void **state)
{
    (void)state;
    static const char *const chosen[] = {"h2", "http/1.1", NULL};
    tls_pem_t leaf = certificate_issue("DNS:api.test", now, 2, &authority, false);
    origin_tls_t *h1 = make(BY_NAME, pem_of(&authority, NULL), NULL);
    origin_tls_t *h2 =
        make("{name: api, servers: [\"api.test:443\"], tls: true, tls_ca: ca.pem, protocol: h2}",
             pem_of(&authority, NULL), NULL);
    for (size_t i = 0; i < 6; i++) {
        bool wants_h2 = i < 3;
        const char *protocol = chosen[i % 3];
        SSL_CTX *ctx = server_new(&leaf, versions[i % 2], protocol);
        connection_t c = talk(origin_tls_make(wants_h2 ? h2 : h1, 0, 0), ctx);
        bool is_h2 = protocol != NULL && strcmp(protocol, "h2") == 0;
        assert_true(c.good == (wants_h2 ? is_h2 : !is_h2));
        hang_up(&c);
        SSL_CTX_free(ctx);
    }
    origin_tls_release(&h1);
    origin_tls_release(&h2);
    tls_pem_fini(&leaf);
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    char said[256];
    tls_pem_t leaf = certificate_issue("DNS:api.test", now, 2, &authority, false);
    origin_tls_t *tls = make(BY_NAME, pem_of(&authority, NULL), NULL);
    SSL_CTX *ctx = server_new(&leaf, TLS1_1_VERSION, NULL);
    SSL_CTX_set_security_level(ctx, 0);
    connection_t c = talk(origin_tls_make(tls, 0, 0), ctx);
    assert_false(c.good);
    assert_true(origin_tls_failed(c.edge, 0, said, sizeof(said)));
    assert_string_equal(said, "the server sent the alert \"protocol version\" (api.test)");
    hang_up(&c);
    SSL_CTX_free(ctx);
    origin_tls_release(&tls);
    tls_pem_fini(&leaf);
}

/* ---- the edge's identity ---- */

static void a_client_certificate_is_shown(void **state)
{
    (void)state;
    tls_pem_t leaf = certificate_issue("DNS:api.test", now, 2, &authority, false);
    for (size_t i = 0; i < 4; i++) {
        bool shows = i < 2;
        origin_tls_t *tls = make(BY_NAME, pem_of(&authority, shows ? &client : NULL), NULL);
        SSL_CTX *ctx = server_new(&leaf, versions[i % 2], "http/1.1");
        ask_for_client(ctx);
        connection_t c = talk(origin_tls_make(tls, 0, 0), ctx);
        assert_true(c.good == shows);
        assert_true(origin_tls_refused(c.edge) == !shows);
        if (!shows) {
            char said[256];
            assert_true(origin_tls_failed(c.edge, 0, said, sizeof(said)));
            assert_non_null(strstr(said, "the server sent the alert"));
        }
        hang_up(&c);
        SSL_CTX_free(ctx);
        origin_tls_release(&tls);
    }
    tls_pem_fini(&leaf);
}

static void expect_error(const char *upstream, tls_pem_t pem, const char *sentence)
{
    char error[256] = "";
    conf_t *conf = conf_of(upstream);
    assert_null(origin_tls_new(conf, &pem, NULL, error, sizeof(error)));
    assert_string_equal(error, sentence);
    conf_release(&conf);
}

static void files_that_are_not_right_are_refused(void **state)
{
    (void)state;
    tls_pem_t pem = pem_of(&authority, &client);
    pem.key = authority.key;
    expect_error(BY_NAME, pem,
                 "upstream api: certificate (edge.test): the key does not belong to the certificate (key "
                 "values mismatch)");
    pem = pem_of(&authority, NULL);
    pem.authorities = (char *)"rubbish";
    expect_error(BY_NAME, pem,
                 "upstream api: tls_ca: it is not a list of 1 to 1024 certificates in PEM form");
    pem.authorities = (char *)"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    expect_error(BY_NAME, pem,
                 "upstream api: tls_ca: it is not a list of 1 to 1024 certificates in PEM form");
}

/* ---- sessions ---- */

static bool is_resumed(origin_tls_t *tls, size_t server, SSL_CTX *ctx)
{
    connection_t c = talk(origin_tls_make(tls, 0, server), ctx);
    assert_true(c.good);
    bool resumed = c.resumed;
    hang_up(&c);
    return resumed;
}

#define TWO_NAMES "{name: api, servers: [\"a.test:443\", \"b.test:443\"], tls: true, tls_ca: ca.pem}"

static void a_session_is_resumed_under_its_name_only(void **state)
{
    (void)state;
    tls_pem_t leaf = certificate_issue("DNS:a.test,DNS:b.test", now, 2, &authority, false);
    for (size_t i = 0; i < 2; i++) {
        origin_tls_t *tls = make(TWO_NAMES, pem_of(&authority, NULL), NULL);
        SSL_CTX *ctx = server_new(&leaf, versions[i], NULL);
        assert_false(is_resumed(tls, 0, ctx));
        assert_true(is_resumed(tls, 0, ctx));
        assert_true(is_resumed(tls, 0, ctx));
        assert_false(is_resumed(tls, 1, ctx));
        assert_true(is_resumed(tls, 1, ctx));
        SSL_CTX_free(ctx);
        origin_tls_release(&tls);
    }
    tls_pem_fini(&leaf);
}

static void sessions_are_few_and_small(void **state)
{
    (void)state;
    tls_pem_t leaf = certificate_issue("DNS:a.test", now, 2, &authority, false);
    origin_tls_t *tls = make(TWO_NAMES, pem_of(&authority, NULL), NULL);
    SSL_CTX *ctx = server_new(&leaf, TLS1_3_VERSION, NULL);
    SSL_CTX_set_num_tickets(ctx, 20);
    assert_false(is_resumed(tls, 0, ctx));
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL *made[ORIGIN_TLS_SESSIONS + 1];
    for (size_t i = 0; i <= ORIGIN_TLS_SESSIONS; i++) { /* each is used once */
        made[i] = origin_tls_make(tls, 0, 0);
        assert_true((SSL_get_session(made[i]) != NULL) == (i < ORIGIN_TLS_SESSIONS));
    }
    for (size_t i = 0; i <= ORIGIN_TLS_SESSIONS; i++)
        SSL_free(made[i]);
    SSL_CTX_free(ctx);
    origin_tls_release(&tls);
    tls_pem_fini(&leaf);
}

static void a_session_ends_with_its_certificate_and_with_a_failure(void **state)
{
    (void)state;
    char said[256];
    tls_pem_t leaf = certificate_issue("DNS:a.test", now, 2, &authority, false);
    origin_tls_t *tls = make(TWO_NAMES, pem_of(&authority, NULL), NULL);
    SSL_CTX *ctx = server_new(&leaf, TLS1_2_VERSION, NULL);
    assert_false(is_resumed(tls, 0, ctx));
    SSL *ssl = origin_tls_make(tls, 0, 0);
    X509 *certificate = SSL_SESSION_get0_peer(SSL_get_session(ssl));
    ASN1_TIME_set(X509_getm_notAfter(certificate), now - 60);
    SSL_free(ssl);
    assert_false(is_resumed(tls, 0, ctx));
    assert_true(is_resumed(tls, 0, ctx));
    ssl = origin_tls_make(tls, 0, 0);
    assert_true(origin_tls_failed(ssl, 0, said, sizeof(said)));
    SSL_free(ssl);
    assert_false(is_resumed(tls, 0, ctx));
    SSL_CTX_free(ctx);
    origin_tls_release(&tls);
    tls_pem_fini(&leaf);
}

/* ---- changes by a reload ---- */

static void what_stays_the_same_is_kept(void **state)
{
    (void)state;
    origin_tls_t *first = make(BY_NAME, pem_of(&authority, NULL), NULL);
    origin_tls_t *same = make(BY_NAME, pem_of(&authority, NULL), first);
    assert_ptr_equal(same, first);
    origin_tls_release(&same);
    const struct {
        const char *upstream;
        tls_pem_t pem;
    } changes[] = {
        {BY_NAME, pem_of(&other_authority, NULL)},
        {BY_NAME, pem_of(&authority, &client)},
        {BY_ADDRESS, pem_of(&authority, NULL)},
        {"{name: api, servers: [\"api.test:443\"], tls: true, tls_ca: ca.pem, protocol: h2}",
         pem_of(&authority, NULL)},
        {"{name: api, servers: [\"api.test:443\"], tls: true, tls_ca: ca.pem, tls_name: b.test}",
         pem_of(&authority, NULL)},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        origin_tls_t *next = make(changes[i].upstream, changes[i].pem, first);
        assert_ptr_not_equal(next, first);
        assert_false(str_eq(origin_tls_pool(next, 0), origin_tls_pool(first, 0)));
        origin_tls_release(&next);
    }
    origin_tls_release(&first);
}

static void servers_that_are_not_there_get_no_connection(void **state)
{
    (void)state;
    tls_pem_t leaf = certificate_issue("DNS:api.test", now, 2, &authority, false);
    origin_tls_t *tls =
        make(BY_NAME ", {name: plain, servers: [\"127.0.0.1:80\"]}", pem_of(&authority, NULL), NULL);
    assert_null(origin_tls_make(tls, 0, 1));
    assert_null(origin_tls_make(tls, 1, 0));
    assert_null(origin_tls_make(tls, 2, 0));
    /* A connection outlives it; sessions offered to it then are dropped. */
    SSL_CTX *ctx = server_new(&leaf, TLS1_3_VERSION, NULL);
    SSL *ssl = origin_tls_make(tls, 0, 0);
    origin_tls_release(&tls);
    connection_t c = talk(ssl, ctx);
    assert_false(c.good);
    char said[256];
    assert_true(origin_tls_failed(c.edge, 0, said, sizeof(said)));
    hang_up(&c);
    SSL_CTX_free(ctx);
    tls_pem_fini(&leaf);
}

int main(void)
{
    now = time(NULL) - 60;
    authority = certificate_issue(NULL, now, 2, NULL, true);
    other_authority = certificate_issue("DNS:x.test", now, 2, NULL, true);
    client = certificate_make("DNS:edge.test", now, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_must_have_the_name),
        cmocka_unit_test(an_address_is_no_name),
        cmocka_unit_test(a_certificate_must_be_vouched_for_and_in_time),
        cmocka_unit_test(the_server_is_told_the_name_and_never_an_address),
        cmocka_unit_test(http2_must_be_agreed_on),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(a_client_certificate_is_shown),
        cmocka_unit_test(files_that_are_not_right_are_refused),
        cmocka_unit_test(a_session_is_resumed_under_its_name_only),
        cmocka_unit_test(sessions_are_few_and_small),
        cmocka_unit_test(a_session_ends_with_its_certificate_and_with_a_failure),
        cmocka_unit_test(what_stays_the_same_is_kept),
        cmocka_unit_test(servers_that_are_not_there_get_no_connection),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tls_pem_fini(&authority);
    tls_pem_fini(&other_authority);
    tls_pem_fini(&client);
    return failed;
}
