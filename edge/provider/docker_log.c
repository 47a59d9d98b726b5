#include "docker_log.h"

#include <assert.h>
#include <stdlib.h>

#include "docker_json.h"

#define HEAD_BYTES 8
/* The bytes of a head that identify it: the stream, and zeros. */
#define MARK_BYTES 4
/* The longest time: "2026-01-01T00:00:00.000000000+00:00". */
#define TIME_BYTES 35
/* Bytes that go into the ring per call. */
#define PENDING_BYTES 4096
#define SECOND_NS     1000000000u

typedef enum log_state {
    LOG_BEGINS, /* the first bytes show the form */
    LOG_HEAD,   /* of a frame */
    LOG_TIME,   /* of an entry */
    LOG_TEXT,   /* of an entry */
    LOG_BROKEN, /* an invalid head: the rest is unreadable */
} log_state_t;

struct docker_log {
    log_state_t state;
    bool framed;
    bool skips;    /* LOG_TEXT: the entry came before `from` */
    uint32_t left; /* of the frame */
    size_t part_len;
    char part[TIME_BYTES + 1]; /* LOG_BEGINS, LOG_HEAD, LOG_TIME: the bytes so far */
    uint64_t from;
    uint64_t from_seen; /* entries of the second of `from` */
    uint64_t entries;
    uint64_t first;    /* second of the first entry */
    uint64_t last;     /* of the last one; 0: unknown */
    uint64_t at;       /* latest second */
    uint64_t at_count; /* entries of it */
    box_log_t *text;
    size_t pending_len;
    char pending[PENDING_BYTES]; /* for `text` */
};

uint64_t docker_log_second(uint64_t position)
{
    return position >> DOCKER_LOG_COUNT_BITS;
}

static uint64_t count_of(uint64_t position)
{
    return position & ((UINT64_C(1) << DOCKER_LOG_COUNT_BITS) - 1);
}

docker_log_t *docker_log_new(uint64_t from)
{
    docker_log_t *log = malloc(sizeof(*log));
    assert(log != NULL);
    *log = (docker_log_t){.from = from, .at = docker_log_second(from), .text = box_log_new(BOX_LOG_BYTES)};
    return log;
}

void docker_log_free(docker_log_t **log)
{
    if (*log == NULL)
        return;
    box_log_free(&(*log)->text);
    free(*log);
    *log = NULL;
}

/* ---- text ---- */

static void flush(docker_log_t *log)
{
    box_log_add(log->text, str_make(log->pending, log->pending_len));
    log->pending_len = 0;
}

static void add(docker_log_t *log, str_t bytes)
{
    while (bytes.n > 0 && !log->skips) {
        size_t room = PENDING_BYTES - log->pending_len, n = bytes.n < room ? bytes.n : room;
        memcpy(log->pending + log->pending_len, bytes.p, n);
        log->pending_len += n;
        bytes = str_from_offset(bytes, n);
        if (log->pending_len == PENDING_BYTES)
            flush(log);
    }
}

/* Begins an entry of that second; 0: unknown, then that of the entry before. */
static void begin_entry(docker_log_t *log, uint64_t second)
{
    uint64_t from_second = docker_log_second(log->from);
    second = second != 0 ? second : log->last;
    log->last = second;
    log->first = log->entries++ == 0 ? second : log->first;
    if (second > log->at) {
        log->at = second;
        log->at_count = 0;
    }
    log->at_count += second == log->at;
    log->from_seen += second == from_second;
    log->skips = log->from != 0 &&
                 (second < from_second || (second == from_second && log->from_seen <= count_of(log->from)));
    log->state = LOG_TEXT;
}

/* ---- times of entries ---- */

static bool may_be_of_time(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == ':' || c == '.' || c == '+' || c == 'T' || c == 'Z';
}

/* Bytes in place of a time are text. */
static void take_as_text(docker_log_t *log)
{
    begin_entry(log, 0);
    add(log, str_make(log->part, log->part_len));
    log->part_len = 0;
}

static str_t take_time(docker_log_t *log, str_t bytes)
{
    while (bytes.n > 0 && log->state == LOG_TIME) {
        char c = bytes.p[0];
        if (c == ' ') {
            uint64_t second = docker_read_time(str_make(log->part, log->part_len)) / SECOND_NS;
            bool is_time = second != 0 && second <= UINT32_MAX;
            log->part[log->part_len] = ' ';
            log->part_len = is_time ? 0 : log->part_len + 1;
            bytes = str_from_offset(bytes, 1);
            if (is_time)
                begin_entry(log, second);
            else
                take_as_text(log);
        } else if (may_be_of_time(c) && log->part_len < TIME_BYTES) {
            log->part[log->part_len++] = c;
            bytes = str_from_offset(bytes, 1);
        } else {
            take_as_text(log);
        }
    }
    return bytes;
}

