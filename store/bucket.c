#include "bucket.h"

#include <assert.h>

#include "bytes.h"

#define LENGTH_BYTES   2
#define IDENTITY_BYTES 3 /* port and length of the id */

/* The name of seals: no box, key or rule has it. */
#define SEAL_ID    STR("#")
#define HASH_BYTES 8

bucket_result_t bucket_next(str_t *rest, bucket_entry_t *entry)
{
    if (rest->n == 0)
        return BUCKET_END;
    if (rest->n < LENGTH_BYTES + IDENTITY_BYTES)
        return BUCKET_BROKEN;
    size_t length = bytes_get16(rest->p);
    if (length < IDENTITY_BYTES || length > rest->n - LENGTH_BYTES)
        return BUCKET_BROKEN;
    const char *p = rest->p + LENGTH_BYTES;
    size_t id_len = (uint8_t)p[2];
    if (id_len == 0 || id_len > length - IDENTITY_BYTES)
        return BUCKET_BROKEN;
    entry->port = bytes_get16(p);
    entry->id = str_make(p + IDENTITY_BYTES, id_len);
    entry->record = str_make(p + IDENTITY_BYTES + id_len, length - IDENTITY_BYTES - id_len);
    *rest = str_from_offset(*rest, LENGTH_BYTES + length);
    return BUCKET_OK;
}

static bool entry_is(const bucket_entry_t *entry, str_t id, uint16_t port)
{
    return entry->port == port && str_eq(entry->id, id);
}

bucket_result_t bucket_find(str_t bucket, str_t id, uint16_t port, bucket_entry_t *entry)
{
    bucket_result_t result;
    while ((result = bucket_next(&bucket, entry)) == BUCKET_OK)
        if (entry_is(entry, id, port))
            return BUCKET_OK;
    return result;
}

/* Appends an entry to out[*len]; returns false if it does not fit. */
static bool entry_append(const bucket_entry_t *entry, char *out, size_t cap, size_t *len)
{
    size_t length = IDENTITY_BYTES + entry->id.n + entry->record.n;
    if (cap - *len < LENGTH_BYTES + length)
        return false;
    char *p = out + *len;
    bytes_put16(p, (uint16_t)length);
    bytes_put16(p + 2, entry->port);
    p[4] = (char)entry->id.n;
    memcpy(p + 5, entry->id.p, entry->id.n);
    if (entry->record.n != 0)
        memcpy(p + 5 + entry->id.n, entry->record.p, entry->record.n);
    *len += LENGTH_BYTES + length;
    return true;
}

bucket_result_t bucket_replace(str_t bucket, str_t id, uint16_t port, str_t record, char *out, size_t cap,
                               size_t *len)
{
    assert(id.n != 0 && id.n <= UINT8_MAX && record.n <= BUCKET_RECORD_MAX);
    bucket_entry_t entry;
    *len = 0;
    while (bucket_next(&bucket, &entry) == BUCKET_OK)
        if (!entry_is(&entry, id, port) && !bucket_is_seal(&entry) && !entry_append(&entry, out, cap, len))
            return BUCKET_FULL;
    entry = (bucket_entry_t){.id = id, .port = port, .record = record};
    if (record.p != NULL && !entry_append(&entry, out, cap, len))
        return BUCKET_FULL;
    return BUCKET_OK;
}

/* ---- the seal ---- */

bool bucket_is_seal(const bucket_entry_t *entry)
{
    return entry_is(entry, SEAL_ID, 0);
}

bucket_result_t bucket_add_seal(const siphash_key_t *key, char *bucket, size_t cap, size_t *len)
{
    char hash[HASH_BYTES];
    bytes_put64(hash, siphash(key, bucket, *len));
    bucket_entry_t entry = {.id = SEAL_ID, .record = str_make(hash, sizeof(hash))};
    return entry_append(&entry, bucket, cap, len) ? BUCKET_OK : BUCKET_FULL;
}

bucket_seal_t bucket_seal_state(const siphash_key_t *key, str_t bucket)
{
    bucket_entry_t entry = {.port = 1};
    str_t rest = bucket;
    size_t before = 0;
    while (rest.n != 0) {
        before = bucket.n - rest.n;
        if (bucket_next(&rest, &entry) != BUCKET_OK)
            return BUCKET_SEAL_WRONG;
    }
    if (before == 0 || !bucket_is_seal(&entry))
        return BUCKET_SEAL_NONE;
    bool right =
        entry.record.n == HASH_BYTES && bytes_get64(entry.record.p) == siphash(key, bucket.p, before);
    return right ? BUCKET_SEAL_RIGHT : BUCKET_SEAL_WRONG;
}
