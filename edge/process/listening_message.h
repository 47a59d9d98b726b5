/*
 * The worker's question after a box refused or closed a connection (PROCESS_LISTENING), and the
 * controller's answer (PROCESS_LISTENS), as bytes. `value` of both messages is the generation of
 * that box.
 */
#ifndef BOXEDGE_LISTENING_MESSAGE_H
#define BOXEDGE_LISTENING_MESSAGE_H

#include "listening.h"

/* "<id>-<port>" */
#define LISTENING_LABEL_MAX 63
#define LISTENING_BYTES     (2 + 3 * LISTENING_ANSWER_MAX + LISTENING_LINE_MAX + LISTENING_LABEL_MAX)

/* Writes the answer. Returns the length. `label` is at most LISTENING_LABEL_MAX long (asserted). */
size_t listening_write(str_t label, const listening_t *listening, char out[LISTENING_BYTES]);
/* `label` is a slice of `bytes`. */
MUST_USE bool listening_parse(str_t bytes, str_t *label, listening_t *out);

#endif
