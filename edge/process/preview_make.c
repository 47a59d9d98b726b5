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
    for (size_t i = 0; i < box->port_count && box->ports[0] != 0; i++) /* 0: no port is exposed */
        used +=
            (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u", i != 0 ? ", " : "", box->ports[i]);
    (void)snprintf(why, PREVIEW_WHY_MAX, "Box \"%s\" does not expose port %u; it exposes %s.", preview->id,
                   preview->port, used != 0 ? ports : "none");
    return "port_not_exposed";
}

str_t preview_host_id(const store_preview_t *preview)
{
    return str_from(preview->alias[0] != '\0' ? preview->alias : preview->id);
}

bool preview_alias_dash(store_preview_t *preview)
{
    if (strchr(preview->id, '_') == NULL)
        return true;
    for (size_t i = 0; i < sizeof(preview->alias); i++)
        preview->alias[i] = preview->id[i] == '_' ? '-' : preview->id[i];
    return store_alias_valid(str_from(preview->alias)) &&
           preview_label_fits(str_from(preview->alias), preview->port);
}

const char *preview_alias_refusal(store_t *store, const store_preview_t *preview, int *status,
                                  char why[PREVIEW_WHY_MAX])
{
    char owner[BOX_ID_MAX + 1];
    *status = 409;
    if (store_get_alias(store, str_from(preview->id), owner) == STORE_OK && strcmp(owner, preview->id) != 0) {
        (void)snprintf(why, PREVIEW_WHY_MAX, "\"%s\" is the alias of previews of box \"%s\".", preview->id,
                       owner);
        return "id_is_alias";
    }
    if (preview->alias[0] == '\0')
        return NULL;
    switch (store_claim_alias(store, str_from(preview->alias), str_from(preview->id))) {
    case STORE_OK:
        return NULL;
    case STORE_CONFLICT:
        (void)snprintf(why, PREVIEW_WHY_MAX, "\"%s\" is the id of a box, or the alias of another one.",
                       preview->alias);
        return "alias_taken";
    case STORE_TOO_MANY:
    case STORE_FULL:
        *status = 507;
        (void)snprintf(why, PREVIEW_WHY_MAX, "The store of this edge has no room for another alias.");
        return "store_full";
    default:
        *status = 503;
        (void)snprintf(why, PREVIEW_WHY_MAX, "The edge cannot write to its store right now.");
        return "store_unavailable";
    }
}
