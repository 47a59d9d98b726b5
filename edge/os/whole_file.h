/* Files that are read as a whole: configurations, certificates, keys. */
#ifndef BOXEDGE_WHOLE_FILE_H
#define BOXEDGE_WHOLE_FILE_H

#include <stddef.h>

/* Returns the file with a NUL after it, to be freed (and cleansed, if it is a key), or NULL with errno.
 * Refuses files above 4 MiB, and devices and pipes: they may never end. */
char *whole_file_read(const char *path, size_t *len);

#endif
