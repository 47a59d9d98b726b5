/* Functions that do not compile here: each has no bound, hides its errors, or keeps hidden state. Included
 * before every file. */
#ifndef BOXEDGE_BANNED_H
#define BOXEDGE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca /* a macro of stdlib.h */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gets alloca

#endif
