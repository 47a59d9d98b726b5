/*
 * The line of a program's output that best explains its end: the last line of the highest rank.
 * Node, for example, prints the error first, then the files that required the module, a stack, and
 * its version.
 */
#ifndef BOXEDGE_LAST_WORDS_H
#define BOXEDGE_LAST_WORDS_H

#include "str.h"

typedef enum last_words_rank {
    LAST_WORDS_NOTHING, /* no letter or digit: empty lines, braces, carets */
    LAST_WORDS_TRAILER, /* follows an error (a stack frame, a version, a hint of npm's), or describes a
                           visitor's request */
    LAST_WORDS_SENTENCE,
    LAST_WORDS_ERROR, /* names an error */
} last_words_rank_t;

/* `line` is raw, with or without its line end. */
last_words_rank_t last_words_rank(str_t line);
/* Writes the line as printable UTF-8: trimmed and without terminal colour sequences. Other control
 * characters become spaces. The text is cut at a character to fit `len` (1 or more) with its NUL. */
void last_words_print(str_t line, char *out, size_t len);

#endif
