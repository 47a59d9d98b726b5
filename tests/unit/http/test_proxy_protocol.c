/* PROXY protocol headers: valid ones, cut at every byte, and refusals at the first wrong byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "address.h"
#include "proxy_protocol.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
/* Address blocks: from 192.0.2.1:56324 to 198.51.100.2:443, from [2001:db8::1]:56324 to [2001:db8::2]:443. */
#define V4_BLOCK "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
#define V6_BLOCK                                                                                             \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb"

/* No byte behind them is readable, so that the sanitizers see a step too far. */
static proxy_protocol_result_t parse(str_t bytes, proxy_protocol_t *out)
{
    char *exact = malloc(bytes.n != 0 ? bytes.n : 1);
    assert_non_null(exact);
    if (bytes.n != 0)
        memcpy(exact, bytes.p, bytes.n);
    proxy_protocol_result_t result = proxy_protocol_parse(str_make(exact, bytes.n), out);
    free(exact);
    return result;
}

/* `header` is a header, every prefix of it could become one, and the bytes behind it do not matter. */
static proxy_protocol_t good(str_t header)
{
    static const char *const followers[] = {"G", "\r\n", "PROXY ", "\x16\x03\x01"};
    proxy_protocol_t out;
    for (size_t n = 0; n < header.n; n++)
        if (parse(str_make(header.p, n), &out) != PROXY_PROTOCOL_MORE)
            fail_msg("%zu of %zu bytes are not MORE", n, header.n);
    for (size_t i = 0; i < sizeof(followers) / sizeof(followers[0]); i++) {
        char text[2 * PROXY_PROTOCOL_MAX];
        memcpy(text, header.p, header.n);
        size_t more = strlen(followers[i]);
        memcpy(text + header.n, followers[i], more);
        assert_int_equal(parse(str_make(text, header.n + more), &out), PROXY_PROTOCOL_DONE);
        assert_int_equal(out.len, header.n);
    }
    assert_int_equal(parse(header, &out), PROXY_PROTOCOL_DONE);
    assert_int_equal(out.len, header.n);
    return out;
}

static void is_client(proxy_protocol_t header, const char *address, uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    assert_true(header.has_client);
    (void)address_text(&header.address, text);
    assert_string_equal(text, address);
    assert_int_equal(header.port, port);
}

/* Refused, and not before byte `from` (the number of bytes that may still become a header). */
static void bad(str_t bytes, size_t from)
{
    proxy_protocol_t out;
    for (size_t n = 0; n <= bytes.n; n++) {
        proxy_protocol_result_t want = n <= from ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
        proxy_protocol_result_t got = parse(str_make(bytes.p, n), &out);
        if (got != want)
            fail_msg("\"%.*s\": %zu bytes give %d", STR_ARG(bytes), n, (int)got);
    }
}

/* A version 1 line whose error shows only at its end. */
static void bad_line(const char *line)
{
    bad(str_from(line), strlen(line) - 1);
}

static void version_1(void **state)
{
    (void)state;
    is_client(good(STR("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n")), "192.0.2.1", 56324);
    is_client(good(STR("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n")), "255.255.255.255",
              65535);
    is_client(good(STR("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n")), "0.0.0.0", 0);
    is_client(good(STR("PROXY TCP6 2001:DB8::1 ::1 1 2\r\n")), "2001:db8::1", 1);
    is_client(good(STR("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")),
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
    /* A socket for both families represents an IPv4 client this way. */
    is_client(good(STR("PROXY TCP6 ::ffff:192.0.2.1 ::1 5 6\r\n")), "192.0.2.1", 5);
}

static void version_1_unknown(void **state)
{
    (void)state;
    assert_false(good(STR("PROXY UNKNOWN\r\n")).has_client);
    assert_false(good(STR("PROXY UNKNOWN 192.0.2.1 what ever  99999\r\n")).has_client);
    const char *longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_int_equal(strlen(longest), PROXY_PROTOCOL_V1_MAX);
    assert_false(good(str_from(longest)).has_client);
    char longer[256];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "PROXY UNKNOWN ", 14);
    bad(str_make(longer, sizeof(longer)), PROXY_PROTOCOL_V1_MAX - 1);
    /* One byte more than fits: its end comes too late. */
    memcpy(longer + PROXY_PROTOCOL_V1_MAX - 1, "\r\n", 2);
    bad(str_make(longer, PROXY_PROTOCOL_V1_MAX + 1), PROXY_PROTOCOL_V1_MAX - 1);
}

