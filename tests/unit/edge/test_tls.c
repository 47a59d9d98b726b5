/* TLS termination: certificates by server name, resumption and its bounds, ALPN, versions, errors of files.
 * Both ends are OpenSSL's, joined by memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "certificates.h"
#include "tls.h"
#include "tls_impl.h"

/* The certificates of a server. */
enum { FIRST, EXACT, WILDCARD, BOTH, CERTIFICATES };

static tls_pem_t pems[CERTIFICATES];
static tls_t *server;
static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static int group_setup(void **state)
{
    (void)state;
    time_t from = time(NULL) - 3600;
    pems[FIRST] = certificate_make("DNS:first.test", from, 2);
    pems[EXACT] = certificate_make("DNS:a.wild.test,DNS:Exact.TEST", from, 2);
    pems[WILDCARD] = certificate_make("DNS:*.wild.test", from, 2);
    pems[BOTH] = certificate_make("DNS:*.both.test,DNS:both.test,IP:192.0.2.7,IP:2001:db8::7", from, 2);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < CERTIFICATES; i++)
        tls_pem_fini(&pems[i]);
    return 0;
}

static tls_t *server_new(size_t first, size_t count, const tls_ticket_keys_t *keys)
{
    char error[256] = "";
    tls_t *tls = tls_new(pems + first, count, keys, error, sizeof(error));
    if (tls == NULL)
        print_message("%s\n", error);
    assert_non_null(tls);
    return tls;
}

static int setup(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    server = server_new(0, CERTIFICATES, &keys);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_free(&server);
    assert_int_equal(ERR_peek_error(), 0);
    return 0;
}

/* ---- a client ---- */

/* What a client asks for and what it got. */
typedef struct client {
    int version;
    const char *name;          /* server name; NULL: none */
    const unsigned char *alpn; /* wire format; NULL: none */
    unsigned alpn_len;
    SSL_SESSION *session; /* to resume */
    SSL_SESSION *fresh;   /* came meanwhile; the caller's */
    SSL *ssl;
    SSL *server_ssl;
    int reason; /* why the client failed, 0 where it did not */
} client_t;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    client_t *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->fresh);
    client->fresh = session;
    return 1;
}

/* The server's end takes the first certificate's context in every handshake, as tls_accept gives it. */
static void client_open(client_t *client, tls_t *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    int version = client->version != 0 ? client->version : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    client->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_app_data(client->ssl, client);
    SSL_set_connect_state(client->ssl);
    if (client->name != NULL)
        SSL_set_tlsext_host_name(client->ssl, client->name);
    if (client->alpn != NULL)
        SSL_set_alpn_protos(client->ssl, client->alpn, client->alpn_len);
    if (client->session != NULL)
        SSL_set_session(client->ssl, client->session);
    client->server_ssl = tls_accept(tls);
    assert_non_null(client->server_ssl);
    BIO *near, *far;
    BIO_new_bio_pair(&near, 65536, &far, 65536);
    SSL_set_bio(client->ssl, near, near);
    SSL_set_bio(client->server_ssl, far, far);
}

/* Runs the handshake; true when both ends finished. */
static bool client_run(client_t *client)
{
    int done = 0, served = 0;
    for (int i = 0; i < 10 && (done != 1 || served != 1); i++) {
        done = SSL_do_handshake(client->ssl);
        if (done != 1 && SSL_get_error(client->ssl, done) == SSL_ERROR_SSL)
            break;
        ERR_clear_error();
        served = SSL_do_handshake(client->server_ssl);
        ERR_clear_error(); /* a refusal shows at the client, as the alert */
    }
    client->reason = done == 1 ? 0 : ERR_GET_REASON(ERR_peek_error());
    ERR_clear_error();
    char byte;
    if (done == 1) {
        SSL_read(client->ssl, &byte, 1); /* takes the ticket of TLS 1.3 */
        ERR_clear_error();
    }
    return done == 1 && served == 1;
}

static bool client_handshake(client_t *client, tls_t *tls)
{
    client_open(client, tls);
    return client_run(client);
}

static void client_close(client_t *client)
{
    SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(client->ssl);
    SSL_free(client->server_ssl);
    SSL_SESSION_free(client->fresh);
    client->ssl = client->server_ssl = NULL;
    client->fresh = NULL;
}

