/*
 * What the controller does to the store by the clock: keys of session cookies are rotated daily, previews
 * that have expired go.
 */
#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "controller.h"

#define ROTATE_SECONDS 86400
/* Expired previews that one pass deletes. */
#define EXPIRED_MAX 256

store_result_t controller_rotate_cookie_keys(store_t *store, uint64_t now_unix, bool *rotated)
{
    store_cookie_keys_t keys = {.rotated_at = 0};
    *rotated = false;
    store_result_t result = store_get_cookie_keys(store, &keys);
    /* A clock that was set back does not keep keys for ever. */
    bool fresh =
        result == STORE_OK && keys.rotated_at <= now_unix && now_unix - keys.rotated_at < ROTATE_SECONDS;
    if (fresh)
        return STORE_OK;
    memcpy(keys.previous, keys.current, sizeof(keys.previous));
    int made = RAND_bytes(keys.current, sizeof(keys.current));
    assert(made == 1);
    keys.rotated_at = now_unix;
    result = store_put_cookie_keys(store, &keys);
    OPENSSL_cleanse(&keys, sizeof(keys));
    *rotated = result == STORE_OK;
    return result;
}

typedef struct expired {
    uint64_t now;
    size_t count;
    store_change_t changes[EXPIRED_MAX];
} expired_t;

static bool add_expired(const store_preview_t *preview, void *arg)
{
    expired_t *expired = arg;
    if (preview->expires_at != 0 && preview->expires_at <= expired->now)
        expired->changes[expired->count++] = (store_change_t){.remove = true, .preview = *preview};
    return expired->count < EXPIRED_MAX;
}

bool controller_delete_expired(store_t *store, uint64_t now_unix)
{
    expired_t *expired = calloc(1, sizeof *expired);
    assert(expired != NULL);
    expired->now = now_unix;
    bool deleted = store_each_preview(store, add_expired, expired) == STORE_OK && expired->count != 0 &&
                   store_apply(store, expired->changes, expired->count) == STORE_OK;
    free(expired);
    return deleted;
}
