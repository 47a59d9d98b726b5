/*
 * Shared by the parts of the docker provider only: containers and boxes (docker_boxes.c), the listing and the
 * stream of events (docker_sync.c), resumes and pauses (docker_resume.c), output of containers
 * (docker_reading.c), and the provider itself (provider_docker.c).
 *
 * All knowledge of a container comes from inspections; events only name the container to inspect. A container
 * has one inspection under way at a time, so that answers cannot overtake each other.
 */
#ifndef BOXEDGE_DOCKER_INTERNAL_H
#define BOXEDGE_DOCKER_INTERNAL_H

#include "deadline.h"
#include "docker_calls.h"
#include "docker_json.h"
#include "docker_lines.h"
#include "list.h"
#include "name_map.h"
#include "provider_docker.h"

/* Maximum containers. */
#define DOCKER_CONTAINERS_MAX 16384
#define DOCKER_INSPECT_MS     10000
#define DOCKER_LIST_MS        20000
/* Time limits of a resume: from the request to the engine on, and before it, behind other calls or for a
 * changing container. */
#define DOCKER_RESUME_MS 20000
#define DOCKER_QUEUE_MS  60000
/* A container that ends by itself within this time of its start, this often in a row, is in a loop. */
#define DOCKER_CRASH_MS    10000
#define DOCKER_CRASHES_MAX 2

typedef struct docker docker_t;
typedef struct docker_box docker_box_t;

/* Knowledge of a container. */
typedef enum docker_known {
    DOCKER_KNOWN_NOT, /* its first inspection is under way */
    DOCKER_KNOWN_BOX,
    DOCKER_KNOWN_OTHER, /* not a box */
} docker_known_t;

/* A container with the label. */
typedef struct docker_entry {
    char id[DOCKER_ID_MAX + 1];
    docker_t *docker;
    docker_known_t known;
    docker_container_t seen; /* of the last inspection, for a box */
    docker_box_t *box;       /* its box; NULL: not a box */
    struct docker_entry *next;
    uint64_t listed;   /* the last listing that had it */
    bool counted;      /* the listing waits for its inspection */
    uint64_t ended_ms; /* loop_now at its observed end; 0: not observed */
    uint64_t ran_ms;   /* loop_now at the observed start of its current or last run */
    unsigned crashes;  /* runs in a row that ended soon after their start */
    docker_call_t inspect;
    uint64_t requested; /* number of requested inspections */
    uint64_t covers;    /* value of `requested` that the one under way covers */
    uint64_t answered;  /* value of `requested` that is answered */
    unsigned failures;
    loop_timer_t again; /* runs after a failure */
} docker_entry_t;

typedef enum docker_resume {
    RESUME_NONE,
    RESUME_NEW,    /* begins at the end of this turn */
    RESUME_SYNC,   /* waits for the listing: the box is unknown yet */
    RESUME_PAUSE,  /* waits for the end of a pause */
    RESUME_ACT,    /* waits for unpause or start */
    RESUME_INIT,   /* runs `init` */
    RESUME_LOOK,   /* waits for an inspection */
    RESUME_CHANGE, /* waits before it looks again */
    RESUME_LOG,    /* waits for the last output: it has failed */
} docker_resume_t;

/* A box: its containers, of which one counts. */
struct docker_box {
    char id[BOX_ID_MAX + 1];
    docker_t *docker;
    docker_entry_t *first; /* of its containers */
    docker_entry_t *chosen;
    bool warned; /* the log has it: several containers */
    bool look;   /* a look waits, and no container can be inspected */
    /* The last report. */
    bool reported;
    char reported_container[DOCKER_ID_MAX + 1];
    uint64_t reported_started_ns;
    /* A resume. */
    docker_resume_t resume;
    docker_entry_t *target;  /* the container to resume; `chosen` at the start */
    docker_state_t acted_on; /* its state before the last call */
    bool acted_well;         /* that call succeeded */
    unsigned acts;
    unsigned relooks;        /* after a refusal, or a failed inspection */
    uint64_t target_request; /* RESUME_LOOK: the first inspection that counts */
    char exec[DOCKER_EXEC_MAX + 1];
    char why[128];                  /* RESUME_LOG: the sentence before the last output */
    provider_question_t last_words; /* RESUME_LOG */
    docker_call_t call;
    loop_timer_t limit;
    loop_timer_t change;
    /* A pause. */
    docker_call_t pause;
    /* Output. */
    list_t questions; /* provider_question_t.link; the first is under way */
    docker_call_t reading;
    struct docker_log *log; /* the log that `reading` fills */
    uint64_t read_tail;     /* requested entries; 0: all */
    size_t read_bytes;
    loop_timer_t reading_limit;
    list_t link; /* of docker->todo */
};

