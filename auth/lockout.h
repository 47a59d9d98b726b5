/*
 * Limits guessing: the tenth failure within a minute of one client address (/64 for IPv6) on one
 * preview locks new secrets for 60 s. Repeats of one wrong secret within a minute count once. Two
 * different wrong secrets count as one with a chance of 1 in 65,536.
 *
 * The table lies in memory that all workers share; it is lock-free and bounded. A crowded table
 * reuses the cell with the oldest last failure. It errs towards locking late, never towards locking
 * other clients out.
 */
#ifndef BOXEDGE_LOCKOUT_H
#define BOXEDGE_LOCKOUT_H

#include <netinet/in.h>

#include "str.h"

#define LOCKOUT_FAILURES  10
#define LOCKOUT_WINDOW_MS 60000
#define LOCKOUT_LOCK_MS   60000
#define LOCKOUT_CELLS_MAX 16384

/* Raised with the form of the table or the meaning of a cell: programs of one form copy each other's. */
#define LOCKOUT_FORM 1

typedef struct lockout lockout_t;

/* lockout_size returns the bytes for a table of `cells` (a power of two, 8 to LOCKOUT_CELLS_MAX).
 * Other processes can write the table: in one that is smaller than that, they can lead a reader out
 * of it. lockout_init makes the table in zeroed shared memory, aligned as a uint64_t, that the caller owns.
 * `seed` keys all hashes and must stay secret. */
size_t lockout_size(uint32_t cells);
lockout_t *lockout_init(void *memory, uint32_t cells, const uint8_t seed[16]);

/* Milliseconds until new secrets are checked again, at most LOCKOUT_LOCK_MS; 0: now. `now_ms` is
 * monotonic; the clocks of two processes may differ by some ms. */
uint32_t lockout_left(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                      uint64_t now_ms);
/* Records a wrong secret (its SHA-256). No-op while the client is locked out. */
void lockout_failed(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                    const uint8_t secret_sha256[32], uint64_t now_ms);

#endif
