/*
 * 1 byte: the number of ports, and 0x80 if they are known; 1 byte: the length of the line; 3 bytes
 * for each port: the port, and 1 if it listens on loopback only; the line; the label up to the end.
 */
#include "box_ports_message.h"

#include <assert.h>

#include "last_words.h"

#define KNOWN      0x80u
#define HEAD_BYTES 2
#define PORT_BYTES 3

size_t box_ports_write(str_t label, const box_ports_answer_t *listening, char out[BOX_PORTS_BYTES])
{
    size_t at = HEAD_BYTES, line = strnlen(listening->line, sizeof(listening->line));
    assert(label.n <= BOX_PORTS_LABEL_MAX && listening->count <= BOX_PORTS_ANSWER_MAX &&
           line <= BOX_PORTS_LINE_MAX);
    out[0] = (char)((listening->known ? KNOWN : 0) | listening->count);
    out[1] = (char)line;
    for (size_t i = 0; i < listening->count; i++, at += PORT_BYTES) {
        out[at] = (char)(listening->ports[i].port >> 8);
        out[at + 1] = (char)(listening->ports[i].port & 0xff);
        out[at + 2] = listening->ports[i].loopback ? 1 : 0;
    }
    memcpy(out + at, listening->line, line);
    memcpy(out + at + line, label.p, label.n);
    return at + line + label.n;
}

bool box_ports_parse(str_t bytes, str_t *label, box_ports_answer_t *out)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    *out = (box_ports_answer_t){.known = false};
    if (bytes.n < HEAD_BYTES || (p[0] & 0x7f) > BOX_PORTS_ANSWER_MAX || p[1] > BOX_PORTS_LINE_MAX)
        return false;
    size_t count = p[0] & 0x7f, line = p[1], line_at = HEAD_BYTES + PORT_BYTES * count;
    if (bytes.n < line_at + line)
        return false;
    out->known = (p[0] & KNOWN) != 0;
    out->count = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = p + HEAD_BYTES + PORT_BYTES * i;
        out->ports[i] = (box_port_t){(uint16_t)(at[0] << 8 | at[1]), at[2] != 0};
    }
    last_words_print(str_make(bytes.p + line_at, line), out->line, sizeof(out->line));
    *label = str_from_offset(bytes, line_at + line);
    return label->n != 0 && label->n <= BOX_PORTS_LABEL_MAX;
}
