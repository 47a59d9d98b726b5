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

#endif
