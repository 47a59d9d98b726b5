/* Shared by boxes.c, boxes_endpoints.c, boxes_refusal.c and boxes_store.c only. */
#ifndef BOXEDGE_BOXES_INTERNAL_H
#define BOXEDGE_BOXES_INTERNAL_H

#include "boxes.h"
#include "list.h"
#include "name_map.h"

#define BOXES_LISTENERS_MAX 4
#define PROVIDER_KINDS      4

typedef struct box_entry box_entry_t;
typedef struct box_endpoint box_endpoint_t;
typedef struct box_host box_host_t;

/* A callback that runs once the store has the state that the box had when the callback was added. */
typedef struct box_after {
    struct box_after *next;
    uint64_t change; /* entry->changes at that time */
    void (*run)(box_entry_t *entry, struct box_after *after);
    provider_result_t result; /* of a resume */
    char sentence[256];
    void (*done)(void *arg); /* of boxes_set_listening */
    void *arg;
} box_after_t;

/* The end of a resume that needs no write first; listeners get it at the end of the turn. */
typedef struct box_result {
    struct box_result *next;
    provider_result_t result;
    char id[BOX_ID_MAX + 1];
    char sentence[256];
} box_result_t;

struct box_entry {
    store_box_t box; /* current state; its id is the key */
    boxes_t *boxes;
    uint32_t sync;                 /* the last listing that had it */
    uint64_t reported_ms;          /* unix ms: boxes_reported_ms */
    uint64_t doubted_us;           /* wall clock of the last doubt; an earlier report does not clear it */
    box_endpoint_t *endpoint;      /* its reported address (boxes_endpoints.c); NULL: none */
    list_t at_endpoint;            /* in endpoint->boxes */
    provider_t *resuming_provider; /* the provider that has not yet answered its resume; NULL: none */
    const char *refusal;           /* why the edge must not connect to it, a literal; NULL: it may */
    uint64_t changes;              /* counter of changes of `box` */
    uint64_t written;              /* the change that the store has */
    store_box_t stored;            /* the store's record */
    bool writing;                  /* the store's thread has `job` */
    bool missing;                  /* the store has no record of it */
    bool taken; /* the configuration has a box of this id: its record is not ours to write */
    uint64_t job_change;
    store_box_t job_box;
    bool job_skip; /* the job writes nothing */
    store_job_t job;
    store_result_t job_result;
    box_after_t *after; /* in order */
    loop_timer_t retry; /* runs after a full queue or a failed write */
    uint32_t retry_ms;  /* its delay after the last failed write; 0: that was taken */
    loop_timer_t gone;  /* deletes its previews once it has been gone for GONE_MS */
};

typedef struct boxes_subscriber {
    const boxes_handlers_t *handlers;
    void *owner;
} boxes_subscriber_t;

struct boxes {
    loop_t *loop;
    conf_t *conf;
    store_thread_t *store;
    worker_links_t *worker_links;
    name_map_t by_id;       /* box_entry_t */
    name_map_t by_endpoint; /* box_endpoint_t (boxes_endpoints.c) */
    name_map_t by_host;     /* box_host_t (boxes_endpoints.c) */
    bool full_logged;
    loop_task_t nudge;                    /* notifies the workers of changed boxes */
    box_result_t *results, **results_end; /* in order */
    loop_task_t notify;
    bool stopping;
    uint64_t last_generation;
    uint32_t sync[PROVIDER_KINDS];
    provider_t *providers[PROVIDER_KINDS]; /* NULL: none of that kind */
    boxes_subscriber_t listeners[BOXES_LISTENERS_MAX];
    size_t listener_count;
};

/* Why the edge must not connect to a box that its provider reports as running; NULL: it may. */
const char *boxes_refusal(const boxes_t *boxes, box_provider_t kind, const provider_box_t *report);
/* Empty maps of endpoints and of hosts. */
name_map_t boxes_no_endpoints(void);
name_map_t boxes_no_hosts(void);
/*
 * Joins the boxes at the endpoint in the box's record, or leaves its endpoint if the record has none. Doubts
 * each running box of a control plane that it meets at the new endpoint.
 */
void boxes_join_endpoint(box_entry_t *entry);
void boxes_leave_endpoint(box_entry_t *entry);
/* Doubts a running box: requests go to it only after a new question. Answers to earlier questions do not
 * count. */
void boxes_mistrust(box_entry_t *entry);
/* Notifies the listeners of a report of the box. */
void boxes_reported(const box_entry_t *entry);
/* entry->box changed: writes it as soon as the write under way ends. */
void boxes_changed(box_entry_t *entry);
/* Takes over `after` and runs it once the store has entry->box, whose state must be known. Never from within.
 */
void boxes_after(box_entry_t *entry, box_after_t *after);
/* Takes the box out of the table and frees it, later if a write or a callback is pending. */
void boxes_remove(box_entry_t *entry);
/* Deletes the previews, the record and the entry of a box that has been gone for long. */
void boxes_forget(box_entry_t *entry);

#endif
