#include "flights.h"

#include <assert.h>
#include <string.h>

/* The number of a request without a record. */
#define UNRECORDED (FLIGHTS_MAX + 1)

void flights_wipe(flight_table_t *table)
{
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        /* Read first: a store costs more, and hardly a cell needs it. */
        if (atomic_load_explicit(&table->at[i].wall_us, memory_order_relaxed) != 0)
            atomic_store(&table->at[i].wall_us, 0);
    if (atomic_load(&table->unrecorded) != 0)
        atomic_store(&table->unrecorded, 0);
}

void flights_init(flights_t *flights, flight_table_t *table)
{
    flights->table = table;
    flights->free_count = FLIGHTS_MAX;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++)
        flights->free[i] = (uint16_t)(FLIGHTS_MAX - i);
    flights_wipe(table);
}

static void count_unrecorded(flights_t *flights, uint32_t by)
{
    uint32_t count = atomic_load_explicit(&flights->table->unrecorded, memory_order_relaxed);
    atomic_store_explicit(&flights->table->unrecorded, count + by, memory_order_relaxed);
}

uint16_t flights_take(flights_t *flights, flight_t **record)
{
    if (flights->free_count == 0) {
        count_unrecorded(flights, 1);
        *record = NULL;
        return UNRECORDED;
    }
    uint16_t number = flights->free[--flights->free_count];
    *record = &flights->table->at[number - 1];
    return number;
}

void flights_give(flights_t *flights, uint16_t number)
{
    assert(number != 0 && number <= UNRECORDED);
    if (number == UNRECORDED) {
        count_unrecorded(flights, UINT32_MAX);
        return;
    }
    assert(flights->free_count < FLIGHTS_MAX);
    atomic_store_explicit(&flights->table->at[number - 1].wall_us, 0, memory_order_release);
    flights->free[flights->free_count++] = number;
}

static uint8_t at_most(uint8_t n, uint8_t most)
{
    return n < most ? n : most;
}

bool flight_read(const flight_table_t *table, size_t i, flight_t *out)
{
    assert(i < FLIGHTS_MAX);
    uint64_t wall_us = atomic_load_explicit(&table->at[i].wall_us, memory_order_acquire);
    if (wall_us == 0)
        return false;
    memcpy(out, &table->at[i], sizeof(*out));
    out->method_n = at_most(out->method_n, FLIGHT_METHOD_BYTES);
    out->host_n = at_most(out->host_n, FLIGHT_HOST_BYTES);
    return true;
}

uint32_t flights_unrecorded(const flight_table_t *table)
{
    return atomic_load(&table->unrecorded);
}
