#include "chunked.h"

#include <assert.h>

#include "arena.h"
#include "grammar.h"
#include "http1_lines.h"

_Static_assert(CHUNKED_EXTENSIONS_MAX <= UINT16_MAX && CHUNKED_TRAILER_BYTES <= UINT16_MAX, "chunked_t");

enum state {
    SIZE,         /* hex digits */
    SIZE_SPACE,   /* white space after them; an extension must follow */
    EXTENSION,    /* after the first ';' */
    SIZE_LF,      /* after the CR of the size line */
    DATA,         /* `left` bytes */
    DATA_CR,      /* after the data */
    DATA_LF,      /* after its CR */
    TRAILER_LINE, /* at the start of a line of the trailer section */
    TRAILER,      /* within one */
    TRAILER_LF,   /* after the CR of a line that is not empty */
    END_LF,       /* after the CR of the empty line */
    END,
    BAD,
};

void chunked_init(chunked_t *chunked, arena_t *pool, uint32_t max_fields)
{
    assert(max_fields > 0);
    *chunked = (chunked_t){
        .state = SIZE, .pool = pool, .max_fields = max_fields, .extensions_left = CHUNKED_EXTENSIONS_MAX};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum state after_size(chunked_t *chunked, char c)
{
    if (chunked->digits == 0)
        return BAD;
    if (c == '\r')
        return SIZE_LF;
    if (c != ';' && c != ' ' && c != '\t')
        return BAD;
    chunked->extension = 0;
    return c == ';' ? EXTENSION : SIZE_SPACE;
}

static enum state take_size(chunked_t *chunked, char c)
{
    int value = hex_value(c);
    if (value < 0)
        return after_size(chunked, c);
    if (chunked->digits == CHUNKED_SIZE_DIGITS || chunked->left > (uint64_t)INT64_MAX >> 4)
        return BAD;
    chunked->digits++;
    chunked->left = chunked->left << 4 | (uint64_t)value;
    return SIZE;
}

/* Takes a byte of the extensions, or of the white space before them. */
static enum state take_extension(chunked_t *chunked, char c, enum state state)
{
    if (c == '\r')
        return state == EXTENSION ? SIZE_LF : BAD;
    if ((grammar_classes[(unsigned char)c] & GRAMMAR_VALUE) == 0)
        return BAD;
    if (++chunked->extension > CHUNKED_EXTENSION_BYTES || chunked->extensions_left-- == 0)
        return BAD;
    if (state == EXTENSION || c == ';')
        return EXTENSION;
    return c == ' ' || c == '\t' ? SIZE_SPACE : BAD;
}

/* Keeps a byte of the trailer section. */
static bool keep(chunked_t *chunked, char c)
{
    if (chunked->trailer == NULL)
        chunked->trailer = arena_alloc(chunked->pool, CHUNKED_TRAILER_BYTES);
    if (chunked->trailer_len == CHUNKED_TRAILER_BYTES)
        return false;
    chunked->trailer[chunked->trailer_len++] = c;
    return true;
}

static enum state take_trailer(chunked_t *chunked, char c, enum state state)
{
    if (state == TRAILER_LINE && c == '\r' && chunked->trailer_len == 0)
        return END_LF;
    if (!keep(chunked, c))
        return BAD;
    if (state == TRAILER_LF)
        return c == '\n' ? TRAILER_LINE : BAD;
    if (c == '\r')
        return state == TRAILER_LINE ? END_LF : TRAILER_LF;
    return c == '\n' ? BAD : TRAILER;
}

/* The trailer section is complete but for the last LF. */
static enum state finish(chunked_t *chunked)
{
    if (chunked->trailer_len == 0)
        return END;
    http1_lines_t lines;
    size_t len = 0;
    if (!keep(chunked, '\n'))
        return BAD;
    str_t section = str_make(chunked->trailer, chunked->trailer_len);
    if (http1_lines_cut(section, 0, chunked->max_fields, chunked->pool, &lines, &len) != HTTP1_LINES_OK ||
        len != section.n)
        return BAD;
    for (size_t i = 0; i < lines.count; i++) {
        field_t field;
        if (!http1_lines_field(&lines.at[i], &field))
            return BAD;
        if (!field_trailer_allowed(field.id, field.name)) {
            chunked->refused_trailer = field.name;
            return BAD;
        }
        fields_add(chunked->pool, &chunked->trailers, field.id, field.name, field.value);
    }
    return END;
}

/* The state after the size line. */
static enum state begin_chunk(chunked_t *chunked)
{
    chunked->digits = 0;
    return chunked->left != 0 ? DATA : TRAILER_LINE;
}

/* Takes one byte outside the data. */
static enum state step(chunked_t *chunked, char c)
{
    enum state state = chunked->state;
    switch (state) {
    case SIZE:
        return take_size(chunked, c);
    case SIZE_SPACE:
    case EXTENSION:
        return take_extension(chunked, c, state);
    case SIZE_LF:
        return c == '\n' ? begin_chunk(chunked) : BAD;
    case DATA_CR:
        return c == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        return c == '\n' ? SIZE : BAD;
    case TRAILER_LINE:
    case TRAILER:
    case TRAILER_LF:
        return take_trailer(chunked, c, state);
    case END_LF:
        return c == '\n' ? finish(chunked) : BAD;
    case DATA:
    case END:
    case BAD:
        break;
    }
    assert(false); /* chunked_decode never calls it in these states */
    return BAD;
}

chunked_result_t chunked_decode(chunked_t *chunked, str_t *input, str_t *data)
{
    while (chunked->state != END && chunked->state != BAD && input->n != 0) {
        if (chunked->state == DATA) {
            size_t n = input->n < chunked->left ? input->n : (size_t)chunked->left;
            *data = str_make(input->p, n);
            *input = str_from_offset(*input, n);
            chunked->left -= n;
            if (chunked->left == 0)
                chunked->state = DATA_CR;
            return CHUNKED_DATA;
        }
        char c = input->p[0];
        *input = str_from_offset(*input, 1);
        uint8_t before = chunked->state;
        chunked->state = (uint8_t)step(chunked, c);
        if (chunked->state == BAD) {
            chunked->failed = before;
            chunked->failed_at = (uint8_t)c;
        }
    }
    if (chunked->state == BAD)
        return CHUNKED_BAD;
    return chunked->state == END ? CHUNKED_END : CHUNKED_MORE;
}

const char *chunked_fault(const chunked_t *chunked)
{
    assert(chunked->state == BAD);
    switch ((enum state)chunked->failed) {
    case SIZE:
        return "The size of a chunk is not a hexadecimal number, or is too large.";
    case SIZE_SPACE:
    case EXTENSION:
        return "The extensions of a chunk are malformed or too long.";
    case SIZE_LF:
    case DATA_CR:
    case DATA_LF:
        return "A chunk does not end with CR LF.";
    case TRAILER_LINE:
    case TRAILER:
    case TRAILER_LF:
    case END_LF:
        return "The trailers are malformed, too long, or not allowed there.";
    case DATA:
    case END:
    case BAD:
        break;
    }
    return "The chunked body is malformed.";
}

bool chunked_trailers_failed(const chunked_t *chunked, str_t *section)
{
    assert(chunked->state == BAD);
    *section = str_make(chunked->trailer, chunked->trailer_len);
    return chunked->failed == TRAILER_LINE || chunked->failed == TRAILER || chunked->failed == TRAILER_LF ||
           chunked->failed == END_LF;
}
