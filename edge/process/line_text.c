#include "line_text.h"

#include <assert.h>
#include <stdio.h>

#include "log_json.h"

/* local0 (16) and informational (6). */
#define SYSLOG_PRIORITY (16 * 8 + 6)

/* ---- reading a line ---- */

typedef struct member {
    access_field_t field; /* ACCESS_FIELD_COUNT: none that this program knows */
    str_t text;           /* "name":value */
    str_t value;          /* without its quotes, escaped as in the line */
} member_t;

/* The members of a line: those that remain, and the last one. */
typedef struct reader {
    str_t rest;
    access_field_t last;
} reader_t;

/* The length of a string's inside, which begins at `p`; `n` if it does not end. */
static size_t string_length(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"')
            return i;
        i += p[i] == '\\';
    }
    return n;
}

static reader_t read_line(str_t line)
{
    return (reader_t){.rest = line.n > 1 && line.p[0] == '{' ? str_from_offset(line, 1) : STR("")};
}

/* The end of a number or a word. */
static size_t word_length(str_t text)
{
    size_t n = 0;
    while (n < text.n && text.p[n] != ',' && text.p[n] != '}')
        n++;
    return n;
}

static bool next_member(reader_t *reader, member_t *member)
{
    str_t rest = reader->rest;
    if (rest.n < 4 || rest.p[0] != '"')
        return false;
    size_t name_len = string_length(rest.p + 1, rest.n - 1), at = name_len + 3;
    if (at >= rest.n || rest.p[at - 1] != ':')
        return false;
    bool quoted = rest.p[at] == '"';
    str_t value = str_from_offset(rest, at + quoted);
    value.n = quoted ? string_length(value.p, value.n) : word_length(value);
    size_t len = at + value.n + (quoted ? 2 : 0);
    if (len >= rest.n)
        return false;
    member->field = access_field_find(str_make(rest.p + 1, name_len), reader->last);
    member->text = str_make(rest.p, len);
    member->value = value;
    if (member->field != ACCESS_FIELD_COUNT)
        reader->last = member->field;
    reader->rest = str_from_offset(rest, len + 1); /* after a comma, or the closing bracket */
    return true;
}

static bool is_chosen(access_fields_t fields, access_field_t field)
{
    return fields == ACCESS_FIELDS_ALL ||
           (field != ACCESS_FIELD_COUNT && (fields & ACCESS_FIELD_BIT(field)) != 0);
}

/* ---- choosing ---- */

/* Writes the chosen members of `line` to `at`, which is at or before the line. Returns the position after
 * them. */
static char *choose_of_line(char *at, str_t line, access_fields_t fields)
{
    reader_t reader = read_line(line);
    member_t member;
    const char *first = at + 1;
    *at++ = '{';
    while (next_member(&reader, &member)) {
        if (!is_chosen(fields, member.field))
            continue;
        if (at != first)
            *at++ = ',';
        memmove(at, member.text.p, member.text.n);
        at += member.text.n;
    }
    *at++ = '}';
    *at++ = '\n';
    return at;
}

size_t line_choose(char *text, size_t len, access_fields_t fields)
{
    char *out = text;
    if (fields == ACCESS_FIELDS_ALL)
        return len;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        if (end == NULL)
            break;
        size_t n = (size_t)(end - (text + at)) + 1;
        if (n >= sizeof("{}")) /* room for what this writes: all lines of the edge have it */
            out = choose_of_line(out, str_make(text + at, n), fields);
        at += n;
    }
    return (size_t)(out - text);
}

/* The chosen fields of a line, without its end. */
static char *add_line(char *at, str_t line, access_fields_t fields)
{
    assert(line.n <= LINE_TEXT_MAX);
    memcpy(at, line.p, line.n);
    size_t n = line_choose(at, line.n, fields);
    return at + (n > 0 && at[n - 1] == '\n' ? n - 1 : n);
}

/* ---- datagrams ---- */

/* The journal's fields to search by. */
static const struct {
    access_field_t field;
    str_t name;
} journal_fields[] = {
    {ACCESS_FIELD_TIME, {"BOXEDGE_TIME=", 13}},
    {ACCESS_FIELD_REQUEST_ID, {"BOXEDGE_REQUEST_ID=", 19}},
    {ACCESS_FIELD_TRACE_ID, {"BOXEDGE_TRACE_ID=", 17}},
    {ACCESS_FIELD_CLIENT, {"BOXEDGE_CLIENT=", 15}},
    {ACCESS_FIELD_HOST, {"BOXEDGE_HOST=", 13}},
    {ACCESS_FIELD_BOX, {"BOXEDGE_BOX=", 12}},
    {ACCESS_FIELD_KIND, {"BOXEDGE_KIND=", 13}},
    {ACCESS_FIELD_STATUS, {"BOXEDGE_STATUS=", 15}},
    {ACCESS_FIELD_REASON, {"BOXEDGE_REASON=", 15}},
    {ACCESS_FIELD_END, {"BOXEDGE_END=", 12}},
};

static char *add_journal_field(char *at, const member_t *member)
{
    for (size_t i = 0; i < sizeof(journal_fields) / sizeof(journal_fields[0]); i++)
        if (journal_fields[i].field == member->field) {
            at = log_json_raw(log_json_raw(at, journal_fields[i].name), member->value);
            *at++ = '\n';
        }
    return at;
}

size_t line_journal(char out[LINE_DATAGRAM_MAX], str_t line, access_fields_t fields)
{
    reader_t reader = read_line(line);
    member_t member;
    char *at = add_line(log_json_raw(out, STR("MESSAGE=")), line, fields);
    at = log_json_raw(at, STR("\nPRIORITY=6\nSYSLOG_IDENTIFIER=boxedge-access\n"));
    while (next_member(&reader, &member))
        if (is_chosen(fields, member.field))
            at = add_journal_field(at, &member);
    assert(at <= out + LINE_DATAGRAM_MAX);
    return (size_t)(at - out);
}

/* RFC 5424, section 6. The time is a line's first field, in the form of section 6.2.3. */
size_t line_syslog(char out[LINE_DATAGRAM_MAX], str_t line, access_fields_t fields, const char *node,
                   pid_t pid)
{
    reader_t reader = read_line(line);
    member_t member;
    str_t time = STR("-");
    if (next_member(&reader, &member) && member.field == ACCESS_FIELD_TIME)
        time = member.value;
    int n = snprintf(out, LINE_DATAGRAM_MAX, "<%d>1 %.*s %.*s boxedge %d access - ", SYSLOG_PRIORITY,
                     STR_ARG(time), LINE_NODE_MAX, node, (int)pid);
    assert(n > 0 && n < LINE_DATAGRAM_MAX - LINE_TEXT_MAX);
    return (size_t)(add_line(out + n, line, fields) - out);
}
