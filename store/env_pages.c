#include "env_pages.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES   16
#define NODE_BYTES     8
#define FLAG_BRANCH    1u
#define FLAG_LEAF      2u
#define FLAG_FURTHER   4u /* a value longer than a page */
#define NODE_BIG       1u /* the value is the number of its first page */
#define NODE_DB        2u /* the value describes a database */
#define KEY_MAX        511
#define INTEGER_KEYS   8u
#define PROGRESS_PAGES 1024

typedef enum db_kind { DB_FREE, DB_MAIN, DB_NAMED } db_kind_t;

typedef struct named {
    char name[KEY_MAX + 1];
    env_db_t db;
} named_t;

typedef struct walk {
    int fd;
    const env_meta_t *meta;
    const env_pages_calls_t *calls;
    char *error;
    size_t error_len;
    uint8_t *used;  /* a bit for each page */
    uint64_t pages; /* read so far */
    bool ended;     /* a call returned false */
    bool no_memory;
    uint64_t last_freed; /* highest commit in the database of free pages */
    named_t named[ENV_NAMED_MAX];
    size_t named_count;
} walk_t;

/* The database that is being walked, and its counts. */
typedef struct tree {
    db_kind_t kind;
    const env_db_t *db;
    str_t name;
    bool integers; /* keys are integers of 8 bytes */
    env_db_t found;
    uint8_t last[KEY_MAX]; /* the last key of a leaf */
    size_t last_len;
    bool any;
} tree_t;

