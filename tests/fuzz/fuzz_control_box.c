/* A control plane's JSON of a box: for any bytes, it is refused or gives a valid box. */
#include <assert.h>
#include <string.h>

#include "control_box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    control_box_t box;
    const char *why = control_box_read(str_make((const char *)data, size), STR("abc"), &box);
    if (why != NULL) {
        assert(box.box.id[0] == '\0');
        return 0;
    }
    assert(strcmp(box.box.id, "abc") == 0 && box.box.port_count <= STORE_BOX_PORTS_MAX);
    assert(box.box.state == BOX_RUNNING || box.box.state == BOX_PAUSED || box.box.state == BOX_GONE);
    assert(memchr(box.incarnation, '\0', sizeof(box.incarnation)) != NULL);
    for (size_t i = 0; i < box.box.port_count; i++)
        assert(box.box.ports[i] != 0);
    return 0;
}
