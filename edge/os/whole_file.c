#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Maximum bytes of a configuration, a chain or a key. */
#define FILE_BYTES_MAX (4u << 20)

char *whole_file_read(const char *path, size_t *len)
{
    struct stat st;
    char *bytes = NULL;
    size_t size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    errno = 0;
    if (fstat(fd, &st) < 0)
        goto Done;
    if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > FILE_BYTES_MAX) {
        errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
        goto Done;
    }
    size_t room = (size_t)st.st_size;
    bytes = malloc(room + 1);
    while (bytes != NULL && size < room) {
        ssize_t n = read(fd, bytes + size, room - size);
        if (n <= 0)
            break; /* the file was truncated meanwhile; its reader will detect that */
        size += (size_t)n;
    }
    if (bytes != NULL)
        bytes[size] = '\0';
    *len = size;
Done:;
    int saved = errno;
    close(fd);
    errno = saved;
    return bytes;
}
