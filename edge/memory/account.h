/*
 * Who holds how much memory. An account belongs to an exchange, to a client's connection, or to the worker,
 * and each adds to the one above it:
 *
 *   exchange_t.account --> client_t.account --> context_t.memory
 *
 * A client's account also adds to the share of its address, an exchange's to the share of its box, which are
 * sums over all workers (shm.h). What a part takes with account_add it gives back itself, by the same
 * account. budget.h says what follows from the sums.
 */
#ifndef BOXEDGE_ACCOUNT_H
#define BOXEDGE_ACCOUNT_H

#include "shm.h"

/* The parent of a root is the root itself. A zero-filled account belongs nowhere, and may not count
 * (asserted). */
typedef struct account {
    struct account *parent;
    shm_share_t share; /* zero-filled: none */
    uint32_t held;     /* bytes, modulo 2^32: of an exchange all that it holds */
} account_t;

/* Of a worker. */
typedef struct account_root {
    account_t account;        /* first; its parent is itself */
    uint64_t held;            /* bytes */
    uint64_t kernel;          /* of them those that the kernel holds (account_move_kernel) */
    _Atomic uint64_t *shares; /* of this worker (shm_shares); NULL: nothing is shared */
} account_root_t;

/* Must come before any account is put under it. `root` keeps its place: the accounts below point to it. */
void account_root_init(account_root_t *root, _Atomic uint64_t *shares);

/* Counts `n` bytes more, or less: for whoever the account belongs to, and all above. */
void account_add(account_t *account, uint64_t n);
void account_sub(account_t *account, uint64_t n);
/* The same for something whose size has changed. */
void account_move(account_t *account, uint64_t before, uint64_t after);
/* The same for bytes that the kernel holds, in the queues of a connection. They count to every sum, and the
 * root knows them apart. */
void account_move_kernel(account_t *account, uint64_t before, uint64_t after);
/* What this process itself holds. */
static inline uint64_t account_own(const account_root_t *root)
{
    return root->held - root->kernel;
}

#endif
