/*
 * What a box may be called. It lies here because both the configuration and the host names need it.
 */
#ifndef BOXEDGE_BOX_ID_H
#define BOXEDGE_BOX_ID_H

#include "str.h"

#define BOX_ID_MAX 57

/* 1-57 of a-z 0-9 - _, starting and ending with a letter or digit. */
bool box_id_valid(str_t id);

#endif
