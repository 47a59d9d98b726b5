/*
 * Opens the destination of the access log (`log.access`). Workers cannot open it: they have no rights.
 */
#ifndef BOXEDGE_LOG_TARGET_H
#define BOXEDGE_LOG_TARGET_H

#include <limits.h>

#include "conf.h"
#include "line_output.h"

#define LOG_TARGET_ERROR_MAX (PATH_MAX + 256)
/* Maximum time for the name of a syslog server. */
#define LOG_TARGET_NAME_MS 2000

/* Returns false with a sentence in `error`. Without a log, the target has no descriptor. */
MUST_USE bool log_target_open(const conf_t *conf, line_target_t *target, char *error, size_t error_len);
/* Closes it, if it is open. */
void log_target_close(line_target_t *target);

#endif
