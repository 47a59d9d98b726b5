/*
 * What the store keeps about a preview and about a box, as bytes. The first byte is the version of the
 * layout; a record of another version, of another length or with a value outside its range is refused, so
 * that nothing is made up from bytes that a different edge wrote. The name (box id, port) is not in the
 * record.
 *
 *   preview, version 1: version (1) | sequence (8) | created_at (8) | host_header (1)
 *   box, version 1:     version (1) | state (1) | generation (8) | address (16) | fixed_port (2)
 */
#ifndef BOXEDGE_RECORD_H
#define BOXEDGE_RECORD_H

#include "store.h"

#define RECORD_PREVIEW_BYTES 18
#define RECORD_BOX_BYTES     28

/* Writes all RECORD_…_BYTES. */
void record_encode_preview(const store_preview_t *preview, char out[RECORD_PREVIEW_BYTES]);
void record_encode_box(const store_box_t *box, char out[RECORD_BOX_BYTES]);

/* Fills *out with the record and the name, at most BOX_ID_MAX bytes of id (asserted). False where the record
 * is refused. */
MUST_USE bool record_decode_preview(str_t record, str_t id, uint16_t port, store_preview_t *out);
MUST_USE bool record_decode_box(str_t record, str_t id, store_box_t *out);

#endif
