/*
 * Who holds how much memory. An account belongs to an exchange, to a client's connection, or to the worker,
 * and each adds to the one above it:
 *
 *   exchange_t.account --> client_t.account --> worker_t.memory
 *
 * A client's account also adds to the share of its address, an exchange's to the share of its box, which are
 * sums over all workers (shm.h). What a part takes with account_add it gives back itself, by the same
 * account. budget.h says what follows from the sums.
 */
#ifndef BOXEDGE_ACCOUNT_H
#define BOXEDGE_ACCOUNT_H

#include "shm.h"

/* One without a parent is the beginning of an account_root_t, and is taken for it: client_init and
 * exchange_new give all others theirs. */
typedef struct account {
    struct account *parent; /* NULL: this is account_root_t.account */
    shm_share_t share;      /* zero-filled: none */
    uint32_t held;          /* bytes, modulo 2^32: of an exchange all that it holds */
} account_t;

/* Of a worker; zero-filled is valid and has no shares. */
typedef struct account_root {
    account_t account;        /* first */
    uint64_t held;            /* bytes */
    _Atomic uint64_t *shares; /* of this worker (shm_shares); NULL: nothing is shared */
} account_root_t;

/* Counts `n` bytes more, or less: for whoever the account belongs to, and all above. */
void account_add(account_t *account, uint64_t n);
void account_sub(account_t *account, uint64_t n);
/* The same for something whose size has changed. */
void account_move(account_t *account, uint64_t before, uint64_t after);

#endif
