/*
 * A bucket is one value of the store: all records whose names (box id, port) have the same hash, nearly
 * always one. Every entry says whose it is in a layout that does not change, so that a record of a version
 * that this edge does not know can still be replaced and deleted.
 *
 *   entry: length of what follows (2) | port (2) | length of the id (1) | id | record
 */
#ifndef BOXEDGE_BUCKET_H
#define BOXEDGE_BUCKET_H

#include "str.h"

/* A record is at most so long, and a bucket. */
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
    BUCKET_BROKEN, /* what is left is no entry */
    BUCKET_FULL,   /* the result would exceed the room */
} bucket_result_t;

/* Takes the next entry off *rest. BUCKET_OK, BUCKET_END or BUCKET_BROKEN. */
MUST_USE bucket_result_t bucket_next(str_t *rest, bucket_entry_t *entry);
/* The entry of that name. BUCKET_OK; BUCKET_END where there is none; BUCKET_BROKEN where there is none before
 * the part that cannot be read. */
MUST_USE bucket_result_t bucket_find(str_t bucket, str_t id, uint16_t port, bucket_entry_t *entry);
/*
 * Writes `bucket` without its entries of that name, then, unless record.p is NULL, an entry with `record`.
 * The id is 1-255 bytes, the record at most BUCKET_RECORD_MAX (asserted). A part that cannot be read is left
 * out. BUCKET_OK and *len, or BUCKET_FULL. `out` must not overlap `bucket`.
 */
MUST_USE bucket_result_t bucket_replace(str_t bucket, str_t id, uint16_t port, str_t record, char *out,
                                        size_t cap, size_t *len);

#endif
