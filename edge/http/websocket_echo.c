#include "websocket_echo.h"

#include <assert.h>

#include "utf8.h"
#include "websocket.h"

/* Pending output above which no input is taken; the input of a turn adds at most itself and one message. */
#define OUTPUT_HIGH 65536
/* Maximum bytes to take per call. */
#define FEED_MAX 65536

#define CONTROL_MAX 125

typedef enum opcode {
    OPCODE_CONTINUATION = 0,
    OPCODE_TEXT = 1,
    OPCODE_BINARY = 2,
    OPCODE_CLOSE = 8,
    OPCODE_PING = 9,
    OPCODE_PONG = 10,
} opcode_t;

/* Close codes, section 7.4.1. */
#define CLOSE_NORMAL   1000
#define CLOSE_PROTOCOL 1002
#define CLOSE_NO_CODE  1005
#define CLOSE_TEXT     1007
#define CLOSE_TOO_BIG  1009

typedef enum echo_state {
    ECHO_HEADER,  /* collects a frame's header */
    ECHO_PAYLOAD, /* collects its payload */
    ECHO_ENDED,   /* a Close frame was written; input is discarded */
} echo_state_t;

/* A growing run of bytes. */
typedef struct bytes {
    char *at;
    size_t used;
    size_t capacity;
} bytes_t;

struct websocket_echo {
    echo_state_t state;
    unsigned char header[14];
    size_t header_len;
    bool fin;        /* of the current frame */
    opcode_t opcode; /* of the current frame */
    uint64_t length; /* of its payload */
    size_t got;      /* payload bytes so far */
    unsigned char mask[4];
    bool in_message;  /* fragments of a data message have come; it has not ended */
    opcode_t message; /* opcode of that message */
    bytes_t data;     /* payload of that message so far */
    char control[CONTROL_MAX];
    bytes_t output;
    size_t sent; /* bytes of the output */
};

static void reserve(bytes_t *bytes, size_t more)
{
    size_t needed = bytes->used + more;
    if (needed <= bytes->capacity)
        return;
    size_t capacity = bytes->capacity != 0 ? bytes->capacity : 1024;
    while (capacity < needed)
        capacity *= 2;
    bytes->at = realloc(bytes->at, capacity);
    assert(bytes->at != NULL);
    bytes->capacity = capacity;
}

static void append(bytes_t *bytes, const void *data, size_t n)
{
    reserve(bytes, n);
    if (n != 0)
        memcpy(bytes->at + bytes->used, data, n);
    bytes->used += n;
}

static void clear(bytes_t *bytes)
{
    free(bytes->at);
    *bytes = (bytes_t){0};
}

websocket_echo_t *websocket_echo_new(void)
{
    websocket_echo_t *echo = calloc(1, sizeof *echo);
    assert(echo != NULL);
    return echo;
}

void websocket_echo_free(websocket_echo_t **echo)
{
    if (*echo == NULL)
        return;
    clear(&(*echo)->data);
    clear(&(*echo)->output);
    free(*echo);
    *echo = NULL;
}

/* ---- output ---- */

static void send_frame(websocket_echo_t *echo, opcode_t opcode, str_t payload)
{
    unsigned char header[10] = {(unsigned char)(0x80 | opcode)};
    size_t n = 2;
    if (payload.n <= CONTROL_MAX) {
        header[1] = (unsigned char)payload.n;
    } else if (payload.n <= UINT16_MAX) {
        header[1] = 126;
        header[2] = (unsigned char)(payload.n >> 8);
        header[3] = (unsigned char)payload.n;
        n = 4;
    } else {
        header[1] = 127;
        for (size_t i = 0; i < 8; i++)
            header[2 + i] = (unsigned char)((uint64_t)payload.n >> (56 - 8 * i));
        n = 10;
    }
    append(&echo->output, header, n);
    append(&echo->output, payload.p, payload.n);
}

