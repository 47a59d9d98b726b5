/* See account.h. Every cell of the shares has one writer, this worker, so plain loads and stores suffice. */
#include "account.h"

#include <assert.h>

void account_root_init(account_root_t *root, _Atomic uint64_t *shares)
{
    *root = (account_root_t){.account = {.parent = &root->account}, .shares = shares};
}

static account_root_t *root_of(account_t *account)
{
    while (account->parent != account) {
        account = account->parent;
        assert(account != NULL);
    }
    return (account_root_t *)account;
}

/* `n` is a difference modulo 2^64. */
static void cell_add(_Atomic uint64_t *cell, uint64_t n)
{
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

static account_root_t *change(account_t *account, uint64_t n)
{
    account_root_t *root = root_of(account);
    root->held += n;
    for (; account != &root->account; account = account->parent) {
        account->held += (uint32_t)n;
        if (account->share.cell[0] == 0 || root->shares == NULL)
            continue;
        cell_add(&root->shares[account->share.cell[0]], n);
        cell_add(&root->shares[account->share.cell[1]], n);
    }
    return root;
}

void account_add(account_t *account, uint64_t n)
{
    (void)change(account, n);
}

void account_sub(account_t *account, uint64_t n)
{
    const account_root_t *root = change(account, -n);
    assert(root->held <= UINT64_MAX - n); /* it held `n` or more */
}

void account_move(account_t *account, uint64_t before, uint64_t after)
{
    if (before != after)
        (void)change(account, after - before);
}

void account_move_kernel(account_t *account, uint64_t before, uint64_t after)
{
    if (before == after)
        return;
    account_root_t *root = change(account, after - before);
    root->kernel += after - before;
    assert(root->kernel <= root->held);
}
