/*
 * Which API keys are known by name: those of the configuration and those of the store (`boxedge key`). A
 * worker's view; a change in the store is seen by the next request. Keys are known by their SHA-256 only.
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
    const conf_plan_t *plan; /* of the configuration given; NULL: its plan is not there any more (the default
                                plan counts) */
} keys_entry_t;

/*
 * Whether it can be a key, in whichever field it is shown: visible ASCII without quotes, commas, semicolons,
 * backslashes and brackets. In anything else an upstream that strips what lists and strings have around their
 * members would read another key.
 */
bool keys_is_token(str_t text);

/* `epoch` is that of shm_epoch; all outlive it. */
keys_t *keys_new(store_t *store, const _Atomic uint64_t *epoch);
void keys_free(keys_t **keys);
/*
 * A revoked key is refused also where the configuration declares it; else what the configuration says of a
 * key counts, and then the store. Looks only into memory for a key that was asked for before, as long as
 * neither the stored keys nor the configuration change. *out is filled but for KEYS_FAILED; the name of
 * KEYS_UNKNOWN is empty.
 */
MUST_USE keys_result_t keys_find(keys_t *keys, const conf_t *conf, const uint8_t sha256[32],
                                 keys_entry_t *out);

#endif
