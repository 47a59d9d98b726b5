#include "base64.h"

#include <assert.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

void base64url_256(const uint8_t bytes[32], char out[BASE64URL_256_LEN + 1])
{
    unsigned char padded[BASE64URL_256_LEN + 2]; /* one '=' and a NUL */
    int n = EVP_EncodeBlock(padded, bytes, 32);
    assert(n == BASE64URL_256_LEN + 1);
    for (size_t i = 0; i < BASE64URL_256_LEN; i++)
        out[i] = padded[i] == '+' ? '-' : padded[i] == '/' ? '_' : (char)padded[i];
    out[BASE64URL_256_LEN] = '\0';
    OPENSSL_cleanse(padded, sizeof(padded));
}

int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(str_t text, char *out, size_t *len)
{
    size_t n = 0;
    if (text.n == 0 || text.n % 4 != 0)
        return false;
    for (size_t i = 0; i < text.n; i += 4) {
        bool last = i + 4 == text.n;
        unsigned padding =
            last ? (unsigned)(text.p[i + 3] == '=') + (text.p[i + 2] == '=' && text.p[i + 3] == '=') : 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : base64_digit(text.p[i + k]);
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        if ((padding == 1 && (group & 0xff) != 0) || (padding == 2 && (group & 0xffff) != 0))
            return false;
        for (unsigned k = 0; k < 3 - padding; k++)
            out[n++] = (char)(group >> (16 - 8 * k));
    }
    *len = n;
    return true;
}
