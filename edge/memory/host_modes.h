/*
 * The host by which an app is named towards itself, as found by asking (docs/http.md, "auto"): for each port
 * of a box in one generation. All workers share the table, because any of them may find it.
 *
 * A cell is one atomic word: most bits of a keyed hash, and the mode. Two ports that share a cell displace
 * each other, and the edge asks again. A hash that only looks the same is as likely as a guessed 62-bit
 * number.
 */
#ifndef BOXEDGE_HOST_MODES_H
#define BOXEDGE_HOST_MODES_H

#include <stdatomic.h>
#include <stdint.h>

#include "str.h"

#define HOST_MODES_CELLS 8192

typedef enum host_mode {
    HOST_MODE_PUBLIC = 0, /* or not known */
    HOST_MODE_LOCALHOST,
    HOST_MODE_BARE, /* localhost, and no field names the public host */
} host_mode_t;
#define HOST_MODE_LAST HOST_MODE_BARE

/* All-zero is valid and empty. */
typedef struct host_modes {
    _Atomic uint64_t cells[HOST_MODES_CELLS];
} host_modes_t;

/* The key of a port of a box; `seed` is secret. */
uint64_t host_modes_key(const uint64_t seed[2], str_t box, uint64_t generation, uint16_t port);
host_mode_t host_modes_get(const host_modes_t *modes, uint64_t key);
void host_modes_put(host_modes_t *modes, uint64_t key, host_mode_t mode);

#endif
