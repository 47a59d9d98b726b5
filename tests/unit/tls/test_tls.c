/* TLS termination: certificates by server name, ALPN, versions, refusals, errors of files. */
#include "tls_world.h"

#include "tls_internal.h"

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
    expect_certificate("common.test", FIRST); /* the CN of all of them does not count */
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

/* tls_covers agrees with OpenSSL's own check for each name. */
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
        /* OpenSSL reads a name with a leading dot as a question about subdomains. */
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
    ALPN("\x08http/1.0", "http/1.0");
    expect_alpn(NULL, 0, "");
}

/* ---- refusals ---- */

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

/* A handshake that was under way continues after a reload dropped its context. */
static void test_a_handshake_outlives_its_tls(void **state)
{
    (void)state;
    tls_ticket_keys_t keys = ticket_keys_make(3, 1);
    tls_t *tls = tls_world_server_new(0, CERTIFICATES, &keys);
    client_t client = {.name = "b.wild.test"};
    client_open(&client, tls);
    tls_free(&tls);
    assert_null(tls);
    assert_true(client_run(&client));
    assert_int_equal(served_by(&client), WILDCARD);
    assert_true(tls_covers(client.server_ssl, STR("b.wild.test")));
    client_close(&client);
}

/* ---- unusable files ---- */

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
    /* A worker that restarts serves with an expired certificate. */
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
    const struct CMUnitTest tests[] = {
        TEST(test_certificate_by_name),          TEST(test_the_first_certificate_serves_the_rest),
        TEST(test_malformed_server_names),       TEST(test_covers),
        TEST(test_odd_wildcards_cover_nothing),  TEST(test_alpn),
        TEST(test_old_versions_are_refused),     TEST(test_ciphers_and_groups),
        TEST(test_a_handshake_outlives_its_tls), TEST(test_errors_name_the_certificate),
        TEST(test_a_broken_or_endless_chain),    TEST(test_a_key_with_a_password),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
