/*
 * Bytes in an anonymous memory file, to be passed to another process as a descriptor: sealed once written,
 * so that no receiver can change what the others read.
 */
#ifndef BOXEDGE_MEMFILE_H
#define BOXEDGE_MEMFILE_H

#include "str.h"

/* The most that is written or read, in bytes. */
#define MEMFILE_MAX (16u << 20)

/* A new sealed file with the parts one after the other, close-on-exec; -1 with errno. */
int memfile_write(const char *name, const str_t *parts, size_t count);
/* Reads all of a file, whatever its offset; NULL with errno (EFBIG over MEMFILE_MAX). The caller gives the
 * memory back with memfile_release. Does not close `fd`. */
char *memfile_read(int fd, size_t *len);
/* Cleanses and frees, and nulls. */
void memfile_release(char **bytes, size_t len);

#endif