/* Which of pems served. */
static int served_by(const client_t *client)
{
    X509 *got = SSL_get0_peer_certificate(client->ssl);
    for (int i = 0; i < CERTIFICATES; i++) {
        BIO *bio = BIO_new_mem_buf(pems[i].chain, -1);
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
        bool same = X509_cmp(got, cert) == 0;
        X509_free(cert);
        if (same)
            return i;
    }
    return -1;
}

/* ---- which certificate ---- */

static void expect_certificate(const char *name, int index)
{
    for (size_t v = 0; v < 2; v++) {
        client_t client = {.version = versions[v], .name = name};
        assert_true(client_handshake(&client, server));
        assert_int_equal(served_by(&client), index);
        client_close(&client);
    }
}

static void test_certificate_by_name(void **state)
{
    (void)state;
    expect_certificate("first.test", FIRST);
    expect_certificate("exact.test", EXACT);
    expect_certificate("EXACT.test", EXACT);
    expect_certificate("exact.test.", EXACT);
    expect_certificate("a.wild.test", EXACT); /* exact wins over an earlier or later wildcard */
    expect_certificate("b.wild.test", WILDCARD);
    expect_certificate("x.both.test", BOTH);
    expect_certificate("both.test", BOTH);
}

static void test_the_first_certificate_serves_the_rest(void **state)
{
    (void)state;
    expect_certificate(NULL, FIRST);
    expect_certificate("unknown.test", FIRST);
    expect_certificate("wild.test", FIRST);     /* a wildcard is one label, not none */
    expect_certificate("a.b.wild.test", FIRST); /* nor two */
    expect_certificate(".wild.test", FIRST);
    expect_certificate("common.test", FIRST); /* the CN of all of them is no name */
}

/* A ClientHello with the given server_name extension body; returns the alert that the server sends, 0 for
 * none. */
static int alert_for_server_name(const unsigned char *body, size_t len)
{
    client_t client = {.name = "first.test"};
    client_open(&client, server);
    assert_true(SSL_do_handshake(client.ssl) < 0);
    ERR_clear_error();
    unsigned char hello[4096];
    int n = BIO_read(SSL_get_rbio(client.server_ssl), hello, sizeof(hello));
    assert_true(n > 100);
    /* The extension as the client wrote it: type 0, 15 bytes, of which the name is "first.test". */
    static const unsigned char wrote[] = "\0\0\0\x0f\0\x0d\0\0\x0a"
                                         "first.test";
    unsigned char *at = memmem(hello, (size_t)n, wrote, sizeof(wrote) - 1);
    assert_non_null(at);
    size_t tail = (size_t)(hello + n - (at + sizeof(wrote) - 1));
    memmove(at + 4 + len, at + sizeof(wrote) - 1, tail);
    memcpy(at + 4, body, len);
    at[2] = (unsigned char)(len >> 8);
    at[3] = (unsigned char)len;
    int change = (int)len - 15;
    n += change;
    /* Lengths that enclose it: record, handshake message, all extensions. */
    size_t ext_at = 5 + 4 + 2 + 32;
    ext_at += 1 + hello[ext_at];
    ext_at += 2 + (size_t)(hello[ext_at] << 8 | hello[ext_at + 1]);
    ext_at += 1 + hello[ext_at];
    size_t places[] = {3, 7, ext_at};
    for (size_t i = 0; i < 3; i++) {
        int value = (hello[places[i]] << 8 | hello[places[i] + 1]) + change;
        hello[places[i]] = (unsigned char)(value >> 8);
        hello[places[i] + 1] = (unsigned char)value;
    }
    BIO *in = BIO_new_mem_buf(hello, n);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(client.server_ssl, in, out);
    int alert = 0;
    unsigned char reply[4096];
    if (SSL_do_handshake(client.server_ssl) != 1) {
        int got = BIO_read(out, reply, sizeof(reply));
        if (got >= 7 && reply[0] == SSL3_RT_ALERT)
            alert = reply[6];
    }
    ERR_clear_error();
    client_close(&client);
    return alert;
}

