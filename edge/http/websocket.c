#include "websocket.h"

#include <assert.h>

#include <openssl/evp.h>

#include "base64.h"

#define OPCODE_CLOSE 0x8

bool websocket_key_valid(str_t key)
{
    if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++)
        if (base64_digit(key.p[i]) < 0)
            return false;
    /* 16 bytes leave 4 bits of the last character unused. */
    return (base64_digit(key.p[21]) & 0x0f) == 0;
}

void websocket_accept_key(str_t key, char out[WEBSOCKET_ACCEPT_LEN + 1])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[24 + sizeof(guid) - 1], digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    assert(key.n == 24);
    memcpy(text, key.p, 24);
    memcpy(text + 24, guid, sizeof(guid) - 1);
    int hashed = EVP_Digest(text, sizeof(text), digest, &digest_len, EVP_sha1(), NULL);
    assert(hashed == 1 && digest_len == 20);
    int len = EVP_EncodeBlock((unsigned char *)out, digest, (int)digest_len);
    assert(len == WEBSOCKET_ACCEPT_LEN);
}

/* The length of a header, from its first two bytes. */
static uint8_t header_size(const unsigned char header[2])
{
    uint8_t size = 2, length = header[1] & 0x7f;
    if (length == 126)
        size = 4;
    else if (length == 127)
        size = 10;
    return (uint8_t)(size + ((header[1] & 0x80) != 0 ? 4 : 0));
}

static uint64_t payload_length(const unsigned char *header)
{
    uint8_t length = header[1] & 0x7f;
    if (length < 126)
        return length;
    uint64_t value = 0;
    for (int i = 0; i < (length == 126 ? 2 : 8); i++)
        value = value << 8 | header[2 + i];
    return value;
}

/* Begins the payload of a frame whose header is complete. */
static void begin_frame(websocket_frames_t *frames)
{
    unsigned opcode = frames->header[0] & 0x0f;
    bool final = (frames->header[0] & 0x80) != 0;
    frames->left = payload_length(frames->header);
    frames->control = opcode >= 8;
    bool reserved = (opcode >= 3 && opcode <= 7) || opcode > 10;
    if (reserved || frames->left > INT64_MAX || (frames->control && (!final || frames->left > 125)))
        frames->unknown = true;
    if (frames->control)
        frames->control_bytes += frames->header_len;
    else if (frames->data_begins != NULL)
        frames->data_begins(frames, frames->left);
    if (opcode == OPCODE_CLOSE)
        frames->closed = true;
    frames->header_len = 0;
}

/* Takes header bytes; returns their number. */
static size_t take_header(websocket_frames_t *frames, str_t data)
{
    size_t used = 0;
    while (used < data.n) {
        frames->header[frames->header_len++] = (unsigned char)data.p[used++];
        if (frames->header_len >= 2 && frames->header_len == header_size(frames->header)) {
            begin_frame(frames);
            break;
        }
    }
    return used;
}

void websocket_frames_feed(websocket_frames_t *frames, str_t data)
{
    while (data.n != 0 && !frames->unknown) {
        size_t used;
        if (frames->left == 0) {
            used = take_header(frames, data);
        } else {
            used = data.n < frames->left ? data.n : (size_t)frames->left;
            frames->left -= used;
            *(frames->control ? &frames->control_bytes : &frames->payload_bytes) += used;
        }
        data = str_from_offset(data, used);
    }
    if (frames->unknown) /* counted as payload, so that traffic does not vanish from the figures */
        frames->payload_bytes += data.n;
}

bool websocket_frames_between(const websocket_frames_t *frames)
{
    return !frames->unknown && !frames->closed && frames->left == 0 && frames->header_len == 0;
}

size_t websocket_close_frame(uint16_t code, str_t reason, char out[WEBSOCKET_CLOSE_MAX])
{
    assert(reason.n <= WEBSOCKET_REASON_MAX);
    out[0] = (char)(0x80 | OPCODE_CLOSE);
    out[1] = (char)(2 + reason.n);
    out[2] = (char)(code >> 8);
    out[3] = (char)(code & 0xff);
    if (reason.n != 0)
        memcpy(out + 4, reason.p, reason.n);
    return 4 + reason.n;
}
