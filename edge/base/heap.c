#include "heap.h"

#include <stddef.h>

/*
 * jemalloc's options, which it reads from a symbol of this name. By default a thread keeps 20 free pieces of
 * a size from 2 KiB on. A turn of the loop takes and frees more exchanges than that, and each beyond them
 * costs a lock and several hundred instructions.
 */
#define HEAP_OPTIONS "tcache_nslots_small_min:64"
extern const char *malloc_conf;
__attribute__((used, visibility("default"))) const char *malloc_conf = HEAP_OPTIONS;

/* jemalloc's, where it is linked. */
int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len)
    __attribute__((weak));

uint64_t heap_allocated(void)
{
    if (mallctl == NULL)
        return 0;
    /* Its figures are those of the last epoch: begin another. */
    uint64_t epoch = 1;
    size_t len = sizeof epoch;
    size_t allocated = 0;
    size_t allocated_len = sizeof allocated;
    if (mallctl("epoch", &epoch, &len, &epoch, sizeof epoch) != 0 ||
        mallctl("stats.allocated", &allocated, &allocated_len, NULL, 0) != 0)
        return 0;
    return allocated;
}
