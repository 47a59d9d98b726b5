/*
 * The answers by which servers refuse a host that they do not know (docs/http.md, "auto"). The list names the
 * source of each. An answer must have the exact status, type and texts; nothing is guessed.
 */
#ifndef BOXEDGE_HOST_SIGNATURE_H
#define BOXEDGE_HOST_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "str.h"

/* Bytes of a body that a signature may need. The page of Rails has a long style before its text. */
#define HOST_SIGNATURE_BYTES 8192
/* Bytes of an answer that the edge quotes. */
#define HOST_SIGNATURE_QUOTE 200

typedef struct host_signature host_signature_t;

typedef enum host_match {
    HOST_MATCH_NONE, /* no signature is there, whatever follows */
    HOST_MATCH_MORE, /* more of the body decides */
    HOST_MATCH_FOUND,
} host_match_t;

/* Whether a head may belong to a signature. Cheap: most answers fail by their status. */
bool host_signature_possible(const response_t *head);
/* Judges the beginning of the body of a possible head. `whole`: nothing follows. */
host_match_t host_signature_match(const response_t *head, str_t body, bool whole,
                                  const host_signature_t **found);
/* Whether a server answered the handshake of its live channel so: not in HTTP (`odd_answer`), as Next.js
 * does. */
bool host_signature_of_handshake(str_t target, str_t odd_answer);

/* "Vite". */
const char *host_signature_server(const host_signature_t *signature);
/* The file to change, and its line: the texts before and after the domain, or `after` is NULL and the first
 * is the whole. */
typedef struct host_remedy {
    const char *file, *before, *after;
} host_remedy_t;
host_remedy_t host_signature_remedy(const host_signature_t *signature);
/* What the server said: printable ASCII without markup, of the body in which it was found. */
str_t host_signature_quote(const host_signature_t *signature, str_t body, char out[HOST_SIGNATURE_QUOTE]);

#endif
