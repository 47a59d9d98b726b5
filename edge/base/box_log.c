#include "box_log.h"

#include <assert.h>
#include <stdlib.h>

struct box_log {
    char *ring; /* NULL before the first byte */
    size_t size;
    uint64_t begin; /* position of the oldest byte: the start of a line, or of the kept end of one */
    uint64_t end;
};

box_log_t *box_log_new(size_t bytes)
{
    assert(bytes > 0);
    box_log_t *log = calloc(1, sizeof(*log));
    assert(log != NULL);
    log->size = bytes;
    return log;
}

void box_log_free(box_log_t **log)
{
    if (*log == NULL)
        return;
    free((*log)->ring);
    free(*log);
    *log = NULL;
}

uint64_t box_log_end(const box_log_t *log)
{
    return log->end;
}

static char at(const box_log_t *log, uint64_t position)
{
    return log->ring[position % log->size];
}

static void slice(const box_log_t *log, uint64_t from, uint64_t to, str_t parts[2])
{
    parts[0] = parts[1] = STR("");
    if (from >= to)
        return;
    size_t place = from % log->size, n = (size_t)(to - from);
    size_t first = log->size - place < n ? log->size - place : n;
    parts[0] = str_make(log->ring + place, first);
    parts[1] = str_make(log->ring, n - first);
}

/* Drops the output that does not fit, and the rest of a cut line. */
static void drop_oldest(box_log_t *log)
{
    str_t parts[2];
    if (log->end - log->begin <= log->size)
        return;
    log->begin = log->end - log->size;
    /* The byte before is gone, so a line may or may not begin here: drop this one. */
    slice(log, log->begin, log->end, parts);
    for (uint64_t i = 0, before = log->begin; i < 2; before += parts[i++].n) {
        const char *end = memchr(parts[i].p, '\n', parts[i].n);
        if (end == NULL)
            continue;
        uint64_t next = before + (uint64_t)(end - parts[i].p) + 1;
        if (next < log->end)
            log->begin = next;
        return;
    }
}

void box_log_add(box_log_t *log, str_t bytes)
{
    if (bytes.n == 0)
        return;
    if (log->ring == NULL) {
        log->ring = malloc(log->size);
        assert(log->ring != NULL);
    }
    if (bytes.n > log->size) { /* only its end stays */
        log->end += bytes.n - log->size;
        bytes = str_from_offset(bytes, bytes.n - log->size);
    }
    size_t place = log->end % log->size;
    size_t first = log->size - place < bytes.n ? log->size - place : bytes.n;
    memcpy(log->ring + place, bytes.p, first);
    memcpy(log->ring, bytes.p + first, bytes.n - first);
    log->end += bytes.n;
    drop_oldest(log);
}

void box_log_restore(box_log_t *log, str_t text, uint64_t end)
{
    assert(log->end == 0);
    if (text.n > end)
        text = STR("");
    log->begin = log->end = end - text.n;
    box_log_add(log, text);
}

void box_log_note(box_log_t *log, str_t line)
{
    if (log->end > log->begin && at(log, log->end - 1) != '\n')
        box_log_add(log, STR("\n"));
    box_log_add(log, STR(BOX_LOG_MARK));
    box_log_add(log, line);
    box_log_add(log, STR("\n"));
}

/* The start of the line that ends before `end`. */
static uint64_t line_before(const box_log_t *log, uint64_t end)
{
    uint64_t position = end;
    for (; position > log->begin; position--)
        if (position != end && at(log, position - 1) == '\n')
            break;
    return position;
}

void box_log_read(const box_log_t *log, uint64_t from, str_t parts[2])
{
    slice(log, from < log->begin || from > log->end ? log->begin : from, log->end, parts);
}

#define WORDS_BYTES 1024
/* Maximum lines to search for the last words. */
#define WORDS_LINES 100

/* Takes the line that ends before *end, and moves *end to its start. */
static str_t take_line_before(const box_log_t *log, uint64_t *end, char line[WORDS_BYTES])
{
    uint64_t from = line_before(log, *end);
    str_t parts[2];
    slice(log, from, *end, parts);
    size_t first = parts[0].n < WORDS_BYTES ? parts[0].n : WORDS_BYTES;
    size_t second = parts[1].n < WORDS_BYTES - first ? parts[1].n : WORDS_BYTES - first;
    memcpy(line, parts[0].p, first);
    if (second != 0)
        memcpy(line + first, parts[1].p, second);
    *end = from;
    return str_make(line, first + second);
}

void box_log_last_words(const box_log_t *log, last_words_rank_t least, char *out, size_t len)
{
    char line[WORDS_BYTES];
    last_words_rank_t best = LAST_WORDS_NOTHING;
    assert(len > 0);
    out[0] = '\0';
    uint64_t end = log->end;
    for (int i = 0; i < WORDS_LINES && end > log->begin && best != LAST_WORDS_ERROR; i++) {
        str_t text = take_line_before(log, &end, line);
        if (str_starts(text, STR(BOX_LOG_MARK))) {
            if (best != LAST_WORDS_NOTHING)
                return; /* older lines belong to another run */
            continue;
        }
        last_words_rank_t rank = last_words_rank(text);
        if (rank <= best)
            continue;
        best = rank;
        if (rank < least)
            continue;
        last_words_print(text, out, len);
    }
}
