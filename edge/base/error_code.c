#include "error_code.h"

#include <assert.h>

static const struct {
    const char *text;
    error_code_kind_t kind;
} codes[ERROR_CODE_COUNT] = {
#define X(name, kind) [ERROR_CODE_##name] = {#name, kind},
    ERROR_CODES(X)
#undef X
        [ERROR_CODE_OTHER] = {"other", ERROR_CODE_ANSWER},
};

unsigned error_code_find(const char *code)
{
    unsigned from = 0, to = ERROR_CODE_OTHER;
    while (from < to) {
        unsigned middle = (from + to) / 2;
        int order = strcmp(code, codes[middle].text);
        if (order == 0)
            return middle;
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return ERROR_CODE_OTHER;
}

const char *error_code_text(unsigned i)
{
    assert(i < ERROR_CODE_COUNT);
    return codes[i].text;
}

error_code_kind_t error_code_kind(unsigned i)
{
    assert(i < ERROR_CODE_COUNT);
    return codes[i].kind;
}