static void end(websocket_echo_t *echo, uint16_t code, str_t reason)
{
    char frame[WEBSOCKET_CLOSE_MAX];
    append(&echo->output, frame, websocket_close_frame(code, reason, frame));
    clear(&echo->data);
    echo->state = ECHO_ENDED;
}

/* ---- input ---- */

/* Codes that a frame may carry, section 7.4. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != CLOSE_NO_CODE && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* Answers the client's Close with its own code. */
static void take_close(websocket_echo_t *echo, str_t payload)
{
    if (payload.n == 0) {
        end(echo, CLOSE_NORMAL, STR(""));
        return;
    }
    const unsigned char *p = (const unsigned char *)payload.p;
    unsigned code = payload.n >= 2 ? (unsigned)p[0] * 256 + p[1] : 0;
    if (payload.n < 2 || !is_close_code(code))
        end(echo, CLOSE_PROTOCOL, STR("bad close code"));
    else if (!utf8_valid(str_from_offset(payload, 2)))
        end(echo, CLOSE_TEXT, STR("close reason is not UTF-8"));
    else
        end(echo, (uint16_t)code, STR(""));
}

static void take_message(websocket_echo_t *echo)
{
    str_t payload = str_make(echo->data.at, echo->data.used);
    if (echo->message == OPCODE_TEXT && !utf8_valid(payload)) {
        end(echo, CLOSE_TEXT, STR("text is not UTF-8"));
        return;
    }
    send_frame(echo, echo->message, payload);
    echo->in_message = false;
    clear(&echo->data);
}

static bool is_control(opcode_t opcode)
{
    return (opcode & 8) != 0;
}

/* Handles the current frame once its payload is complete. */
static void take_frame(websocket_echo_t *echo)
{
    echo->state = ECHO_HEADER;
    echo->header_len = 0;
    str_t control = str_make(echo->control, is_control(echo->opcode) ? echo->got : 0);
    switch (echo->opcode) {
    case OPCODE_CONTINUATION:
    case OPCODE_TEXT:
    case OPCODE_BINARY:
        if (echo->fin)
            take_message(echo);
        break;
    case OPCODE_CLOSE:
        take_close(echo, control);
        break;
    case OPCODE_PING:
        send_frame(echo, OPCODE_PONG, control);
        break;
    case OPCODE_PONG:
        break;
    }
}

/* The length of the header, from its first 2 bytes. */
static size_t header_size(const unsigned char *header)
{
    unsigned len = header[1] & 0x7f;
    return 2u + (len == 126 ? 2u : len == 127 ? 8u : 0u) + ((header[1] & 0x80) != 0 ? 4u : 0u);
}

/* The payload length in a complete header; UINT64_MAX if it is not in its shortest form. */
static uint64_t payload_length(const unsigned char *header)
{
    unsigned len = header[1] & 0x7f;
    if (len < 126)
        return len;
    uint64_t value = 0;
    size_t bytes = len == 126 ? 2 : 8;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | header[2 + i];
    return value <= (len == 126 ? CONTROL_MAX : UINT16_MAX) ? UINT64_MAX : value;
}

/* The fault in the first two bytes of a header, or NULL. */
static const char *header_error(const websocket_echo_t *echo)
{
    unsigned first = echo->header[0];
    opcode_t opcode = (opcode_t)(first & 0x0f);
    if ((first & 0x70) != 0)
        return "reserved bits are set";
    if ((echo->header[1] & 0x80) == 0)
        return "frame is not masked";
    switch (opcode) {
    case OPCODE_CONTINUATION:
        return echo->in_message ? NULL : "nothing to continue";
    case OPCODE_TEXT:
    case OPCODE_BINARY:
        return echo->in_message ? "message within a message" : NULL;
    case OPCODE_CLOSE:
    case OPCODE_PING:
    case OPCODE_PONG:
        if ((first & 0x80) == 0)
            return "control frame is fragmented";
        return (echo->header[1] & 0x7f) > CONTROL_MAX ? "control frame is too long" : NULL;
    }
    return "unknown opcode";
}

