#include "store_health.h"

#include "fnv.h"

bool store_health_report_record(store_health_t *health, str_t sentence)
{
    uint64_t hash = fnv_end(fnv_text(FNV_START, sentence)) | 1;
    for (size_t i = 0; i < STORE_HEALTH_RECORDS_MAX; i++) {
        uint64_t seen = 0;
        if (atomic_compare_exchange_strong(&health->reported[i], &seen, hash))
            return true;
        if (seen == hash)
            return false;
    }
    return false;
}

size_t store_health_records(const store_health_t *health)
{
    size_t count = 0;
    while (count < STORE_HEALTH_RECORDS_MAX && atomic_load(&health->reported[count]) != 0)
        count++;
    return count;
}

bool store_health_report_pages(store_health_t *health, uint64_t parts)
{
    return (parts & ~atomic_fetch_or(&health->damaged, parts)) != 0;
}

void store_health_clear_pages(store_health_t *health)
{
    atomic_store(&health->damaged, 0);
}

uint64_t store_health_bad_pages(const store_health_t *health)
{
    return atomic_load(&health->damaged);
}
