#include "preview_make.h"

#include <assert.h>
#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

static void make_secret(char text[SECRET_TEXT_LEN + 1])
{
    uint8_t random[32];
    int made = RAND_bytes(random, sizeof(random));
    assert(made == 1);
    secret_make(random, text);
    OPENSSL_cleanse(random, sizeof(random));
}

void preview_secrets_make(preview_secrets_t *secrets, store_preview_t *preview)
{
    *secrets = (preview_secrets_t){.token = ""};
    if (preview->bearer) {
        make_secret(secrets->token);
        secret_hash(str_from(secrets->token), preview->bearer_sha256);
    }
    if (preview->basic) {
        char both[sizeof(PREVIEW_USERNAME) + 1 + SECRET_TEXT_LEN];
        make_secret(secrets->password);
        int n = snprintf(both, sizeof(both), PREVIEW_USERNAME ":%s", secrets->password);
        assert(n > 0 && (size_t)n < sizeof(both));
        secret_hash(str_from(both), preview->basic_sha256);
        OPENSSL_cleanse(both, sizeof(both));
    }
}

void preview_secrets_fini(preview_secrets_t *secrets)
{
    OPENSSL_cleanse(secrets, sizeof(*secrets));
}

const char *preview_refusal(const store_box_t *box, const store_preview_t *preview, char why[PREVIEW_WHY_MAX])
{
    if (box->state == BOX_UNKNOWN || box->state == BOX_GONE)
        return NULL;
    if (box->ephemeral) {
        (void)snprintf(why, PREVIEW_WHY_MAX, "Box \"%s\" is ephemeral: it takes no previews.", preview->id);
        return "box_ephemeral";
    }
    if (store_box_exposes(box, preview->port))
        return NULL;
    char ports[STORE_BOX_PORTS_MAX * 7 + 1] = "";
    size_t used = 0;
    for (size_t i = 0; i < box->port_count && box->ports[0] != 0; i++) /* 0: no port at all */
        used +=
            (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u", i != 0 ? ", " : "", box->ports[i]);
    (void)snprintf(why, PREVIEW_WHY_MAX, "Box \"%s\" does not expose port %u; it exposes %s.", preview->id,
                   preview->port, used != 0 ? ports : "none");
    return "port_not_exposed";
}
