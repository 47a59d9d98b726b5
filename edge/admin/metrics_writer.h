/*
 * Writes metrics in the Prometheus text format (version 0.0.4), or their reference: the same calls without
 * samples, as rows of a table in Markdown. A family is written once, with its samples after it.
 */
#ifndef BOXEDGE_METRICS_WRITER_H
#define BOXEDGE_METRICS_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Maximum labels of a family. */
#define METRICS_LABELS_MAX 4

typedef enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM } metrics_type_t;

typedef struct metrics_writer {
    FILE *out;
    bool reference;
    const char *name; /* of the family, without "boxedge_" */
    const char *labels[METRICS_LABELS_MAX];
    unsigned label_count;
} metrics_writer_t;

/* Begins a family. `labels` names its labels, with a NULL at the end; NULL: it has none. All are constants
 * without characters that need an escape. */
void metrics_family(metrics_writer_t *w, const char *name, metrics_type_t type, const char *const labels[],
                    const char *help);
/* Adds a sample. `values` are those of the family's labels, in order; NULL if it has none. */
void metrics_sample(metrics_writer_t *w, const char *const values[], uint64_t value);
/* The same for a time in seconds, given in microseconds. */
void metrics_sample_us(metrics_writer_t *w, const char *const values[], uint64_t us);
void metrics_sample_real(metrics_writer_t *w, const char *const values[], double value);
/* Adds the samples of a histogram: `counts` (count) by bucket, with their upper bounds in microseconds; the
 * last bucket has none. */
void metrics_histogram(metrics_writer_t *w, const char *const values[], const uint64_t *counts,
                       const uint32_t *bounds_us, unsigned count, uint64_t sum_us);
/* A family with a single sample and no label. */
void metrics_single(metrics_writer_t *w, const char *name, metrics_type_t type, const char *help,
                    uint64_t value);

/* Values of labels, and names of them, for the calls above. */
#define METRICS_LABELS(...)                                                                                  \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__, NULL                                                                                    \
    }

#endif
