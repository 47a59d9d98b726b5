#include "traffic_message.h"

#include <assert.h>

#include "bytes.h"

_Static_assert(1 + TRAFFIC_REQUEST_BYTES <= IPC_BYTES_MAX && 1 + TRAFFIC_LINE_BYTES <= IPC_BYTES_MAX,
               "a row fits into a message");

/* ---- writing ---- */

static char *put64(char *at, uint64_t value)
{
    bytes_put64(at, value);
    return at + 8;
}

/* A length, then the text, cut at `max`. */
static char *put_text(char *at, str_t text, size_t max)
{
    size_t n = text.n < max ? text.n : max;
    *at++ = (char)n;
    for (size_t i = 0; i < n; i++)
        *at++ = text.p[i] > 0x20 && text.p[i] < 0x7f ? text.p[i] : '?';
    return at;
}

/* ---- reading ---- */

static bool take64(str_t *bytes, uint64_t *out)
{
    if (bytes->n < 8)
        return false;
    *out = bytes_get64(bytes->p);
    *bytes = str_from_offset(*bytes, 8);
    return true;
}

static bool take_text(str_t *bytes, size_t max, str_t *out)
{
    if (bytes->n == 0)
        return false;
    size_t n = (uint8_t)bytes->p[0];
    if (n > max || bytes->n < 1 + n)
        return false;
    *out = str_make(bytes->p + 1, n);
    for (size_t i = 0; i < n; i++)
        if (out->p[i] <= 0x20 || out->p[i] >= 0x7f)
            return false;
    *bytes = str_from_offset(*bytes, 1 + n);
    return true;
}

