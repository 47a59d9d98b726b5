/*
 * What a new preview needs beside its name, whoever asks for it (the admin API, the box API): secrets, shown
 * this once, and a box that takes it.
 */
#ifndef BOXEDGE_PREVIEW_MAKE_H
#define BOXEDGE_PREVIEW_MAKE_H

#include "credentials.h"
#include "store.h"

/* The user of basic credentials. */
#define PREVIEW_USERNAME "user"

/* To be cleansed (preview_secrets_fini). */
typedef struct preview_secrets {
    char token[SECRET_TEXT_LEN + 1];    /* empty: none was asked for */
    char password[SECRET_TEXT_LEN + 1]; /* the same */
} preview_secrets_t;

/* Makes what preview->bearer and preview->basic ask for, and sets the preview's hashes of it. */
void preview_secrets_make(preview_secrets_t *secrets, store_preview_t *preview);
void preview_secrets_fini(preview_secrets_t *secrets);

/* Why a box takes no such preview: a sentence in `why`, and its stable word. NULL: it does, or is not known.
 */
#define PREVIEW_WHY_MAX 320
const char *preview_refusal(const store_box_t *box, const store_preview_t *preview,
                            char why[PREVIEW_WHY_MAX]);

/*
 * Reserves what preview->alias says, and sees that no other box's alias is this box's id. NULL: it is its own
 * from here on; else why not, as preview_refusal, with `*status` 409 (or 507, 503).
 */
const char *preview_alias_refusal(store_t *store, const store_preview_t *preview, int *status,
                                  char why[PREVIEW_WHY_MAX]);
/* The id as a host label without '_', into preview->alias; false where there is none such. Ids without '_'
 * need none. */
bool preview_alias_dash(store_preview_t *preview);
/* What stands for the box in the preview's host name. */
str_t preview_host_id(const store_preview_t *preview);

#endif
