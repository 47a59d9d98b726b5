/*
 * What a deletion does to the store, on its thread: jobs of the deletion desk (deletion_desk.h).
 */
#ifndef BOXEDGE_DELETION_STORE_H
#define BOXEDGE_DELETION_STORE_H

#include "deletion_message.h"
#include "preview_message.h"

/* Whether the call may still go on: it was not closed, and its worker lives. Reads /proc. */
bool deletion_is_open(const store_deletion_t *deletion, uint64_t now_ms);

/* Carries out what a worker says. `*changed` where anything did; `*deleted` counts previews. */
void deletion_store_take(store_t *store, const deletion_call_t *call, uint64_t now_ms,
                         preview_answer_t *answer, size_t *deleted, bool *changed);

/* Of deletions whose calls have ended: */
typedef struct deletion_open_end {
    char id[BOX_ID_MAX + 1];
    uint64_t asked_at_ms;  /* the first one of the box */
    uint64_t closed_at_ms; /* the last one of the box */
} deletion_open_end_t;
/* Boxes that are looked at in one go. */
#define DELETION_SWEEP_MAX 64
typedef struct deletion_sweep {
    char after[BOX_ID_MAX + 1]; /* begins behind this box; empty: with the first */
    bool any;                   /* there are deletions */
    bool fresh;                 /* some call goes on, or ended within the last minute */
    size_t count;
    deletion_open_end_t at[DELETION_SWEEP_MAX];
} deletion_sweep_t;
/*
 * Finds boxes with deletions of which nobody knows how they ended, from `sweep->after` on, which moves on.
 * Closes those of workers that are gone; forgets those of boxes without previews. `*changed` where anything
 * did.
 */
void deletion_store_sweep(store_t *store, uint64_t now_ms, deletion_sweep_t *sweep, bool *changed);

/*
 * The word of a box's provider or API is known, of `heard_ms`: deletions that had been closed before end, and
 * with `gone` the box's previews, too. No-op where there is no such deletion.
 */
void deletion_store_heard(store_t *store, str_t id, uint64_t heard_ms, bool gone, size_t *deleted,
                          bool *changed);

/* Deletes all previews of a box. */
MUST_USE store_result_t deletion_store_forget(store_t *store, str_t id, size_t *deleted);

#endif
