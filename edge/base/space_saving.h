/*
 * The most frequent names of a stream in bounded memory: Space-Saving with its Stream-Summary (Metwally,
 * Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", 2005). Of N
 * additions to k entries:
 *
 * - The count of an entry is at least the true count of its name, and at most `error` more.
 * - `error` is at most N / k, and so is the true count of a name without an entry.
 * - Every name with a true count above N / k has an entry.
 *
 * An addition takes constant time and no memory. space_saving_halve lets old additions fade.
 */
#ifndef BOXEDGE_SPACE_SAVING_H
#define BOXEDGE_SPACE_SAVING_H

#include <stdint.h>

#include "str.h"

#define SPACE_SAVING_NAME_MAX 63
/* Maximum entries. */
#define SPACE_SAVING_MAX 4096
/* No entry. */
#define SPACE_SAVING_NONE UINT32_MAX

typedef struct space_saving space_saving_t;

/* `seed` is secret if others choose names. */
space_saving_t *space_saving_new(unsigned entries, const uint64_t seed[2]);
/* Nulls. */
void space_saving_free(space_saving_t **summary);

/* Adds one of `name`, at most SPACE_SAVING_NAME_MAX long (asserted). Returns its entry. `*fresh`: the entry
 * is new, or was another name's. */
unsigned space_saving_add(space_saving_t *summary, str_t name, bool *fresh);
/* The entry of `name`; a new one, with a count of 0, only if there is room. */
unsigned space_saving_touch(space_saving_t *summary, str_t name, bool *fresh);
/* Halves all counts, rounding up. The promises above then hold for additions that count half. */
void space_saving_halve(space_saving_t *summary);

/* Entries are numbered from 0 up to space_saving_used. */
unsigned space_saving_used(const space_saving_t *summary);
bool space_saving_is_full(const space_saving_t *summary);
str_t space_saving_name(const space_saving_t *summary, unsigned entry);
uint64_t space_saving_count(const space_saving_t *summary, unsigned entry);
uint64_t space_saving_error(const space_saving_t *summary, unsigned entry);

#endif
