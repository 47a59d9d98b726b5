/*
 * Each cell keeps the last ten distinct failures of one (client, preview) with their times. Failures are
 * rare, so a cell is changed under a small lock of its own; the lock carries the time when it was taken, so
 * that one whose holder died is taken over. Looking (lockout_left) takes no lock.
 */
#include "lockout.h"

#include <assert.h>
#include <stdatomic.h>

#include "siphash.h"

#define WAYS 4
/* A lock older than this belongs to a process that died with it. */
#define STALE_MS 100
/* Tries to get a cell's lock before the failure goes uncounted. */
#define LOCK_TRIES 100000

typedef struct cell {
    _Atomic uint64_t lock; /* ms when taken, plus one; 0: free */
    _Atomic uint64_t key;  /* of (client, preview); 0: empty */
    _Atomic uint64_t locked_until;
    _Atomic uint64_t last;                     /* failure */
    _Atomic uint64_t at[LOCKOUT_FAILURES];     /* ms plus one; 0: none */
    _Atomic uint64_t secret[LOCKOUT_FAILURES]; /* the first bytes of the secret's hash */
} cell_t;

struct lockout {
    siphash_key_t hash_key;
    uint32_t sets;
    cell_t cells[];
};

_Static_assert(sizeof(siphash_key_t) == 16, "the seed is the key");

size_t lockout_size(uint32_t cells)
{
    assert(cells >= WAYS && (cells & (cells - 1)) == 0);
    return sizeof(lockout_t) + cells * sizeof(cell_t);
}

lockout_t *lockout_init(void *memory, uint32_t cells, const uint8_t seed[16])
{
    lockout_t *lockout = memory;
    assert(cells >= WAYS && (cells & (cells - 1)) == 0);
    memcpy(&lockout->hash_key, seed, sizeof(lockout->hash_key));
    lockout->sets = cells / WAYS;
    return lockout;
}

/* IPv4 counts by address, IPv6 by /64. */
static uint64_t key_of(const lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version)
{
    uint8_t text[24] = {0};
    memcpy(text, client->s6_addr, IN6_IS_ADDR_V4MAPPED(client) ? 16 : 8);
    memcpy(text + 16, &preview_version, 8);
    uint64_t key = siphash(&lockout->hash_key, text, sizeof(text));
    return key != 0 ? key : 1;
}

static cell_t *set_of(lockout_t *lockout, uint64_t key)
{
    return &lockout->cells[(size_t)(key % lockout->sets) * WAYS];
}

uint32_t lockout_left(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                      uint64_t now_ms)
{
    uint64_t key = key_of(lockout, client, preview_version);
    cell_t *set = set_of(lockout, key);
    for (size_t i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) != key)
            continue;
        uint64_t until = atomic_load(&set[i].locked_until);
        if (atomic_load(&set[i].key) != key || until <= now_ms)
            return 0;
        return until - now_ms < LOCKOUT_LOCK_MS ? (uint32_t)(until - now_ms) : LOCKOUT_LOCK_MS;
    }
    return 0;
}

static bool take_lock(cell_t *cell, uint64_t now_ms)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        uint64_t held = atomic_load(&cell->lock);
        bool stale = held != 0 && now_ms + 1 > held + STALE_MS;
        if ((held == 0 || stale) && atomic_compare_exchange_strong(&cell->lock, &held, now_ms + 1))
            return true;
    }
    return false;
}

/* The cell of the key, or the one to be used for it: an empty one, else the one idle the longest that is not
 * locked. */
static cell_t *choose(cell_t *set, uint64_t key, uint64_t now_ms)
{
    cell_t *best = NULL;
    for (size_t i = 0; i < WAYS; i++)
        if (atomic_load(&set[i].key) == key)
            return &set[i];
    for (size_t i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) == 0)
            return &set[i];
        if (atomic_load(&set[i].locked_until) > now_ms)
            continue;
        if (best == NULL || atomic_load(&set[i].last) < atomic_load(&best->last))
            best = &set[i];
    }
    return best;
}

static void clear(cell_t *cell)
{
    for (size_t i = 0; i < LOCKOUT_FAILURES; i++) {
        atomic_store(&cell->at[i], 0);
        atomic_store(&cell->secret[i], 0);
    }
}

static bool is_recent(uint64_t at, uint64_t now_ms)
{
    return at != 0 && now_ms + 1 < at + LOCKOUT_WINDOW_MS;
}

/* Notes a failure; the lock is held. */
static void note(cell_t *cell, uint64_t secret, uint64_t now_ms)
{
    size_t oldest = 0;
    unsigned recent = 1; /* this one */
    for (size_t i = 0; i < LOCKOUT_FAILURES; i++) {
        uint64_t at = atomic_load(&cell->at[i]);
        if (is_recent(at, now_ms)) {
            if (atomic_load(&cell->secret[i]) == secret)
                return; /* the same wrong one again */
            recent++;
        }
        if (at < atomic_load(&cell->at[oldest]))
            oldest = i;
    }
    atomic_store(&cell->last, now_ms);
    if (recent >= LOCKOUT_FAILURES) {
        clear(cell);
        atomic_store(&cell->locked_until, now_ms + LOCKOUT_LOCK_MS);
        return;
    }
    atomic_store(&cell->secret[oldest], secret);
    atomic_store(&cell->at[oldest], now_ms + 1);
}

void lockout_failed(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                    const uint8_t secret_sha256[32], uint64_t now_ms)
{
    uint64_t key = key_of(lockout, client, preview_version), secret;
    memcpy(&secret, secret_sha256, sizeof(secret));
    cell_t *cell = choose(set_of(lockout, key), key, now_ms);
    if (cell == NULL || !take_lock(cell, now_ms))
        return;
    if (atomic_load(&cell->key) != key) { /* somebody else's so far */
        atomic_store(&cell->key, 0);
        clear(cell);
        atomic_store(&cell->locked_until, 0);
        atomic_store(&cell->key, key);
    }
    note(cell, secret, now_ms);
    atomic_store(&cell->lock, 0);
}
