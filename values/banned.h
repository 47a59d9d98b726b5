/* Functions that must not be used: each has no bound, hides its errors, or keeps hidden state. The
 * build includes this header before every file, so that a use does not compile. */
#ifndef BOXEDGE_BANNED_H
#define BOXEDGE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef alloca /* a macro of stdlib.h */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol gets alloca

#endif
