#include "metrics_writer.h"

#include <assert.h>
#include <inttypes.h>

#define PREFIX "boxedge_"

static const char *const types[] = {
    [METRICS_COUNTER] = "counter", [METRICS_GAUGE] = "gauge", [METRICS_HISTOGRAM] = "histogram"};

/* ---- the reference ---- */

static void write_row(const metrics_writer_t *w, metrics_type_t type, const char *help)
{
    fprintf(w->out, "| `" PREFIX "%s` | %s | ", w->name, types[type]);
    for (unsigned i = 0; i < w->label_count; i++)
        fprintf(w->out, "%s`%s`", i != 0 ? ", " : "", w->labels[i]);
    fprintf(w->out, " | %s |\n", help);
}

/* ---- the text ---- */

/* A value of a label, which may come from a configuration or a certificate. */
static void write_escaped(FILE *out, const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '\n') {
            fputs("\\n", out);
            continue;
        }
        if (*at == '\\' || *at == '"')
            fputc('\\', out);
        fputc(*at, out);
    }
}

/* "boxedge_name_suffix{label="value",le="0.1"} " */
static void write_name(const metrics_writer_t *w, const char *suffix, const char *const values[],
                       const char *bound)
{
    fprintf(w->out, PREFIX "%s%s", w->name, suffix);
    const char *before = "{";
    for (unsigned i = 0; i < w->label_count; i++) {
        assert(values[i] != NULL);
        fprintf(w->out, "%s%s=\"", before, w->labels[i]);
        write_escaped(w->out, values[i]);
        fputc('"', w->out);
        before = ",";
    }
    assert(values == NULL || values[w->label_count] == NULL);
    if (bound != NULL)
        fprintf(w->out, "%sle=\"%s\"", before, bound);
    fputs(w->label_count != 0 || bound != NULL ? "} " : " ", w->out);
}

void metrics_family(metrics_writer_t *w, const char *name, metrics_type_t type, const char *const labels[],
                    const char *help)
{
    w->name = name;
    w->label_count = 0;
    for (; labels != NULL && labels[w->label_count] != NULL; w->label_count++) {
        assert(w->label_count < METRICS_LABELS_MAX);
        w->labels[w->label_count] = labels[w->label_count];
    }
    if (w->reference)
        write_row(w, type, help);
    else
        fprintf(w->out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, types[type]);
}

void metrics_sample(metrics_writer_t *w, const char *const values[], uint64_t value)
{
    if (w->reference)
        return;
    write_name(w, "", values, NULL);
    fprintf(w->out, "%" PRIu64 "\n", value);
}

static void write_us(const metrics_writer_t *w, uint64_t us)
{
    fprintf(w->out, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

void metrics_sample_us(metrics_writer_t *w, const char *const values[], uint64_t us)
{
    if (w->reference)
        return;
    write_name(w, "", values, NULL);
    write_us(w, us);
}

void metrics_sample_real(metrics_writer_t *w, const char *const values[], double value)
{
    if (w->reference)
        return;
    write_name(w, "", values, NULL);
    fprintf(w->out, "%.3f\n", value);
}

void metrics_histogram(metrics_writer_t *w, const char *const values[], const uint64_t *counts,
                       const uint32_t *bounds_us, unsigned count, uint64_t sum_us)
{
    uint64_t total = 0;
    if (w->reference)
        return;
    for (unsigned i = 0; i < count; i++) {
        char bound[32];
        total += counts[i];
        (void)snprintf(bound, sizeof(bound), "%g", bounds_us[i] / 1e6);
        write_name(w, "_bucket", values, i + 1 < count ? bound : "+Inf");
        fprintf(w->out, "%" PRIu64 "\n", total);
    }
    write_name(w, "_sum", values, NULL);
    write_us(w, sum_us);
    write_name(w, "_count", values, NULL);
    fprintf(w->out, "%" PRIu64 "\n", total);
}

void metrics_single(metrics_writer_t *w, const char *name, metrics_type_t type, const char *help,
                    uint64_t value)
{
    metrics_family(w, name, type, NULL, help);
    metrics_sample(w, NULL, value);
}
