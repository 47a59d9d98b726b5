/*
 * See memfile.h.
 */
#include "memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

static bool write_all(int fd, str_t data)
{
    while (data.n > 0) {
        ssize_t n = write(fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data = str_from_offset(data, (size_t)n);
    }
    return true;
}

int memfile_write(const char *name, const str_t *parts, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].n;
    if (total > MEMFILE_MAX) {
        errno = EFBIG;
        return -1;
    }
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    bool written = true;
    for (size_t i = 0; i < count && written; i++)
        written = write_all(fd, parts[i]);
    if (!written || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

char *memfile_read(int fd, size_t *len)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return NULL;
    if (st.st_size < 0 || (uint64_t)st.st_size > MEMFILE_MAX) {
        errno = EFBIG;
        return NULL;
    }
    size_t size = (size_t)st.st_size, done = 0;
    char *bytes = malloc(size + 1);
    if (bytes == NULL)
        return NULL;
    while (done < size) {
        /* All holders of the descriptor share its offset, so do not use it. */
        ssize_t n = pread(fd, bytes + done, size - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            memfile_release(&bytes, done);
            errno = EIO;
            return NULL;
        }
        done += (size_t)n;
    }
    bytes[size] = '\0';
    *len = size;
    return bytes;
}

void memfile_release(char **bytes, size_t len)
{
    if (*bytes != NULL)
        OPENSSL_cleanse(*bytes, len);
    free(*bytes);
    *bytes = NULL;
}
