/*
 * What the files of activity share (activity.c, activity_report.c, activity_look.c); nobody else's.
 */
#ifndef BOXEDGE_ACTIVITY_INTERNAL_H
#define BOXEDGE_ACTIVITY_INTERNAL_H

#include "activity.h"

#include "exchange.h"
#include "idle_window.h"
#include "list.h"
#include "worker.h"

/* Boxes without an exchange that are remembered, at most. */
#define ACTIVITY_RESTING_MAX 16384
/* A power of two. */
#define ACTIVITY_BUCKETS 4096
/* Boxes that one turn of the loop looks up in the store, at most: about half a millisecond. */
#define ACTIVITY_LOOKS_A_TURN 256

typedef struct active_box active_box_t;

/* A box that exchanges use, or used until lately. */
struct active_box {
    active_box_t *next; /* of the chain */
    active_box_t **prev_next;
    list_t link;    /* of activity->used, or of activity->resting: oldest first */
    list_t urgent;  /* of activity->urgent, where it came into use and that was not told */
    list_t look;    /* of activity->looked or activity->unlooked */
    list_t entries; /* activity_entry_t.link */
    uint64_t hash;
    box_state_t state;       /* as the store had it last */
    uint64_t generation;     /* the same */
    struct in6_addr address; /* the same */
    uint32_t pid;            /* the same */
    bool touched;            /* an exchange began or ended since it was last told */
    uint64_t told_ms;        /* the controller was told that it is active; 0: never */
    uint64_t rested_ms;      /* its last exchange ended */
    uint64_t client_ms;      /* a client's bytes went to it, on a connection that was open */
    uint64_t looked_ms;      /* the controller was told of its silence */
    uint64_t wake_until_ms;  /* it is to be woken for such bytes: asked again until then */
    uint64_t wake_asked_ms;  /* the controller was asked to */
    uint16_t wake_port;      /* where those bytes go */
    char id[BOX_ID_MAX + 1]; /* the key */
};

struct activity {
    worker_t *worker;
    store_t *store;
    channel_t *channel;  /* NULL: the controller is down */
    uint64_t now_ms;     /* of the last turn */
    uint64_t second_ms;  /* when the report of each second was made */
    uint64_t looked_ms;  /* when the store was looked at */
    uint64_t epoch;      /* of the store, before that */
    uint64_t look_epoch; /* of the looks that are under way */
    loop_task_t look_on; /* so that they go on in the next turn, without a wait */
    bool changed;        /* PROCESS_BOXES came since */
    bool lost;           /* a report did not arrive: the next one tells all */
    size_t count;
    size_t resting_count;
    list_t used;
    list_t resting;
    list_t urgent;
    list_t looked;   /* boxes as the store had them at look_epoch or later */
    list_t unlooked; /* the others: to be looked up */
    active_box_t *buckets[ACTIVITY_BUCKETS];
};

/* One exchange with its box; lives in the exchange's arena. */
typedef struct activity_entry {
    list_t link; /* active_box_t.entries */
    exchange_t *ex;
    active_box_t *box;
    idle_window_t window; /* where `streams` */
    uint64_t waits_ms;    /* since then no byte was seen to move while it waits for an answer; 0: unknown */
    uint64_t sent_bytes;  /* of its body, at that time */
    bool streams;         /* a tunnel or an event stream: holds the box only while it carries something */
    bool looked;          /* its silence was told to the controller */
    bool idle;            /* a request that wakes no box: it counts only while its answer takes long */
    bool seen;            /* by the report of a second */
} activity_entry_t;

void activity_forget(activity_t *activity, active_box_t **box);

/* ---- activity_report.c ---- */
/* Those of activity->urgent, now. */
void activity_report_urgent(activity_t *activity);
/* Each second: what is active, what is silent, what is to be woken; forgets what has rested. */
void activity_report(activity_t *activity);
/* Bytes for a box that sleeps: it is to be woken. */
void activity_want_wake(activity_t *activity, active_box_t *box);

/* ---- activity_look.c ---- */
/* Looks at the boxes in use where the store changed and it is time to. */
void activity_look(activity_t *activity);

#endif
