/*
 * New links to previews (store_links.h), for the admin API and the box API: the wish of a caller, its check,
 * and the secret, which is shown once.
 */
#ifndef BOXEDGE_LINK_MAKE_H
#define BOXEDGE_LINK_MAKE_H

#include "credentials.h"
#include "preview_make.h"
#include "store_links.h"

/* Lifetime in seconds: the default, and the longest one. */
#define LINK_SECONDS     86400
#define LINK_SECONDS_MAX (366u * 86400)
/* The id as people read it. */
#define LINK_ID_DIGITS 16
/* "<id>.<secret>", the key in the link's address. */
#define LINK_KEY_LEN (LINK_ID_DIGITS + 1 + SECRET_TEXT_LEN)

/* On the preview's host (docs/access.md). */
#define LINK_PATH "/.well-known/boxedge/link"

void link_id_text(uint64_t id, char out[LINK_ID_DIGITS + 1]);
MUST_USE bool link_id_read(str_t text, uint64_t *id);
/* Splits a key; the secret is a slice of it. */
MUST_USE bool link_key_read(str_t key, uint64_t *id, str_t *secret);

/* Whether the path may follow a sign-in: it stays on its host, and has 1 to STORE_LINK_PATH_MAX visible ASCII
 * characters. */
bool link_path_valid(str_t path);

/*
 * Makes a link of link->box and link->port that lasts for `seconds`: its id, secret (to be cleansed) and
 * times. With `hide_box` it also gets a host label. Returns NULL if it is on disk. Otherwise returns the
 * reason as preview_refusal does, with the status of the answer.
 */
const char *link_make(store_t *store, store_link_t *link, bool hide_box, uint64_t seconds, uint64_t now,
                      char secret[SECRET_TEXT_LEN + 1], int *status, char why[PREVIEW_WHY_MAX]);

#endif
