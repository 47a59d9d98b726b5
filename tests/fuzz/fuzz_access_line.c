/*
 * The access line of any request: one line, valid JSON, within its bound, for any bytes.
 */
#include <assert.h>

#include <jansson.h>

#include "access_line.h"
#include "client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes up to 255 bytes (a length and that many) off the input. */
static str_t take(str_t *rest)
{
    if (rest->n == 0)
        return *rest;
    size_t n = (unsigned char)rest->p[0];
    *rest = str_from_offset(*rest, 1);
    n = n < rest->n ? n : rest->n;
    str_t taken = str_make(rest->p, n);
    *rest = str_from_offset(*rest, n);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[ACCESS_LINE_MAX];
    str_t rest = str_make((const char *)data, size);
    client_t client = {.kind = CONF_LISTENER_TLS};
    access_clock_t clock = {0};
    exchange_t ex = {.client = &client, .status = 200};
    field_t agent = {.name = STR("user-agent"), .id = FIELD_USER_AGENT, .value = take(&rest)};
    ex.request.fields = (fields_t){.at = &agent, .count = 1, .capacity = 1};
    ex.request.method = take(&rest);
    ex.request.authority = take(&rest);
    ex.request.target = rest;
    size_t n = access_line(line, &clock, &ex, EXCHANGE_END_COMPLETE, 1);
    assert(n <= ACCESS_LINE_MAX && line[n - 1] == '\n' && memchr(line, '\n', n) == line + n - 1);
    json_t *json = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    assert(json_is_object(json));
    /* A token is never shown if its parameter is written plainly. */
    const char *path = json_string_value(json_object_get(json, "path"));
    const char *query = path != NULL ? strchr(path, '?') : NULL;
    const char *token = query != NULL ? strstr(query, "&preview_token=") : NULL;
    assert(token == NULL || token[15] == '*' || strncmp(token + 15, "\xe2\x80\xa6", 3) == 0);
    json_decref(json);
    return 0;
}
