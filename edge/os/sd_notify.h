/*
 * Reports state to the service manager (sd_notify(3)): a datagram to the socket that $NOTIFY_SOCKET
 * names.
 */
#ifndef BOXEDGE_SD_NOTIFY_H
#define BOXEDGE_SD_NOTIFY_H

#include <stdint.h>

/* Sends `state`, lines such as "READY=1". No-op without a manager; errors are ignored. */
void sd_notify_send(const char *state);

/* The interval in ms at which the manager's watchdog wants "WATCHDOG=1": half of $WATCHDOG_USEC
 * (sd_watchdog_enabled(3)). 0: none, or $WATCHDOG_PID is another process. */
uint64_t sd_watchdog_interval_ms(void);
/* In a child before the exec of a successor: hands the watchdog on to it. */
void sd_watchdog_hand_on(void);

#endif
