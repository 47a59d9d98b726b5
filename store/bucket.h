/*
 * A bucket is one value of the store: all records whose names (box id, port) have the same hash,
 * nearly always one. Every entry has its name in a layout that does not change. This edge can
 * therefore replace and delete a record of an unknown version.
 *
 *   entry: length of the rest (2) | port (2) | length of the id (1) | id | record
 *
 * The last entry is the seal: a keyed hash of all before it, as the record of a name that no other entry has.
 * An edge from before the seal reads past it, as past any other name. It also keeps it when it replaces a
 * record, which then comes after the seal: a seal that is not last proves nothing.
 */
#ifndef BOXEDGE_BUCKET_H
#define BOXEDGE_BUCKET_H

#include "siphash.h"
#include "str.h"

/* Maximum bytes of a record, and of a bucket. */
#define BUCKET_RECORD_MAX 4096
#define BUCKET_MAX        32768

typedef struct bucket_entry {
    str_t id;
    uint16_t port;
    str_t record; /* points into the bucket */
} bucket_entry_t;

typedef enum bucket_result {
    BUCKET_OK,
    BUCKET_END,    /* no (further) entry */
    BUCKET_BROKEN, /* the rest is no entry */
    BUCKET_FULL,   /* the result would exceed the room */
} bucket_result_t;

/* Takes the next entry off *rest. BUCKET_OK, BUCKET_END or BUCKET_BROKEN. */
MUST_USE bucket_result_t bucket_next(str_t *rest, bucket_entry_t *entry);
/* Finds the entry of that name. BUCKET_OK; BUCKET_END without one; BUCKET_BROKEN if none precedes
 * the part that cannot be read. */
MUST_USE bucket_result_t bucket_find(str_t bucket, str_t id, uint16_t port, bucket_entry_t *entry);
/*
 * Writes `bucket` without its entries of that name, then, unless record.p is NULL, an entry with
 * `record`. The id is 1-255 bytes, the record at most BUCKET_RECORD_MAX (asserted). An unreadable
 * part and the seal are left out. Returns BUCKET_OK and *len, or BUCKET_FULL. `out` must not overlap
 * `bucket`.
 */
MUST_USE bucket_result_t bucket_replace(str_t bucket, str_t id, uint16_t port, str_t record, char *out,
                                        size_t cap, size_t *len);

/* ---- the seal ---- */

#define BUCKET_SEAL_BYTES 14

typedef enum bucket_seal {
    BUCKET_SEAL_NONE, /* of an earlier edge */
    BUCKET_SEAL_RIGHT,
    BUCKET_SEAL_WRONG, /* the bucket is not as it was written */
} bucket_seal_t;

/* Appends the seal; BUCKET_FULL without room for it. */
MUST_USE bucket_result_t bucket_add_seal(const siphash_key_t *key, char *bucket, size_t cap, size_t *len);
/* A bucket with only a seal is one from which an earlier edge deleted the last record: BUCKET_SEAL_NONE. */
bucket_seal_t bucket_seal_state(const siphash_key_t *key, str_t bucket);
bool bucket_is_seal(const bucket_entry_t *entry);

#endif
