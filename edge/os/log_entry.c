#include "log_entry.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define CODE_MAX    32
#define PROCESS_MAX 32

typedef struct code_row {
    str_t text;
    log_level_t level;
} code_row_t;

static const code_row_t codes[] = {
#define X(symbol, code, level, meaning) {{code, sizeof(code) - 1}, LOG_LEVEL_##level},
    LOG_CODES(X)
#undef X
};

static const struct {
    log_level_t level;
    str_t text;
} levels[] = {{LOG_LEVEL_ERROR, {"error", 5}},
              {LOG_LEVEL_WARNING, {"warning", 7}},
              {LOG_LEVEL_NOTICE, {"notice", 6}},
              {LOG_LEVEL_INFO, {"info", 4}}};

#define LEVELS (sizeof(levels) / sizeof(levels[0]))

str_t log_level_text(log_level_t level)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (levels[i].level == level)
            return levels[i].text;
    return STR("error");
}

log_level_t log_code_level(log_code_t code)
{
    assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
    return codes[code].level;
}

str_t log_code_text(log_code_t code)
{
    assert((size_t)code < sizeof(codes) / sizeof(codes[0]));
    return codes[code].text;
}

/* ---- writing ---- */

static char *digits(char *at, unsigned value, unsigned count)
{
    for (unsigned i = count; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
    return at + count;
}

/* gmtime_r is not async-signal-safe. Days since 1970 become a date: years begin in March, so that the leap
 * day is the last one, and an era has 400 years. */
static char *date(char *at, uint64_t days)
{
    days += 719468; /* since 0000-03-01 */
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t in_year = day - (365 * year + year / 4 - year / 100);
    uint64_t march = (5 * in_year + 2) / 153; /* months since March */
    at = digits(at, (unsigned)(era * 400 + year + (march >= 10)), 4);
    *at++ = '-';
    at = digits(at, (unsigned)(march < 10 ? march + 3 : march - 9), 2);
    *at++ = '-';
    return digits(at, (unsigned)(in_year - (153 * march + 2) / 5 + 1), 2);
}

void log_time_at(char out[LOG_TIME_BYTES], uint64_t wall_ms)
{
    uint64_t seconds = wall_ms / 1000;
    unsigned in_day = (unsigned)(seconds % 86400);
    char *at = date(out, seconds / 86400);
    *at++ = 'T';
    at = digits(at, in_day / 3600, 2);
    *at++ = ':';
    at = digits(at, in_day / 60 % 60, 2);
    *at++ = ':';
    at = digits(at, in_day % 60, 2);
    *at++ = '.';
    at = digits(at, (unsigned)(wall_ms % 1000), 3);
    *at++ = 'Z';
    assert(at == out + LOG_TIME_BYTES);
}

void log_time_now(char out[LOG_TIME_BYTES])
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    log_time_at(out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static char *add(char *at, str_t text)
{
    memcpy(at, text.p, text.n);
    return at + text.n;
}

size_t log_head(char out[LOG_HEAD_MAX], log_code_t code, const char *process)
{
    log_time_now(out);
    char *at = add(out + LOG_TIME_BYTES, STR(" "));
    at = add(add(at, log_level_text(log_code_level(code))), STR(" "));
    at = add(add(at, log_code_text(code)), STR(" boxedge"));
    if (process != NULL)
        at = add(add(add(at, STR("[")), str_make(process, strnlen(process, PROCESS_MAX))), STR("]"));
    at = add(at, STR(": "));
    assert(at <= out + LOG_HEAD_MAX);
    return (size_t)(at - out);
}

/* ---- reading ---- */

static bool is_time(str_t text)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    for (size_t i = 0; i < LOG_TIME_BYTES; i++)
        if (shape[i] == '0' ? text.p[i] < '0' || text.p[i] > '9' : text.p[i] != shape[i])
            return false;
    return true;
}

/* Takes the bytes before the first `end` off `rest`, and the end. False: they are none, or over `most`. */
static bool take_until(str_t *rest, char end, size_t most, str_t *taken)
{
    const char *at = memchr(rest->p, end, rest->n < most + 1 ? rest->n : most + 1);
    if (at == NULL || at == rest->p)
        return false;
    *taken = str_make(rest->p, (size_t)(at - rest->p));
    *rest = str_from_offset(*rest, taken->n + 1);
    return true;
}

static bool take_word(str_t *rest, str_t word)
{
    if (!str_starts(*rest, word))
        return false;
    *rest = str_from_offset(*rest, word.n);
    return true;
}

static bool is_code(str_t text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((text.p[i] < 'a' || text.p[i] > 'z') && text.p[i] != '_')
            return false;
    return true;
}

static bool parse_level(str_t text, log_level_t *level)
{
    for (size_t i = 0; i < LEVELS; i++)
        if (str_eq(levels[i].text, text)) {
            *level = levels[i].level;
            return true;
        }
    return false;
}

bool log_entry_parse(str_t line, log_entry_t *entry)
{
    str_t level;
    if (line.n <= LOG_TIME_BYTES || !is_time(line) || line.p[LOG_TIME_BYTES] != ' ')
        return false;
    entry->time = str_make(line.p, LOG_TIME_BYTES);
    line = str_from_offset(line, LOG_TIME_BYTES + 1);
    if (!take_until(&line, ' ', CODE_MAX, &level) || !parse_level(level, &entry->level) ||
        !take_until(&line, ' ', CODE_MAX, &entry->code) || !is_code(entry->code) ||
        !take_word(&line, STR("boxedge")))
        return false;
    entry->process = STR("supervisor");
    if (take_word(&line, STR("[")) && !take_until(&line, ']', PROCESS_MAX, &entry->process))
        return false;
    if (!take_word(&line, STR(": ")))
        return false;
    entry->text = line;
    return true;
}
