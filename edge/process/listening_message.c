/*
 * 1 byte: 0x80 where it is known, and how many ports; 3 bytes for each: the port, and 1 where it is on
 * loopback only; the rest is the label.
 */
#include "listening_message.h"

#include <assert.h>

#define KNOWN      0x80u
#define PORT_BYTES 3

size_t listening_write(str_t label, const listening_t *listening, char out[LISTENING_BYTES])
{
    size_t at = 1;
    assert(label.n <= LISTENING_LABEL_MAX && listening->count <= LISTENING_ANSWER_MAX);
    out[0] = (char)((listening->known ? KNOWN : 0) | listening->count);
    for (size_t i = 0; i < listening->count; i++, at += PORT_BYTES) {
        out[at] = (char)(listening->ports[i].port >> 8);
        out[at + 1] = (char)(listening->ports[i].port & 0xff);
        out[at + 2] = listening->ports[i].loopback ? 1 : 0;
    }
    memcpy(out + at, label.p, label.n);
    return at + label.n;
}

bool listening_parse(str_t bytes, str_t *label, listening_t *out)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    *out = (listening_t){.known = false};
    if (bytes.n == 0 || (p[0] & 0x7f) > LISTENING_ANSWER_MAX ||
        bytes.n < 1 + PORT_BYTES * (size_t)(p[0] & 0x7f))
        return false;
    out->known = (p[0] & KNOWN) != 0;
    out->count = p[0] & 0x7f;
    for (size_t i = 0; i < out->count; i++) {
        const unsigned char *at = p + 1 + PORT_BYTES * i;
        out->ports[i] = (listening_port_t){(uint16_t)(at[0] << 8 | at[1]), at[2] != 0};
    }
    *label = str_from_offset(bytes, 1 + PORT_BYTES * (size_t)out->count);
    return label->n != 0 && label->n <= LISTENING_LABEL_MAX;
}
