#include "order.h"

#include "bytes.h"

order_key_t order_key(str_t id, uint16_t port)
{
    bool fits = id.n <= ORDER_ID_MAX;
    size_t n = fits ? id.n : ORDER_ID_MAX;
    order_key_t key = {.len = n + 3};
    if (n != 0)
        memcpy(key.bytes, id.p, n);
    key.bytes[n] = fits ? 0 : UINT8_MAX;
    key.bytes[n + 1] = (uint8_t)(port >> 8);
    key.bytes[n + 2] = (uint8_t)port;
    return key;
}

bool order_name(str_t key, str_t *id, uint16_t *port)
{
    if (key.n < 4 || key.n > ORDER_KEY_MAX || key.p[key.n - 3] != 0)
        return false;
    *id = str_make(key.p, key.n - 3);
    *port = (uint16_t)((uint8_t)key.p[key.n - 2] << 8 | (uint8_t)key.p[key.n - 1]);
    return true;
}

uint64_t order_hash(const siphash_key_t *key, str_t id, uint16_t port)
{
    uint8_t name[ORDER_ID_MAX + 3];
    memcpy(name, id.p, id.n);
    name[id.n] = 0;
    bytes_put16(name + id.n + 1, port);
    return siphash(key, name, id.n + 3);
}
