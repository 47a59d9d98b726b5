#include "heap.h"

#include <stddef.h>

/*
 * jemalloc reads its options from a symbol of this name. By default a thread caches 20 free pieces
 * of a size from 2 KiB on. One turn of the loop allocates and frees more exchanges than that, and
 * each further one costs a lock and several hundred instructions.
 *
 * By default a slab of 1,024 bytes has four pieces, one of 1,280 bytes sixteen. jemalloc keeps 128 bytes
 * about each slab. An idle TLS connection has three such pieces, so sixteen in a slab save it 72 bytes.
 */
#define HEAP_OPTIONS "tcache_nslots_small_min:64,slab_sizes:1024-1024:4"
extern const char *malloc_conf;
__attribute__((used, visibility("default"))) const char *malloc_conf = HEAP_OPTIONS;

/* Defined by jemalloc if it is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
    __attribute__((weak));

uint64_t heap_allocated(void)
{
    if (mallctl == NULL)
        return 0;
    /* Statistics are those of the last epoch: begin a new one. */
    uint64_t epoch = 1;
    size_t len = sizeof epoch;
    size_t allocated = 0;
    size_t allocated_len = sizeof allocated;
    if (mallctl("epoch", &epoch, &len, &epoch, sizeof epoch) != 0 ||
        mallctl("stats.allocated", &allocated, &allocated_len, NULL, 0) != 0)
        return 0;
    return allocated;
}
