/*
 * Errors and warnings about the certificates of a configuration, with the line that names the file: the same
 * in `boxedge check`, at a start and at a reload.
 */
#ifndef BOXEDGE_CERTIFICATE_CHECK_H
#define BOXEDGE_CERTIFICATE_CHECK_H

#include "conf.h"
#include "tls.h"

/*
 * Adds an error for each certificate that could not be served (a key of another certificate, or with a
 * password), and a warning for each certificate that clients would refuse: not valid at `now_unix`, or
 * without a name that is served here; and for each served name that no certificate has. `pems`:
 * conf->certificates as they were read, in their order.
 */
void certificate_check(const conf_t *conf, const tls_pem_t *pems, uint64_t now_unix, conf_errors_t *errors);

#endif