static void test_malformed_server_names(void **state)
{
    (void)state;
#define ALERT(body) alert_for_server_name((const unsigned char *)(body), sizeof(body) - 1)
    assert_int_equal(ALERT("\0\x08\0\0\x05"
                           "a.tst"),
                     0);
    assert_int_equal(ALERT(""), SSL_AD_DECODE_ERROR);
    assert_int_equal(ALERT("\0"), SSL_AD_DECODE_ERROR);
    assert_int_equal(ALERT("\0\x03\0\0\0"), SSL_AD_DECODE_ERROR); /* an empty name */
    assert_int_equal(ALERT("\0\x09\0\0\x05"
                           "a.tst"),
                     SSL_AD_DECODE_ERROR); /* the list is longer than the extension */
    assert_int_equal(ALERT("\0\x08\0\0\x06"
                           "a.tst"),
                     SSL_AD_DECODE_ERROR); /* the name is longer than the list */
    assert_int_equal(ALERT("\0\x08\0\0\x04"
                           "a.tst"),
                     SSL_AD_DECODE_ERROR); /* shorter */
    assert_int_equal(ALERT("\0\x08\x01\0\x05"
                           "a.tst"),
                     SSL_AD_DECODE_ERROR); /* no host name */
    assert_int_equal(ALERT("\0\x08\0\0\x05"
                           "a\0tst"),
                     SSL_AD_DECODE_ERROR);
    assert_int_equal(ALERT("\0\x10\0\0\x05"
                           "a.tst"
                           "\0\0\x05"
                           "b.tst"),
                     SSL_AD_DECODE_ERROR); /* two names of one type */
    unsigned char longest[5 + 256] = {1, 2, 0, 0, 255};
    memset(longest + 5, 'a', 256);
    assert_int_equal(alert_for_server_name(longest, 5 + 255), 0);
    longest[1] = 3;
    longest[3] = 1;
    longest[4] = 0;
    assert_int_equal(alert_for_server_name(longest, 5 + 256), SSL_AD_DECODE_ERROR);
}

/* ---- tls_covers ---- */

/* What tls_covers says of each name equals what OpenSSL's own check says. */
static void test_covers(void **state)
{
    (void)state;
    static const char *hosts[] = {
        "both.test",  "x.both.test", "x-3000.both.test", "a.x.both.test", "oth.test",      "xboth.test",
        ".both.test", "*.both.test", "common.test",      "test",          "x.both.test.x", "first.test",
        "",           "x",           "both.tes"};
    client_t client = {.name = "both.test"};
    assert_true(client_handshake(&client, server));
    X509 *cert = SSL_get0_peer_certificate(client.ssl);
    unsigned covered = 0;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        bool expected = hosts[i][0] != '\0' && X509_check_host(cert, hosts[i], strlen(hosts[i]),
                                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                                   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                                                   X509_CHECK_FLAG_SINGLE_LABEL_SUBDOMAINS,
                                                               NULL) == 1;
        /* OpenSSL takes a name with a leading dot for a question about subdomains. */
        if (hosts[i][0] == '.')
            expected = false;
        if (hosts[i][0] == '*')
            expected = true; /* no host that a request can carry; harmless either way */
        assert_int_equal(tls_covers(client.server_ssl, str_from(hosts[i])), expected);
        covered += expected;
    }
    assert_int_equal(covered, 4);
    assert_true(tls_covers(client.server_ssl, STR("192.0.2.7")));
    assert_true(tls_covers(client.server_ssl, STR("[2001:db8::7]")));
    assert_false(tls_covers(client.server_ssl, STR("192.0.2.8")));
    client_close(&client);
}