/* Handles a complete header. */
static void take_header(websocket_echo_t *echo)
{
    echo->fin = (echo->header[0] & 0x80) != 0;
    echo->opcode = (opcode_t)(echo->header[0] & 0x0f);
    echo->length = payload_length(echo->header);
    echo->got = 0;
    memcpy(echo->mask, echo->header + echo->header_len - 4, 4);
    if (echo->length == UINT64_MAX) {
        end(echo, CLOSE_PROTOCOL, STR("length is not minimal"));
        return;
    }
    if (!is_control(echo->opcode)) {
        if (echo->length > WEBSOCKET_ECHO_MESSAGE_MAX - echo->data.used) {
            end(echo, CLOSE_TOO_BIG, STR("message is over 1 MiB"));
            return;
        }
        if (echo->opcode != OPCODE_CONTINUATION)
            echo->message = echo->opcode;
        echo->in_message = true;
    }
    echo->state = ECHO_PAYLOAD;
    if (echo->length == 0)
        take_frame(echo);
}

/* Takes bytes of a header; returns their number. */
static size_t feed_header(websocket_echo_t *echo, str_t data)
{
    size_t used = 0;
    while (used < data.n) {
        echo->header[echo->header_len++] = (unsigned char)data.p[used++];
        if (echo->header_len < 2)
            continue;
        const char *error = echo->header_len == 2 ? header_error(echo) : NULL;
        if (error != NULL) {
            end(echo, CLOSE_PROTOCOL, str_from(error));
            break;
        }
        if (echo->header_len == header_size(echo->header)) {
            take_header(echo);
            break;
        }
    }
    return used;
}

/* Takes bytes of a payload and unmasks them; returns their number. */
static size_t feed_payload(websocket_echo_t *echo, str_t data)
{
    uint64_t left = echo->length - echo->got;
    size_t n = left < data.n ? (size_t)left : data.n;
    char *to;
    if (is_control(echo->opcode)) {
        to = echo->control + echo->got;
    } else {
        reserve(&echo->data, n);
        to = echo->data.at + echo->data.used;
        echo->data.used += n;
    }
    for (size_t i = 0; i < n; i++)
        to[i] = (char)((unsigned char)data.p[i] ^ echo->mask[(echo->got + i) & 3]);
    echo->got += n;
    if (echo->got == echo->length)
        take_frame(echo);
    return n;
}

size_t websocket_echo_room(const websocket_echo_t *echo)
{
    if (echo->state == ECHO_ENDED)
        return FEED_MAX;
    return echo->output.used - echo->sent < OUTPUT_HIGH ? FEED_MAX : 0;
}

void websocket_echo_feed(websocket_echo_t *echo, str_t data)
{
    assert(data.n <= websocket_echo_room(echo));
    while (data.n != 0 && echo->state != ECHO_ENDED) {
        size_t used = echo->state == ECHO_HEADER ? feed_header(echo, data) : feed_payload(echo, data);
        data = str_from_offset(data, used);
    }
}

str_t websocket_echo_output(const websocket_echo_t *echo)
{
    if (echo->output.at == NULL)
        return str_make(NULL, 0);
    return str_make(echo->output.at + echo->sent, echo->output.used - echo->sent);
}

void websocket_echo_consume(websocket_echo_t *echo, size_t n)
{
    assert(n <= echo->output.used - echo->sent);
    echo->sent += n;
    if (echo->sent == echo->output.used) {
        clear(&echo->output);
        echo->sent = 0;
    } else if (echo->sent >= OUTPUT_HIGH) {
        echo->output.used -= echo->sent;
        memmove(echo->output.at, echo->output.at + echo->sent, echo->output.used);
        echo->sent = 0;
    }
}

bool websocket_echo_ended(const websocket_echo_t *echo)
{
    return echo->state == ECHO_ENDED;
}