/* ---- both forms ---- */

/* Takes bytes up to the end of a line. */
static str_t take_line(docker_log_t *log, str_t bytes)
{
    const char *end = memchr(bytes.p, '\n', bytes.n);
    size_t n = end != NULL ? (size_t)(end - bytes.p) + 1 : bytes.n;
    add(log, str_make(bytes.p, n));
    if (end != NULL)
        log->state = LOG_TIME;
    return str_from_offset(bytes, n);
}

/* Takes bytes of a frame, at most those left. */
static void take_payload(docker_log_t *log, str_t bytes)
{
    log->left -= (uint32_t)bytes.n;
    bytes = log->state == LOG_TIME ? take_time(log, bytes) : bytes;
    if (bytes.n > 0)
        add(log, bytes);
    if (log->left > 0)
        return;
    if (log->state == LOG_TIME)
        take_as_text(log);
    log->state = LOG_HEAD;
}

static bool is_mark(const char *part)
{
    return (unsigned char)part[0] <= 2 && part[1] == 0 && part[2] == 0 && part[3] == 0;
}

static void take_head_byte(docker_log_t *log, char c)
{
    log->part[log->part_len++] = c;
    if (log->part_len < HEAD_BYTES)
        return;
    const unsigned char *p = (const unsigned char *)log->part;
    log->left = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
    log->part_len = 0;
    if (!is_mark(log->part))
        log->state = LOG_BROKEN;
    else if (log->left > 0)
        log->state = LOG_TIME;
}

static void take(docker_log_t *log, str_t bytes);

/* The form is not frames: the bytes so far belong to the first line. */
static void take_raw(docker_log_t *log)
{
    char first[MARK_BYTES];
    size_t n = log->part_len;
    memcpy(first, log->part, n);
    log->part_len = 0;
    log->state = LOG_TIME;
    take(log, str_make(first, n));
}

static void take_first_byte(docker_log_t *log, char c)
{
    log->part[log->part_len++] = c;
    if (log->part_len < MARK_BYTES)
        return;
    log->framed = is_mark(log->part);
    if (log->framed)
        log->state = LOG_HEAD;
    else
        take_raw(log);
}

static void take(docker_log_t *log, str_t bytes)
{
    while (bytes.n > 0 && log->state != LOG_BROKEN) {
        if (log->state == LOG_BEGINS || log->state == LOG_HEAD) {
            char c = bytes.p[0];
            bytes = str_from_offset(bytes, 1);
            if (log->state == LOG_BEGINS)
                take_first_byte(log, c);
            else
                take_head_byte(log, c);
        } else if (log->framed) {
            size_t n = bytes.n < log->left ? bytes.n : log->left;
            take_payload(log, str_make(bytes.p, n));
            bytes = str_from_offset(bytes, n);
        } else {
            bytes = log->state == LOG_TIME ? take_time(log, bytes) : take_line(log, bytes);
        }
    }
}

void docker_log_feed(docker_log_t *log, str_t bytes)
{
    take(log, bytes);
    flush(log);
}

void docker_log_finish(docker_log_t *log)
{
    if (log->state == LOG_BEGINS && log->part_len > 0)
        take_raw(log);
    if (log->state == LOG_TIME && log->part_len > 0)
        take_as_text(log);
    flush(log);
}

/* ---- the whole ---- */

const box_log_t *docker_log_text(const docker_log_t *log)
{
    return log->text;
}

uint64_t docker_log_end(const docker_log_t *log)
{
    const uint64_t most = (UINT64_C(1) << DOCKER_LOG_COUNT_BITS) - 1;
    uint64_t count = log->at_count < most ? log->at_count : most;
    if (log->at == docker_log_second(log->from) && count < count_of(log->from))
        count = count_of(log->from); /* the log was cut in between */
    return (log->at << DOCKER_LOG_COUNT_BITS) | count;
}

uint64_t docker_log_cut(const docker_log_t *log, uint64_t tail, bool whole)
{
    uint64_t from_second = docker_log_second(log->from);
    if (log->entries < tail)
        return 0;
    if (log->from != 0)
        return whole || log->first <= from_second ? from_second : 0;
    return log->first == log->at ? log->first : 0;
}
