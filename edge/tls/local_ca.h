/*
 * A certificate authority of this machine's own, for running without certificates: good for the preview
 * domain, the API's hosts and nothing else (name constraints, RFC 5280 section 4.2.1.10), and a leaf for
 * those hosts and all previews.
 *
 * In <state_dir>/ca/: ca.pem and ca.key, leaf.pem and leaf.key; keys have mode 0600. Files are replaced
 * whole, so that a crash leaves the old or the new.
 */
#ifndef BOXEDGE_LOCAL_CA_H
#define BOXEDGE_LOCAL_CA_H

#include "str.h"
#include "tls.h"

/* Further names, at most (the bound of api.hosts). */
#define LOCAL_CA_EXTRA_MAX 64

/*
 * Makes what is missing, what does not fit `preview_domain` (lower case) and `extra` (further host names that
 * the leaf is to cover), and a leaf with less than 30 days left at `now_unix`; uses the rest again.
 * `state_dir` exists. With true `*out` is the caller's (tls_pem_fini); else `error` is a sentence.
 */
MUST_USE bool local_ca_ensure(const char *state_dir, const char *preview_domain, const str_t *extra,
                              size_t extra_count, uint64_t now_unix, tls_pem_t *out, char *error,
                              size_t error_len);

/* Whether local_ca_ensure would do it; else its sentence. Makes no file; `state_dir` may be missing. */
MUST_USE bool local_ca_look(const char *state_dir, const char *preview_domain, const str_t *extra,
                            size_t extra_count, uint64_t now_unix, char *error, size_t error_len);

/* A sentence or two for people: where the authority lies and how a client trusts it. */
void local_ca_advice(const char *state_dir, char *text, size_t text_len);

#endif
