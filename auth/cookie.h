/*
 * The Cookie and Set-Cookie fields (RFC 6265; draft-ietf-httpbis-rfc6265bis for browsers'
 * behaviour).
 *
 * A Cookie value is cut at ";", and each piece at its first "=". Spaces and tabs around names and
 * values are not part of them; quotes are. cookie_next, cookie_remove and all readers of cookies in
 * the edge cut the same way, so cookie_remove removes exactly the cookies that cookie_next finds.
 * These functions do not allocate. They take time linear in the input.
 */
#ifndef BOXEDGE_COOKIE_H
#define BOXEDGE_COOKIE_H

#include "str.h"

/*
 * Advances *rest, the unread part of a Cookie value, to the next cookie named exactly `name`.
 * Stores its value, which may be empty, in *value. A piece without "=" has no name and never
 * matches. Returns false at the end. A client may send several cookies of one name (of different
 * paths, or partitioned), so callers must bound their tries.
 */
MUST_USE bool cookie_next(str_t *rest, str_t name, str_t *value);

/*
 * Writes a Cookie value without its cookies named `name`. The other pieces keep their bytes, order
 * and separators. Returns the length, at most header.n; 0 means that the field must be dropped.
 * `out` has at least header.n bytes (cap, asserted) and may be header.p itself.
 */
size_t cookie_remove(str_t header, str_t name, char *out, size_t cap);

/*
 * Removes the Domain attributes that would send a cookie to other hosts than `host`, the host of
 * the response (without port; case and a trailing dot are ignored).
 *
 * A Domain attribute (draft-ietf-httpbis-rfc6265bis section 5.6; case and dots around it are
 * ignored) is too wide in three cases. It names a parent of the host; it is "localhost", from an
 * app that believes to run on that host; or it has characters outside of plain host names, which
 * browsers read differently. New browsers use the last attribute and old ones may use another, so
 * all are checked.
 *
 * Returns true if an attribute is too wide: out[0..*len) then has the value without those
 * attributes and otherwise unchanged. `out` has at least value.n bytes (cap, asserted) and may be
 * value.p itself. A Domain stays if it equals the host, is empty, or is foreign to the host
 * (browsers refuse that cookie).
 */
MUST_USE bool set_cookie_confine(str_t value, str_t host, char *out, size_t cap, size_t *len);

#endif