static void version_1_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "PROXY \r\n",
        "PROXY TCP\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 \r\n",
        "PROXY TCP4 192.0.2.1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.0x1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 3221225985 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.02 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP4 ::ffff:192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 ::1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 ::1::2 ::1 1 2\r\n",
        "PROXY TCP6 :1 ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
        "PROXY TCP6 00001::1 ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1a 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 99999999999999999999999 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY unknown\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        bad_line(lines[i]);
}

/* A wrong byte is refused with that byte. */
static void refused_at_once(void **state)
{
    (void)state;
    bad(STR("GET / HTTP/1.1\r\n"), 0);
    bad(STR("\x16\x03\x01\x02"), 0);
    bad(STR("P\x00"), 1);
    bad(STR("PRI * HTTP/2.0\r\n"), 2);
    bad(STR("PROXY\tTCP4"), 5);
    bad(STR("proxy TCP4"), 0);
    bad(STR("PROXY UNKNOWN\n"), 13);
    bad(STR("PROXY UNKNOWN\r\r\n"), 14);
    bad(STR("PROXY UNKNOWN a\tb\r\n"), 15);
    bad(STR("PROXY UNKNOWN a\0b\r\n"), 15);
    bad(STR("PROXY UNKNOWN \xc3\xa4\r\n"), 14);
    bad(STR("\r\n\r\n\0\r\nQUIX\n"), 10);
    bad(STR("\r\nGET / HTTP/1.1\r\n"), 2);
}

/* A version 2 header. The body is (block, n), its length field is `announced`. */
static str_t v2(char out[2 * PROXY_PROTOCOL_MAX], uint8_t command, uint8_t family, const char *block,
                size_t n, size_t announced)
{
    memcpy(out, V2, 12);
    out[12] = (char)command;
    out[13] = (char)family;
    out[14] = (char)(announced >> 8);
    out[15] = (char)announced;
    memcpy(out + 16, block, n);
    return str_make(out, 16 + n);
}

#define BLOCK(literal) (literal), sizeof(literal) - 1, sizeof(literal) - 1

static void version_2(void **state)
{
    (void)state;
    char text[2 * PROXY_PROTOCOL_MAX];
    is_client(good(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK))), "192.0.2.1", 56324);
    is_client(good(v2(text, 0x21, 0x21, BLOCK(V6_BLOCK))), "2001:db8::1", 56324);
    is_client(good(v2(text, 0x21, 0x21,
                      BLOCK("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2"
                            "\0\1\0\2"))),
              "192.0.2.1", 1);
    /* With TLVs: ALPN h2, an empty NOOP, a custom type. */
    is_client(good(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x01\0\2h2\x04\0\0\xea\0\3abc"))), "192.0.2.1",
              56324);
}

static void version_2_without_an_address(void **state)
{
    (void)state;
    char text[2 * PROXY_PROTOCOL_MAX];
    char block[216];
    memset(block, 1, sizeof(block));
    assert_false(good(v2(text, 0x20, 0x00, BLOCK(""))).has_client);
    /* LOCAL ignores everything: the address, an unknown family, malformed TLVs. */
    assert_false(good(v2(text, 0x20, 0x11, BLOCK(V4_BLOCK))).has_client);
    assert_false(good(v2(text, 0x20, 0x99, BLOCK("abc"))).has_client);
    assert_false(good(v2(text, 0x20, 0x11, BLOCK("\1"))).has_client);
    assert_false(good(v2(text, 0x21, 0x00, BLOCK(""))).has_client);
    assert_false(good(v2(text, 0x21, 0x00, BLOCK("abcdef"))).has_client);
    assert_false(good(v2(text, 0x21, 0x12, BLOCK(V4_BLOCK))).has_client);
    assert_false(good(v2(text, 0x21, 0x22, BLOCK(V6_BLOCK))).has_client);
    assert_false(good(v2(text, 0x21, 0x31, block, sizeof(block), sizeof(block))).has_client);
    assert_false(good(v2(text, 0x21, 0x32, block, sizeof(block), sizeof(block))).has_client);
}

