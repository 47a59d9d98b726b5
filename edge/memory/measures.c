#include "measures.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

#define MS 1000u
#define S  1000000u
const uint32_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {
    100,      250,      500,   1 * MS,    2500,  5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS,
    250 * MS, 500 * MS, 1 * S, 2500 * MS, 5 * S, 10 * S, 30 * S,  60 * S,  300 * S, UINT32_MAX};
const uint8_t histogram_first[32] = {0, 0,  0,  0,  0,  0,  0,  1,  2,  3,  4,  4,  5,  6,  7,  8,
                                     9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 18, 18, 18, 19, 19, 19};

const char *measure_kind_text(measure_kind_t kind)
{
    static const char *const texts[MEASURE_KINDS] = {"preview", "api", "redirect", "health", "none"};
    assert(kind < MEASURE_KINDS);
    return texts[kind];
}

const char *measure_protocol_text(measure_protocol_t protocol)
{
    static const char *const texts[MEASURE_PROTOCOLS] = {"h1", "h2", "h3"};
    assert(protocol < MEASURE_PROTOCOLS);
    return texts[protocol];
}

#define STATUS_FIRST 100
#define STATUS_LAST  511
/* Plus one; 0: no cell of its own. */
static const uint8_t status_cells[STATUS_LAST - STATUS_FIRST + 1] = {
#define X(status) [status - STATUS_FIRST] = MEASURE_STATUS_##status + 1,
    MEASURE_STATUSES(X)
#undef X
};

unsigned measure_status(int status)
{
    unsigned index = (unsigned)status - STATUS_FIRST;
    if (index > STATUS_LAST - STATUS_FIRST)
        return status == 0 ? MEASURE_STATUS_NONE : MEASURE_STATUS_OTHER;
    return status_cells[index] != 0 ? status_cells[index] - 1u : MEASURE_STATUS_OTHER;
}

const char *measure_status_text(unsigned cell, char out[8])
{
    static const uint16_t statuses[] = {
#define X(status) status,
        MEASURE_STATUSES(X)
#undef X
    };
    assert(cell < MEASURE_STATUS_COUNT);
    if (cell >= MEASURE_STATUS_OTHER)
        return cell == MEASURE_STATUS_NONE ? "none" : "other";
    (void)snprintf(out, 8, "%u", statuses[cell]);
    return out;
}

static bool is_in(uint64_t id, const uint64_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static uint64_t id_of(const measure_cell_t *cell)
{
    return atomic_load_explicit(&cell->id, memory_order_relaxed);
}

unsigned measure_find(const measure_cell_t *cells, unsigned size, uint64_t id)
{
    unsigned i = 0;
    while (i < size && id_of(&cells[i]) != id)
        i++;
    return i;
}

/* One is unused: `ids` has at most `size`, and one of them has no cell. */
static unsigned find_unused(const measure_cell_t *cells, unsigned size, const uint64_t *ids, unsigned count)
{
    unsigned i = measure_find(cells, size, 0);
    for (unsigned j = 0; i == size && j < size; j++)
        if (!is_in(id_of(&cells[j]), ids, count))
            i = j;
    return i < size ? i : 0;
}

void measure_assign(measure_cell_t *cells, unsigned size, const uint64_t *ids, unsigned count)
{
    assert(count <= size);
    for (unsigned i = 0; i < count; i++) {
        if (measure_find(cells, size, ids[i]) < size)
            continue;
        measure_cell_t *cell = &cells[find_unused(cells, size, ids, count)];
        for (unsigned j = 0; j < sizeof(cell->counts) / sizeof(cell->counts[0]); j++)
            atomic_store_explicit(&cell->counts[j], 0, memory_order_relaxed);
        atomic_store_explicit(&cell->id, ids[i], memory_order_relaxed);
    }
}
