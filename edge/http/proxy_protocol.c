/*
 * See proxy_protocol.h. Section numbers are those of haproxy's doc/proxy-protocol.txt.
 */
#include "proxy_protocol.h"

#include <arpa/inet.h>

#include "address.h"

#define V1_SIGNATURE "PROXY "
#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_FIXED     16 /* signature, version and command, family and transport, length */

#define TLV_FIXED  3 /* type, length */
#define TLV_CRC32C 0x03

static uint16_t read_16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t read_32(const uint8_t *p)
{
    return (uint32_t)read_16(p) << 16 | read_16(p + 2);
}

/* Whether the available bytes match `signature`. */
static bool may_begin(str_t bytes, str_t signature)
{
    return memcmp(bytes.p, signature.p, bytes.n < signature.n ? bytes.n : signature.n) == 0;
}

/* ---- version 1 (2.1) ---- */

/* Takes the word before the next space, or the rest, off *line. False: it is empty, or *line is used up. */
static bool next_word(str_t *line, str_t *word)
{
    if (line->p == NULL)
        return false;
    const char *space = memchr(line->p, ' ', line->n);
    *word = str_make(line->p, space != NULL ? (size_t)(space - line->p) : line->n);
    *line = space != NULL ? str_from_offset(*line, word->n + 1) : str_make(NULL, 0);
    return word->n != 0;
}

static bool next_address(str_t *line, int family, struct in6_addr *out)
{
    str_t word;
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (!next_word(line, &word) || word.n >= sizeof(text))
        return false;
    memcpy(text, word.p, word.n);
    text[word.n] = '\0';
    /* inet_pton rejects leading zeros and fewer than four numbers in IPv4, and zones in IPv6. */
    if (family == AF_INET6)
        return inet_pton(AF_INET6, text, out) == 1;
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    *out = address_from_v4(&v4);
    return true;
}

static bool next_port(str_t *line, uint16_t *out)
{
    str_t word;
    uint64_t value;
    if (!next_word(line, &word) || (word.n > 1 && word.p[0] == '0') || !str_to_uint(word, UINT16_MAX, &value))
        return false;
    *out = (uint16_t)value;
    return true;
}

/* `line` is the text between "PROXY " and CRLF. */
static bool read_line(str_t line, proxy_protocol_t *out)
{
    str_t family;
    struct in6_addr destination;
    uint16_t destination_port;
    if (!next_word(&line, &family))
        return false;
    if (str_eq(family, STR("UNKNOWN")))
        return true; /* a receiver must ignore the rest (section 2.1) */
    bool v6 = str_eq(family, STR("TCP6"));
    if (!v6 && !str_eq(family, STR("TCP4")))
        return false;
    out->has_client = true;
    return next_address(&line, v6 ? AF_INET6 : AF_INET, &out->address) &&
           next_address(&line, v6 ? AF_INET6 : AF_INET, &destination) && next_port(&line, &out->port) &&
           next_port(&line, &destination_port) && line.p == NULL;
}

static proxy_protocol_result_t parse_v1(str_t bytes, proxy_protocol_t *out)
{
    size_t most = bytes.n < PROXY_PROTOCOL_V1_MAX ? bytes.n : PROXY_PROTOCOL_V1_MAX;
    size_t end = sizeof(V1_SIGNATURE) - 1;
    while (end < most && bytes.p[end] >= ' ' && bytes.p[end] <= '~')
        end++;
    if (end + 1 < most) {
        if (bytes.p[end] != '\r' || bytes.p[end + 1] != '\n')
            return PROXY_PROTOCOL_BAD;
        const size_t begin = sizeof(V1_SIGNATURE) - 1;
        out->len = end + 2;
        return read_line(str_make(bytes.p + begin, end - begin), out) ? PROXY_PROTOCOL_DONE
                                                                      : PROXY_PROTOCOL_BAD;
    }
    if (end < most && bytes.p[end] != '\r')
        return PROXY_PROTOCOL_BAD;
    return most < PROXY_PROTOCOL_V1_MAX ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
}

/* ---- version 2 (2.2) ---- */

