/*
 * A cell belongs to one (client, preview) and keeps its last ten failures. It is locked while it
 * has ten failures within a minute. It has no other state: no lock to hold and no flag to set
 * later. Every change is one compare-and-swap of one word. A process may therefore die or stall
 * between any two instructions, and several may work on one cell.
 *
 *   owner:    hash of (client, preview) 52 | round 12                  0: no owner
 *   failure:  time in ms 36 | tag of the wrong secret 16 | round 12    0: none
 *
 * The round counts a cell's owners. Failures of another round belong to a former owner, or come
 * late from a process that missed the change; they count as free. Rounds repeat after 4095 owners,
 * more than a cell of a usefully sized table has within a minute. Times wrap after two years. The
 * seed keys the 16-bit tag, so that a client cannot search for wrong secrets that count as one.
 */
#include "lockout.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "address.h"
#include "siphash.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the cells");
_Static_assert(sizeof(siphash_key_t) == 16, "the seed is the key");

/* Cells that one key may occupy. */
#define WAYS 8
/* Maximum compare-and-swap retries; then the failure goes uncounted. Each lost try is a failure
 * that another process counted, and ten of those lock the cell. */
#define TRIES 64

#define ROUND_BITS 12
#define ROUND_MAX  0xfffu
#define TAG_BITS   16
#define TAG_MAX    0xffffu
#define TIME_BITS  36

typedef struct cell {
    _Atomic uint64_t owner;
    _Atomic uint64_t failures[LOCKOUT_FAILURES];
} cell_t;

struct lockout {
    siphash_key_t hash_key;
    _Atomic uint64_t sets; /* a power of two */
    cell_t cells[];
};

size_t lockout_size(uint32_t cells)
{
    assert(cells >= WAYS && cells <= LOCKOUT_CELLS_MAX && (cells & (cells - 1)) == 0);
    return sizeof(lockout_t) + cells * sizeof(cell_t);
}

lockout_t *lockout_init(void *memory, uint32_t cells, const uint8_t seed[16])
{
    lockout_t *lockout = memory;
    assert(cells >= WAYS && cells <= LOCKOUT_CELLS_MAX && (cells & (cells - 1)) == 0);
    assert((uintptr_t)memory % alignof(lockout_t) == 0);
    memcpy(&lockout->hash_key, seed, sizeof(lockout->hash_key));
    atomic_store(&lockout->sets, cells / WAYS);
    return lockout;
}

/* ---- words ---- */

static uint64_t round_of(uint64_t word)
{
    return word & ROUND_MAX;
}

static uint64_t next_round(uint64_t owner)
{
    return round_of(owner) % ROUND_MAX + 1; /* never 0, so that no recorded failure is 0 */
}

static uint64_t failure_make(uint64_t now_ms, uint64_t tag, uint64_t round)
{
    return now_ms << (TAG_BITS + ROUND_BITS) | tag << ROUND_BITS | round;
}

static uint64_t tag_of(uint64_t failure)
{
    return failure >> ROUND_BITS & TAG_MAX;
}

/* Milliseconds since a failure; negative if another process's clock is ahead. */
static int64_t age_of(uint64_t failure, uint64_t now_ms)
{
    uint64_t passed = (now_ms << (64 - TIME_BITS)) - (failure >> (TAG_BITS + ROUND_BITS) << (64 - TIME_BITS));
    return (int64_t)passed >> (64 - TIME_BITS);
}

static bool is_recent(int64_t age)
{
    return age > -LOCKOUT_WINDOW_MS && age < LOCKOUT_WINDOW_MS;
}

/* ---- one cell ---- */

/* A cell's failures as its owner sees them at one time. */
typedef struct view {
    unsigned count; /* failures, of any age */
    bool repeated;  /* a recent one has the wanted tag */
    int64_t newest; /* ages; without failures: INT64_MAX, and `oldest` INT64_MIN */
    int64_t oldest;
    unsigned slot; /* place of the next failure: the first that no longer counts, else the oldest */
    uint64_t was;  /* the word in that slot */
} view_t;

static view_t look(cell_t *cell, uint64_t owner, uint64_t tag, uint64_t now_ms)
{
    view_t view = {.newest = INT64_MAX, .oldest = INT64_MIN};
    bool found = false;
    for (unsigned i = 0; i < LOCKOUT_FAILURES; i++) {
        uint64_t failure = atomic_load(&cell->failures[i]);
        bool ours = round_of(failure) == round_of(owner);
        int64_t age = age_of(failure, now_ms);
        if (ours) {
            view.count++;
            view.newest = age < view.newest ? age : view.newest;
            view.repeated |= is_recent(age) && tag_of(failure) == tag;
        }
        if (!found && (!ours || !is_recent(age) || age > view.oldest)) {
            found = !ours || !is_recent(age);
            view.slot = i;
            view.was = failure;
        }
        view.oldest = ours && age > view.oldest ? age : view.oldest;
    }
    return view;
}

