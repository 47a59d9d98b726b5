/* A lockout table in shared memory, and short names for clients. */
#ifndef LOCKOUT_FIXTURE_H
#define LOCKOUT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "lockout.h"

/* Zeroed, and shared with children. */
lockout_t *lockout_fixture_table_new(uint32_t cells);
void lockout_fixture_table_free(lockout_t *table, uint32_t cells);

/* ::ffff:10.n.n.n */
struct in6_addr ipv4(uint32_t n);

/* A hash for each number, as different as SHA-256 makes them. */
void wrong_secret(uint64_t n, uint8_t out[32]);

/* Client n (IPv4) shows preview 1 the secret of that number. */
void fail_once(lockout_t *table, uint32_t n, uint64_t secret, uint64_t now_ms);
uint32_t left(lockout_t *table, uint32_t n, uint64_t now_ms);

#endif
