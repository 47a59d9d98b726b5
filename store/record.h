/*
 * The store's records as bytes. The first byte is the version of the layout. A record with another
 * version, another length or a value out of range is refused, so that bytes of a different edge are
 * never misread. The name (box id, port) is not in the record.
 *
 * preview, version 1 (read only: a public one):
 *   version (1) | sequence (8) | created_at (8) | host_header (1)
 * preview, version 2:
 *   the same, then flags (1: 1 bearer, 2 basic, 4 h2c, 8 background wakes) | expires_at (8) |
 *   bearer_sha256 (32) | basic_sha256 (32) | length of label (1) | length of allow_origins (2) | label |
 *   allow_origins
 *   A host_header above 1 is in bits 60 to 62 of the sequence; byte 17 has the nearest one of 0 and 1, which
 * an older edge uses. preview, version 3 (with an alias only, so that an older edge reads the others): the
 * same as version 2, then alias box, version 3 (others are refused: these records need not outlive a reboot):
 *   version (1) | state (1) | generation (8) | address (16) | fixed_port (2) | provider (1) | flags (1: 1
 *   keep_alive, 2 ephemeral, 4 doubted) | expires_at (8) | idle_ms (8) | pid (8) | settles_at_ms (8) |
 *   port_count (1) | listening_count (1) | ports (32) | listening (32) | start_ms (8)
 * block, version 1:
 *   version (1) | kind (1) | created_at (8)
 * keys, version 1:
 *   version (1) | rotated_at (8) | current (32) | previous (32)
 * API key, version 1 (under its hash):
 *   version (1) | created_at (8) | revoked_at (8) | length of name (1) | length of plan (1) | name | plan
 * name of an API key, version 1:
 *   version (1) | sha256 (32)
 * alias, version 1:
 *   version (1) | id
 * link, version 1:
 *   version (1) | flags (1: 1 once, 2 read only, 4 WebSockets allowed) | sessions (1) | id (8) | version of
 * the preview (8) | sha256 (32) | created_at (8) | expires_at (8) | opened (8) | used_at (8) | length of
 * label (1) | length of path (2) | length of alias (1) | label | path | alias host label of a link, version
 * 1: version (1) | id (8) | port (2) | box deletion of a box, version 1: version (1) | call (8) |
 * requested_at_ms (8) | closed_at_ms (8) | pid (8) | key_sha256 (32)
 */
#ifndef BOXEDGE_RECORD_H
#define BOXEDGE_RECORD_H

#include "store.h"
#include "store_links.h"

#define RECORD_PREVIEW_MAX    (94 + STORE_LABEL_MAX + STORE_ORIGINS_MAX + BOX_ID_MAX)
#define RECORD_ALIAS_MAX      (1 + BOX_ID_MAX)
#define RECORD_BOX_BYTES      (72 + 4 * STORE_BOX_PORTS_MAX)
#define RECORD_BLOCK_BYTES    10
#define RECORD_KEYS_BYTES     73
#define RECORD_KEY_MAX        (19 + 2 * STORE_KEY_NAME_MAX)
#define RECORD_NAME_BYTES     33
#define RECORD_DELETION_BYTES 65
#define RECORD_LINK_MAX       (87 + STORE_LABEL_MAX + STORE_LINK_PATH_MAX + BOX_ID_MAX)

/* Returns the record's length. */
size_t record_encode_preview(const store_preview_t *preview, char out[RECORD_PREVIEW_MAX]);
size_t record_encode_key(const store_key_t *key, char out[RECORD_KEY_MAX]);
size_t record_encode_alias(str_t id, char out[RECORD_ALIAS_MAX]);
size_t record_encode_link(const store_link_t *link, char out[RECORD_LINK_MAX]);
size_t record_encode_link_alias(const store_link_t *link, char out[RECORD_LINK_MAX]);
/* These write all RECORD_…_BYTES. */
void record_encode_block(const store_block_t *block, char out[RECORD_BLOCK_BYTES]);
void record_encode_keys(const store_cookie_keys_t *keys, char out[RECORD_KEYS_BYTES]);
void record_encode_name(const uint8_t sha256[32], char out[RECORD_NAME_BYTES]);
void record_encode_box(const store_box_t *box, char out[RECORD_BOX_BYTES]);
void record_encode_deletion(const store_deletion_t *deletion, char out[RECORD_DELETION_BYTES]);

/* Fills *out with the record and the name, at most BOX_ID_MAX bytes of id (asserted). Returns false
 * if the record is refused. */
MUST_USE bool record_decode_preview(str_t record, str_t id, uint16_t port, store_preview_t *out);
/* `text` is the block's name, at most STORE_BLOCK_TEXT_MAX bytes (asserted). */
MUST_USE bool record_decode_block(str_t record, str_t text, store_block_t *out);
MUST_USE bool record_decode_keys(str_t record, store_cookie_keys_t *out);
MUST_USE bool record_decode_key(str_t record, const uint8_t sha256[32], store_key_t *out);
MUST_USE bool record_decode_name(str_t record, uint8_t sha256[32]);
MUST_USE bool record_decode_box(str_t record, str_t id, store_box_t *out);
MUST_USE bool record_decode_alias(str_t record, char id[BOX_ID_MAX + 1]);
/* `name` is "<box>-<port>"; `place` is the link's. */
MUST_USE bool record_decode_link(str_t record, str_t name, uint16_t place, store_link_t *out);
MUST_USE bool record_decode_link_alias(str_t record, char box[BOX_ID_MAX + 1], uint16_t *port, uint64_t *id);
/* Either of them, by its name. */
MUST_USE bool record_decode_any_link(str_t record, str_t name, uint16_t place, store_link_t *out);
/* Does not set the slot. */
MUST_USE bool record_decode_deletion(str_t record, str_t id, store_deletion_t *out);

#endif
