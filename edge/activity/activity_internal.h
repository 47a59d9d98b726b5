/*
 * Shared by activity.c, activity_report.c and activity_look.c only.
 */
#ifndef BOXEDGE_ACTIVITY_INTERNAL_H
#define BOXEDGE_ACTIVITY_INTERNAL_H

#include "activity.h"

#include "exchange.h"
#include "idle_window.h"
#include "list.h"
#include "worker.h"

/* Maximum remembered boxes without an exchange. */
#define ACTIVITY_RESTING_MAX 16384
/* A power of two. */
#define ACTIVITY_BUCKETS 4096
/* Maximum lookups in the store per turn: about half a millisecond. */
#define ACTIVITY_LOOKS_A_TURN 256

typedef struct active_box active_box_t;

/* A box that exchanges use, or used lately. */
struct active_box {
    active_box_t *next; /* in the chain of its bucket */
    active_box_t **prev_next;
    list_t link;    /* in activity->used, or in activity->resting: oldest first */
    list_t urgent;  /* in activity->urgent: in use, and not reported yet */
    list_t look;    /* in activity->looked or activity->unlooked */
    list_t entries; /* activity_entry_t.link */
    uint64_t hash;
    box_state_t state; /* these four: from the last record read */
    uint64_t generation;
    struct in6_addr address;
    uint32_t pid;
    bool touched;               /* an exchange began or ended since the last report */
    uint64_t reported_ms;       /* last report of it as active; 0: never */
    uint64_t rested_ms;         /* end of its last exchange */
    uint64_t client_ms;         /* last client bytes to it on an open connection */
    uint64_t looked_ms;         /* last report of its silence */
    uint64_t wake_until_ms;     /* such bytes wake it: requests repeat until then */
    uint64_t wake_requested_ms; /* last request to wake it */
    uint16_t wake_port;         /* destination of those bytes */
    char id[BOX_ID_MAX + 1];    /* the key */
};

struct activity {
    worker_t *worker;
    store_t *store;
    channel_t *channel;  /* NULL: the controller is down */
    uint64_t now_ms;     /* of the last turn */
    uint64_t second_ms;  /* last report of each second */
    uint64_t looked_ms;  /* last check of the store */
    uint64_t epoch;      /* of the store, read before that check */
    uint64_t look_epoch; /* of the lookups in progress */
    loop_task_t look_on; /* continues them in the next turn, without a wait */
    bool changed;        /* PROCESS_BOXES came since that check */
    bool lost;           /* a report did not arrive: the next one names all boxes */
    size_t count;
    size_t resting_count;
    list_t used;
    list_t resting;
    list_t urgent;
    list_t looked;   /* boxes whose record is of look_epoch or later */
    list_t unlooked; /* the others, to be looked up */
    active_box_t *buckets[ACTIVITY_BUCKETS];
};

/* One exchange with its box, in the exchange's arena. */
typedef struct activity_entry {
    list_t link; /* in active_box_t.entries */
    exchange_t *ex;
    active_box_t *box;
    idle_window_t window; /* with `streams` */
    uint64_t waits_ms;    /* no byte has moved since, and no answer came; 0: unknown */
    uint64_t sent_bytes;  /* bytes of the request sent at that time */
    bool streams;         /* a tunnel or an event stream: holds the box only while it carries something */
    bool looked;          /* the controller knows of its silence */
    bool idle;            /* a request that wakes no box: counts only if its answer takes long */
    bool seen;            /* by a report of each second */
} activity_entry_t;

void activity_forget(activity_t *activity, active_box_t **box);

/* ---- activity_report.c ---- */
/* Reports the boxes of activity->urgent. */
void activity_report_urgent(activity_t *activity);
/* Each second: reports active and silent boxes, requests wakes, forgets boxes that have rested. */
void activity_report(activity_t *activity);
/* Bytes went to a sleeping box: requests its wake. */
void activity_want_wake(activity_t *activity, active_box_t *box);

/* ---- activity_look.c ---- */
/* Looks up the boxes in use if the store has changed and a check is due. */
void activity_look(activity_t *activity);

#endif
