/*
 * What the API says of a box whose deletion was asked for, in its answer to GET of the box.
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
/* What an answer to GET of a box says. `status` 0: there was none. */
deletion_word_t deletion_word(str_t id, int status, str_t body);

#endif
