#include "fault.h"

#include <stdio.h>

#include "chunked.h"
#include "grammar.h"

/* Maximum bytes to quote of a line without a colon, which may be the rest of a value. */
#define UNNAMED_BYTES 8

static const char bad_line[] = "A header line is malformed.";
static const char bad_name[] = "The name of a header field has a character that is not allowed there.";

/* The start of a line, up to any value: names end at ':', parameters at '='. */
static str_t harmless(str_t line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] != ':' && line.p[n] != '=' && line.p[n] != ' ' && line.p[n] != '\t')
        n++;
    return str_make(line.p, n);
}

static fault_t malformed(const char *reason, str_t bytes)
{
    return (fault_t){.kind = FAULT_MALFORMED, .reason = reason, .bytes = bytes};
}

static fault_t at_byte(const char *reason, str_t bytes, char byte)
{
    fault_t fault = malformed(reason, bytes);
    fault.has_byte = true;
    fault.byte = (uint8_t)byte;
    return fault;
}

static fault_t fault_of_name(str_t name)
{
    if (name.n == 0)
        return malformed("A header field has no name.", name);
    char last = name.p[name.n - 1];
    if (last == ' ' || last == '\t')
        return malformed("A header field has a space before its colon.", str_trim(name));
    for (size_t i = 0; i < name.n; i++)
        if (!grammar_is_token(str_make(name.p + i, 1)))
            return at_byte(bad_name, str_make(name.p, i), name.p[i]);
    return malformed(NULL, name);
}

/* Names the field and, of its value, only the forbidden byte: a value may be a secret. */
static fault_t fault_of_value(str_t name, str_t value)
{
    for (size_t i = 0; i < value.n; i++)
        if (!grammar_is_field_value(str_make(value.p + i, 1)))
            return at_byte("The value of a header field has a control character.", name, value.p[i]);
    return malformed(NULL, name);
}

/* The fault in one line without its end; `reason` is NULL if it is well formed. */
static fault_t fault_of_line(str_t line)
{
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return malformed("A header line is folded: it begins with a space.", str_make(NULL, 0));
    const char *colon = memchr(line.p, ':', line.n);
    if (colon == NULL)
        return malformed("A header line has no colon.",
                         str_make(line.p, line.n < UNNAMED_BYTES ? line.n : UNNAMED_BYTES));
    str_t name = str_make(line.p, (size_t)(colon - line.p));
    fault_t fault = fault_of_name(name);
    if (fault.reason != NULL)
        return fault;
    return fault_of_value(name, str_from_offset(line, name.n + 1));
}

fault_t fault_of_lines(str_t text, bool bare_lf)
{
    while (text.n != 0) {
        const char *end = memchr(text.p, '\n', text.n);
        str_t line = str_make(text.p, end != NULL ? (size_t)(end - text.p) : text.n);
        text = str_from_offset(text, end != NULL ? line.n + 1 : line.n);
        bool ends_with_cr = line.n != 0 && line.p[line.n - 1] == '\r';
        if (end != NULL && ends_with_cr == bare_lf)
            return malformed(bare_lf ? "Some lines of the head end with LF alone and others with CR LF."
                                     : "A line of the head ends with LF alone, without CR.",
                             harmless(line));
        line.n -= ends_with_cr ? 1 : 0;
        if (line.n == 0)
            break;
        fault_t fault = fault_of_line(line);
        if (fault.reason != NULL)
            return fault;
    }
    return malformed(bad_line, str_make(NULL, 0));
}

fault_t fault_of_text(const char *reason, str_t text, bool (*is_allowed)(str_t text))
{
    /* An '@' in a URL may follow a user and a password. */
    bool may_name_user = text.n != 0 && text.p[0] != '/' && memchr(text.p, '@', text.n) != NULL;
    str_t shown = may_name_user ? str_make(NULL, 0) : text;
    for (size_t i = 0; i < text.n; i++)
        if (!is_allowed(str_make(text.p + i, 1)))
            return at_byte(reason, harmless(str_make(shown.p, i < shown.n ? i : shown.n)), text.p[i]);
    return malformed(reason, harmless(shown));
}

fault_t fault_of_request_line(const char *reason, str_t line)
{
    const char *space = memchr(line.p, ' ', line.n);
    if (space == NULL) {
        str_t start = harmless(line);
        return malformed(reason, str_make(line.p, start.n < UNNAMED_BYTES ? start.n : UNNAMED_BYTES));
    }
    size_t method = harmless(line).n, all = (size_t)(space - line.p) + 1;
    if (method + 1 != all)
        return malformed(reason, str_make(line.p, method));
    return malformed(reason, str_make(line.p, all + harmless(str_from_offset(line, all)).n));
}

/* ---- HTTP/2 ---- */

static fault_t fault_of_http2_name(str_t name)
{
    if (name.n == 0)
        return malformed("A header field has no name.", name);
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return at_byte("The name of a header field has a capital letter.", name, name.p[i]);
        if (!grammar_is_token(str_make(name.p + i, 1)))
            return at_byte(bad_name, str_make(name.p, i), name.p[i]);
    }
    return malformed(NULL, name);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

fault_t fault_of_http2_field(str_t name, str_t value)
{
    bool pseudo = name.n != 0 && name.p[0] == ':';
    fault_t fault = pseudo ? malformed(NULL, name) : fault_of_http2_name(name);
    if (fault.reason != NULL)
        return fault;
    if (value.n != 0 && (is_space(value.p[0]) || is_space(value.p[value.n - 1])))
        return malformed("The value of a header field begins or ends with white space.", name);
    return fault_of_value(name, value);
}

/* ---- chunked bodies ---- */

fault_t fault_of_chunked(const chunked_t *chunked)
{
    str_t trailers, name = chunked->refused_trailer;
    const char *reason = chunked_fault(chunked);
    if (!chunked_trailers_failed(chunked, &trailers))
        return at_byte(reason, str_make(NULL, 0), (char)chunked->failed_at);
    if (name.n != 0)
        return malformed(FAULT_TRAILER, name);
    fault_t fault = fault_of_lines(trailers, false);
    if (fault.reason == bad_line)
        fault.reason = reason; /* the lines themselves are well formed */
    return fault;
}

void fault_quote(str_t bytes, char out[FAULT_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    *at++ = '"';
    for (size_t i = 0; i < bytes.n && i < FAULT_BYTES; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            *at++ = (char)c;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    *at++ = '"';
    memcpy(at, bytes.n > FAULT_BYTES ? "..." : "", bytes.n > FAULT_BYTES ? 4 : 1);
}
