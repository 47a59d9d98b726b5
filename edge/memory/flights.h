/*
 * The requests in flight at a worker, in the shared segment, so that they outlive the worker. The supervisor
 * turns those of a dead worker into access lines (lost_requests.h).
 *
 * The worker writes a record once the head of a request is complete, adds the preview or the API once the
 * request has its route, and clears it at the end of the exchange: a few stores, no lock, no system call.
 * Only the owner writes, and others read after its death. Requests beyond FLIGHTS_MAX are counted, not
 * recorded. A reader trusts no number in a table, since any worker can write there. Secrets never get in: the
 * caller removes them from the target.
 */
#ifndef BOXEDGE_FLIGHTS_H
#define BOXEDGE_FLIGHTS_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "box_id.h"
#include "conf.h"
#include "str.h"

#define FLIGHTS_MAX         1024u
#define FLIGHT_ID_BYTES     36
#define FLIGHT_METHOD_BYTES 20
#define FLIGHT_HOST_BYTES   128
#define FLIGHT_PATH_BYTES   236

typedef struct flight {
    _Atomic uint64_t wall_us; /* time of the complete head; 0: no request. Written last */
    struct in6_addr client;   /* IPv4 as mapped IPv6 */
    uint8_t method_n, host_n;
    uint8_t version;  /* 10, 11 or 20 */
    uint8_t listener; /* conf_listener_kind_t */
    uint16_t path_n;  /* over FLIGHT_PATH_BYTES: the path was longer */
    uint16_t port;    /* of the preview */
    bool https;
    bool api;                 /* a request to the API */
    char box[BOX_ID_MAX + 1]; /* of the preview; empty: none */
    char id[FLIGHT_ID_BYTES]; /* up to a NUL, if it is shorter */
    char method[FLIGHT_METHOD_BYTES];
    char host[FLIGHT_HOST_BYTES];
    char path[FLIGHT_PATH_BYTES];
} flight_t;

_Static_assert(sizeof(flight_t) == 512, "a record is eight cache lines");

typedef struct flight_table {
    flight_t at[FLIGHTS_MAX];
    _Atomic uint32_t unrecorded; /* requests in flight without a record */
} flight_table_t;

/* A worker's view of its table: the free records, the last one used first. */
typedef struct flights {
    flight_table_t *table;
    uint32_t free_count;
    uint16_t free[FLIGHTS_MAX];
} flights_t;

/* Clears the table, and has all records free. */
void flights_init(flights_t *flights, flight_table_t *table);
/* The number of a record for flight_end, never 0. *record is NULL if all are taken. The caller fills it, and
 * last its wall_us. */
uint16_t flights_take(flights_t *flights, flight_t **record);
void flights_give(flights_t *flights, uint16_t number);

/* The record with that number; NULL: the request has none. */
static inline flight_t *flight_of(const flights_t *flights, uint16_t number)
{
    return number - 1u < FLIGHTS_MAX ? &flights->table->at[number - 1] : NULL;
}

/* Of a dead worker: copies record `i`, below FLIGHTS_MAX, with its lengths within bounds. False: it is free.
 */
bool flight_read(const flight_table_t *table, size_t i, flight_t *out);
uint32_t flights_unrecorded(const flight_table_t *table);
/* Clears the table of a dead worker. */
void flights_wipe(flight_table_t *table);

#endif
