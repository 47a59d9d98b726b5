#include "http1_head.h"

#include <assert.h>

#include "arena.h"
#include "text.h"

/* The reason phrase of a status (RFC 9110 section 15); empty for an unknown one. */
static str_t reason_of(int status)
{
    switch (status) {
#define X(code, text)                                                                                        \
    case code:                                                                                               \
        return STR(text);
        X(100, "Continue")
        X(101, "Switching Protocols")
        X(102, "Processing")
        X(103, "Early Hints")
        X(200, "OK")
        X(201, "Created")
        X(202, "Accepted")
        X(203, "Non-Authoritative Information")
        X(204, "No Content")
        X(205, "Reset Content")
        X(206, "Partial Content")
        X(207, "Multi-Status")
        X(300, "Multiple Choices")
        X(301, "Moved Permanently")
        X(302, "Found")
        X(303, "See Other")
        X(304, "Not Modified")
        X(307, "Temporary Redirect")
        X(308, "Permanent Redirect")
        X(400, "Bad Request")
        X(401, "Unauthorized")
        X(402, "Payment Required")
        X(403, "Forbidden")
        X(404, "Not Found")
        X(405, "Method Not Allowed")
        X(406, "Not Acceptable")
        X(408, "Request Timeout")
        X(409, "Conflict")
        X(410, "Gone")
        X(411, "Length Required")
        X(412, "Precondition Failed")
        X(413, "Content Too Large")
        X(414, "URI Too Long")
        X(415, "Unsupported Media Type")
        X(416, "Range Not Satisfiable")
        X(417, "Expectation Failed")
        X(421, "Misdirected Request")
        X(422, "Unprocessable Content")
        X(425, "Too Early")
        X(426, "Upgrade Required")
        X(428, "Precondition Required")
        X(429, "Too Many Requests")
        X(431, "Request Header Fields Too Large")
        X(451, "Unavailable For Legal Reasons")
        X(500, "Internal Server Error")
        X(501, "Not Implemented")
        X(502, "Bad Gateway")
        X(503, "Service Unavailable")
        X(504, "Gateway Timeout")
        X(505, "HTTP Version Not Supported")
        X(507, "Insufficient Storage")
        X(508, "Loop Detected")
#undef X
    default:
        return STR("");
    }
}

/* `reason`: empty for the standard phrase. */
static void put_status_line(text_t *text, int status, str_t reason)
{
    assert(status >= 100 && status <= 999);
    char digits[3] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10), (char)('0' + status % 10)};
    text_put(text, STR("HTTP/1.1 "));
    text_put(text, str_make(digits, 3));
    text_put(text, STR(" "));
    text_put(text, reason.n != 0 ? reason : reason_of(status));
    text_put(text, STR("\r\n"));
}

static void put_fields(text_t *text, const fields_t *fields)
{
    for (uint32_t i = 0; i < fields->count; i++)
        text_put_field(text, fields->at[i].name, fields->at[i].value);
}

static text_t text_for(arena_t *arena, str_t reason, const fields_t *fields)
{
    size_t capacity = 256 + reason.n; /* the status line, framing, Connection, Date */
    for (uint32_t i = 0; i < fields->count; i++)
        capacity += fields->at[i].name.n + fields->at[i].value.n + 4;
    return text_new(arena, capacity);
}

str_t http1_head_text(arena_t *arena, const response_t *response, const http1_head_t *head)
{
    text_t text = text_for(arena, response->reason, &response->fields);
    put_status_line(&text, response->status, response->reason);
    put_fields(&text, &response->fields);
    if (response->tunnel)
        text_put(&text, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    else if (head->chunked)
        text_put(&text, STR("Transfer-Encoding: chunked\r\n"));
    else if (response->content_length != LENGTH_UNKNOWN && response->status != 204)
        text_put_field(&text, STR("Content-Length"), str_decimal(arena, response->content_length));
    if (head->close && !response->tunnel)
        text_put(&text, STR("Connection: close\r\n"));
    else if (head->keep_alive)
        text_put(&text, STR("Connection: keep-alive\r\n"));
    if (fields_find(&response->fields, FIELD_DATE) == NULL)
        text_put_field(&text, STR("Date"), head->date);
    text_put(&text, STR("\r\n"));
    return text_str(&text);
}

str_t http1_head_informational(arena_t *arena, int status, const fields_t *fields)
{
    text_t text = text_for(arena, STR(""), fields);
    put_status_line(&text, status, STR(""));
    put_fields(&text, fields);
    text_put(&text, STR("\r\n"));
    return text_str(&text);
}
