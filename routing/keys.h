/*
 * The API keys that are known by name: those of the configuration and those of the store (`boxedge
 * key`). Each worker has its own view; its next request sees a change in the store. Keys are known
 * only by their SHA-256.
 */
#ifndef BOXEDGE_KEYS_H
#define BOXEDGE_KEYS_H

#include "conf.h"
#include "store.h"

typedef struct keys keys_t;

typedef enum keys_result {
    KEYS_KNOWN,   /* it has a name and a plan */
    KEYS_UNKNOWN, /* the upstream decides */
    KEYS_REVOKED,
    KEYS_FAILED, /* the store cannot be read */
} keys_result_t;

typedef struct keys_entry {
    const char *name;        /* for logs; valid until the next call */
    const conf_plan_t *plan; /* in the given configuration; NULL if gone: use the default plan */
} keys_entry_t;

/*
 * Returns whether the text can be a key, in any field: visible ASCII without quotes, commas,
 * semicolons, backslashes and brackets. From other text, an upstream that strips the delimiters of
 * lists and strings would read another key.
 */
bool keys_is_token(str_t text);

/* `epoch` is that of shm_epoch. Both arguments must outlive the result. */
keys_t *keys_new(store_t *store, const _Atomic uint64_t *epoch);
void keys_free(keys_t **keys);
/*
 * Finds a key. A revoked key is refused even if the configuration declares it. Otherwise the
 * configuration counts, then the store. A repeated key costs only memory reads while neither the
 * stored keys nor the configuration change. Fills *out except for KEYS_FAILED; the name is empty
 * for KEYS_UNKNOWN.
 */
MUST_USE keys_result_t keys_find(keys_t *keys, const conf_t *conf, const uint8_t sha256[32],
                                 keys_entry_t *out);

#endif