typedef enum docker_sync {
    SYNC_OFF,     /* before the first turn */
    SYNC_WAITING, /* for the next try */
    SYNC_LISTING,
    SYNC_INSPECTING, /* the listed containers */
    SYNC_DONE,       /* events follow */
} docker_sync_t;

struct docker {
    provider_t provider;
    loop_t *loop;
    fetcher_t *fetcher;
    docker_engine_t *engine;
    char *label;
    uint32_t idle_ms;
    name_map_t entries; /* docker_entry_t by id */
    name_map_t boxes;   /* docker_box_t by id */
    loop_task_t task;
    list_t todo; /* boxes with work for the end of the turn */
    /* The listing and the events. */
    docker_sync_t sync;
    uint64_t listing; /* the number of the last begun */
    size_t uninspected;
    bool incomplete; /* it has uninspected containers */
    docker_call_t list;
    fetch_t *events;
    docker_lines_t *lines;
    deadline_t retry;
    loop_timer_t steady; /* from a complete listing on: then the engine counts as back */
    unsigned tries;      /* failures in a row */
    bool lost;           /* the log has it: the engine is unreachable */
    uint64_t random;
};

/* ---- docker_boxes.c ---- */
docker_entry_t *docker_find_entry(const docker_t *docker, const char *id);
/* Finds or adds the container; NULL if too many exist. */
docker_entry_t *docker_add_entry(docker_t *docker, const char *id);
/* The container is gone; frees it. */
void docker_remove_entry(docker_entry_t *entry);
/* Requests an inspection, after the one under way. */
void docker_inspect(docker_entry_t *entry, bool background);
docker_box_t *docker_find_box(const docker_t *docker, str_t id);
docker_box_t *docker_add_box(docker_t *docker, str_t id);
/* Reports the current state of the box. */
void docker_notify(docker_box_t *box);
/* Frees the box if it has no containers and no work. */
void docker_drop_box(docker_box_t *box);
/* Frees all, without callbacks. */
void docker_free_boxes(docker_t *docker);

/* ---- docker_sync.c ---- */
/* Begins at the next turn; also begins again, for a new configuration or if the known state may be wrong. */
void docker_sync_restart(docker_t *docker);
void docker_sync_stop(docker_t *docker);
/* A container that the listing waits for was inspected, or is gone. */
void docker_sync_counted(docker_t *docker);

/* ---- docker_reading.c ---- */
/* The provider's `line` and `log` (provider.h). */
MUST_USE bool docker_reading_request(docker_box_t *box, provider_question_t *question, bool line);
void docker_reading_forget(provider_question_t *question);
/* Continues with the waiting questions. */
void docker_reading_work(docker_box_t *box);
/* Refuses all questions. */
void docker_reading_end(docker_box_t *box);

/* ---- docker_resume.c ---- */
/* Runs docker_reading_work and docker_resume_work at the end of the turn. */
void docker_put_off(docker_box_t *box);
void docker_resume_work(docker_box_t *box);
/* `entry` was inspected (`failed`: in vain); NULL: another container may count now. */
void docker_resume_seen(docker_box_t *box, docker_entry_t *entry, bool failed);
void docker_pause(docker_box_t *box);
/* Cancels the calls under way, without callbacks. */
void docker_resume_cancel(docker_box_t *box);

#endif
