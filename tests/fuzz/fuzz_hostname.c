/* hostname_parse on any bytes: an accepted name obeys every rule, and written plainly it is the same name. */
#include <assert.h>

#include "hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DOMAIN STR("p.example")

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t authority = str_make((const char *)data, size);
    (void)box_id_valid(authority);
    (void)preview_label_fits(authority, size > 0 ? data[0] : 1);
    hostname_t name, again;
    if (hostname_parse(authority, DOMAIN, &name) != HOSTNAME_PREVIEW)
        return 0;
    str_t id = str_make(name.id, name.id_len);
    assert(strlen(name.id) == name.id_len);
    assert(box_id_valid(id));
    assert(name.port != 0);
    assert(preview_label_fits(id, name.port));
    char plain[PREVIEW_LABEL_MAX + 16];
    int n = snprintf(plain, sizeof(plain), "%s-%u.p.example", name.id, (unsigned)name.port);
    assert(n > 0 && (size_t)n < sizeof(plain));
    /* The label is the beginning of the input, in any case. */
    assert(size >= (size_t)n && str_ieq(str_make(authority.p, (size_t)n), str_make(plain, (size_t)n)));
    assert(hostname_parse(str_make(plain, (size_t)n), DOMAIN, &again) == HOSTNAME_PREVIEW);
    assert(again.port == name.port && str_eq(str_make(again.id, again.id_len), id));
    return 0;
}
