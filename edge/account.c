/* See account.h. Every cell of the shares has one writer, this worker: plain loads and stores suffice. */
#include "account.h"

#include <assert.h>

static account_root_t *root_of(account_t *account)
{
    while (account->parent != NULL)
        account = account->parent;
    return (account_root_t *)account;
}

/* `n` is a difference modulo 2^64. */
static void cell_add(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

static void change(account_t *account, uint64_t n)
{
    account_root_t *root = root_of(account);
    root->held += n;
    for (; account->parent != NULL; account = account->parent) {
        account->held += (uint32_t)n;
        if (account->share.cell[0] == 0 || root->shares == NULL)
            continue;
        cell_add(&root->shares[account->share.cell[0]], n);
        cell_add(&root->shares[account->share.cell[1]], n);
    }
}

void account_add(account_t *account, uint64_t n)
{
    change(account, n);
}

void account_sub(account_t *account, uint64_t n)
{
    assert(root_of(account)->held >= n);
    change(account, -n);
}

void account_move(account_t *account, uint64_t before, uint64_t after)
{
    if (before != after)
        change(account, after - before);
}
