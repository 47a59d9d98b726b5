#include "str.h"

str_t str_trim(str_t s)
{
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_from_offset(s, 1);
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool str_next_element(str_t *rest, str_t *element)
{
    while (rest->n != 0) {
        const char *comma = memchr(rest->p, ',', rest->n);
        size_t len = comma != NULL ? (size_t)(comma - rest->p) : rest->n;
        *element = str_trim(str_make(rest->p, len));
        *rest = str_from_offset(*rest, comma != NULL ? len + 1 : len);
        if (element->n != 0)
            return true;
    }
    return false;
}

bool str_to_uint(str_t s, uint64_t max, uint64_t *out)
{
    if (s.n == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

size_t str_line_length(str_t s)
{
    const char *end = s.n != 0 ? memchr(s.p, '\n', s.n) : NULL;
    return end != NULL ? (size_t)(end - s.p) + 1 : s.n;
}

uint64_t str_count_lines(str_t s)
{
    uint64_t count = 0;
    for (; s.n != 0; count++)
        s = str_from_offset(s, str_line_length(s));
    return count;
}