static void version_2_refused(void **state)
{
    (void)state;
    char text[2 * PROXY_PROTOCOL_MAX];
    /* Version, command, family: refused with the byte. */
    static const uint8_t commands[] = {0x00, 0x01, 0x11, 0x22, 0x2f, 0x31, 0xa1, 0xff};
    for (size_t i = 0; i < sizeof(commands); i++)
        bad(v2(text, commands[i], 0x11, BLOCK(V4_BLOCK)), 12);
    static const uint8_t families[] = {0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff};
    for (size_t i = 0; i < sizeof(families); i++)
        bad(v2(text, 0x21, families[i], BLOCK(V4_BLOCK)), 13);
    /* No room for the addresses. */
    bad(v2(text, 0x21, 0x11, V4_BLOCK, 11, 11), 26);
    bad(v2(text, 0x21, 0x11, "", 0, 0), 15);
    bad(v2(text, 0x21, 0x21, V6_BLOCK, 35, 35), 50);
    bad(v2(text, 0x21, 0x31, V6_BLOCK, 36, 36), 51);
    /* TLVs that do not fill the rest. */
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x04")), 28);
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x04\0")), 29);
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x04\0\1")), 30);
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x04\0\2a")), 31);
    bad(v2(text, 0x21, 0x11,
           BLOCK(V4_BLOCK "\x04\xff\xff"
                          "a")),
        31);
}

static void version_2_at_the_bound(void **state)
{
    (void)state;
    static char block[PROXY_PROTOCOL_MAX];
    static char text[2 * PROXY_PROTOCOL_MAX];
    const size_t most = PROXY_PROTOCOL_MAX - 16;
    memcpy(block, V4_BLOCK, 12);
    block[12] = 0x04;
    block[13] = (char)((most - 15) >> 8);
    block[14] = (char)(most - 15);
    is_client(good(v2(text, 0x21, 0x11, block, most, most)), "192.0.2.1", 56324);
    /* One more is refused when it is announced, also for LOCAL. */
    bad(v2(text, 0x21, 0x11, block, most, most + 1), 15);
    bad(v2(text, 0x20, 0x00, block, most, 65535), 15);
}

static void checksums(void **state)
{
    (void)state;
    /* RFC 3720, B.4: the test vectors of the same polynomial. */
    uint8_t bytes[32] = {0};
    assert_int_equal(proxy_protocol_crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(proxy_protocol_crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(proxy_protocol_crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    assert_int_equal(proxy_protocol_crc32c(proxy_protocol_crc32c(0, bytes, 5), bytes + 5, 27), 0x46dd794e);

    char text[2 * PROXY_PROTOCOL_MAX];
    str_t header = v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x03\0\4\0\0\0\0\x04\0\1x"));
    uint32_t crc = proxy_protocol_crc32c(0, header.p, header.n);
    for (int i = 0; i < 4; i++)
        text[16 + 12 + 3 + i] = (char)(crc >> (24 - 8 * i));
    is_client(good(header), "192.0.2.1", 56324);
    /* Any changed byte is detected, except the type that declares the checksum. */
    const size_t type_at = 16 + 12;
    for (size_t i = 16; i < header.n; i++) {
        proxy_protocol_t out;
        if (i == type_at)
            continue;
        text[i] ^= 0x10;
        assert_int_equal(parse(header, &out), PROXY_PROTOCOL_BAD);
        text[i] ^= 0x10;
    }
    /* A checksum of another length, and two of them. */
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x03\0\3abc")), 33);
    bad(v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x03\0\0")), 30);
    header = v2(text, 0x21, 0x11, BLOCK(V4_BLOCK "\x03\0\4\0\0\0\0\x03\0\4\0\0\0\0"));
    crc = proxy_protocol_crc32c(0, header.p, header.n);
    for (int i = 0; i < 4; i++)
        text[16 + 12 + 3 + i] = text[16 + 12 + 10 + i] = (char)(crc >> (24 - 8 * i));
    bad(header, header.n - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),         cmocka_unit_test(version_1_unknown),
        cmocka_unit_test(version_1_refused), cmocka_unit_test(refused_at_once),
        cmocka_unit_test(version_2),         cmocka_unit_test(version_2_without_an_address),
        cmocka_unit_test(version_2_refused), cmocka_unit_test(version_2_at_the_bound),
        cmocka_unit_test(checksums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
