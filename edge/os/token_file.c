#include "token_file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

bool token_file_read(const char *path, char token[TOKEN_FILE_MAX + 1])
{
    char bytes[TOKEN_FILE_MAX + 1];
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    ssize_t got;
    while (n < sizeof(bytes) && (got = read(fd, bytes + n, sizeof(bytes) - n)) > 0)
        n += (size_t)got;
    close(fd);
    const char *end = memchr(bytes, '\n', n);
    str_t line = str_make(bytes, end != NULL ? (size_t)(end - bytes) : n);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    line = str_trim(line);
    bool ok = line.n > 0 && line.n <= TOKEN_FILE_MAX;
    if (ok) {
        memcpy(token, line.p, line.n);
        token[line.n] = '\0';
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return ok;
}
