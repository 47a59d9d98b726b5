#include "utf8.h"

#include <assert.h>

static inline bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* By table 3-7 of the Unicode standard: the first byte restricts the second. */
size_t utf8_sequence(str_t s)
{
    assert(s.n != 0);
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char first = p[0];
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return s.n >= 2 && is_continuation(p[1]) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (s.n < 3 || !is_continuation(p[1]) || !is_continuation(p[2]))
            return 0;
        bool bad = (first == 0xe0 && p[1] < 0xa0) || (first == 0xed && p[1] > 0x9f);
        return bad ? 0 : 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (s.n < 4 || !is_continuation(p[1]) || !is_continuation(p[2]) || !is_continuation(p[3]))
            return 0;
        bool bad = (first == 0xf0 && p[1] < 0x90) || (first == 0xf4 && p[1] > 0x8f);
        return bad ? 0 : 4;
    }
    return 0;
}

bool utf8_valid(str_t s)
{
    while (s.n != 0) {
        size_t len = utf8_sequence(s);
        if (len == 0)
            return false;
        s = str_from_offset(s, len);
    }
    return true;
}
