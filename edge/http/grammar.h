/*
 * Character classes of HTTP (RFC 9110 section 5.6, RFC 3986), as one constant table for every codec.
 */
#ifndef BOXEDGE_GRAMMAR_H
#define BOXEDGE_GRAMMAR_H

#include "str.h"

enum {
    GRAMMAR_TOKEN = 1,    /* tchar */
    GRAMMAR_VALUE = 2,    /* field-vchar, SP, HTAB: the bytes of a field value */
    GRAMMAR_TARGET = 4,   /* 0x21-0x7e without '#' */
    GRAMMAR_REG_NAME = 8, /* letters, digits, '-', '.', '_', '~' */
};

extern const unsigned char grammar_classes[256];

/* Whether every byte of `s` is in all classes of `mask`; true for an empty `s`. */
static inline bool grammar_all(str_t s, unsigned mask)
{
    unsigned all = mask;
    for (size_t i = 0; i < s.n; i++)
        all &= grammar_classes[(unsigned char)s.p[i]];
    return all == mask;
}

/* token = 1*tchar: methods and field names (RFC 9110 section 5.6.2). */
static inline bool grammar_is_token(str_t s)
{
    return s.n != 0 && grammar_all(s, GRAMMAR_TOKEN);
}

/* Whether one of the eight bytes is below 0x20 or is DEL. */
static inline bool grammar_word_has_control(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t under_space = (word - ones * 0x20) & ~word;
    uint64_t del = word ^ (ones * 0x7f);
    return ((under_space | ((del - ones) & ~del)) & tops) != 0;
}

/*
 * Whether `s` is a field value without controls other than HTAB (RFC 9110 section 5.5); may be empty. Checks
 * eight bytes at a time, because values are most of every head.
 */
static inline bool grammar_is_field_value(str_t s)
{
    while (s.n >= 8) {
        uint64_t word;
        memcpy(&word, s.p, sizeof(word));
        if (grammar_word_has_control(word) && !grammar_all(str_make(s.p, 8), GRAMMAR_VALUE))
            return false;
        s = str_from_offset(s, 8);
    }
    return grammar_all(s, GRAMMAR_VALUE);
}

/*
 * The bytes of a request target: visible ASCII except '#'. That is wider than RFC 3986 (it allows "<>\^`{|}
 * and the double quote), because browsers send some of them raw in queries and curl sends all of them. Each
 * is forwarded as received. Spaces, controls, DEL and bytes above 0x7e are refused.
 */
static inline bool grammar_is_target(str_t s)
{
    return s.n != 0 && grammar_all(s, GRAMMAR_TARGET);
}

#endif
