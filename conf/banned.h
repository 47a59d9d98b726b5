/* Functions that do not compile here: each has no bound, hides its errors, or keeps hidden state. Included
 * before every file. */
#ifndef BOXEDGE_BANNED_H
#define BOXEDGE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The C library makes this one a macro, which cannot be poisoned. */
#undef alloca

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gets alloca

#endif
