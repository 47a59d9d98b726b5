#include "certificates.h"

char *pem_text(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert(ext != NULL);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* Signs `cert` as `issuer`. */
static void certificate_sign(X509 *cert, const tls_pem_t *issuer)
{
    BIO *chain_bio = BIO_new_mem_buf(issuer->chain, -1);
    BIO *key_bio = BIO_new_mem_buf(issuer->key, -1);
    X509 *from = PEM_read_bio_X509(chain_bio, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
    X509_set_issuer_name(cert, X509_get_subject_name(from));
    int signed_len = X509_sign(cert, key, EVP_sha256());
    assert(signed_len > 0);
    X509_free(from);
    EVP_PKEY_free(key);
    BIO_free(chain_bio);
    BIO_free(key_bio);
}

tls_pem_t certificate_issue_with(EVP_PKEY *key, const char *names, time_t from, long days,
                                 const tls_pem_t *issuer, bool authority)
{
    X509 *cert = X509_new();
    assert(key != NULL && cert != NULL);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)(from & 0xffff) + 1);
    ASN1_TIME_set(X509_getm_notBefore(cert), from);
    ASN1_TIME_set(X509_getm_notAfter(cert), from + days * 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)(authority ? "authority.test" : "common.test"), -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    if (names != NULL)
        add_extension(cert, NID_subject_alt_name, names);
    if (authority)
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    int signed_len = X509_sign(cert, key, EVP_sha256());
    assert(signed_len > 0);
    if (issuer != NULL)
        certificate_sign(cert, issuer);
    BIO *chain_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(chain_bio, cert);
    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return (tls_pem_t){.chain = pem_text(chain_bio), .key = pem_text(key_bio)};
}

tls_pem_t certificate_issue(const char *names, time_t from, long days, const tls_pem_t *issuer,
                            bool authority)
{
    return certificate_issue_with(EVP_EC_gen("P-256"), names, from, days, issuer, authority);
}

tls_pem_t certificate_make(const char *names, time_t from, long days)
{
    return certificate_issue(names, from, days, NULL, false);
}

SSL_CTX *server_tls(const tls_pem_t *pem, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    BIO *bio = BIO_new_mem_buf(pem->chain, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    bio = BIO_new_mem_buf(pem->key, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    int ok = SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    assert(ok);
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

tls_ticket_keys_t ticket_keys_make(uint8_t seed, uint32_t count)
{
    tls_ticket_keys_t keys = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        memset(keys.secret[i], seed + (int)i, sizeof(keys.secret[i]));
    return keys;
}
