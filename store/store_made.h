/*
 * The note that a store was made: the file `<durable_dir>.made` beside its directory. It lists the
 * store's environments, one directory a line. An environment that is listed and missing was removed
 * or is not mounted, and is an error; without the note, a writer would make an empty one in its
 * place. The supervisor writes the note, because the directory above the store may belong to it.
 */
#ifndef BOXEDGE_STORE_MADE_H
#define BOXEDGE_STORE_MADE_H

#include <stddef.h>

#include "store.h"
#include "str.h"

/* The environments below the durable directory; the first, ".", is that of the previews. */
#define STORE_DURABLE_COUNT 6
extern const char *const store_durable_names[STORE_DURABLE_COUNT];
/* Every store has the first ones; a copy from before the others lacks those. */
#define STORE_DURABLE_FIRST 5
/* Whether a directory has those that every store has. */
bool store_durable_complete(const char *durable_dir);
/* The place of a part among them; STORE_DURABLE_COUNT for that of the boxes. And the part at a place. */
size_t store_durable_place(store_part_t part);
store_part_t store_durable_part(size_t place);

/* Writes the directory of an environment, "<durable_dir>" or "<durable_dir>/<name>". Returns false if
 * it does not fit. */
MUST_USE bool store_durable_dir(const char *durable_dir, const char *name, char *out, size_t len);

/* Returns false, and writes a sentence that names the directory, if a listed environment is missing, or
 * has lost its first commit. Without a note all is well. */
MUST_USE bool store_made_check(const char *durable_dir, char *error, size_t error_len);
/* Whether the environment `name` is one that a first start left before its first commit: no note lists it,
 * and no other one has been changed since it was made. Its writer begins it anew. */
MUST_USE bool store_made_unfinished(const char *durable_dir, const char *name);
/* Makes the note complete, on disk when it returns; does nothing if it is. First puts the
 * directories of the environments on disk. Returns false with errno. */
MUST_USE bool store_made_note(const char *durable_dir);

#endif
