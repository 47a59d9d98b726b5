/*
 * See tls.h. Each certificate has one SSL_CTX; they differ only in the certificate. An SSL starts
 * on the first and moves to another when its ClientHello names it (tls_select.c).
 */
#include "tls.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls_internal.h"

#define SESSION_SECONDS 7200
#define CHAIN_MAX       16 /* certificates in a chain file */

/* A parsed certificate. */
typedef struct material {
    X509 *leaf;
    STACK_OF(X509) * chain; /* above the leaf */
    EVP_PKEY *key;
} material_t;

/* The destination of an error, and its certificate. */
typedef struct report {
    char *text;
    size_t len;
    size_t index; /* NO_INDEX: only one exists */
    char name[80];
} report_t;

#define NO_INDEX SIZE_MAX

/* Writes "certificate 2 (example.com): <sentence>", with OpenSSL's reason if it has one. Returns
 * false. */
__attribute__((format(printf, 2, 3))) static bool fail(const report_t *report, const char *format, ...)
{
    char sentence[256], number[24] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    if (report->index != NO_INDEX)
        snprintf(number, sizeof(number), " %zu", report->index + 1);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(report->text, report->len, "certificate%s%s%s%s: %s%s%s%s", number,
             report->name[0] != '\0' ? " (" : "", report->name, report->name[0] != '\0' ? ")" : "", sentence,
             reason != NULL ? " (" : "", reason != NULL ? reason : "", reason != NULL ? ")" : "");
    ERR_clear_error();
    return false;
}

/* ---- reading ---- */

/* Prevents a password prompt on a terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static void name_material(report_t *report, const material_t *material)
{
    tls_names_t names;
    tls_names_init(&names, material->leaf);
    if (names.count > 0)
        snprintf(report->name, sizeof(report->name), "%s%s", names.names[0].text[0] == '.' ? "*" : "",
                 names.names[0].text);
    tls_names_fini(&names);
}

static bool read_chain(material_t *material, const char *pem, report_t *report)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    assert(bio != NULL);
    material->leaf = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    if (material->leaf == NULL) {
        BIO_free(bio);
        return fail(report, "the chain has no certificate in PEM form");
    }
    name_material(report, material);
    X509 *next;
    while ((next = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL)
        if (sk_X509_num(material->chain) >= CHAIN_MAX || sk_X509_push(material->chain, next) <= 0) {
            X509_free(next);
            BIO_free(bio);
            return fail(report, "the chain has more than %d certificates", CHAIN_MAX);
        }
    BIO_free(bio);
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return fail(report, "a certificate of the chain cannot be read");
    ERR_clear_error();
    return true;
}

static bool read_key(material_t *material, const char *pem, const report_t *report)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    assert(bio != NULL);
    material->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (material->key == NULL)
        return fail(report, "the key cannot be read: a private key in PEM form without a password is needed");
    if (X509_check_private_key(material->leaf, material->key) != 1)
        return fail(report, "the key does not belong to the certificate");
    return true;
}

static bool material_read(material_t *material, const tls_pem_t *pem, report_t *report)
{
    *material = (material_t){.chain = sk_X509_new_null()};
    assert(material->chain != NULL);
    ERR_clear_error();
    if (pem->chain == NULL || pem->key == NULL)
        return fail(report, "the %s is missing", pem->chain == NULL ? "chain" : "key");
    return read_chain(material, pem->chain, report) && read_key(material, pem->key, report);
}

static void material_fini(material_t *material)
{
    X509_free(material->leaf);
    sk_X509_pop_free(material->chain, X509_free);
    EVP_PKEY_free(material->key);
}

static bool check_dates(const material_t *material, uint64_t now_unix, const report_t *report)
{
    time_t now = (time_t)now_unix;
    if (X509_cmp_time(X509_get0_notBefore(material->leaf), &now) > 0)
        return fail(report, "it is not valid yet");
    if (X509_cmp_time(X509_get0_notAfter(material->leaf), &now) <= 0)
        return fail(report, "it has expired");
    return true;
}

void tls_pem_fini(tls_pem_t *pem)
{
    if (pem->chain != NULL)
        OPENSSL_cleanse(pem->chain, strlen(pem->chain));
    if (pem->key != NULL)
        OPENSSL_cleanse(pem->key, strlen(pem->key));
    free(pem->chain);
    free(pem->key);
    free(pem->authorities);
    *pem = (tls_pem_t){0};
}

/* ---- contexts ---- */

