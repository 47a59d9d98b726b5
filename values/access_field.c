#include "access_field.h"

static const str_t names[] = {
#define X(symbol, name) {name, sizeof(name) - 1},
    ACCESS_FIELDS(X)
#undef X
};

access_field_t access_field_find(str_t name, access_field_t first)
{
    for (unsigned i = 0; i < ACCESS_FIELD_COUNT; i++) {
        unsigned at = ((unsigned)first + i) % ACCESS_FIELD_COUNT;
        if (str_eq(names[at], name))
            return (access_field_t)at;
    }
    return ACCESS_FIELD_COUNT;
}

str_t access_field_name(access_field_t field)
{
    return names[field];
}
