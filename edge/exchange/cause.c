#include "cause.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cause_note(exchange_t *ex, const char *format, ...)
{
    char text[CAUSE_BYTES + 1];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n > 0)
        ex->cause = str_dup(&ex->arena, str_make(text, strlen(text) + 1)).p;
}

void cause_note_connect(exchange_t *ex, int error)
{
    const char *name = strerrordesc_np(error);
    cause_note(ex, "connect: %s", name != NULL ? name : "unknown error");
}

void cause_of_answer(exchange_t *ex, int status, const char *sentence)
{
    bool explained = status == 400 || status == 502 || status == 504;
    if (explained && ex->detail == NULL && ex->cause == NULL)
        cause_note(ex, "%s", sentence);
}

const char *cause_text(const exchange_t *ex)
{
    if (ex->detail != NULL)
        return ex->detail;
    /* An attempt failed, and another one succeeded. */
    return ex->local_code != NULL ? ex->cause : NULL;
}