static bool bad(walk_t *walk, uint64_t page, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Writes the sentence; returns false. */
static bool bad(walk_t *walk, uint64_t page, const char *format, ...)
{
    char fault[160];
    va_list args;
    va_start(args, format);
    vsnprintf(fault, sizeof(fault), format, args);
    va_end(args);
    snprintf(walk->error, walk->error_len, "page %llu %s", (unsigned long long)page, fault);
    return false;
}

static bool no_memory(walk_t *walk)
{
    walk->no_memory = true;
    snprintf(walk->error, walk->error_len, "no memory to check %llu pages",
             (unsigned long long)walk->meta->last_page + 1);
    return false;
}

/* ---- pages ---- */

/* Marks the page as used. */
static bool take(walk_t *walk, uint64_t page)
{
    if (page < ENV_META_PAGES || page > walk->meta->last_page)
        return bad(walk, page, "does not exist, and another page or list names it");
    uint8_t bit = (uint8_t)(1u << page % 8);
    if ((walk->used[page / 8] & bit) != 0)
        return bad(walk, page, "has two uses");
    walk->used[page / 8] |= bit;
    return true;
}

static bool read_bytes(walk_t *walk, uint64_t page, uint8_t *out, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(walk->fd, out + done, len - done, (off_t)(page * walk->meta->page_bytes + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return bad(walk, page, "cannot be read: %s", strerror(errno));
        if (n == 0)
            return bad(walk, page, "is behind the end of the file");
        done += (size_t)n;
    }
    uint64_t before = walk->pages;
    walk->pages += len / walk->meta->page_bytes;
    if (walk->calls->progress != NULL && before / PROGRESS_PAGES != walk->pages / PROGRESS_PAGES &&
        !walk->calls->progress(walk->pages, walk->meta->last_page + 1, walk->calls->arg)) {
        walk->ended = true;
        return false;
    }
    return true;
}

static bool read_page(walk_t *walk, uint64_t page, uint8_t *out)
{
    if (!take(walk, page) || !read_bytes(walk, page, out, walk->meta->page_bytes))
        return false;
    return env_get64(out) == page || bad(walk, page, "has the number of another page");
}

/* ---- keys ---- */

static int compare(const tree_t *tree, str_t a, str_t b)
{
    if (tree->integers) {
        uint64_t x = env_get64((const uint8_t *)a.p), y = env_get64((const uint8_t *)b.p);
        return x < y ? -1 : x > y;
    }
    size_t n = a.n < b.n ? a.n : b.n;
    int order = memcmp(a.p, b.p, n);
    if (order != 0 || a.n == b.n)
        return order;
    return a.n < b.n ? -1 : 1;
}

/* ---- values ---- */

/* Takes the pages of a list of free ones: their number, and then their numbers from high to low. */
static bool walk_free(walk_t *walk, uint64_t page, str_t key, str_t value)
{
    uint64_t freed = env_get64((const uint8_t *)key.p);
    uint64_t count = value.n >= 8 ? env_get64((const uint8_t *)value.p) : 0;
    if (freed == 0 || freed > walk->meta->txn || value.n % 8 != 0 || value.n < 8 || count > value.n / 8 - 1)
        return bad(walk, page, "has a list of free pages that is none");
    for (uint64_t i = 0; i < count; i++)
        if (!take(walk, env_get64((const uint8_t *)value.p + 8 * (i + 1))))
            return false;
    walk->last_freed = freed;
    return true;
}

static bool note_named(walk_t *walk, uint64_t page, str_t key, str_t value)
{
    if (walk->named_count == ENV_NAMED_MAX || value.n != ENV_DB_BYTES)
        return bad(walk, page, "has a database that is none");
    named_t *named = &walk->named[walk->named_count++];
    memcpy(named->name, key.p, key.n);
    named->name[key.n] = '\0';
    named->db = env_db_decode(value.p);
    return true;
}

static bool hand_on(walk_t *walk, const tree_t *tree, uint64_t page, str_t key, str_t value)
{
    switch (tree->kind) {
    case DB_FREE:
        return walk_free(walk, page, key, value);
    case DB_MAIN:
        return note_named(walk, page, key, value);
    case DB_NAMED:
        break;
    }
    if (walk->calls->entry == NULL || walk->calls->entry(tree->name, key, value, walk->calls->arg))
        return true;
    walk->ended = true;
    return false;
}

/* Reads a value that has separate pages. */
static bool walk_big(walk_t *walk, tree_t *tree, uint64_t page, str_t key, uint64_t first, size_t len)
{
    size_t page_bytes = walk->meta->page_bytes;
    uint64_t count = (HEADER_BYTES + len + page_bytes - 1) / page_bytes;
    if (count == 0 || first < ENV_META_PAGES || first > walk->meta->last_page ||
        count > walk->meta->last_page - first + 1)
        return bad(walk, page, "has a value in pages that do not exist");
    for (uint64_t i = 0; i < count; i++)
        if (!take(walk, first + i))
            return false;
    uint8_t *bytes = malloc(count * page_bytes);
    if (bytes == NULL)
        return no_memory(walk);
    bool ok = read_bytes(walk, first, bytes, count * page_bytes);
    if (ok && (env_get64(bytes) != first || env_get16(bytes + 10) != FLAG_FURTHER ||
               (env_get16(bytes + 12) | (uint64_t)env_get16(bytes + 14) << 16) != count))
        ok = bad(walk, first, "is not the first page of a long value");
    tree->found.overflow_pages += count;
    ok = ok && hand_on(walk, tree, page, key, str_make((const char *)bytes + HEADER_BYTES, len));
    free(bytes);
    return ok;
}

/* ---- trees ---- */

typedef struct node {
    str_t key;
    uint16_t flags;
    uint64_t child; /* of a branch */
    size_t len;     /* of the value */
    const uint8_t *data;
} node_t;

/* Decodes node `i` of a page whose bounds are checked; adds its room to *room. */
static bool get_node(walk_t *walk, const tree_t *tree, uint64_t page, const uint8_t *bytes, size_t i,
                     node_t *node, size_t *room)
{
    size_t page_bytes = walk->meta->page_bytes, at = env_get16(bytes + HEADER_BYTES + 2 * i);
    bool branch = env_get16(bytes + 10) == FLAG_BRANCH;
    if (at < env_get16(bytes + 14) || at % 2 != 0 || at + NODE_BYTES > page_bytes)
        return bad(walk, page, "has a record outside of its room");
    const uint8_t *p = bytes + at;
    size_t key_len = env_get16(p + 6), len = 0;
    node->flags = branch ? 0 : env_get16(p + 4);
    node->len = env_get16(p) | (size_t)env_get16(p + 2) << 16;
    node->child = env_get16(p) | (uint64_t)env_get16(p + 2) << 16 | (uint64_t)env_get16(p + 4) << 32;
    node->key = str_make((const char *)p + NODE_BYTES, key_len);
    node->data = p + NODE_BYTES + key_len;
    if (!branch)
        len = (node->flags & NODE_BIG) != 0 ? 8 : node->len;
    if (key_len > KEY_MAX || at + NODE_BYTES + key_len > page_bytes ||
        len > page_bytes - at - NODE_BYTES - key_len)
        return bad(walk, page, "has a record that is longer than its page");
    if (node->flags > NODE_DB || ((node->flags & NODE_DB) != 0) != (!branch && tree->kind == DB_MAIN))
        return bad(walk, page, "has a record of an unknown kind");
    bool first = branch && i == 0; /* has no key */
    if (first ? key_len != 0 : tree->integers ? key_len != 8 : key_len == 0)
        return bad(walk, page, "has a key of the wrong length");
    *room += (NODE_BYTES + key_len + len + 1) & ~(size_t)1;
    return true;
}

/* Checks the header; returns the number of nodes, or 0. */
static size_t count_nodes(walk_t *walk, uint64_t page, const uint8_t *bytes, bool leaf)
{
    size_t lower = env_get16(bytes + 12), upper = env_get16(bytes + 14);
    if (env_get16(bytes + 10) != (leaf ? FLAG_LEAF : FLAG_BRANCH))
        (void)bad(walk, page, "is not of the kind that its place needs");
    else if (lower < HEADER_BYTES + 2 || lower % 2 != 0 || lower > upper || upper > walk->meta->page_bytes)
        (void)bad(walk, page, "has no sound layout");
    else
        return (lower - HEADER_BYTES) / 2;
    return 0;
}

static bool walk_leaf(walk_t *walk, tree_t *tree, uint64_t page, const node_t *node)
{
    if (tree->any && compare(tree, str_make((const char *)tree->last, tree->last_len), node->key) >= 0)
        return bad(walk, page, "has a key out of order");
    tree->any = true;
    tree->last_len = node->key.n;
    memcpy(tree->last, node->key.p, node->key.n);
    tree->found.entries++;
    if ((node->flags & NODE_BIG) != 0)
        return walk_big(walk, tree, page, node->key, env_get64(node->data), node->len);
    return hand_on(walk, tree, page, node->key, str_make((const char *)node->data, node->len));
}

/* Walks the page and all below it. All keys are at or above `low` (p NULL: no bound) and below
 * `high`. */
static bool walk_page(walk_t *walk, tree_t *tree, uint64_t page, size_t level, str_t low, str_t high)
{
    uint8_t *bytes = malloc(walk->meta->page_bytes);
    if (bytes == NULL)
        return no_memory(walk);
    bool leaf = level == tree->db->depth, ok = read_page(walk, page, bytes);
    size_t count = ok ? count_nodes(walk, page, bytes, leaf) : 0, room = 0;
    node_t node = {.len = 0}, next = {.len = 0};
    ok = count != 0 && get_node(walk, tree, page, bytes, 0, &node, &room);
    *(leaf ? &tree->found.leaf_pages : &tree->found.branch_pages) += 1;
    for (size_t i = 0; ok && i < count; i++, node = next) {
        ok = i + 1 == count || get_node(walk, tree, page, bytes, i + 1, &next, &room);
        str_t from = !leaf && i == 0 ? low : node.key, to = ok && i + 1 < count ? next.key : high;
        if (ok && (leaf || i != 0) &&
            ((low.p != NULL && compare(tree, node.key, low) < 0) ||
             (high.p != NULL && compare(tree, node.key, high) >= 0) ||
             (i + 1 < count && compare(tree, node.key, next.key) >= 0)))
            ok = bad(walk, page, "has a key out of order");
        if (ok)
            ok = leaf ? walk_leaf(walk, tree, page, &node)
                      : walk_page(walk, tree, node.child, level + 1, from, to);
    }
    if (ok && room != walk->meta->page_bytes - env_get16(bytes + 14))
        ok = bad(walk, page, "has records that overlap, or a gap between them");
    free(bytes);
    return ok;
}

/* Walks one database, and compares LMDB's counts. */
static bool walk_db(walk_t *walk, db_kind_t kind, str_t name, const env_db_t *db, bool integers)
{
    tree_t tree = {.kind = kind, .db = db, .name = name, .integers = integers};
    if (db->root == ENV_NO_PAGE && db->depth == 0 && db->entries == 0)
        return true;
    if (kind == DB_NAMED && db->flags != (integers ? INTEGER_KEYS : 0))
        return bad(walk, db->root, "is the root of a database with unknown flags");
    if (db->depth == 0 || db->depth > 32)
        return bad(walk, db->root, "is the root of a database without depth");
    if (!walk_page(walk, &tree, db->root, 1, str_make(NULL, 0), str_make(NULL, 0)))
        return false;
    if (tree.found.entries == db->entries && tree.found.leaf_pages == db->leaf_pages &&
        tree.found.branch_pages == db->branch_pages && tree.found.overflow_pages == db->overflow_pages)
        return true;
    return bad(walk, db->root, "is the root of a database with other counts than those recorded");
}

static bool walk_all(walk_t *walk, str_t order8)
{
    const env_meta_t *meta = walk->meta;
    if (!walk_db(walk, DB_MAIN, str_make(NULL, 0), &meta->dbs[ENV_MAIN], false))
        return false;
    for (size_t i = 0; i < walk->named_count; i++) {
        str_t name = str_from(walk->named[i].name);
        if (!walk_db(walk, DB_NAMED, name, &walk->named[i].db, str_eq(name, order8)))
            return false;
    }
    if (!walk_db(walk, DB_FREE, str_make(NULL, 0), &meta->dbs[ENV_FREE], true))
        return false;
    /* Each commit after the first frees the pages that it replaces, under its own number. */
    if (meta->txn > 1 && walk->last_freed != meta->txn) {
        snprintf(walk->error, walk->error_len, "a meta page has the contents of another commit");
        return false;
    }
    return true;
}

env_pages_result_t env_pages_walk(int fd, const env_meta_t *meta, str_t order8,
                                  const env_pages_calls_t *calls, char *error, size_t error_len)
{
    struct stat file;
    env_pages_result_t result = ENV_PAGES_BAD;
    if (fstat(fd, &file) != 0 ||
        meta->last_page > (uint64_t)file.st_size / meta->page_bytes + ENV_FREE_TAIL_PAGES) {
        snprintf(error, error_len, "its last page, %llu, is behind the end of the file",
                 (unsigned long long)meta->last_page);
        return result;
    }
    walk_t *walk = calloc(1, sizeof(*walk));
    uint8_t *used = calloc(1, meta->last_page / 8 + 1);
    if (walk == NULL || used == NULL) {
        snprintf(error, error_len, "no memory to check %llu pages", (unsigned long long)meta->last_page + 1);
        result = ENV_PAGES_NO_MEMORY;
    } else {
        *walk = (walk_t){
            .fd = fd, .meta = meta, .calls = calls, .error = error, .error_len = error_len, .used = used};
        if (walk_all(walk, order8))
            result = ENV_PAGES_GOOD;
        else if (walk->ended)
            result = ENV_PAGES_ENDED;
        else if (walk->no_memory)
            result = ENV_PAGES_NO_MEMORY;
    }
    free(used);
    free(walk);
    return result;
}

/* ---- one key ---- */

/* Keys from `low` on, and below `high`. */
typedef struct range {
    uint64_t low;
    uint64_t high; /* with `bounded` */
    bool bounded;
} range_t;

/* Checks a page, whose keys are in *range, on the way to `key`. Returns false if it has a fault, or the key.
 * Of a branch, *page and *range become those of the child. */
static bool pass(walk_t *walk, const tree_t *tree, const uint8_t *bytes, bool leaf, uint64_t key,
                 uint64_t *page, range_t *range)
{
    size_t count = count_nodes(walk, *page, bytes, leaf), room = 0;
    range_t below = *range;
    uint64_t last = 0, child = 0;
    bool passed = false; /* the keys are above `key` from here on */
    for (size_t i = 0; i < count; i++) {
        node_t node = {.len = 0};
        if (!get_node(walk, tree, *page, bytes, i, &node, &room))
            return false;
        bool named = leaf || i != 0;
        uint64_t at = named ? env_get64((const uint8_t *)node.key.p) : range->low;
        bool in_order = (i == 0 || at > last || (i == 1 && !leaf && at == last)) && at >= range->low &&
                        (!range->bounded || at < range->high);
        if (!in_order || (leaf && at == key))
            return false;
        last = at;
        if (at <= key) {
            child = node.child;
            below.low = at;
        } else if (!passed) {
            below.high = at;
            below.bounded = passed = true;
        }
    }
    *page = child;
    *range = below;
    return count != 0 && room == walk->meta->page_bytes - env_get16(bytes + 14);
}

bool env_pages_lack(const uint8_t *map, const env_meta_t *meta, const env_db_t *db, uint64_t key)
{
    char fault[160];
    walk_t walk;
    tree_t tree;
    range_t range = {.low = 0};
    uint64_t page = db->root;
    if (db->root == ENV_NO_PAGE)
        return db->depth == 0 && db->entries == 0;
    walk.meta = meta; /* what get_node and count_nodes need */
    walk.error = fault;
    walk.error_len = sizeof(fault);
    tree.kind = DB_NAMED;
    tree.integers = true;
    for (size_t level = 1; level <= db->depth; level++) {
        const uint8_t *bytes = map + page * meta->page_bytes;
        if (page < ENV_META_PAGES || page > meta->last_page || env_get64(bytes) != page ||
            !pass(&walk, &tree, bytes, level == db->depth, key, &page, &range))
            return false;
    }
    return db->depth != 0;
}
