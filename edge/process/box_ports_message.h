/*
 * The worker's question after a box refused or closed a connection (PROCESS_BOX_PORTS_REQUEST), and the
 * controller's answer (PROCESS_BOX_PORTS), as bytes. `value` of both messages is the generation of
 * that box.
 */
#ifndef BOXEDGE_BOX_PORTS_MESSAGE_H
#define BOXEDGE_BOX_PORTS_MESSAGE_H

#include "box_ports.h"

/* "<id>-<port>" */
#define BOX_PORTS_LABEL_MAX 63
#define BOX_PORTS_BYTES     (2 + 3 * BOX_PORTS_ANSWER_MAX + BOX_PORTS_LINE_MAX + BOX_PORTS_LABEL_MAX)

/* Writes the answer. Returns the length. `label` is at most BOX_PORTS_LABEL_MAX long (asserted). */
size_t box_ports_write(str_t label, const box_ports_answer_t *listening, char out[BOX_PORTS_BYTES]);
/* `label` is a slice of `bytes`. */
MUST_USE bool box_ports_parse(str_t bytes, str_t *label, box_ports_answer_t *out);

#endif
