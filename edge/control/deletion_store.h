/* The store's part of deletions, on its thread: jobs of the deletion service (deletion_service.h). */
#ifndef BOXEDGE_DELETION_STORE_H
#define BOXEDGE_DELETION_STORE_H

#include "deletion_message.h"
#include "preview_message.h"

/* Whether the call may still be under way: it is not closed, and its worker lives. Reads /proc. */
bool deletion_is_open(const store_deletion_t *deletion, uint64_t now_ms);

/* Carries out a worker's message. Sets `*changed` if the store may have changed; adds deleted previews to
 * `*deleted`. */
void deletion_store_take(store_t *store, const deletion_call_t *call, uint64_t now_ms,
                         preview_answer_t *answer, size_t *deleted, bool *changed);

/* Deletions of one box whose calls have ended. */
typedef struct deletion_open_end {
    char id[BOX_ID_MAX + 1];
    uint64_t requested_at_ms; /* the box's first */
    uint64_t closed_at_ms;    /* the box's last */
} deletion_open_end_t;
/* Maximum number of boxes in one sweep. */
#define DELETION_SWEEP_MAX 64
typedef struct deletion_sweep {
    char after[BOX_ID_MAX + 1]; /* the sweep begins after this box; empty: with the first */
    bool any;                   /* deletions exist */
    bool fresh;                 /* a call is under way, or ended within the last minute */
    size_t count;
    deletion_open_end_t at[DELETION_SWEEP_MAX];
} deletion_sweep_t;
/*
 * Finds boxes with ended deletions of unknown outcome after `sweep->after`, and moves that on. Closes the
 * deletions of dead workers, and forgets those of boxes without previews. Sets `*changed` after closing any.
 */
void deletion_store_sweep(store_t *store, uint64_t now_ms, deletion_sweep_t *sweep, bool *changed);

/*
 * The box's provider or API has reported it, as of `reported_ms`: ends the deletions that were closed before,
 * and with `gone` deletes the box's previews. No-op without such a deletion.
 */
void deletion_store_report(store_t *store, str_t id, uint64_t reported_ms, bool gone, size_t *deleted,
                           bool *changed);

/* Deletes all previews of a box. */
MUST_USE store_result_t deletion_store_forget(store_t *store, str_t id, size_t *deleted);

#endif
