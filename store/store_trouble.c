/*
 * Whether the disks take changes.
 */
#include "store_internal.h"

store_trouble_t store_trouble(const store_t *store, bool durable)
{
    const table_trouble_t *trouble = durable ? &store->durable_trouble : &store->volatile_trouble;
    return (store_trouble_t){.failed = trouble->failed,
                             .why = trouble->why[0] != '\0' ? trouble->why : NULL,
                             .dir = table_dir(durable ? store->previews : store->boxes)};
}

bool store_in_trouble(const store_t *store)
{
    if (store->durable_trouble.why[0] != '\0' || store->volatile_trouble.why[0] != '\0')
        return true;
    for (unsigned i = 0; i < STORE_PARTS; i++) {
        const table_t *table = store_part(store, (store_part_t)i);
        if (table_closed(table) != NULL || table_damaged(table) || table_doubtful(table))
            return true;
    }
    return false;
}
