#include "link_make.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "bytes.h"

/* 80 bits as 5-bit characters. */
#define ALIAS_CHARACTERS 16

void link_id_text(uint64_t id, char out[LINK_ID_DIGITS + 1])
{
    int n = snprintf(out, LINK_ID_DIGITS + 1, "%016" PRIx64, id);
    assert(n == LINK_ID_DIGITS);
}

bool link_id_read(str_t text, uint64_t *id)
{
    *id = 0;
    if (text.n != LINK_ID_DIGITS)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        *id = *id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return *id != 0;
}

bool link_key_read(str_t key, uint64_t *id, str_t *secret)
{
    if (key.n != LINK_KEY_LEN || key.p[LINK_ID_DIGITS] != '.' ||
        !link_id_read(str_make(key.p, LINK_ID_DIGITS), id))
        return false;
    *secret = str_from_offset(key, LINK_ID_DIGITS + 1);
    return true;
}

bool link_path_valid(str_t path)
{
    if (path.n == 0 || path.n > STORE_LINK_PATH_MAX || path.p[0] != '/' || (path.n > 1 && path.p[1] == '/'))
        return false;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '\\')
            return false;
    return true;
}

/* Letters and digits that people do not mistake for each other. */
static void make_alias(const uint8_t random[ALIAS_CHARACTERS], char out[BOX_ID_MAX + 1])
{
    static const char characters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    for (size_t i = 0; i < ALIAS_CHARACTERS; i++)
        out[i] = characters[random[i] % 32];
    out[ALIAS_CHARACTERS] = '\0';
}

static const char *refusal(store_result_t result, int *status, char why[PREVIEW_WHY_MAX])
{
    switch (result) {
    case STORE_NOT_FOUND:
        *status = 404;
        (void)snprintf(why, PREVIEW_WHY_MAX, "There is no preview on this port.");
        return "preview_not_found";
    case STORE_TOO_MANY:
        *status = 409;
        (void)snprintf(why, PREVIEW_WHY_MAX,
                       "The preview has %d links, or this edge %d, the maximum: revoke one first.",
                       STORE_LINKS_PER_PREVIEW, STORE_LINKS_MAX);
        return "too_many_links";
    case STORE_FULL:
        *status = 507;
        (void)snprintf(why, PREVIEW_WHY_MAX,
                       "The store of this edge, or its disk, has no room for this link.");
        return "store_full";
    default:
        *status = 503;
        (void)snprintf(why, PREVIEW_WHY_MAX, "The edge cannot write to its store right now.");
        return "store_unavailable";
    }
}

const char *link_make(store_t *store, store_link_t *link, bool hide_box, uint64_t seconds, uint64_t now,
                      char secret[SECRET_TEXT_LEN + 1], int *status, char why[PREVIEW_WHY_MAX])
{
    uint8_t random[8 + 32 + ALIAS_CHARACTERS];
    store_preview_t preview;
    int made = RAND_bytes(random, sizeof(random));
    assert(made == 1 && seconds != 0 && seconds <= LINK_SECONDS_MAX);
    store_result_t result = store_get_preview(store, str_from(link->box), link->port, &preview);
    if (result != STORE_OK)
        return refusal(result, status, why);
    if (!preview.bearer && !preview.basic) {
        *status = 409;
        (void)snprintf(why, PREVIEW_WHY_MAX,
                       "The preview is public: everyone who knows its address sees it without a link.");
        return "preview_is_public";
    }
    link->id = bytes_get64(random);
    secret_make(random + 8, secret);
    secret_hash(str_from(secret), link->sha256);
    if (hide_box)
        make_alias(random + 8 + 32, link->alias);
    OPENSSL_cleanse(random, sizeof(random));
    link->created_at = now;
    link->expires_at = now + seconds;
    if (link->sessions == 0)
        link->sessions = STORE_LINK_SESSIONS;
    result = store_put_link(store, link, now);
    return result == STORE_OK ? NULL : refusal(result, status, why);
}
