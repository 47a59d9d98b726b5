/*
 * The syntax of box ids. Both the configuration and host names need it, so it is in this folder.
 */
#ifndef BOXEDGE_BOX_ID_H
#define BOXEDGE_BOX_ID_H

#include "str.h"

#define BOX_ID_MAX 57

/* 1-57 of a-z 0-9 - _, starting and ending with a letter or digit. */
bool box_id_valid(str_t id);

#endif
