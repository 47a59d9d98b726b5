/*
 * Bytes in an anonymous memory file, to be passed to other processes as a descriptor. The file is
 * sealed after writing, so that no receiver can change the others' bytes.
 */
#ifndef BOXEDGE_MEMFILE_H
#define BOXEDGE_MEMFILE_H

#include "str.h"

/* Maximum bytes of a file. */
#define MEMFILE_MAX (16u << 20)

/* Makes a sealed file of the concatenated parts, close-on-exec. Returns -1 with errno on error. */
int memfile_write(const char *name, const str_t *parts, size_t count);
/* Reads a whole file, ignoring its offset. Returns NULL with errno on error (EFBIG over
 * MEMFILE_MAX). The caller frees the memory with memfile_release. Does not close `fd`. */
char *memfile_read(int fd, size_t *len);
/* Cleanses, frees and nulls. */
void memfile_release(char **bytes, size_t len);

#endif
