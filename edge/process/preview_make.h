/*
 * The parts of a new preview beside its name, for the admin API and the box API: secrets, which are
 * shown once, and a box that accepts the preview.
 */
#ifndef BOXEDGE_PREVIEW_MAKE_H
#define BOXEDGE_PREVIEW_MAKE_H

#include "credentials.h"
#include "store.h"

/* The user of basic credentials. */
#define PREVIEW_USERNAME "user"

/* Cleanse with preview_secrets_fini. */
typedef struct preview_secrets {
    char token[SECRET_TEXT_LEN + 1];    /* empty: not requested */
    char password[SECRET_TEXT_LEN + 1]; /* empty: not requested */
} preview_secrets_t;

/* Makes the secrets that preview->bearer and preview->basic request, and sets their hashes in the
 * preview. */
void preview_secrets_make(preview_secrets_t *secrets, store_preview_t *preview);
void preview_secrets_fini(preview_secrets_t *secrets);

/* The reason why a box refuses this preview: returns its stable word and writes a sentence into
 * `why`. Returns NULL if the box accepts the preview or is unknown. */
#define PREVIEW_WHY_MAX 320
const char *preview_refusal(const store_box_t *box, const store_preview_t *preview,
                            char why[PREVIEW_WHY_MAX]);

/*
 * Reserves preview->alias, and checks that this box's id is not another box's alias. Returns NULL
 * if the preview now owns the alias. Otherwise returns the reason as preview_refusal does, with
 * `*status` 409 (or 507, 503).
 */
const char *preview_alias_refusal(store_t *store, const store_preview_t *preview, int *status,
                                  char why[PREVIEW_WHY_MAX]);
/* Writes the id as a host label without '_' into preview->alias. Returns false if that is
 * impossible. Ids without '_' need no alias. */
bool preview_alias_dash(store_preview_t *preview);
/* The text for the box in the preview's host name: its alias, or else its id. */
str_t preview_host_id(const store_preview_t *preview);

#endif
