#include "host_modes.h"

#include <assert.h>

#include "fold_hash.h"

#define MODE_BITS 3u

uint64_t host_modes_key(const uint64_t seed[2], str_t box, uint64_t generation, uint16_t port)
{
    uint64_t hash = fold_hash_text(seed, box);
    hash = fold_multiply(hash ^ generation, seed[0] ^ 0x9e3779b97f4a7c15u);
    return fold_hash_end(seed, hash ^ port);
}

static uint64_t load(const host_modes_t *modes, uint64_t key)
{
    return atomic_load_explicit(&modes->cells[(key >> 2) % HOST_MODES_CELLS], memory_order_relaxed);
}

host_mode_t host_modes_get(const host_modes_t *modes, uint64_t key)
{
    uint64_t cell = load(modes, key); /* once: another process may change it */
    unsigned mode = (unsigned)(cell & MODE_BITS);
    return ((cell ^ key) & ~(uint64_t)MODE_BITS) == 0 && mode <= HOST_MODE_LAST ? (host_mode_t)mode
                                                                                : HOST_MODE_PUBLIC;
}

void host_modes_put(host_modes_t *modes, uint64_t key, host_mode_t mode)
{
    assert(mode <= HOST_MODE_LAST);
    atomic_store_explicit(&modes->cells[(key >> 2) % HOST_MODES_CELLS],
                          (key & ~(uint64_t)MODE_BITS) | (uint64_t)mode, memory_order_relaxed);
}
