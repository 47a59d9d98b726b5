/*
 * The Cookie and Set-Cookie fields (RFC 6265, and what draft-ietf-httpbis-rfc6265bis says browsers do).
 *
 * A Cookie value is cut at ";", each piece at its first "=", and spaces and tabs around names and values are
 * not part of them; quotes are. cookie_next, cookie_remove and every reader of cookies in the edge cut the
 * same way, so that what one finds the other removes. Nothing here allocates; all lengths are linear in the
 * input.
 */
#ifndef BOXEDGE_COOKIE_H
#define BOXEDGE_COOKIE_H

#include "str.h"

/*
 * Takes cookies off *rest, what is left of a Cookie value, until one has exactly `name`; its value, which may
 * be empty, is put into *value. A piece without "=" is a cookie without a name and never found. False at the
 * end. A client may send several cookies of one name (of different paths, or a partitioned one beside
 * another): bound how many are tried.
 */
MUST_USE bool cookie_next(str_t *rest, str_t name, str_t *value);

/*
 * Writes a Cookie value without its cookies of that name; the other pieces keep their bytes, their order and
 * what separates them. Returns the length, at most header.n; 0 means that the field is to be dropped. `out`
 * has at least header.n bytes (cap, asserted) and may be header.p itself.
 */
size_t cookie_remove(str_t header, str_t name, char *out, size_t cap);

/*
 * Whether a Set-Cookie value gives its cookie to more hosts than `host`, the one that the response comes from
 * (without port, in any case, a trailing dot is ignored). That is, whether some
 * Domain attribute (draft-ietf-httpbis-rfc6265bis section 5.6: any case, dots around it ignored) names a
 * parent of the host, is "localhost" (of an app that believes to be there), or holds characters that no plain
 * host name has, of which nobody can say what each browser makes of them. The last attribute counts in new
 * browsers, another one may in old ones, so that all are looked at. If so, true, and the value without those
 * attributes is in out[0..*len), every other byte as it was. `out` has at least value.n bytes (cap, asserted)
 * and may be value.p itself. A Domain that is the host itself, is empty or is foreign to the host (browsers
 * refuse that cookie) stays.
 */
MUST_USE bool set_cookie_confine(str_t value, str_t host, char *out, size_t cap, size_t *len);

#endif
