/*
 * What the files of uses share (uses.c, uses_report.c, uses_look.c); nobody else's.
 */
#ifndef BOXEDGE_USES_INTERNAL_H
#define BOXEDGE_USES_INTERNAL_H

#include "uses.h"

#include "exchange.h"
#include "list.h"
#include "worker.h"

/* Boxes without an exchange that are remembered, at most. */
#define USES_RESTING_MAX 16384
/* A power of two. */
#define USES_BUCKETS 4096
/* Boxes that one turn of the loop looks up in the store, at most: about half a millisecond. */
#define USES_LOOKS_A_TURN 256

typedef struct box_use box_use_t;

/* A box that exchanges use, or used until lately. */
struct box_use {
    box_use_t *next; /* of the chain */
    box_use_t **prev_next;
    list_t link;   /* of uses->used, or of uses->resting: oldest first */
    list_t urgent; /* of uses->urgent, where it came into use and that was not told */
    list_t look;   /* of uses->looked or uses->unlooked */
    list_t uses;   /* use_t.link */
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

struct uses {
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
    box_use_t *buckets[USES_BUCKETS];
};

void uses_forget(uses_t *uses, box_use_t **box);

/* ---- uses_report.c ---- */
/* Those of uses->urgent, now. */
void uses_report_urgent(uses_t *uses);
/* Each second: what is active, what is silent, what is to be woken; forgets what has rested. */
void uses_report(uses_t *uses);
/* Bytes for a box that sleeps: it is to be woken. */
void uses_want_wake(uses_t *uses, box_use_t *box);

/* ---- uses_look.c ---- */
/* Looks at the boxes in use where the store changed and it is time to. */
void uses_look(uses_t *uses);

#endif
