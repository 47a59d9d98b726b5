/*
 * See scrub.h.
 */
#include "scrub.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_errors.h"
#include "conf_redact.h"

#define VALUE_MIN 4
/* Numbers below are ports, sizes and counts. */
#define DIGITS_MIN 8
/* A part of a value that no message cuts. */
#define PART_MAX  (CONF_SHOWN_MAX - 8)
#define TOKEN_MIN 8

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static void add_one(scrub_t *scrub, str_t value)
{
    bool digits = true;
    for (size_t i = 0; i < value.n; i++)
        digits = digits && value.p[i] >= '0' && value.p[i] <= '9';
    if (value.n < (digits ? DIGITS_MIN : VALUE_MIN))
        return;
    scrub->values = realloc(scrub->values, (scrub->count + 1) * sizeof(*scrub->values));
    assert(scrub->values != NULL);
    scrub->values[scrub->count++] = conf_copy(value);
}

static int by_length(const void *a, const void *b)
{
    size_t x = strlen(*(char *const *)a), y = strlen(*(char *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

void scrub_add(void *arg, str_t value)
{
    scrub_t *scrub = arg;
    for (size_t at = 0, end; at < value.n; at = end + 1) {
        for (end = at; end < value.n && !is_control(value.p[end]); end++)
            ;
        add_one(scrub, str_make(value.p + at, end - at));
        if (end - at > PART_MAX)
            add_one(scrub, str_make(value.p + at, PART_MAX));
    }
    if (scrub->count > 0)
        qsort(scrub->values, scrub->count, sizeof(*scrub->values), by_length);
}

/* ---- secrets by their form ---- */

/* The length of "user:password@" at `at`, which follows "://"; 0: none. */
static size_t userinfo(const char *at)
{
    size_t n = strcspn(at, "/?# \t\r\n\"'<>");
    const char *sign = memrchr(at, '@', n);
    return sign != NULL ? (size_t)(sign - at) + 1 : 0;
}

static size_t token(const char *at)
{
    size_t n = strcspn(at, " \t\r\n\"',;<>()");
    return n >= TOKEN_MIN ? n : 0;
}

/* Text after which a secret stands, and the length of that. */
static const struct form {
    const char *before;
    size_t (*secret)(const char *at);
} forms[] = {{"://", userinfo}, {"Bearer ", token}, {"Basic ", token}};

/* The length of a secret that begins at `at`, in `text`; 0: none begins there. */
static size_t secret_at(const scrub_t *scrub, const char *text, const char *at)
{
    for (size_t i = 0; i < scrub->count; i++) {
        size_t n = strlen(scrub->values[i]);
        if (strncmp(at, scrub->values[i], n) == 0)
            return n;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        size_t n = strlen(forms[i].before);
        if ((size_t)(at - text) >= n && strncasecmp(at - n, forms[i].before, n) == 0)
            return forms[i].secret(at);
    }
    return 0;
}

/* Errors of a configuration quote values that the file no longer has: `key: "value" is wrong; allowed: ...`.
 * Returns the end of the value that begins behind the quote before `at`; NULL: none begins there. */
static const char *end_of_quoted(const char *text, const char *at)
{
    if (at - text < 3 || strncmp(at - 3, ": \"", 3) != 0)
        return NULL;
    size_t line = strcspn(at, "\n");
    const char *allowed = memmem(at, line, "; allowed: ", 11);
    return allowed != NULL ? memrchr(at, '"', (size_t)(allowed - at)) : NULL;
}

char *scrub_text(const scrub_t *scrub, const char *text)
{
    char *out = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&out, &len);
    assert(file != NULL);
    for (const char *at = text; *at != '\0';) {
        const char *quoted = end_of_quoted(text, at);
        size_t n = quoted != NULL ? (size_t)(quoted - at) : secret_at(scrub, text, at);
        if (n == 0) {
            fputc(*at++, file);
            continue;
        }
        fputs(CONF_REMOVED, file);
        at += n;
        if (at[-1] == '@')
            fputc('@', file);
    }
    fclose(file);
    return out;
}

void scrub_fini(scrub_t *scrub)
{
    for (size_t i = 0; i < scrub->count; i++)
        free(scrub->values[i]);
    free(scrub->values);
    *scrub = (scrub_t){0};
}
