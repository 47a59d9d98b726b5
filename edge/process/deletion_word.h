/*
 * The state of a box after a request for its deletion, as the API's answer to GET of the box shows it.
 */
#ifndef BOXEDGE_DELETION_WORD_H
#define BOXEDGE_DELETION_WORD_H

#include "str.h"

typedef enum deletion_word {
    DELETION_WORD_GONE,
    DELETION_WORD_THERE,
    DELETION_WORD_NONE,    /* of this box */
    DELETION_WORD_REFUSED, /* the API answers nobody, or not this key */
} deletion_word_t;
/* Reads an answer to GET of a box. `status` 0: no answer came. */
deletion_word_t deletion_word(str_t id, int status, str_t body);

#endif
