/*
 * Reports state to the service manager (sd_notify(3)): a datagram to the socket that $NOTIFY_SOCKET
 * names.
 */
#ifndef BOXEDGE_SD_NOTIFY_H
#define BOXEDGE_SD_NOTIFY_H

/* Sends `state`, lines such as "READY=1". No-op without a manager; errors are ignored. */
void sd_notify_send(const char *state);

#endif
