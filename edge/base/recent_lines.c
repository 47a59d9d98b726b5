#include "recent_lines.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCKS   8
#define FIND_MAX 255

/* Lines fill one block after the other; the oldest block is emptied for the next. */
typedef struct block {
    char *bytes; /* NULL: not needed yet */
    size_t used;
} block_t;

struct recent_lines {
    size_t block_bytes;
    unsigned current;
    block_t blocks[BLOCKS];
};

size_t recent_lines_share(unsigned workers)
{
    size_t share = RECENT_LINES_BYTES / (workers != 0 ? workers : 1);
    return share > RECENT_LINES_BYTES_LEAST ? share : RECENT_LINES_BYTES_LEAST;
}

recent_lines_t *recent_lines_new(size_t bytes)
{
    recent_lines_t *recent = calloc(1, sizeof(*recent));
    assert(recent != NULL && bytes >= BLOCKS);
    recent->block_bytes = bytes / BLOCKS;
    return recent;
}

void recent_lines_free(recent_lines_t **recent)
{
    if (*recent == NULL)
        return;
    for (unsigned i = 0; i < BLOCKS; i++)
        free((*recent)->blocks[i].bytes);
    free(*recent);
    *recent = NULL;
}

static void begin_block(recent_lines_t *recent)
{
    recent->current = (recent->current + 1) % BLOCKS;
    recent->blocks[recent->current].used = 0;
}

/* The longest begin of `lines` that is whole lines and has at most `room` bytes. */
static size_t whole_lines(str_t lines, size_t room)
{
    if (lines.n <= room)
        return lines.n;
    const char *end = room != 0 ? memrchr(lines.p, '\n', room) : NULL;
    return end != NULL ? (size_t)(end - lines.p) + 1 : 0;
}

void recent_lines_add(recent_lines_t *recent, str_t lines)
{
    while (lines.n != 0) {
        block_t *block = &recent->blocks[recent->current];
        if (str_line_length(lines) > recent->block_bytes) {
            lines = str_from_offset(lines, str_line_length(lines));
            continue;
        }
        size_t n = whole_lines(lines, recent->block_bytes - block->used);
        if (n == 0) {
            begin_block(recent);
            continue;
        }
        if (block->bytes == NULL) {
            block->bytes = malloc(recent->block_bytes);
            assert(block->bytes != NULL);
        }
        memcpy(block->bytes + block->used, lines.p, n);
        block->used += n;
        lines = str_from_offset(lines, n);
    }
}

uint64_t recent_lines_count(const recent_lines_t *recent)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (recent->blocks[i].used != 0)
            count += str_count_lines(str_make(recent->blocks[i].bytes, recent->blocks[i].used));
    return count;
}

bool recent_lines_walk_text(str_t lines, recent_line_t each, void *arg)
{
    while (lines.n != 0) {
        size_t end = lines.p[lines.n - 1] == '\n' ? lines.n - 1 : lines.n;
        const char *before = end != 0 ? memrchr(lines.p, '\n', end) : NULL;
        size_t begin = before != NULL ? (size_t)(before - lines.p) + 1 : 0;
        if (!each(arg, str_make(lines.p + begin, end - begin)))
            return false;
        lines.n = begin;
    }
    return true;
}

bool recent_lines_walk(const recent_lines_t *recent, recent_line_t each, void *arg)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        const block_t *block = &recent->blocks[(recent->current + BLOCKS - i) % BLOCKS];
        if (block->used != 0 && !recent_lines_walk_text(str_make(block->bytes, block->used), each, arg))
            return false;
    }
    return true;
}

/* ---- the search ---- */

bool recent_find_valid(str_t find)
{
    static const char marks[] = ".:_-";
    for (size_t i = 0; i < find.n; i++) {
        char c = find.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return find.n != 0 && find.n <= FIND_MAX;
}

static bool ends_with(str_t text, const char *end)
{
    size_t n = strlen(end);
    return text.n >= n && memcmp(text.p + text.n - n, end, n) == 0;
}

/* Whether a found text is the value between `before` and `after`. */
static bool is_value(str_t before, char after)
{
    static const char *const whole[] = {",\"request_id\":\"", ",\"box\":\"", ",\"client\":\"", ",\"key\":\"",
                                        ",\"reason\":\""};
    if (ends_with(before, ",\"host\":\""))
        return after == '"' || after == '.' || after == ':';
    for (size_t i = 0; after == '"' && i < sizeof(whole) / sizeof(whole[0]); i++)
        if (ends_with(before, whole[i]))
            return true;
    return false;
}

bool recent_line_matches(str_t line, str_t find)
{
    str_t rest = line;
    const char *at;
    while ((at = memmem(rest.p, rest.n, find.p, find.n)) != NULL) {
        const char *end = at + find.n;
        if (end < line.p + line.n && is_value(str_make(line.p, (size_t)(at - line.p)), *end))
            return true;
        rest = str_make(at + 1, (size_t)(line.p + line.n - at) - 1);
    }
    return false;
}
