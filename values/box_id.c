#include "box_id.h"

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool box_id_valid(str_t id)
{
    if (id.n == 0 || id.n > BOX_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (!alphanumeric(id.p[i]) && id.p[i] != '-' && id.p[i] != '_')
            return false;
    return alphanumeric(id.p[0]) && alphanumeric(id.p[id.n - 1]);
}
