/* See local_ca_x509.h. */
#include "local_ca_x509.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define AUTHORITY_DAYS 3650
#define LEAF_DAYS      396         /* clients refuse more than 398 */
#define BACKDATE       3600        /* seconds, for clocks that are behind */
#define TEXT_MAX       (32 * 1024) /* 64 host names of 253 characters, and the text around them */

EVP_PKEY *local_key_new(void)
{
    return EVP_EC_gen("P-256");
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool done = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return done;
}

/* Positive, of fixed length, 126 bits of it random. */
static bool set_serial(X509 *cert)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return done;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"boxedge", -1, -1,
                                      0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0) == 1;
}

static bool set_basics(X509 *cert, EVP_PKEY *key, X509 *issuer, uint64_t now_unix, long days)
{
    time_t from = (time_t)now_unix - BACKDATE;
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL &&
           ASN1_TIME_adj(X509_getm_notAfter(cert), (time_t)now_unix, (int)days, 0) != NULL &&
           X509_set_pubkey(cert, key) == 1 && X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1;
}

/* Adds a formatted piece; returns false if it does not fit. */
__attribute__((format(printf, 3, 4))) static bool append(char text[TEXT_MAX], size_t *len, const char *format,
                                                         ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + *len, TEXT_MAX - *len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= TEXT_MAX - *len)
        return false;
    *len += (size_t)n;
    return true;
}

static bool authority_extensions(X509 *cert, const local_names_t *names)
{
    char text[TEXT_MAX];
    size_t len = 0;
    /* Constraints on DNS names do not apply to addresses, so all addresses are excluded. */
    bool fits = append(text, &len, "critical,permitted;DNS:%s", names->domain);
    for (size_t i = 0; fits && i < names->extra_count; i++)
        fits = append(text, &len, ",permitted;DNS:%.*s", STR_ARG(names->extra[i]));
    fits = fits && append(text, &len, ",excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::");
    return fits && add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
           add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
           add_extension(cert, cert, NID_name_constraints, text);
}

X509 *local_authority_new(EVP_PKEY *key, const local_names_t *names, uint64_t now_unix)
{
    X509 *cert = X509_new();
    char name[64]; /* RFC 5280 limits a common name to 64 characters */
    snprintf(name, sizeof(name), "boxedge local CA for %s", names->domain);
    if (cert != NULL && set_subject(cert, name) && set_basics(cert, key, cert, now_unix, AUTHORITY_DAYS) &&
        authority_extensions(cert, names) && X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool leaf_names(char text[TEXT_MAX], const local_names_t *names)
{
    size_t len = 0;
    bool fits = append(text, &len, "DNS:*.%s,DNS:%s", names->domain, names->domain);
    for (size_t i = 0; fits && i < names->extra_count; i++)
        fits = append(text, &len, ",DNS:%.*s", STR_ARG(names->extra[i]));
    return fits;
}

X509 *local_leaf_new(EVP_PKEY *key, X509 *authority, EVP_PKEY *authority_key, const local_names_t *names,
                     uint64_t now_unix)
{
    char text[TEXT_MAX];
    X509 *cert = X509_new();
    if (cert != NULL && leaf_names(text, names) && set_subject(cert, "boxedge previews") &&
        set_basics(cert, key, authority, now_unix, LEAF_DAYS) &&
        add_extension(cert, authority, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert, authority, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert, authority, NID_ext_key_usage, "serverAuth") &&
        add_extension(cert, authority, NID_subject_key_identifier, "hash") &&
        add_extension(cert, authority, NID_authority_key_identifier, "keyid:always") &&
        add_extension(cert, authority, NID_subject_alt_name, text) &&
        X509_sign(cert, authority_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

/* Compares the names in the extension's encoding. */
static bool names_equal(X509 *leaf, const local_names_t *names)
{
    char text[TEXT_MAX];
    int at = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
    X509_EXTENSION *wanted =
        leaf_names(text, names) ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text) : NULL;
    bool equal = at >= 0 && wanted != NULL &&
                 ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(leaf, at)),
                                       X509_EXTENSION_get_data(wanted)) == 0;
    X509_EXTENSION_free(wanted);
    return equal;
}

static bool verifies(X509 *leaf, X509 *authority, time_t at)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    assert(store != NULL && ctx != NULL);
    bool good =
        X509_STORE_add_cert(store, authority) == 1 && X509_STORE_CTX_init(ctx, store, leaf, NULL) == 1;
    if (good) {
        X509_STORE_CTX_set_time(ctx, 0, at);
        X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
        good = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return good;
}

bool local_leaf_fits(X509 *leaf, X509 *authority, const local_names_t *names, uint64_t now_unix, int days)
{
    /* Both certificates must be valid now and after `days`, so that neither is renewed too late. */
    return names_equal(leaf, names) && verifies(leaf, authority, (time_t)now_unix) &&
           verifies(leaf, authority, (time_t)now_unix + (time_t)days * 86400);
}
