#include "said.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

void said_begin(said_t *said)
{
    said->file = tmpfile();
    assert_non_null(said->file);
    fflush(stdout);
    fflush(stderr);
    said->out = dup(STDOUT_FILENO);
    said->err = dup(STDERR_FILENO);
    assert_true(said->out >= 0 && said->err >= 0);
    dup2(fileno(said->file), STDOUT_FILENO);
    dup2(fileno(said->file), STDERR_FILENO);
}

void said_end(said_t *said, char *text, size_t room)
{
    fflush(stdout);
    fflush(stderr);
    dup2(said->out, STDOUT_FILENO);
    dup2(said->err, STDERR_FILENO);
    close(said->out);
    close(said->err);
    rewind(said->file);
    text[fread(text, 1, room - 1, said->file)] = '\0';
    fclose(said->file);
}