static uint32_t left_of(const view_t *view)
{
    if (view->count < LOCKOUT_FAILURES || view->oldest - view->newest >= LOCKOUT_WINDOW_MS ||
        view->newest >= LOCKOUT_LOCK_MS || view->newest <= -LOCKOUT_WINDOW_MS)
        return 0;
    return view->newest > 0 ? (uint32_t)(LOCKOUT_LOCK_MS - view->newest) : LOCKOUT_LOCK_MS;
}

/* ---- cells of a key ---- */

/* IPv4 counts by address, IPv6 by /64. */
static uint64_t hash_of(const lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version)
{
    uint8_t text[24] = {0};
    memcpy(text, client->s6_addr, address_owner_bytes(client));
    memcpy(text + 16, &preview_version, 8);
    return siphash(&lockout->hash_key, text, sizeof(text));
}

static uint64_t secret_tag(const lockout_t *lockout, const uint8_t secret_sha256[32])
{
    return siphash(&lockout->hash_key, secret_sha256, 32) & TAG_MAX;
}

static cell_t *set_of(lockout_t *lockout, uint64_t hash)
{
    uint64_t sets = atomic_load_explicit(&lockout->sets, memory_order_relaxed);
    sets = sets >= 1 && sets <= LOCKOUT_CELLS_MAX / WAYS ? sets : 1; /* forged */
    return &lockout->cells[(hash & (sets - 1)) * WAYS];
}

static bool is_owner(uint64_t owner, uint64_t hash)
{
    return owner != 0 && owner >> ROUND_BITS == hash >> ROUND_BITS;
}

/* Returns the first cell that belongs to the key, and its owner word; NULL if none. */
static cell_t *find(cell_t *set, uint64_t hash, uint64_t *owner)
{
    for (size_t i = 0; i < WAYS; i++) {
        *owner = atomic_load(&set[i].owner);
        if (is_owner(*owner, hash))
            return &set[i];
    }
    return NULL;
}

/*
 * Tries to give the key a cell: one without owner, else the unlocked one with the oldest last
 * failure. Returns false if all are locked; the key's failures then do not count. True does not
 * imply success, because another process may have been faster: look again.
 */
static bool claim(cell_t *set, uint64_t hash, uint64_t now_ms)
{
    cell_t *best = NULL;
    uint64_t best_owner = 0;
    int64_t best_age = INT64_MIN;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t owner = atomic_load(&set[i].owner);
        if (is_owner(owner, hash))
            return true; /* a second cell would hide the first one's count; a second claim would drop it */
        view_t view = look(&set[i], owner, 0, now_ms);
        if (owner != 0 && (left_of(&view) != 0 || view.newest <= best_age))
            continue;
        best = &set[i];
        best_owner = owner;
        best_age = view.newest;
        if (owner == 0)
            break;
    }
    if (best == NULL)
        return false;
    uint64_t owner = hash >> ROUND_BITS << ROUND_BITS | next_round(best_owner);
    (void)atomic_compare_exchange_strong(&best->owner, &best_owner, owner);
    return true;
}

uint32_t lockout_left(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                      uint64_t now_ms)
{
    uint64_t owner, hash = hash_of(lockout, client, preview_version);
    cell_t *cell = find(set_of(lockout, hash), hash, &owner);
    if (cell == NULL)
        return 0;
    view_t view = look(cell, owner, 0, now_ms);
    return left_of(&view); /* of this owner, even if the cell has changed hands since */
}

void lockout_failed(lockout_t *lockout, const struct in6_addr *client, uint64_t preview_version,
                    const uint8_t secret_sha256[32], uint64_t now_ms)
{
    uint64_t owner, hash = hash_of(lockout, client, preview_version);
    uint64_t tag = secret_tag(lockout, secret_sha256);
    cell_t *set = set_of(lockout, hash);
    for (int i = 0; i < TRIES; i++) {
        cell_t *cell = find(set, hash, &owner);
        if (cell == NULL) {
            if (!claim(set, hash, now_ms))
                return;
            continue;
        }
        view_t view = look(cell, owner, tag, now_ms);
        if (atomic_load(&cell->owner) != owner)
            continue; /* a slot that looks free may hold the next owner's failure */
        if (view.repeated || left_of(&view) != 0)
            return;
        uint64_t failure = failure_make(now_ms, tag, round_of(owner));
        /* If the cell has changed hands meanwhile, this failure counts for no key: try again. */
        if (atomic_compare_exchange_strong(&cell->failures[view.slot], &view.was, failure) &&
            atomic_load(&cell->owner) == owner)
            return;
    }
}
