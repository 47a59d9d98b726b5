/* Session cookies of any bytes: only signed ones are valid. The input is a value, and also a change to a
 * valid one: its position and its bytes. */
#include <assert.h>

#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOST    STR("a-80.p.example")
#define VERSION 3
#define NOW     1800000000

/* The fuzzer may find the valid one: it sees the comparison. */
static void check(const session_keys_t *keys, str_t value, str_t right)
{
    assert(session_valid(keys, HOST, VERSION, NOW, value) == str_eq(value, right));
}

/* The same for a session of a link. */
static void check_link(const session_keys_t *keys, const uint8_t *data, size_t size)
{
    char text[SESSION_LINK_TEXT_MAX];
    session_link_t session = {0x0123456789abcdef, 7, NOW + SESSION_SECONDS}, got;
    str_t right = str_make(text, session_link_make(keys, HOST, VERSION, &session, text));
    str_t value = str_make((const char *)data, size);
    assert(session_link_read(keys, HOST, VERSION, NOW, right, &got) && got.number == 7);
    assert(session_link_read(keys, HOST, VERSION, NOW, value, &got) == str_eq(value, right));
    if (size >= 2) { /* data[0] is the place of the byte data[1] */
        size_t at = data[0] % right.n;
        bool same = text[at] == (char)data[1];
        text[at] = (char)data[1];
        assert(session_link_read(keys, HOST, VERSION, NOW, right, &got) == same);
    }
}

static void check_change(const session_keys_t *keys, str_t right, const uint8_t *data, size_t size)
{
    char text[SESSION_TEXT_MAX + 300];
    /* data[0] bytes stay, data[1] are removed, the rest comes in their place */
    size_t stay = data[0] % (right.n + 1), go = data[1] % (right.n - stay + 1);
    size_t put = size - 2 < 300 ? size - 2 : 300;
    memcpy(text, right.p, stay);
    memcpy(text + stay, data + 2, put);
    memcpy(text + stay + put, right.p + stay + go, right.n - stay - go);
    check(keys, str_make(text, right.n - go + put), right);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    session_keys_t keys = {.current = "a key that the input does not kn", .previous = {1}};
    char text[SESSION_TEXT_MAX];
    str_t right = str_make(text, session_make(&keys, HOST, VERSION, NOW + SESSION_SECONDS, text));
    check(&keys, right, right);
    check(&keys, str_make((const char *)data, size), right);
    check_link(&keys, data, size);
    if (size >= 2)
        check_change(&keys, right, data, size);
    return 0;
}
