/*
 * Guessing has a price: the tenth failure within a minute, of one client address (/64 for IPv6) on one
 * preview, locks new secrets for 60 s. Repeats of the same wrong secret within a minute count once (two wrong
 * ones count as one with a chance of 1 in 65,536). A table of cells in memory that all workers share:
 * lock-free, bounded; where it is crowded, the cell whose last failure is the longest ago is used again. A
 * crowded table errs towards locking late, never towards locking others out.
 */
#ifndef BOXEDGE_LOCKOUT_H
#define BOXEDGE_LOCKOUT_H

#include <netinet/in.h>

#include "str.h"

#define LOCKOUT_FAILURES  10
#define LOCKOUT_WINDOW_MS 60000
#define LOCKOUT_LOCK_MS   60000

typedef struct lockout lockout_t;

/* Bytes that a table with `cells` cells (a power of two, 8 or more) needs, and its making in zeroed shared
 * memory, aligned as a uint64_t, which the caller keeps. `seed` keys all hashes; nobody outside may know it.
 */
size_t lockout_size(uint32_t cells);
lockout_t *lockout_init(void *memory, uint32_t cells, const uint8_t seed[16]);

/* Milliseconds until new secrets are looked at again, at most LOCKOUT_LOCK_MS; 0: now. `now_ms` is monotonic;
 * those of different processes may be some ms apart. */
uint32_t lockout_left(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                      uint64_t now_ms);
/* A wrong secret was presented (its SHA-256). Changes nothing while the client is locked out. */
void lockout_failed(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                    const uint8_t secret_sha256[32], uint64_t now_ms);

#endif
