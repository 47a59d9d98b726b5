/*
 * Looks up random hosts in a store of a given size, for bench/lookup, which counts the instructions of
 * bench_lookup (the function) under callgrind.
 *
 *   bench_lookup build DIR PREVIEWS            makes DIR/durable and DIR/volatile; every preview has a box
 *   bench_lookup run DIR PREVIEWS LOOKUPS      finds LOOKUPS random previews, each missing the cache
 *   bench_lookup hits DIR PREVIEWS LOOKUPS     the same with each in the cache
 */
#include <errno.h>
#include <sys/stat.h>

#include "record.h"
#include "routes.h"
#include "table.h"

#define DOMAIN      STR("preview.box.example")
#define MAP_BYTES   (4ull << 30)
#define BUILD_BATCH 10000

typedef struct bench {
    store_t *store;
    routes_t *routes;
    _Atomic uint64_t epoch;
    uint64_t random;
    uint64_t previews;
} bench_t;

/* Splitmix64: the same numbers every time. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Ids like those of a fleet; each number has its own. */
static void make_id(uint64_t number, char *id, size_t size)
{
    static const char *const first[] = {"sweet", "brave", "calm", "quick"};
    static const char *const second[] = {"shark", "otter", "falcon", "bear"};
    snprintf(id, size, "%s-%s-%07llu", first[number % 4], second[number / 4 % 4], (unsigned long long)number);
}

static uint16_t make_port(uint64_t number)
{
    return (uint16_t)(3000 + number % 7);
}

static void open_store(bench_t *bench, const char *dir, bool writer)
{
    char durable[512], scratch[512], error[512];
    snprintf(durable, sizeof(durable), "%s/durable", dir);
    snprintf(scratch, sizeof(scratch), "%s/volatile", dir);
    if (writer &&
        ((mkdir(durable, 0700) != 0 && errno != EEXIST) || (mkdir(scratch, 0700) != 0 && errno != EEXIST))) {
        perror(dir);
        exit(1);
    }
    bench->store = store_open(durable, scratch, MAP_BYTES, writer, error, sizeof(error));
    if (bench->store == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

static void check(store_t *store, store_result_t result)
{
    if (result == STORE_OK)
        return;
    fprintf(stderr, "%s\n", store_error(store));
    exit(1);
}

static void build_previews(bench_t *bench)
{
    static store_change_t changes[BUILD_BATCH];
    for (uint64_t done = 0; done < bench->previews;) {
        size_t count = 0;
        for (; count < BUILD_BATCH && done + count < bench->previews; count++) {
            store_change_t *change = &changes[count];
            *change = (store_change_t){.preview = {.port = make_port(done + count), .created_at = 1}};
            make_id(done + count, change->preview.id, sizeof(change->preview.id));
        }
        check(bench->store, store_apply(bench->store, changes, count));
        done += count;
    }
}

/*
 * The store writes one box per transaction, which takes a minute for a million boxes. This writes below the
 * store, which must be closed.
 */
static void build_boxes(const char *dir, uint64_t count)
{
    char scratch[512], error[TABLE_ERROR_MAX];
    snprintf(scratch, sizeof(scratch), "%s/volatile", dir);
    table_t *table = table_open(
        &(table_options_t){.dir = scratch, .map_bytes = MAP_BYTES, .writer = true, .synced = false}, error);
    bool sound = table != NULL;
    for (uint64_t i = 0; sound && i < count; i++) {
        store_box_t box = {.state = BOX_RUNNING, .generation = 1, .address = IN6ADDR_LOOPBACK_INIT};
        make_id(i, box.id, sizeof(box.id));
        char record[RECORD_BOX_BYTES];
        record_encode_box(&box, record);
        if (i % BUILD_BATCH == 0)
            sound = table_write_begin(table) == STORE_OK;
        sound = sound && table_put(table, str_from(box.id), 0, str_make(record, sizeof(record))) == STORE_OK;
        if (sound && (i % BUILD_BATCH == BUILD_BATCH - 1 || i == count - 1))
            sound = table_write_commit(table) == STORE_OK;
    }
    table_close(&table);
    if (!sound) {
        fprintf(stderr, "%s: %s\n", scratch, error);
        exit(1);
    }
}

/* Makes the next host, with a port as a browser sends it. Returns its number. */
static uint64_t next_host(bench_t *bench, char *host, size_t size, size_t *len)
{
    uint64_t number = next_random(&bench->random) % bench->previews;
    char id[BOX_ID_MAX + 1];
    make_id(number, id, sizeof(id));
    *len = (size_t)snprintf(host, size, "%s-%u.preview.box.example:8443", id, make_port(number));
    return number;
}

/* callgrind counts this function: only routes_find. */
__attribute__((noinline, noclone)) static routes_result_t bench_lookup(bench_t *bench, str_t host,
                                                                       const route_t **route)
{
    return routes_find(bench->routes, host, 0, route);
}

static void run(bench_t *bench, uint64_t lookups, bool hits)
{
    char host[128];
    for (uint64_t i = 0; i < lookups; i++) {
        size_t len;
        uint64_t number = next_host(bench, host, sizeof(host), &len);
        const route_t *route;
        /* A new epoch invalidates the cache. */
        bench->epoch++;
        if (hits && routes_find(bench->routes, str_make(host, len), 0, &route) != ROUTES_FOUND)
            exit(1);
        if (bench_lookup(bench, str_make(host, len), &route) != ROUTES_FOUND ||
            route->preview->port != make_port(number) || route->box.state != BOX_RUNNING) {
            fprintf(stderr, "%s: not found\n", host);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t lookups = 0;
    bench_t bench = {.random = 1};
    bool building = argc == 4 && strcmp(argv[1], "build") == 0;
    bool hits = argc == 5 && strcmp(argv[1], "hits") == 0;
    if ((!building && !hits && (argc != 5 || strcmp(argv[1], "run") != 0)) ||
        !str_to_uint(str_from(argv[3]), 9999999, &bench.previews) || bench.previews == 0 ||
        (!building && !str_to_uint(str_from(argv[4]), UINT32_MAX, &lookups))) {
        fprintf(stderr, "usage: bench_lookup build DIR PREVIEWS | run|hits DIR PREVIEWS LOOKUPS\n");
        return 2;
    }
    open_store(&bench, argv[2], building);
    bench.routes = routes_new(bench.store, DOMAIN, &bench.epoch);
    if (building)
        build_previews(&bench);
    else
        run(&bench, lookups, hits);
    routes_free(&bench.routes);
    store_close(&bench.store);
    if (building)
        build_boxes(argv[2], bench.previews);
    return 0;
}
