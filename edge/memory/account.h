/*
 * The holders of memory. An account belongs to an exchange, to a client's connection, or to the worker. Each
 * adds to the one above it:
 *
 *   exchange_t.account --> client_t.account --> context_t.memory
 *
 * A client's account also adds to the share of its address, an exchange's to the share of its box. Shares are
 * sums over all workers (shm.h). A part that adds bytes to an account subtracts them itself, from the same
 * account. budget.h has the consequences of the sums.
 */
#ifndef BOXEDGE_ACCOUNT_H
#define BOXEDGE_ACCOUNT_H

#include "shm.h"

/* A root is its own parent. An all-zero account has no owner and must not count (asserted). */
typedef struct account {
    struct account *parent;
    shm_share_t share; /* all-zero: none */
    uint32_t held;     /* bytes, modulo 2^32: the sum for this account and those below it */
} account_t;

/* The account of a worker. */
typedef struct account_root {
    account_t account;        /* first member; its own parent */
    uint64_t held;            /* bytes */
    uint64_t kernel;          /* of these, the bytes that the kernel holds (account_move_kernel) */
    _Atomic uint64_t *shares; /* of this worker (shm_shares); NULL: no shares */
} account_root_t;

/* Must precede any account below it. `root` must not move: the accounts below point to it. */
void account_root_init(account_root_t *root, _Atomic uint64_t *shares);

/* Adds or subtracts `n` bytes, in the account and all above it. */
void account_add(account_t *account, uint64_t n);
void account_sub(account_t *account, uint64_t n);
/* The same for a size that changes. */
void account_move(account_t *account, uint64_t before, uint64_t after);
/* The same for bytes that the kernel holds in the queues of a connection. They count to every sum; the root
 * also counts them separately. */
void account_move_kernel(account_t *account, uint64_t before, uint64_t after);
/* The bytes that this process itself holds. */
static inline uint64_t account_own(const account_root_t *root)
{
    return root->held - root->kernel;
}

#endif
