/*
 * What is wrong with the certificates of a configuration, with the line that names the file: said alike by
 * `boxedge check`, at a start and at a reload.
 */
#ifndef BOXEDGE_CERTIFICATE_CHECK_H
#define BOXEDGE_CERTIFICATE_CHECK_H

#include "conf.h"
#include "tls.h"

/*
 * Adds an error for each certificate that could not be served (a key of another certificate, or with a
 * password), and a warning for what clients would refuse: one that is not valid at `now_unix`, one that has
 * no name that is served here, and names that none has. `pems`: conf->certificates as they were read, in
 * their order.
 */
void certificate_check(const conf_t *conf, const tls_pem_t *pems, uint64_t now_unix, conf_errors_t *errors);

#endif
