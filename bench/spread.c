/*
 * Measures, for bench/spread, how evenly each balancing policy spreads exchanges over servers, and the share
 * of keys that move under consistent hashing when a server is added. bench/spread makes tables of the output.
 *
 *   bench_spread spread SERVERS OPEN EXCHANGES    per policy "name cv worst": the coefficient of variation of
 *                                                 the servers' shares, and the busiest one's part of the
 * mean, with OPEN exchanges at a time over four workers bench_spread remap SERVERS KEYS               "moved
 * ideal stray": the shares of KEYS that move when one server is added, that should move, and that go
 * elsewhere bench_spread cost POLICY SERVERS PICKS        PICKS calls of bench_pick, for callgrind
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <math.h>

#include "balance.h"

#define WORKERS 4
#define KEYS    1000000u
#define OPEN    4096u

static const char *const policies[] = {"p2c", "round_robin", "least", "hash"};

typedef struct bench {
    balance_t *balance;
    conf_upstream_t conf;
    uint64_t random;
    uint64_t now_ms;
} bench_t;

/* Splitmix64: the same numbers every time. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void set_servers(bench_t *bench, unsigned count)
{
    balance_server_t servers[BALANCE_SERVERS_MAX] = {0};
    for (unsigned n = 0; n < count; n++) {
        balance_server_t *server = &servers[n];
        server->index = (uint16_t)n;
        server->port = 8080;
        server->weight = 1;
        snprintf(server->name, sizeof(server->name), "10.0.0.%u:8080", n);
        server->address.s6_addr[10] = server->address.s6_addr[11] = 0xff;
        server->address.s6_addr[12] = 10;
        server->address.s6_addr[15] = (uint8_t)n;
    }
    balance_set(bench->balance, 0, 0, servers, count, bench->now_ms);
}

static void bench_init(bench_t *bench, conf_balance_t policy, unsigned servers)
{
    void *memory = mmap(NULL, balance_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    *bench =
        (bench_t){.balance = balance_init(memory), .conf = {.balance = policy}, .random = 1, .now_ms = 1};
    set_servers(bench, servers);
}

static void bench_fini(bench_t *bench)
{
    munmap(bench->balance, balance_size());
}

static void pick(bench_t *bench, unsigned worker, uint64_t hash, balance_pick_t *out)
{
    if (balance_pick(bench->balance, worker, 0, &bench->conf, hash, next_random(&bench->random), 0,
                     bench->now_ms, out) != BALANCE_OK) {
        fprintf(stderr, "no server\n");
        exit(1);
    }
}

static void done(bench_t *bench, unsigned worker, balance_pick_t *what)
{
    balance_done(bench->balance, worker, 0, &bench->conf, what, BALANCE_SUCCEEDED, 1000, bench->now_ms);
}

static void spread(conf_balance_t policy, unsigned servers, unsigned open, unsigned exchanges)
{
    static balance_pick_t held[OPEN];
    bench_t bench;
    double got[BALANCE_SERVERS_MAX] = {0}, squares = 0, most = 0, mean = (double)exchanges / servers;
    bench_init(&bench, policy, servers);
    memset(held, 0, sizeof(held));
    for (unsigned i = 0; i < exchanges; i++) {
        unsigned which = (unsigned)(next_random(&bench.random) % open);
        done(&bench, which % WORKERS, &held[which]);
        pick(&bench, which % WORKERS, next_random(&bench.random), &held[which]);
        got[held[which].index]++;
    }
    for (unsigned n = 0; n < servers; n++) {
        squares += (got[n] - mean) * (got[n] - mean);
        most = got[n] > most ? got[n] : most;
    }
    printf("%s %.4f %.3f\n", policies[policy], sqrt(squares / servers) / mean, most / mean);
    bench_fini(&bench);
}

static void owners(bench_t *bench, unsigned keys, uint16_t *owner)
{
    uint64_t state = 7;
    for (unsigned key = 0; key < keys; key++) {
        balance_pick_t found;
        pick(bench, 0, next_random(&state), &found);
        owner[key] = found.index;
        done(bench, 0, &found);
    }
}

static void remap(unsigned servers, unsigned keys)
{
    static uint16_t before[KEYS], after[KEYS];
    bench_t bench;
    unsigned moved = 0, stray = 0;
    bench_init(&bench, CONF_BALANCE_HASH, servers);
    owners(&bench, keys, before);
    set_servers(&bench, servers + 1);
    owners(&bench, keys, after);
    for (unsigned key = 0; key < keys; key++) {
        moved += before[key] != after[key];
        stray += before[key] != after[key] && after[key] != servers;
    }
    printf("%.4f %.4f %.4f\n", (double)moved / keys, 1.0 / (servers + 1), (double)stray / keys);
    bench_fini(&bench);
}

/* callgrind counts this function: a pick and its end. */
void bench_pick(bench_t *bench, uint64_t random);
__attribute__((noinline)) void bench_pick(bench_t *bench, uint64_t random)
{
    balance_pick_t found;
    if (balance_pick(bench->balance, 0, 0, &bench->conf, random, random, 0, bench->now_ms, &found) ==
        BALANCE_OK)
        balance_done(bench->balance, 0, 0, &bench->conf, &found, BALANCE_SUCCEEDED, 1000, bench->now_ms);
}

static void cost(conf_balance_t policy, unsigned servers, unsigned picks)
{
    bench_t bench;
    balance_pick_t others;
    bench_init(&bench, policy, servers);
    pick(&bench, WORKERS - 1, 0, &others); /* the number of workers to look at */
    for (unsigned i = 0; i < picks; i++)
        bench_pick(&bench, next_random(&bench.random));
    bench_fini(&bench);
}

static unsigned number(const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "%s: not a number from %u to %u\n", text, least, most);
        exit(2);
    }
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "spread") == 0) {
        for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++)
            spread(policy, number(argv[2], 1, BALANCE_SERVERS_MAX), number(argv[3], 1, OPEN),
                   number(argv[4], 1, 100000000));
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "remap") == 0) {
        remap(number(argv[2], 1, BALANCE_SERVERS_MAX - 1), number(argv[3], 1, KEYS));
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "cost") == 0) {
        for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++)
            if (strcmp(argv[2], policies[policy]) == 0)
                cost(policy, number(argv[3], 1, BALANCE_SERVERS_MAX), number(argv[4], 1, 100000000));
        return 0;
    }
    fprintf(stderr, "usage: see the comment in bench/spread.c\n");
    return 2;
}
