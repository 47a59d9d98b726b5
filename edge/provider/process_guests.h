/*
 * Guests: boxes of this machine whose process a caller of the admin socket runs itself (`boxedge dev`), so
 * that no command ever passes the socket. A guest has a lease, which its caller renews; without that the box
 * is gone. While its process listens on no port the box counts as paused, and a resume waits for the port.
 */
#ifndef BOXEDGE_PROCESS_GUESTS_H
#define BOXEDGE_PROCESS_GUESTS_H

#include "loop.h"
#include "provider.h"

#define PROCESS_GUESTS_MAX 64
#define PROCESS_LEASE_MAX  64
/* Lifetime of a lease without a renewal. */
#define PROCESS_LEASE_MS 30000
/* Maximum time that a resume waits for a port. */
#define PROCESS_GUEST_PATIENCE_MS 30000

typedef struct process_guests process_guests_t;

/* A plain value. */
typedef struct process_guest {
    char id[BOX_ID_MAX + 1];
    char lease[PROCESS_LEASE_MAX + 1]; /* a random word of the caller, not empty */
    uint16_t port;                     /* of its preview */
    uint16_t listens;                  /* on which the process listens; 0: on none at the moment */
    bool loopback6;                    /* at ::1, else at 127.0.0.1 */
    uint32_t pid;                      /* a process in its network namespace; 0: unknown */
} process_guest_t;

/* Reports through the handlers of `provider`, which must outlive it. */
process_guests_t *process_guests_new(loop_t *loop, provider_t *provider);
/* Reports nothing more. */
void process_guests_free(process_guests_t **guests);

/* Adds the guest, or renews it. Returns NULL, and sets *fresh if it was not there. Otherwise the word of a
 * refusal: "box_taken" (another lease has the id), "too_many_boxes". */
const char *process_guests_put(process_guests_t *guests, const process_guest_t *guest, bool *fresh);
/* Ends the guest with this lease: its box is gone. False if there is none. */
MUST_USE bool process_guests_drop(process_guests_t *guests, str_t id, str_t lease);
bool process_guests_has(const process_guests_t *guests, str_t id);

/* ---- for the provider ---- */

/* Reports the box again. False if it is no guest. */
MUST_USE bool process_guests_report(process_guests_t *guests, str_t id);
void process_guests_report_all(process_guests_t *guests);
/* Answers `resumed` later. False if it is no guest. */
MUST_USE bool process_guests_resume(process_guests_t *guests, str_t id);
/* Ends the guests whose id the configuration has now. */
void process_guests_set_conf(process_guests_t *guests, const conf_t *conf);

#endif
