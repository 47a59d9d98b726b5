#include "shared_preview.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct shared_preview {
    size_t refs;
    store_preview_t preview;
} shared_preview_t;

const store_preview_t preview_none;

static shared_preview_t *shared_of(const store_preview_t *preview)
{
    return (shared_preview_t *)((uintptr_t)preview - offsetof(shared_preview_t, preview));
}

const store_preview_t *preview_share(const store_preview_t *preview)
{
    shared_preview_t *shared = malloc(sizeof(*shared));
    assert(shared != NULL);
    *shared = (shared_preview_t){.refs = 1, .preview = *preview};
    return &shared->preview;
}

const store_preview_t *preview_hold(const store_preview_t *preview)
{
    if (preview != &preview_none)
        shared_of(preview)->refs++;
    return preview;
}

void preview_drop(const store_preview_t **preview)
{
    const store_preview_t *dropped = *preview;
    *preview = &preview_none;
    if (dropped == &preview_none)
        return;
    shared_preview_t *shared = shared_of(dropped);
    assert(shared->refs > 0);
    if (--shared->refs == 0)
        free(shared);
}