uint32_t proxy_protocol_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* 2.2.3: over the whole header with zeros in place of the checksum at `at`. */
static bool crc_is_right(const uint8_t *header, size_t len, size_t at)
{
    static const uint8_t zeros[4];
    uint32_t crc = proxy_protocol_crc32c(0, header, at);
    crc = proxy_protocol_crc32c(crc, zeros, sizeof(zeros));
    crc = proxy_protocol_crc32c(crc, header + at + 4, len - at - 4);
    return crc == read_32(header + at);
}

static bool check_tlvs(const uint8_t *header, size_t len, size_t at)
{
    size_t crc_at = 0;
    while (at < len) {
        if (len - at < TLV_FIXED || len - at - TLV_FIXED < read_16(header + at + 1))
            return false;
        size_t value_len = read_16(header + at + 1);
        if (header[at] == TLV_CRC32C) {
            if (value_len != 4 || crc_at != 0)
                return false;
            crc_at = at + TLV_FIXED;
        }
        at += TLV_FIXED + value_len;
    }
    return crc_at == 0 || crc_is_right(header, len, crc_at);
}

/* Length of the addresses for a family and transport byte; -1 for an undefined one. */
static int addresses_len(uint8_t family)
{
    switch (family) {
    case 0x00: /* UNSPEC */
        return 0;
    case 0x11: /* TCP and */
    case 0x12: /* UDP over IPv4 */
        return 2 * 4 + 2 * 2;
    case 0x21: /* TCP and */
    case 0x22: /* UDP over IPv6 */
        return 2 * 16 + 2 * 2;
    case 0x31: /* Unix, stream and */
    case 0x32: /* datagram */
        return 2 * 108;
    default:
        return -1;
    }
}

/* Reads a whole header of the command PROXY. */
static bool read_proxied(const uint8_t *header, size_t len, proxy_protocol_t *out)
{
    uint8_t family = header[13];
    size_t addresses = (size_t)addresses_len(family);
    const uint8_t *p = header + V2_FIXED;
    if (len - V2_FIXED < addresses)
        return false;
    /* Without a family, the end of the addresses and the start of the TLVs are unknown. */
    if (family != 0x00 && !check_tlvs(header, len, V2_FIXED + addresses))
        return false;
    if (family == 0x11) {
        out->address = address_from_v4(p);
        out->port = read_16(p + 2 * 4);
    } else if (family == 0x21) {
        memcpy(&out->address, p, 16);
        out->port = read_16(p + 2 * 16);
    } else {
        return true;
    }
    out->has_client = true;
    return true;
}

static proxy_protocol_result_t parse_v2(str_t bytes, proxy_protocol_t *out)
{
    const uint8_t *header = (const uint8_t *)bytes.p;
    enum { LOCAL = 0x20, PROXY = 0x21 }; /* the upper half is the version */
    if (bytes.n > 12 && header[12] != LOCAL && header[12] != PROXY)
        return PROXY_PROTOCOL_BAD;
    /* For LOCAL, a receiver must ignore the whole block and its family (section 2.2). */
    if (bytes.n > 13 && header[12] == PROXY && addresses_len(header[13]) < 0)
        return PROXY_PROTOCOL_BAD;
    if (bytes.n < V2_FIXED)
        return PROXY_PROTOCOL_MORE;
    size_t len = V2_FIXED + (size_t)read_16(header + 14);
    if (len > PROXY_PROTOCOL_MAX)
        return PROXY_PROTOCOL_BAD;
    if (bytes.n < len)
        return PROXY_PROTOCOL_MORE;
    out->len = len;
    if (header[12] == PROXY && !read_proxied(header, len, out))
        return PROXY_PROTOCOL_BAD;
    return PROXY_PROTOCOL_DONE;
}

proxy_protocol_result_t proxy_protocol_parse(str_t bytes, proxy_protocol_t *out)
{
    const str_t v1 = STR(V1_SIGNATURE);
    const str_t v2 = STR(V2_SIGNATURE);
    *out = (proxy_protocol_t){0};
    if (bytes.n == 0)
        return PROXY_PROTOCOL_MORE;
    if (may_begin(bytes, v2))
        return parse_v2(bytes, out);
    if (!may_begin(bytes, v1))
        return PROXY_PROTOCOL_BAD;
    return bytes.n < v1.n ? PROXY_PROTOCOL_MORE : parse_v1(bytes, out);
}