/* Copies a text of at most `max` bytes and a NUL. */
static bool copy_text(str_t *bytes, size_t max, char *out)
{
    str_t text;
    if (!take_text(bytes, max, &text))
        return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

/* ---- questions ---- */

size_t traffic_question_write(const traffic_question_t *question, char out[TRAFFIC_QUESTION_BYTES])
{
    char *at = out;
    assert(question->limit <= TRAFFIC_ROWS_MAX);
    *at++ = (char)question->op;
    *at++ = (char)question->by;
    at = put64(at, question->limit);
    at = put64(at, question->older_than_us);
    at = put_text(at, str_from(question->box), BOX_ID_MAX);
    at = put_text(at, str_from(question->state), TRAFFIC_WORD_MAX);
    at = put_text(at, str_from(question->request_id), TRAFFIC_ID_MAX);
    at = put_text(at, str_from(question->find), TRAFFIC_PATH_MAX);
    assert(at - out <= TRAFFIC_QUESTION_BYTES);
    return (size_t)(at - out);
}

bool traffic_question_read(str_t bytes, traffic_question_t *out)
{
    uint64_t limit;
    if (bytes.n < 2 || (uint8_t)bytes.p[1] >= TRAFFIC_BYS)
        return false;
    *out = (traffic_question_t){.op = (traffic_op_t)bytes.p[0], .by = (traffic_by_t)bytes.p[1]};
    bytes = str_from_offset(bytes, 2);
    if (!take64(&bytes, &limit) || limit > TRAFFIC_ROWS_MAX || !take64(&bytes, &out->older_than_us) ||
        !copy_text(&bytes, BOX_ID_MAX, out->box) || !copy_text(&bytes, TRAFFIC_WORD_MAX, out->state) ||
        !copy_text(&bytes, TRAFFIC_ID_MAX, out->request_id) ||
        !copy_text(&bytes, TRAFFIC_PATH_MAX, out->find))
        return false;
    out->limit = (uint32_t)limit;
    return out->op == TRAFFIC_LIST || out->op == TRAFFIC_TOP || out->op == TRAFFIC_RECENT ||
           (out->op == TRAFFIC_KILL && out->request_id[0] != '\0');
}

/* ---- rows ---- */

size_t traffic_request_write(const traffic_request_t *request, char out[TRAFFIC_REQUEST_BYTES])
{
    char *at = out;
    at = put_text(at, request->id, TRAFFIC_ID_MAX);
    at = put_text(at, request->state, TRAFFIC_WORD_MAX);
    at = put_text(at, request->kind, TRAFFIC_WORD_MAX);
    at = put_text(at, request->http, TRAFFIC_WORD_MAX);
    at = put_text(at, request->client, TRAFFIC_PLACE_MAX);
    at = put_text(at, request->method, TRAFFIC_WORD_MAX);
    at = put_text(at, request->host, TRAFFIC_PATH_MAX);
    at = put_text(at, request->path, TRAFFIC_PATH_MAX);
    at = put_text(at, request->box, TRAFFIC_PLACE_MAX);
    at = put_text(at, request->key, TRAFFIC_PLACE_MAX);
    at = put_text(at, request->upstream, TRAFFIC_PLACE_MAX);
    at = put_text(at, request->origin, TRAFFIC_PLACE_MAX);
    bytes_put16(at, request->port);
    at = put64(at + 2, request->age_us);
    at = put64(at, request->request_bytes);
    at = put64(at, request->response_bytes);
    assert(at - out <= TRAFFIC_REQUEST_BYTES);
    return (size_t)(at - out);
}

bool traffic_request_read(str_t *bytes, traffic_request_t *out)
{
    *out = (traffic_request_t){.port = 0};
    if (!take_text(bytes, TRAFFIC_ID_MAX, &out->id) || !take_text(bytes, TRAFFIC_WORD_MAX, &out->state) ||
        !take_text(bytes, TRAFFIC_WORD_MAX, &out->kind) || !take_text(bytes, TRAFFIC_WORD_MAX, &out->http) ||
        !take_text(bytes, TRAFFIC_PLACE_MAX, &out->client) ||
        !take_text(bytes, TRAFFIC_WORD_MAX, &out->method) ||
        !take_text(bytes, TRAFFIC_PATH_MAX, &out->host) || !take_text(bytes, TRAFFIC_PATH_MAX, &out->path) ||
        !take_text(bytes, TRAFFIC_PLACE_MAX, &out->box) || !take_text(bytes, TRAFFIC_PLACE_MAX, &out->key) ||
        !take_text(bytes, TRAFFIC_PLACE_MAX, &out->upstream) ||
        !take_text(bytes, TRAFFIC_PLACE_MAX, &out->origin) || bytes->n < 2)
        return false;
    out->port = bytes_get16(bytes->p);
    *bytes = str_from_offset(*bytes, 2);
    return take64(bytes, &out->age_us) && take64(bytes, &out->request_bytes) &&
           take64(bytes, &out->response_bytes);
}

/* ---- lines ---- */

size_t traffic_line_write(str_t line, char out[TRAFFIC_LINE_BYTES])
{
    assert(line.n <= TRAFFIC_LINE_MAX);
    bytes_put16(out, (uint16_t)line.n);
    memcpy(out + 2, line.p, line.n);
    return 2 + line.n;
}

bool traffic_line_read(str_t *bytes, str_t *out)
{
    if (bytes->n < 2)
        return false;
    size_t n = bytes_get16(bytes->p);
    if (n > TRAFFIC_LINE_MAX || bytes->n < 2 + n)
        return false;
    *out = str_make(bytes->p + 2, n);
    *bytes = str_from_offset(*bytes, 2 + n);
    return true;
}

/* ---- figures ---- */

/* The first bucket begins at 0, and the second at 768 us. */
#define LOWEST_POWER 9

unsigned traffic_latency_bucket(uint64_t us)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(us | 1);
    if (power < LOWEST_POWER)
        return 0;
    unsigned bucket = 2 * (power - LOWEST_POWER) + (unsigned)(us >> (power - 1) & 1);
    return bucket < TRAFFIC_LATENCIES ? bucket : TRAFFIC_LATENCIES - 1;
}

static uint64_t bucket_begin(unsigned bucket)
{
    return bucket == 0 ? 0 : (2 + (uint64_t)(bucket & 1)) << (bucket / 2 + LOWEST_POWER - 1);
}

uint64_t traffic_timed(const traffic_figures_t *figures)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < TRAFFIC_LATENCIES; i++)
        count += figures->latencies[i];
    return count;
}

