/*
 * See bundle.h.
 */
#include "bundle.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf_redact.h"
#include "tar.h"

void bundle_add(bundle_t *bundle, const char *name, char *text)
{
    assert(bundle->count < BUNDLE_PARTS_MAX && text != NULL);
    bundle->parts[bundle->count++] = (bundle_part_t){.name = name, .text = text};
}

void bundle_miss(bundle_t *bundle, const char *name, const char *format, ...)
{
    char *lines = NULL;
    size_t len = 0;
    va_list args;
    FILE *out = open_memstream(&lines, &len);
    assert(out != NULL);
    fprintf(out, "%s%s: ", bundle->missing != NULL ? bundle->missing : "", name);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
    fclose(out);
    free(bundle->missing);
    bundle->missing = lines;
}

FILE *bundle_open(bundle_stream_t *stream)
{
    *stream = (bundle_stream_t){0};
    stream->out = open_memstream(&stream->text, &stream->len);
    assert(stream->out != NULL);
    return stream->out;
}

void bundle_close(bundle_t *bundle, bundle_stream_t *stream, const char *name)
{
    fclose(stream->out);
    bundle_add(bundle, name, stream->text);
}

static void add_file(const bundle_t *bundle, const char *folder, const char *name, const char *text,
                     uint64_t now_unix, FILE *out)
{
    char path[TAR_NAME_MAX + 1];
    char *clean = scrub_text(&bundle->scrub, text);
    snprintf(path, sizeof(path), "%.60s/%s", folder, name);
    tar_add(out, path, str_from(clean), now_unix);
    free(clean);
}

bool bundle_write(const bundle_t *bundle, const char *folder, uint64_t now_unix, FILE *out)
{
    char *readme = NULL;
    size_t len = 0;
    FILE *text = open_memstream(&readme, &len);
    if (text == NULL)
        return false;
    fprintf(text,
            "A support bundle of boxedge. " CONF_REMOVED " stands for a secret: values of the configuration\n"
            "that are secret or not understood, users in URLs, credentials. Look through it before you send "
            "it.\n\n"
            "missing:\n%s",
            bundle->missing != NULL ? bundle->missing : "nothing\n");
    fclose(text);
    add_file(bundle, folder, "README.txt", readme, now_unix, out);
    free(readme);
    for (size_t i = 0; i < bundle->count; i++)
        add_file(bundle, folder, bundle->parts[i].name, bundle->parts[i].text, now_unix, out);
    tar_end(out);
    return fflush(out) == 0 && !ferror(out);
}

void bundle_fini(bundle_t *bundle)
{
    for (size_t i = 0; i < bundle->count; i++)
        free(bundle->parts[i].text);
    free(bundle->missing);
    scrub_fini(&bundle->scrub);
    *bundle = (bundle_t){.count = 0};
}
