/* Certificates for tests, made when asked for: self-signed P-256, valid from `from` for `days`. */
#ifndef BOXEDGE_TEST_CERTIFICATES_H
#define BOXEDGE_TEST_CERTIFICATES_H

#include <assert.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls.h"

static char *pem_text(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

/* `names` is what a subjectAltName extension is written as ("DNS:a.test,DNS:*.b.test"); NULL: none. */
static tls_pem_t certificate_make(const char *names, time_t from, long days)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert(key != NULL && cert != NULL);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)(from & 0xffff) + 1);
    ASN1_TIME_set(X509_getm_notBefore(cert), from);
    ASN1_TIME_set(X509_getm_notAfter(cert), from + days * 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"common.test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    if (names != NULL) {
        X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
        assert(ext != NULL);
        X509_add_ext(cert, ext, -1);
        X509_EXTENSION_free(ext);
    }
    int signed_len = X509_sign(cert, key, EVP_sha256());
    assert(signed_len > 0);
    BIO *chain_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(chain_bio, cert);
    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL);
    X509_free(cert);
    EVP_PKEY_free(key);
    return (tls_pem_t){.chain = pem_text(chain_bio), .key = pem_text(key_bio)};
}

static inline tls_ticket_keys_t ticket_keys_make(uint8_t seed, uint32_t count)
{
    tls_ticket_keys_t keys = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        memset(keys.secret[i], seed + (int)i, sizeof(keys.secret[i]));
    return keys;
}

#endif