static SSL_CTX *context_new(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets only */
    SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_max_early_data(ctx, 0);
    bool good =
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305") == 1 &&
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                      "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_on_ticket_key) == 1;
    assert(good); /* constants */
    SSL_CTX_set_alpn_select_cb(ctx, tls_on_alpn, NULL);
    return ctx;
}

/* The session id context is the certificate's hash, so that a session resumes only under its own
 * certificate. */
static bool set_certificate(SSL_CTX *ctx, material_t *material, const report_t *report)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(material->leaf, EVP_sha256(), digest, &len) != 1 ||
        SSL_CTX_set_session_id_context(ctx, digest, len) != 1)
        return fail(report, "it cannot be used");
    if (SSL_CTX_use_certificate(ctx, material->leaf) != 1)
        return fail(report, "the certificate cannot be used");
    if (SSL_CTX_use_PrivateKey(ctx, material->key) != 1)
        return fail(report, "the key cannot be used");
    if (SSL_CTX_set1_chain(ctx, material->chain) != 1)
        return fail(report, "the chain cannot be used");
    return true;
}

bool tls_pem_facts(const tls_pem_t *pem, uint64_t *expires_s, char *name, size_t name_len)
{
    BIO *bio = BIO_new_mem_buf(pem->chain, -1);
    assert(bio != NULL);
    const material_t material = {.leaf = PEM_read_bio_X509(bio, NULL, no_password, NULL)};
    report_t report = {.index = NO_INDEX};
    struct tm at;
    BIO_free(bio);
    ERR_clear_error();
    if (material.leaf == NULL)
        return false;
    name_material(&report, &material);
    (void)snprintf(name, name_len, "%s", report.name);
    bool known = ASN1_TIME_to_tm(X509_get0_notAfter(material.leaf), &at) == 1;
    time_t expires = known ? timegm(&at) : 0;
    *expires_s = expires > 0 ? (uint64_t)expires : 0;
    X509_free(material.leaf);
    return known;
}

bool tls_use_pem(SSL_CTX *ctx, const tls_pem_t *pem, char *error, size_t error_len)
{
    report_t report = {.text = error, .len = error_len, .index = NO_INDEX};
    material_t material;
    bool done = material_read(&material, pem, &report) && set_certificate(ctx, &material, &report);
    material_fini(&material);
    return done;
}

tls_pem_result_t tls_pem_try(const tls_pem_t *pem, char *error, size_t error_len)
{
    report_t report = {.text = error, .len = error_len, .index = NO_INDEX};
    material_t material = {.chain = sk_X509_new_null()};
    SSL_CTX *ctx = context_new();
    assert(material.chain != NULL && ctx != NULL && pem->chain != NULL && pem->key != NULL);
    ERR_clear_error();
    tls_pem_result_t result = TLS_PEM_GOOD;
    if (!read_chain(&material, pem->chain, &report))
        result = TLS_PEM_BAD_CHAIN;
    else if (!read_key(&material, pem->key, &report))
        result = TLS_PEM_BAD_KEY;
    else if (!set_certificate(ctx, &material, &report))
        result = TLS_PEM_BAD_CHAIN;
    material_fini(&material);
    SSL_CTX_free(ctx);
    return result;
}

