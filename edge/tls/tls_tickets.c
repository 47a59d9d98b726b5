/*
 * Session tickets (RFC 5077, RFC 8446 section 4.6.1) under keys that all workers share:
 * AES-256-CBC, then HMAC-SHA-256. A session in a ticket has the session id context of its
 * certificate. OpenSSL compares that before it resumes, so one set of keys serves all certificates.
 */
#include <assert.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "tls_internal.h"

/* Expands the secret's last 16 bytes to a whole MAC key over the rest. */
static void key_expand(tls_ticket_key_t *key, const uint8_t secret[64])
{
    unsigned len = sizeof(key->mac);
    memcpy(key->name, secret, sizeof(key->name));
    memcpy(key->aes, secret + 16, sizeof(key->aes));
    const unsigned char *mac = HMAC(EVP_sha256(), secret + 48, 16, secret, 48, key->mac, &len);
    assert(mac != NULL && len == sizeof(key->mac));
}

void tls_set_ticket_keys(tls_t *tls, const tls_ticket_keys_t *keys)
{
    assert(tls_ticket_keys_valid(keys));
    OPENSSL_cleanse(tls->keys, sizeof(tls->keys));
    for (uint32_t i = 0; i < keys->count; i++)
        key_expand(&tls->keys[i], keys->secret[i]);
    tls->key_count = keys->count;
}

static bool set_mac_key(EVP_MAC_CTX *mac, tls_ticket_key_t *key)
{
    char digest[] = "sha256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Returns the values of SSL_CTX_set_tlsext_ticket_key_evp_cb: -1 error, 0 unknown key, 1 good, 2
 * good and to be renewed. */
int tls_on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int encrypt)
{
    const tls_site_t *site = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    tls_t *tls = site->tls;
    if (encrypt) {
        tls_ticket_key_t *key = &tls->keys[0];
        memcpy(name, key->name, sizeof(key->name));
        bool done = RAND_bytes(iv, EVP_CIPHER_get_iv_length(tls->ticket_cipher)) == 1 &&
                    EVP_EncryptInit_ex(cipher, tls->ticket_cipher, NULL, key->aes, iv) == 1 &&
                    set_mac_key(mac, key);
        return done ? 1 : -1;
    }
    for (uint32_t i = 0; i < tls->key_count; i++) {
        tls_ticket_key_t *key = &tls->keys[i];
        if (memcmp(name, key->name, sizeof(key->name)) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, tls->ticket_cipher, NULL, key->aes, iv) != 1 || !set_mac_key(mac, key))
            return -1;
        /* Clients use a ticket of TLS 1.3 once (RFC 8446 appendix C.4), so each gets the next. */
        return i == 0 && SSL_version(ssl) == TLS1_2_VERSION ? 1 : 2;
    }
    return 0;
}
