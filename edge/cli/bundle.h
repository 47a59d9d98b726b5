/*
 * The parts of a support bundle (cmd_support_bundle.c): texts, and the reasons for missing ones.
 */
#ifndef BOXEDGE_BUNDLE_H
#define BOXEDGE_BUNDLE_H

#include <stdio.h>

#include "conf.h"
#include "scrub.h"

#define BUNDLE_PARTS_MAX 16

typedef struct bundle_part {
    const char *name; /* of its file, a literal */
    char *text;       /* NULL: missing */
} bundle_part_t;

/* Zero-filled: empty. */
typedef struct bundle {
    bundle_part_t parts[BUNDLE_PARTS_MAX];
    size_t count;
    scrub_t scrub; /* applies to all parts */
    char *missing; /* lines, "name: reason"; NULL: none */
} bundle_t;

/* Adds a text, and takes it over (malloc). */
void bundle_add(bundle_t *bundle, const char *name, char *text);
/* Notes that a part is missing, or not whole. */
void bundle_miss(bundle_t *bundle, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A stream for a part: open, print, close. */
typedef struct bundle_stream {
    FILE *out;
    char *text;
    size_t len;
} bundle_stream_t;
FILE *bundle_open(bundle_stream_t *stream);
void bundle_close(bundle_t *bundle, bundle_stream_t *stream, const char *name);
/* Writes all parts as a tar archive below the folder `folder`. Returns false with errno. */
MUST_USE bool bundle_write(const bundle_t *bundle, const char *folder, uint64_t now_unix, FILE *out);
void bundle_fini(bundle_t *bundle);

/* ---- bundle_facts.c: parts that need no edge ---- */

/* Versions of the program and of the machine. */
void bundle_add_versions(bundle_t *bundle);
/* Limits of this process, and of the processes of the running edge. */
void bundle_add_limits(bundle_t *bundle);
/* Names, owners, modes and sizes of files; `conf` NULL: the configuration cannot be used. */
void bundle_add_files(bundle_t *bundle, const conf_t *conf);
/* Certificates, without keys. */
void bundle_add_certificates(bundle_t *bundle, const conf_t *conf);
/* The journal of the unit, if this machine has systemd. */
void bundle_add_journal(bundle_t *bundle);

#endif