bool tls_pem_covers(const tls_pem_t *pem, str_t host)
{
    char ignored[256];
    report_t report = {.text = ignored, .len = sizeof(ignored), .index = NO_INDEX};
    material_t material = {.chain = sk_X509_new_null()};
    tls_names_t names = {0};
    assert(material.chain != NULL && pem->chain != NULL);
    ERR_clear_error();
    if (read_chain(&material, pem->chain, &report))
        tls_names_init(&names, material.leaf);
    bool covers = tls_names_cover(&names, host);
    tls_names_fini(&names);
    material_fini(&material);
    return covers;
}

static bool site_init(tls_site_t *site, tls_t *tls, const tls_pem_t *pem, report_t *report)
{
    material_t material;
    bool done = material_read(&material, pem, report);
    if (done) {
        site->tls = tls;
        site->ctx = context_new();
        done = site->ctx != NULL ? set_certificate(site->ctx, &material, report)
                                 : fail(report, "no memory for its context");
    }
    if (done) {
        SSL_CTX_set_app_data(site->ctx, site);
        SSL_CTX_set_client_hello_cb(site->ctx, tls_on_client_hello, tls);
        tls_names_init(&site->names, material.leaf);
        tls_site_set_key(site, material.key);
    }
    material_fini(&material);
    return done;
}

/* ---- life ---- */

static void tls_release(tls_t *tls)
{
    assert(tls->refs > 0);
    if (--tls->refs > 0)
        return;
    for (size_t i = 0; i < tls->site_count; i++) {
        SSL_CTX_free(tls->sites[i].ctx);
        tls_names_fini(&tls->sites[i].names);
    }
    EVP_CIPHER_free(tls->ticket_cipher);
    OPENSSL_cleanse(tls->keys, sizeof(tls->keys));
    free(tls->sites);
    free(tls);
}

static void on_ssl_freed(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    if (ptr != NULL)
        tls_release(ptr);
}

/* The index in every SSL that holds its reference. OpenSSL allocates it once per process, and it
 * never changes. */
static int reference_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_freed);
    assert(index >= 0);
    return index;
}

bool tls_check(const tls_pem_t *pems, size_t count, uint64_t now_unix, char *error, size_t error_len)
{
    for (size_t i = 0; i < count; i++) {
        report_t report = {.text = error, .len = error_len, .index = count > 1 ? i : NO_INDEX};
        material_t material;
        bool good = material_read(&material, &pems[i], &report) && check_dates(&material, now_unix, &report);
        material_fini(&material);
        if (!good)
            return false;
    }
    tls_ticket_keys_t keys = {.count = 1};
    tls_t *tls = tls_new(pems, count, &keys, error, error_len);
    if (tls == NULL)
        return false;
    tls_free(&tls);
    return true;
}

tls_t *tls_new(const tls_pem_t *pems, size_t count, const tls_ticket_keys_t *keys, char *error,
               size_t error_len)
{
    assert(count > 0);
    tls_t *tls = calloc(1, sizeof(*tls));
    tls_site_t *sites = calloc(count, sizeof(*sites));
    if (tls == NULL || sites == NULL)
        abort(); /* as mem_alloc does */
    tls->refs = 1;
    tls->sites = sites;
    tls->site_count = count;
    tls->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    assert(tls->ticket_cipher != NULL);
    tls_set_ticket_keys(tls, keys);
    for (size_t i = 0; i < count; i++) {
        report_t report = {.text = error, .len = error_len, .index = i};
        if (!site_init(&tls->sites[i], tls, &pems[i], &report)) {
            tls_free(&tls);
            return NULL;
        }
    }
    return tls;
}

void tls_free(tls_t **tls)
{
    if (*tls != NULL)
        tls_release(*tls);
    *tls = NULL;
}

SSL *tls_accept(tls_t *tls)
{
    SSL *ssl = SSL_new(tls->sites[0].ctx);
    if (ssl == NULL)
        return NULL;
    if (SSL_set_ex_data(ssl, reference_index(), tls) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    tls->refs++;
    SSL_set_accept_state(ssl);
    return ssl;
}