static void test_odd_wildcards_cover_nothing(void **state)
{
    (void)state;
    tls_pem_t pem =
        certificate_make("DNS:*.com,DNS:w*.odd.test,DNS:*a.odd.test,DNS:x.*.odd.test,DNS:*,DNS:*.,"
                         "DNS:*.*.odd.test,DNS:.dot.test,DNS:good.test",
                         time(NULL) - 3600, 2);
    tls_ticket_keys_t keys = ticket_keys_make(1, 1);
    char error[256];
    tls_t *tls = tls_new(&pem, 1, &keys, error, sizeof(error));
    assert_non_null(tls);
    client_t client = {0};
    assert_true(client_handshake(&client, tls));
    static const char *hosts[] = {"example.com",  "www.odd.test", "aa.odd.test", "x.y.odd.test",
                                  "a.b.odd.test", "a.dot.test",   "dot.test",    "localhost",
                                  "x.",           ".com"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        assert_false(tls_covers(client.server_ssl, str_from(hosts[i])));
    assert_true(tls_covers(client.server_ssl, STR("good.test")));
    client_close(&client);
    tls_free(&tls);
    tls_pem_fini(&pem);
}

/* ---- ALPN ---- */

static void expect_alpn(const char *wire, size_t len, const char *chosen)
{
    for (size_t v = 0; v < 2; v++) {
        client_t client = {
            .version = versions[v], .alpn = (const unsigned char *)wire, .alpn_len = (unsigned)len};
        bool done = client_handshake(&client, server);
        assert_int_equal(done, chosen != NULL);
        if (chosen != NULL) {
            const unsigned char *name;
            unsigned name_len;
            SSL_get0_alpn_selected(client.ssl, &name, &name_len);
            assert_int_equal(name_len, strlen(chosen));
            assert_memory_equal(name, chosen, name_len);
            assert_int_equal(tls_is_h2(client.server_ssl), strcmp(chosen, "h2") == 0);
        } else {
            assert_int_equal(client.reason, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        }
        client_close(&client);
    }
}

static void test_alpn(void **state)
{
    (void)state;
#define ALPN(wire, chosen) expect_alpn(wire, sizeof(wire) - 1, chosen)
    ALPN("\x02h2", "h2");
    ALPN("\x08http/1.1", "http/1.1");
    ALPN("\x08http/1.1\x02h2", "h2"); /* our preference, not the client's */
    ALPN("\x06spdy/1\x08http/1.1", "http/1.1");
    ALPN("\x06spdy/1", NULL);
    ALPN("\x02h3", NULL);
    ALPN("\x08http/1.0", NULL);
    expect_alpn(NULL, 0, "");
}

/* ---- resumption ---- */

/* A session with the given server, the caller's. */
static SSL_SESSION *session_of(tls_t *tls, int version, const char *name)
{
    client_t client = {.version = version, .name = name};
    assert_true(client_handshake(&client, tls));
    assert_false(SSL_session_reused(client.ssl));
    SSL_SESSION *session = client.fresh;
    assert_non_null(session);
    client.fresh = NULL;
    client_close(&client);
    return session;
}

static bool has_other_ticket(const SSL_SESSION *now, const SSL_SESSION *before)
{
    const unsigned char *a, *b;
    size_t a_len, b_len;
    SSL_SESSION_get0_ticket(now, &a, &a_len);
    SSL_SESSION_get0_ticket(before, &b, &b_len);
    return a_len != b_len || memcmp(a, b, a_len) != 0;
}

/* Whether a handshake with `session` resumes; *renewed, where asked for, says whether another ticket came. */
static bool resumes(tls_t *tls, int version, const char *name, SSL_SESSION *session, bool *renewed,
                    int *index)
{
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    client_t client = {.version = version, .name = name, .session = copy};
    assert_true(client_handshake(&client, tls));
    bool reused = SSL_session_reused(client.ssl) == 1;
    assert_int_equal(SSL_session_reused(client.server_ssl), reused);
    if (renewed != NULL)
        *renewed =
            has_other_ticket(client.fresh != NULL ? client.fresh : SSL_get_session(client.ssl), session);
    if (index != NULL)
        *index = served_by(&client);
    client_close(&client);
    SSL_SESSION_free(copy);
    return reused;
}

static void test_resumes_on_another_worker(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    tls_t *other = server_new(0, CERTIFICATES, &keys);
    for (size_t v = 0; v < 2; v++) {
        SSL_SESSION *session = session_of(server, versions[v], "b.wild.test");
        assert_true(resumes(server, versions[v], "b.wild.test", session, NULL, NULL));
        assert_true(resumes(other, versions[v], "b.wild.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
    tls_free(&other);
}

/* Every certificate's session against every certificate: only its own resumes, and else the handshake is
 * whole with the certificate that was asked for. */
static void test_no_resumption_across_certificates(void **state)
{
    (void)state;
    static const char *names[CERTIFICATES] = {"first.test", "exact.test", "b.wild.test", "both.test"};
    for (size_t v = 0; v < 2; v++)
        for (int i = 0; i < CERTIFICATES; i++) {
            SSL_SESSION *session = session_of(server, versions[v], names[i]);
            for (int j = 0; j < CERTIFICATES; j++) {
                int index = -1;
                SSL_SESSION *copy = SSL_SESSION_dup(session);
                SSL_SESSION_set1_hostname(copy, NULL); /* else OpenSSL's client compares the name itself */
                bool reused = resumes(server, versions[v], names[j], copy, NULL, &index);
                assert_int_equal(reused, i == j);
                assert_int_equal(index, j);
                SSL_SESSION_free(copy);
            }
            SSL_SESSION_free(session);
        }
}

/* The same keys, and the first certificate is another one: a reload replaced it. */
static void test_no_resumption_after_the_certificate_changed(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(1, 2);
    tls_t *other = server_new(EXACT, 1, &keys);
    for (size_t v = 0; v < 2; v++) {
        SSL_SESSION *session = session_of(server, versions[v], NULL);
        assert_true(resumes(server, versions[v], NULL, session, NULL, NULL));
        assert_false(resumes(other, versions[v], NULL, session, NULL, NULL));
        SSL_SESSION_free(session);
    }
    tls_free(&other);
}

static void test_ticket_keys_rotate(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        bool renewed = false;
        tls_ticket_keys_t keys = ticket_keys_make(10, 1);
        tls_set_ticket_keys(server, &keys);
        SSL_SESSION *session = session_of(server, versions[v], "first.test");
        assert_true(resumes(server, versions[v], "first.test", session, &renewed, NULL));
        assert_int_equal(renewed, versions[v] == TLS1_3_VERSION); /* there each handshake brings one */
        /* A new key in front: the old one still opens, and the client gets another ticket. */
        keys = (tls_ticket_keys_t){.count = 2};
        memset(keys.secret[0], 77, 64);
        memset(keys.secret[1], 10, 64);
        tls_set_ticket_keys(server, &keys);
        assert_true(resumes(server, versions[v], "first.test", session, &renewed, NULL));
        assert_true(renewed);
        /* Gone. */
        keys.count = 1;
        tls_set_ticket_keys(server, &keys);
        assert_false(resumes(server, versions[v], "first.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
}

/* The whole secret counts: its name part alone does not open a ticket. */
static void test_other_keys_under_the_same_name(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(10, 1);
    for (size_t at = 16; at < 64; at += 16) {
        tls_ticket_keys_t forged = keys;
        forged.secret[0][at] ^= 1;
        tls_set_ticket_keys(server, &keys);
        SSL_SESSION *session = session_of(server, TLS1_2_VERSION, "first.test");
        tls_set_ticket_keys(server, &forged);
        assert_false(resumes(server, TLS1_2_VERSION, "first.test", session, NULL, NULL));
        SSL_SESSION_free(session);
    }
}

static void test_one_ticket_and_no_early_data(void **state)
{
    (void)state;
    SSL_SESSION *session = session_of(server, TLS1_3_VERSION, "first.test");
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    assert_true(SSL_SESSION_has_ticket(session));
    assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(session), 7200);
    SSL_SESSION_free(session);
    client_t client = {0};
    client_open(&client, server);
    assert_int_equal(SSL_get_num_tickets(client.server_ssl), 1);
    client_close(&client);
}

/* ---- what is refused ---- */

static void test_old_versions_are_refused(void **state)
{
    (void)state;
    client_t client = {.version = TLS1_1_VERSION};
    client_open(&client, server);
    SSL_set_security_level(client.ssl, 0);
    assert_false(client_run(&client));
    assert_int_equal(client.reason, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    client_close(&client);
}

static void test_ciphers_and_groups(void **state)
{
    (void)state;
    static const char *good[] = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                 "ECDHE-ECDSA-CHACHA20-POLY1305"};
    static const char *bad[] = {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA",
                                "ECDHE-ECDSA-AES128-CCM"};
    for (size_t i = 0; i < 6; i++) {
        client_t client = {.version = TLS1_2_VERSION};
        client_open(&client, server);
        assert_int_equal(SSL_set_cipher_list(client.ssl, i < 3 ? good[i] : bad[i - 3]), 1);
        assert_int_equal(client_run(&client), i < 3);
        client_close(&client);
    }
    static const char *groups[] = {"X25519", "P-256", "P-521"};
    for (size_t i = 0; i < 3; i++) {
        client_t client = {0};
        client_open(&client, server);
        SSL_set1_groups_list(client.ssl, groups[i]);
        assert_int_equal(client_run(&client), i < 2);
        client_close(&client);
    }
}

/* A handshake that was begun goes on after a reload dropped what it began with. */
static void test_a_handshake_outlives_its_tls(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(3, 1);
    tls_t *tls = server_new(0, CERTIFICATES, &keys);
    client_t client = {.name = "b.wild.test"};
    client_open(&client, tls);
    tls_free(&tls);
    assert_null(tls);
    assert_true(client_run(&client));
    assert_int_equal(served_by(&client), WILDCARD);
    assert_true(tls_covers(client.server_ssl, STR("b.wild.test")));
    client_close(&client);
}

/* ---- files that cannot be used ---- */

static void expect_error(const tls_pem_t *list, size_t count, uint64_t now, const char *sentence)
{
    char error[256] = "";
    assert_false(tls_check(list, count, now, error, sizeof(error)));
    if (strstr(error, sentence) == NULL)
        print_message("'%s' has no '%s'\n", error, sentence);
    assert_non_null(strstr(error, sentence));
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_errors_name_the_certificate(void **state)
{
    (void)state;
    uint64_t now = (uint64_t)time(NULL);
    char error[256];
    assert_true(tls_check(pems, CERTIFICATES, now, error, sizeof(error)));
    tls_pem_t list[2] = {pems[FIRST], {.chain = pems[EXACT].chain, .key = pems[FIRST].key}};
    expect_error(list, 2, now, "certificate 2 (a.wild.test): the key does not belong to the certificate");
    list[1] = (tls_pem_t){.chain = (char *)"rubbish", .key = pems[FIRST].key};
    expect_error(list, 2, now, "certificate 2: the chain has no certificate");
    list[1] = (tls_pem_t){.chain = pems[WILDCARD].chain, .key = (char *)"rubbish"};
    expect_error(list, 2, now, "certificate 2 (*.wild.test): the key cannot be read");
    list[1] = (tls_pem_t){.chain = pems[WILDCARD].chain};
    expect_error(list, 2, now, "certificate 2: the key is missing");
    expect_error(pems, 2, now + 3 * 86400, "certificate 1 (first.test): it has expired");
    expect_error(pems, 2, now - 2 * 86400, "certificate 1 (first.test): it is not valid yet");
    /* A worker that starts again serves with an expired certificate. */
    tls_pem_t old = certificate_make("DNS:old.test", time(NULL) - 10 * 86400, 2);
    tls_ticket_keys_t keys = ticket_keys_make(1, 1);
    tls_t *tls = tls_new(&old, 1, &keys, error, sizeof(error));
    assert_non_null(tls);
    tls_free(&tls);
    expect_error(&old, 1, now, "it has expired");
    tls_pem_fini(&old);
}

static void test_a_broken_or_endless_chain(void **state)
{
    (void)state;
    uint64_t now = (uint64_t)time(NULL);
    size_t len = strlen(pems[FIRST].chain);
    char *text = calloc(1, 20 * len + 1);
    for (int i = 0; i < 17; i++)
        memcpy(text + (size_t)i * len, pems[FIRST].chain, len);
    tls_pem_t pem = {.chain = text, .key = pems[FIRST].key};
    char error[256];
    assert_true(tls_check(&pem, 1, now, error, sizeof(error))); /* the leaf and 16 */
    memcpy(text + 17 * len, pems[FIRST].chain, len);
    expect_error(&pem, 1, now, "the chain has more than 16 certificates");
    text[2 * len] = '\0';
    text[2 * len - 60] = '!';
    expect_error(&pem, 1, now, "a certificate of the chain cannot be read");
    free(text);
}

/* A key with a password must not make the edge ask for it at a terminal. */
static void test_a_key_with_a_password(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
    EVP_PKEY_free(key);
    tls_pem_t pem = {.chain = pems[FIRST].chain, .key = pem_text(bio)};
    expect_error(&pem, 1, (uint64_t)time(NULL), "without a password");
    free(pem.key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_certificate_by_name),
        TEST(test_the_first_certificate_serves_the_rest),
        TEST(test_malformed_server_names),
        TEST(test_covers),
        TEST(test_odd_wildcards_cover_nothing),
        TEST(test_alpn),
        TEST(test_resumes_on_another_worker),
        TEST(test_no_resumption_across_certificates),
        TEST(test_no_resumption_after_the_certificate_changed),
        TEST(test_ticket_keys_rotate),
        TEST(test_other_keys_under_the_same_name),
        TEST(test_one_ticket_and_no_early_data),
        TEST(test_old_versions_are_refused),
        TEST(test_ciphers_and_groups),
        TEST(test_a_handshake_outlives_its_tls),
        TEST(test_errors_name_the_certificate),
        TEST(test_a_broken_or_endless_chain),
        TEST(test_a_key_with_a_password),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
