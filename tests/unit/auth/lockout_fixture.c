#include "lockout_fixture.h"

lockout_t *lockout_fixture_table_new(uint32_t cells)
{
    static const uint8_t seed[16] = "0123456789abcde";
    void *memory = mmap(NULL, lockout_size(cells), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return lockout_init(memory, cells, seed);
}

void lockout_fixture_table_free(lockout_t *table, uint32_t cells)
{
    munmap(table, lockout_size(cells));
}

struct in6_addr ipv4(uint32_t n)
{
    return (struct in6_addr){
        .s6_addr = {[10] = 0xff, 0xff, 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

void wrong_secret(uint64_t n, uint8_t out[32])
{
    for (size_t i = 0; i < 4; i++) {
        n = (n + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
        n ^= n >> 29;
        memcpy(out + 8 * i, &n, 8);
    }
}

void fail_once(lockout_t *table, uint32_t n, uint64_t secret, uint64_t now_ms)
{
    uint8_t sha256[32];
    struct in6_addr client = ipv4(n);
    wrong_secret(secret, sha256);
    lockout_failed(table, &client, 1, sha256, now_ms);
}

uint32_t left(lockout_t *table, uint32_t n, uint64_t now_ms)
{
    struct in6_addr client = ipv4(n);
    return lockout_left(table, &client, 1, now_ms);
}