uint64_t traffic_percentile(const traffic_figures_t *figures, unsigned percent)
{
    uint64_t wanted = (traffic_timed(figures) * percent + 99) / 100, before = 0;
    for (unsigned i = 0; i < TRAFFIC_LATENCIES; i++) {
        uint64_t here = figures->latencies[i];
        if (here == 0 || before + here < wanted) {
            before += here;
            continue;
        }
        uint64_t begin = bucket_begin(i);
        if (i == TRAFFIC_LATENCIES - 1)
            return begin; /* it has no end */
        return begin + (bucket_begin(i + 1) - begin) * (wanted - before) / here;
    }
    return 0;
}

/* Only buckets that are not empty. */
static char *put_latencies(char *at, const traffic_figures_t *figures)
{
    char *count = at++;
    *count = 0;
    for (unsigned i = 0; i < TRAFFIC_LATENCIES; i++) {
        if (figures->latencies[i] == 0)
            continue;
        ++*count;
        *at++ = (char)i;
        uint32_t value = htole32(figures->latencies[i]);
        memcpy(at, &value, sizeof(value));
        at += sizeof(value);
    }
    return at;
}

static bool take_latencies(str_t *bytes, traffic_figures_t *figures)
{
    if (bytes->n == 0)
        return false;
    size_t count = (uint8_t)bytes->p[0];
    *bytes = str_from_offset(*bytes, 1);
    if (count > TRAFFIC_LATENCIES || bytes->n < 5 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned bucket = (uint8_t)bytes->p[5 * i];
        uint32_t value;
        if (bucket >= TRAFFIC_LATENCIES)
            return false;
        memcpy(&value, bytes->p + 5 * i + 1, sizeof(value));
        figures->latencies[bucket] = le32toh(value);
    }
    *bytes = str_from_offset(*bytes, 5 * count);
    return true;
}

size_t traffic_row_write(const traffic_row_t *row, char out[TRAFFIC_ROW_BYTES])
{
    const traffic_figures_t *figures = &row->figures;
    char *at = put_text(out, row->name, TRAFFIC_PLACE_MAX);
    *at++ = (char)((row->approximate ? 1 : 0) | (row->full ? 2 : 0));
    at = put64(put64(at, row->window_us), row->open);
    at = put64(put64(put64(at, figures->requests), figures->errors), figures->own_errors);
    at = put64(put64(put64(at, figures->request_bytes), figures->response_bytes), figures->latency_us);
    at = put_latencies(at, figures);
    assert(at - out <= TRAFFIC_ROW_BYTES);
    return (size_t)(at - out);
}

bool traffic_row_read(str_t *bytes, traffic_row_t *out)
{
    *out = (traffic_row_t){.open = 0};
    traffic_figures_t *figures = &out->figures;
    if (!take_text(bytes, TRAFFIC_PLACE_MAX, &out->name) || bytes->n == 0)
        return false;
    out->approximate = (bytes->p[0] & 1) != 0;
    out->full = (bytes->p[0] & 2) != 0;
    *bytes = str_from_offset(*bytes, 1);
    return take64(bytes, &out->window_us) && take64(bytes, &out->open) && take64(bytes, &figures->requests) &&
           take64(bytes, &figures->errors) && take64(bytes, &figures->own_errors) &&
           take64(bytes, &figures->request_bytes) && take64(bytes, &figures->response_bytes) &&
           take64(bytes, &figures->latency_us) && take_latencies(bytes, figures);
}

/* ---- the end ---- */

size_t traffic_end_write(const traffic_end_t *end, char out[TRAFFIC_END_BYTES])
{
    char *at = put64(put64(out, end->open), end->matched);
    for (size_t i = 0; i < TRAFFIC_ENDINGS; i++)
        at = put64(at, end->ended[i]);
    return (size_t)(at - out);
}

bool traffic_end_read(str_t bytes, traffic_end_t *out)
{
    if (bytes.n != TRAFFIC_END_BYTES)
        return false;
    bool whole = take64(&bytes, &out->open) && take64(&bytes, &out->matched);
    for (size_t i = 0; i < TRAFFIC_ENDINGS; i++)
        whole = whole && take64(&bytes, &out->ended[i]);
    return whole;
}
