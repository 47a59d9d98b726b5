/*
 * Tells the service manager how it stands (sd_notify(3)): a datagram to the socket that $NOTIFY_SOCKET names.
 */
#ifndef BOXEDGE_SD_NOTIFY_H
#define BOXEDGE_SD_NOTIFY_H

/* Sends `state`, lines such as "READY=1". Without a manager it does nothing; errors are nobody's concern. */
void sd_notify_send(const char *state);

#endif
