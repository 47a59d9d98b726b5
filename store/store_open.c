/*
 * The opening of a store: whole, or without the parts that cannot be opened; and a look at it. See store.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_internal.h"
#include "store_made.h"

/* Map size for store_look of the tables beside the previews; LMDB maps a larger file completely all
 * the same. */
#define LOOK_MAP_BYTES (1u << 20)

/* Opens the table of a part; a patient store gets a closed one if that fails. */
static table_t *open_part(store_t *store, table_options_t *options, store_part_t part)
{
    options->patient = store->patient;
    if (part != STORE_PART_BOXES && store->missing[0] != '\0')
        options->closed = store->missing;
    else if ((store->known_at_open & STORE_PART(part)) != 0)
        options->closed = "data.mdb is damaged" TABLE_REMEDY;
    return table_open(options, store->error);
}

static bool open_all(store_t *store, const char *durable_dir, const char *volatile_dir, bool writer)
{
    table_options_t options = {.dir = durable_dir,
                               .map_bytes = store->map_bytes,
                               .writer = writer,
                               .synced = true,
                               .trouble = &store->durable_trouble,
                               .unfinished = store_made_unfinished(durable_dir, store_durable_names[0])};
    store->previews = open_part(store, &options, STORE_PART_PREVIEWS);
    if (store->previews == NULL)
        return false;
    options = (table_options_t){.dir = volatile_dir,
                                .map_bytes = store->map_bytes,
                                .writer = writer,
                                .trouble = &store->volatile_trouble};
    store->boxes = open_part(store, &options, STORE_PART_BOXES);
    return store->boxes != NULL && store_open_rules(store, durable_dir, writer) &&
           store_open_keys(store, durable_dir, writer) && store_open_deletions(store, durable_dir, writer) &&
           store_open_aliases(store, durable_dir, writer) && store_open_links(store, durable_dir, writer);
}

store_t *store_open(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, bool writer,
                    char *error, size_t error_len)
{
    store_t *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        snprintf(error, error_len, "out of memory");
        return NULL;
    }
    store->map_bytes = map_bytes;
    if (!store_made_check(durable_dir, store->error, sizeof(store->error)) ||
        !open_all(store, durable_dir, volatile_dir, writer)) {
        snprintf(error, error_len, "%s", store->error);
        store_close(&store);
    }
    return store;
}

store_t *store_open_patiently(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes,
                              bool writer, uint64_t known, uint64_t *closed, char *error, size_t error_len)
{
    store_t *store = calloc(1, sizeof(*store));
    *closed = 0;
    error[0] = '\0';
    if (store == NULL)
        return NULL;
    store->map_bytes = map_bytes;
    store->patient = true;
    store->known_at_open = writer ? known : 0;
    store->durable_dir = strdup(durable_dir);
    store->volatile_dir = strdup(volatile_dir);
    if (store_made_check(durable_dir, store->missing, sizeof(store->missing)))
        store->missing[0] = '\0';
    if (store->durable_dir == NULL || store->volatile_dir == NULL ||
        !open_all(store, durable_dir, volatile_dir, writer)) {
        store_close(&store);
        return NULL;
    }
    for (unsigned i = 0; i < STORE_PARTS; i++) {
        const char *why = table_closed(store_part(store, (store_part_t)i));
        if (why != NULL && *closed == 0)
            snprintf(error, error_len, "%s", why);
        *closed |= why != NULL ? STORE_PART(i) : 0;
    }
    return store;
}

bool store_may_open(store_t *store)
{
    char sentence[TABLE_ERROR_MAX], dir[4096];
    uint64_t known = store->known != NULL ? atomic_load(store->known) : 0;
    if (!store->patient || !store_made_check(store->durable_dir, sentence, sizeof(sentence)))
        return false;
    for (unsigned i = 0; i < STORE_PARTS; i++) {
        table_options_t options = {.dir = store->volatile_dir, .map_bytes = store->map_bytes};
        if (table_closed(store_part(store, (store_part_t)i)) == NULL)
            continue;
        if (i != STORE_PART_BOXES) {
            const char *name = store_durable_names[store_durable_place((store_part_t)i)];
            if (!store_durable_dir(store->durable_dir, name, dir, sizeof(dir)))
                return false;
            options.dir = dir;
            options.synced = true;
            options.unfinished = store_made_unfinished(store->durable_dir, name);
        }
        if ((known & STORE_PART(i)) != 0 || table_look(&options, sentence) == STORE_FAILED)
            return false;
    }
    return true;
}

table_t *store_open_beside(store_t *store, const char *durable_dir, store_part_t part, uint64_t map_bytes,
                           bool writer)
{
    char dir[4096];
    const char *name = store_durable_names[store_durable_place(part)];
    if (!store_durable_dir(durable_dir, name, dir, sizeof(dir))) {
        snprintf(store->error, sizeof(store->error), "the path is too long");
        return NULL;
    }
    if (writer && store->missing[0] == '\0' && mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(store->error, sizeof(store->error), "%.256s: cannot be made: %s", dir, strerror(errno));
        return NULL;
    }
    table_options_t options = {.dir = dir,
                               .map_bytes = map_bytes,
                               .writer = writer,
                               .synced = true,
                               .trouble = &store->durable_trouble,
                               .unfinished = store_made_unfinished(durable_dir, name)};
    return open_part(store, &options, part);
}

/* Returns false with the sentence of store_open if a directory beside the previews cannot be made. */
static bool look_beside(const char *durable_dir, const char *dir, char *error)
{
    struct stat st;
    if (stat(dir, &st) == 0 || errno != ENOENT || access(durable_dir, W_OK | X_OK) == 0 || errno == ENOENT)
        return true;
    snprintf(error, TABLE_ERROR_MAX, "%.256s: cannot be made: %s", dir, strerror(errno));
    return false;
}

bool store_look(const char *durable_dir, const char *volatile_dir, uint64_t map_bytes, char *error,
                size_t error_len)
{
    char sentence[TABLE_ERROR_MAX], dir[4096];
    table_options_t options = {.dir = durable_dir,
                               .map_bytes = map_bytes,
                               .synced = true,
                               .unfinished = store_made_unfinished(durable_dir, store_durable_names[0])};
    bool good = store_made_check(durable_dir, sentence, sizeof(sentence)) &&
                table_look(&options, sentence) != STORE_FAILED;
    options.dir = volatile_dir;
    options.synced = options.unfinished = false;
    good = good && (volatile_dir == NULL || table_look(&options, sentence) != STORE_FAILED);
    options = (table_options_t){.dir = dir, .map_bytes = LOOK_MAP_BYTES, .synced = true};
    for (size_t i = 1; good && i < STORE_DURABLE_COUNT; i++) {
        if (!store_durable_dir(durable_dir, store_durable_names[i], dir, sizeof(dir)))
            break; /* store_open finds the error */
        options.unfinished = store_made_unfinished(durable_dir, store_durable_names[i]);
        good = look_beside(durable_dir, dir, sentence) && table_look(&options, sentence) != STORE_FAILED;
    }
    if (!good)
        snprintf(error, error_len, "%s", sentence);
    return good;
}
