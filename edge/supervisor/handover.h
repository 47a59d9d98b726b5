/*
 * Messages between the supervisors of an upgrade: the edge that serves ("successor"), and each older edge
 * whose workers still carry requests or tunnels. One ipc.h channel for each older edge; a successor hands its
 * end on to its own successor. Types keep their numbers: programs of different versions speak them.
 *
 *   successor                            old edge
 *      | prepared ------------------------> |   it can start; the old controller ends now
 *      | <------------------------------ go |   the old controller has ended
 *      | boxes ---------------------------> |   the successor's runner takes the process boxes over
 *      | join ----------------------------> |   the successor's controller runs
 *      | <--------- link, for each worker   |
 *      | serves --------------------------> |   the old workers drain
 *      | join, log, end ------------------> |   at any later time
 *      | <-------------------- link, died   |
 */
#ifndef BOXEDGE_HANDOVER_H
#define BOXEDGE_HANDOVER_H

typedef enum handover_message {
    HANDOVER_PREPARED = 1, /* value 1: both share the old edge's core (core.h) and store */
    HANDOVER_GO,
    HANDOVER_JOIN, /* asks for a new channel to each of the old edge's workers */
    HANDOVER_LINK, /* descriptor [0] is a controller's end of the channel to the worker with number `value` */
    HANDOVER_DIED, /* the worker with number `value` ended */
    HANDOVER_SERVES,
    HANDOVER_LOG,   /* write access lines to descriptor [0] from now on; without one, write none */
    HANDOVER_END,   /* requests and tunnels end within timeouts.drain from now on */
    HANDOVER_BOXES, /* descriptor [0] is the channel to the successor's runner (runner/boxes_message.h) */
    HANDOVER_LOG_DATAGRAMS, /* as HANDOVER_LOG, with a datagram for each line; value: line_form_t. A program
                               that does not know it keeps its log */
} handover_message_t;

#endif
