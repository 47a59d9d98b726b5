/*
 * A certificate authority of this machine, for running without certificates, with one leaf. The
 * authority is valid only for the preview domain and the API's hosts (name constraints, RFC 5280
 * section 4.2.1.10). The leaf covers those hosts and all previews.
 *
 * In <state_dir>/ca/: ca.pem and ca.key, leaf.pem and leaf.key; keys have mode 0600. Files are
 * replaced as a whole, so that a crash leaves the old or the new one.
 */
#ifndef BOXEDGE_LOCAL_CA_H
#define BOXEDGE_LOCAL_CA_H

#include "str.h"
#include "tls.h"

/* Maximum further names (the bound of api.hosts). */
#define LOCAL_CA_EXTRA_MAX 64

/*
 * Makes missing files, and replaces those that do not fit `preview_domain` (lower case) and
 * `extra`, further host names of the leaf. Also replaces a leaf with less than 30 days left at
 * `now_unix`. Reuses the others. `state_dir` must exist. On true the caller owns `*out`
 * (tls_pem_fini); otherwise `error` is a sentence.
 */
MUST_USE bool local_ca_ensure(const char *state_dir, const char *preview_domain, const str_t *extra,
                              size_t extra_count, uint64_t now_unix, tls_pem_t *out, char *error,
                              size_t error_len);

/* Returns whether local_ca_ensure would succeed; otherwise writes its sentence. Makes no file;
 * `state_dir` may be missing. */
MUST_USE bool local_ca_look(const char *state_dir, const char *preview_domain, const str_t *extra,
                            size_t extra_count, uint64_t now_unix, char *error, size_t error_len);

/* Writes advice for people: the authority's file and the way to trust it. */
void local_ca_advice(const char *state_dir, char *text, size_t text_len);

#endif
