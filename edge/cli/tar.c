/*
 * See tar.h.
 */
#include "tar.h"

#include <assert.h>
#include <string.h>

/* The fields of a header, with their places. */
#define NAME_AT     0
#define MODE_AT     100
#define UID_AT      108
#define GID_AT      116
#define SIZE_AT     124
#define MTIME_AT    136
#define CHECKSUM_AT 148
#define TYPE_AT     156
#define MAGIC_AT    257

static void put_octal(char *field, unsigned digits, uint64_t value)
{
    for (unsigned i = digits; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

void tar_add(FILE *out, const char *name, str_t content, uint64_t mtime)
{
    char header[TAR_BLOCK] = {0};
    static const char zeros[TAR_BLOCK];
    size_t len = strlen(name);
    unsigned sum = 0;
    assert(len <= TAR_NAME_MAX);
    memcpy(header + NAME_AT, name, len);
    put_octal(header + MODE_AT, 7, 0600);
    put_octal(header + UID_AT, 7, 0);
    put_octal(header + GID_AT, 7, 0);
    put_octal(header + SIZE_AT, 11, content.n);
    put_octal(header + MTIME_AT, 11, mtime);
    header[TYPE_AT] = '0';
    memcpy(header + MAGIC_AT,
           "ustar\0"
           "00",
           8);
    memset(header + CHECKSUM_AT, ' ', 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += (unsigned char)header[i];
    put_octal(header + CHECKSUM_AT, 6, sum);
    header[CHECKSUM_AT + 6] = '\0';
    (void)!fwrite(header, 1, sizeof(header), out);
    if (content.n > 0)
        (void)!fwrite(content.p, 1, content.n, out);
    (void)!fwrite(zeros, 1, (TAR_BLOCK - content.n % TAR_BLOCK) % TAR_BLOCK, out);
}

void tar_end(FILE *out)
{
    static const char zeros[2 * TAR_BLOCK];
    (void)!fwrite(zeros, 1, sizeof(zeros), out);
}
