/*
 * What the files of boxes share (boxes.c, boxes_places.c, boxes_store.c); nobody else's.
 */
#ifndef BOXEDGE_BOXES_INTERNAL_H
#define BOXEDGE_BOXES_INTERNAL_H

#include "boxes.h"
#include "list.h"
#include "name_map.h"

#define BOXES_LISTENERS_MAX 4
#define PROVIDER_KINDS      4

typedef struct box_entry box_entry_t;
typedef struct box_place box_place_t;
typedef struct box_site box_site_t;

/* Something to be done once the store has what the box was when it was asked for. */
typedef struct box_after {
    struct box_after *next;
    uint64_t change; /* entry->changes then */
    void (*run)(box_entry_t *entry, struct box_after *after);
    provider_result_t result; /* of a resume */
    char sentence[256];
    void (*done)(void *arg); /* of boxes_set_listening */
    void *arg;
} box_after_t;

/* The end of a resume of which nothing is to be written first: told at the end of the turn. */
typedef struct box_untold {
    struct box_untold *next;
    provider_result_t result;
    char id[BOX_ID_MAX + 1];
    char sentence[256];
} box_untold_t;

struct box_entry {
    store_box_t box; /* as it is; its id is the key */
    boxes_t *boxes;
    uint32_t sync;       /* the listing in which it was told last */
    uint64_t heard_ms;   /* unix ms: of when the last word of its provider is */
    uint64_t doubted_us; /* wall clock: when it was doubted last; a word from before leaves the doubt */
    box_place_t *place;  /* where it was told to be (boxes_places.c); NULL: nowhere */
    list_t at_place;     /* in place->boxes */
    provider_t *asked;   /* to resume it, and has not answered; NULL: none */
    const char *refusal; /* why nobody connects to it, a literal; NULL: nothing is wrong */
    uint64_t changes;    /* of `box`, counted */
    uint64_t written;    /* of them, what the store has */
    store_box_t stored;  /* what the store has */
    bool writing;        /* `job` is under way */
    bool missing;        /* the store has no record of it */
    bool taken;          /* the configuration has a box of this id, whose record is not ours to write */
    uint64_t job_change;
    store_box_t job_box;
    bool job_skip; /* it is not to be written */
    store_job_t job;
    store_result_t job_result;
    box_after_t *after; /* in their order */
    loop_timer_t retry; /* the store's queue was full, or it took nothing */
    loop_timer_t gone;  /* its previews go when it has been gone so long */
};

typedef struct boxes_listener {
    const boxes_handlers_t *handlers;
    void *owner;
} boxes_listener_t;

struct boxes {
    loop_t *loop;
    conf_t *conf;
    store_thread_t *store;
    worker_links_t *worker_links;
    name_map_t by_id;    /* box_entry_t */
    name_map_t by_place; /* box_place_t (boxes_places.c) */
    name_map_t by_site;  /* box_site_t (boxes_places.c) */
    bool full_logged;
    loop_task_t nudge;                  /* tells the workers that boxes changed */
    box_untold_t *untold, **untold_end; /* in their order */
    loop_task_t tell;
    bool stopping;
    uint64_t last_generation;
    uint32_t sync[PROVIDER_KINDS];
    provider_t *providers[PROVIDER_KINDS]; /* NULL: none of that kind */
    boxes_listener_t listeners[BOXES_LISTENERS_MAX];
    size_t listener_count;
};

/* Why nobody may connect to the box where its provider says that it runs; NULL: nothing is wrong. */
const char *boxes_refusal(const boxes_t *boxes, box_provider_t kind, const provider_box_t *told);
/* Empty maps of places, and of their addresses. */
name_map_t boxes_no_places(void);
name_map_t boxes_no_sites(void);
/*
 * The box was told to be as its record says: it takes its place among those that were told at that address.
 * A control plane's that it meets there are asked about before a request goes to them again. Or it leaves its
 * place.
 */
void boxes_take_place(box_entry_t *entry);
void boxes_leave_place(box_entry_t *entry);
/* The box, which is thought to run, is asked about from now on before a request goes to it: answers to
 * earlier questions do not count. */
void boxes_mistrust(box_entry_t *entry);
/* Its provider spoke of the box: tells those who listen. */
void boxes_heard(const box_entry_t *entry);
/* entry->box changed: it is written as soon as what is under way is done. */
void boxes_changed(box_entry_t *entry);
/* Runs `after` (which is taken over) once the store has what entry->box, of a known state, is now; never from
 * within. */
void boxes_after(box_entry_t *entry, box_after_t *after);
/* Takes the box out of the table and frees it, unless something of it is under way: then later. */
void boxes_remove(box_entry_t *entry);
/* The box has been gone for long: its previews, its record and it itself are removed. */
void boxes_forget(box_entry_t *entry);

#endif
