/*
 * A store in separate directories, for tests.
 */
#ifndef BOXEDGE_STORE_FIXTURE_H
#define BOXEDGE_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"

#define FIXTURE_MAP_BYTES (64u << 20)

typedef struct fixture {
    char root[64];
    char durable[96];
    char scratch[96];
    store_t *store; /* a writer; NULL while closed */
} fixture_t;

/* Call it while no other store of the same directories is open in this process: LMDB allows one. */
void fixture_open(fixture_t *f, uint64_t map_bytes);
void fixture_make_in(fixture_t *f, const char *where);
void fixture_make(fixture_t *f);
void fixture_remove(fixture_t *f);
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Closes the store, writes a block that this edge cannot read, and opens it again. */
void fixture_damage_rules(fixture_t *f);
/* Closes the store, flips the last bit of `bytes` wherever they are in the file of an environment ("." or its
 * name), and opens the store again. */
void fixture_flip(fixture_t *f, const char *environment, str_t bytes);
/* For store_each_preview: counts previews in a size_t. */
bool fixture_count(const store_preview_t *preview, void *count);
/* The number of previews that the store lists. */
size_t fixture_listed(store_t *store);
store_preview_t fixture_preview(const char *id, uint16_t port);
store_box_t fixture_box(const char *id, box_state_t state);

#endif
