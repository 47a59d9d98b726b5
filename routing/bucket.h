/*
 * A bucket is one value of the store: all records whose names (box id, port) have the same hash,
 * nearly always one. Every entry has its name in a layout that does not change. This edge can
 * therefore replace and delete a record of an unknown version.
 *
 *   entry: length of the rest (2) | port (2) | length of the id (1) | id | record
 */
#ifndef BOXEDGE_BUCKET_H
#define BOXEDGE_BUCKET_H

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
 * part is left out. Returns BUCKET_OK and *len, or BUCKET_FULL. `out` must not overlap `bucket`.
 */
MUST_USE bucket_result_t bucket_replace(str_t bucket, str_t id, uint16_t port, str_t record, char *out,
                                        size_t cap, size_t *len);

#endif
