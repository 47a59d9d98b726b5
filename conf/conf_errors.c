#include "conf_errors.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct line {
    conf_place_t place;
    conf_level_t level;
    size_t order; /* of two at one position, the first added comes first */
    char *file;
    char *text; /* "key: sentence" */
} line_t;

struct conf_errors {
    line_t lines[CONF_ERRORS_MAX];
    size_t kept;
    size_t errors;
    size_t warnings;
};

void *conf_alloc(size_t count, size_t size)
{
    void *p = calloc(count != 0 ? count : 1, size);
    assert(p != NULL);
    return p;
}

char *conf_copy(str_t text)
{
    char *copy = conf_alloc(text.n + 1, 1);
    if (text.n != 0)
        memcpy(copy, text.p, text.n);
    return copy;
}

const char *conf_shown(str_t text, char out[CONF_SHOWN_MAX + 4])
{
    size_t n = text.n;
    if (n > CONF_SHOWN_MAX) {
        n = CONF_SHOWN_MAX;
        while (n != 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80)
            n--; /* do not cut inside a UTF-8 sequence */
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        out[i] = c < 0x20 || c == 0x7f ? '?' : text.p[i];
    }
    memcpy(out + n, text.n > n ? "..." : "", text.n > n ? 4 : 1);
    return out;
}

conf_errors_t *conf_errors_new(void)
{
    return conf_alloc(1, sizeof(conf_errors_t));
}

void conf_errors_free(conf_errors_t **errors)
{
    if (*errors == NULL)
        return;
    for (size_t i = 0; i < (*errors)->kept; i++) {
        free((*errors)->lines[i].file);
        free((*errors)->lines[i].text);
    }
    free(*errors);
    *errors = NULL;
}

size_t conf_errors_count(const conf_errors_t *errors)
{
    return errors->errors;
}

size_t conf_errors_warnings(const conf_errors_t *errors)
{
    return errors->warnings;
}

void conf_errors_add(conf_errors_t *errors, conf_level_t level, const char *file, conf_place_t place,
                     const char *key, const char *format, ...)
{
    *(level == CONF_ERROR ? &errors->errors : &errors->warnings) += 1;
    if (errors->kept == CONF_ERRORS_MAX)
        return;

    char *sentence = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&sentence, format, args);
    va_end(args);
    assert(n >= 0);

    line_t *line = &errors->lines[errors->kept];
    *line = (line_t){.place = place, .level = level, .order = errors->kept};
    line->file = conf_copy(str_from(file));
    n = asprintf(&line->text, "%s%s%s", key != NULL ? key : "", key != NULL ? ": " : "", sentence);
    assert(n >= 0);
    free(sentence);
    errors->kept++;
}

static int in_file_order(const void *a, const void *b)
{
    const line_t *x = a;
    const line_t *y = b;
    if (x->place.line != y->place.line)
        return x->place.line < y->place.line ? -1 : 1;
    if (x->place.column != y->place.column)
        return x->place.column < y->place.column ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

void conf_errors_print(const conf_errors_t *errors, FILE *out)
{
    line_t *lines = conf_alloc(errors->kept, sizeof(*lines));
    memcpy(lines, errors->lines, errors->kept * sizeof(*lines));
    qsort(lines, errors->kept, sizeof(*lines), in_file_order);
    for (size_t i = 0; i < errors->kept; i++) {
        const line_t *line = &lines[i];
        fprintf(out, "%s:", line->file);
        if (line->place.line != 0)
            fprintf(out, "%u:%u:", line->place.line, line->place.column);
        fprintf(out, " %s%s\n", line->level == CONF_WARNING ? "warning: " : "", line->text);
    }
    size_t all = errors->errors + errors->warnings;
    if (all > errors->kept)
        fprintf(out, "and %zu more\n", all - errors->kept);
    free(lines);
}
