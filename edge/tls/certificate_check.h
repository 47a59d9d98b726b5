/*
 * Errors and warnings about the certificates of a configuration, with the line that names the file.
 * They are the same in `boxedge check`, at a start and at a reload.
 */
#ifndef BOXEDGE_CERTIFICATE_CHECK_H
#define BOXEDGE_CERTIFICATE_CHECK_H

#include "conf.h"
#include "tls.h"

/*
 * Adds an error for each certificate that cannot be served: its key belongs to another certificate
 * or has a password. Adds a warning for each certificate that clients would refuse: not valid at
 * `now_unix`, or without a served name. Adds a warning for each served name without a certificate.
 * `pems` has the contents of conf->certificates in their order.
 */
void certificate_check(const conf_t *conf, const tls_pem_t *pems, uint64_t now_unix, conf_errors_t *errors);

#endif
