/*
 * Detects changes to the files of certificates and keys, those of upstreams included. It looks at
 * the files each CERTIFICATE_WATCH_MS instead of asking the kernel for events: ACME clients replace
 * files, write into them, or switch a symbolic link anywhere in the path, and network file systems
 * report no events.
 */
#ifndef BOXEDGE_CERTIFICATE_WATCH_H
#define BOXEDGE_CERTIFICATE_WATCH_H

#include "conf.h"

#define CERTIFICATE_WATCH_MS 1000u

/* Zero-filled: has not looked yet. */
typedef struct certificate_watch {
    uint64_t seen;  /* signature at the last look */
    uint64_t tried; /* signature of files that were refused */
    uint64_t due_ms;
} certificate_watch_t;

/* Identity, size and times of all the files; equal as long as nothing writes them. Reads no
 * content. */
uint64_t certificate_watch_signature(const conf_t *conf);
/*
 * Returns true if the files differ from those in use, whose signature is `used`, and from those
 * that were refused last, and have not changed since the last look: a writer gets time to end. The
 * caller then tries them; without success it reports that once.
 */
MUST_USE bool certificate_watch_changed(certificate_watch_t *watch, const conf_t *conf, uint64_t used,
                                        uint64_t now_ms);

#endif
