/*
 * Slices: a pointer and a length into bytes with another owner. The edge passes text as slices.
 * These functions do not allocate, and do not rely on a terminating NUL.
 */
#ifndef BOXEDGE_STR_H
#define BOXEDGE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))
/* Rarely called: apart from the caller's code, which stays small. */
#define COLD __attribute__((cold, noinline))

typedef struct str {
    const char *p;
    size_t n;
} str_t;

/* A slice of a string literal. */
#define STR(literal) ((str_t){(literal), sizeof(literal) - 1})
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p

static inline str_t str_make(const char *p, size_t n)
{
    return (str_t){p, n};
}

/* A slice of a NUL-terminated string; empty for NULL. */
static inline str_t str_from(const char *s)
{
    return (str_t){s, s != NULL ? strlen(s) : 0};
}

static inline bool str_eq(str_t a, str_t b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hex digit, or -1. */
static inline int str_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Compares ASCII letters without case. */
static inline bool str_ieq(str_t a, str_t b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (str_lower(a.p[i]) != str_lower(b.p[i]))
            return false;
    return true;
}

/* The same, and reads '_' in `a` as '-': servers that pass fields on as variables do so (RFC 3875 4.1.18). */
static inline bool str_ieq_alias(str_t a, str_t b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if ((a.p[i] == '_' ? '-' : str_lower(a.p[i])) != str_lower(b.p[i]))
            return false;
    return true;
}

static inline bool str_starts(str_t s, str_t prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* The slice from offset `from` on; `from` is at most s.n. An empty slice may have no bytes (NULL), to
 * which C11 lets nothing be added, not even 0. */
static inline str_t str_from_offset(str_t s, size_t from)
{
    return (str_t){from != 0 ? s.p + from : s.p, s.n - from};
}

/* Without spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3). */
str_t str_trim(str_t s);

/*
 * Takes the next element of a comma-separated list (RFC 9110 section 5.6.1) off `*rest`, trimmed;
 * empty elements are skipped. Returns false at the end.
 */
bool str_next_element(str_t *rest, str_t *element);

/* The length of the first line, with its line end; all of a text without one. */
size_t str_line_length(str_t s);
/* The number of lines, with the last one if it lacks its line end. */
uint64_t str_count_lines(str_t s);

/* Parses 1*DIGIT, without sign or spaces. Returns false if the text is empty, has another
 * character, or exceeds `max`. */
MUST_USE bool str_to_uint(str_t s, uint64_t max, uint64_t *out);

#endif
