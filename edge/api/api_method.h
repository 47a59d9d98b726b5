/*
 * The method of a request as an API behind the edge may read it: some frameworks take it from a field or a
 * parameter in place of the request line.
 */
#ifndef BOXEDGE_API_METHOD_H
#define BOXEDGE_API_METHOD_H

#include "message.h"

/* Whether an API may take the request for a DELETE, by its method or a field. */
bool api_method_deletes(const request_t *request);
/* Whether `field` makes a request with another method a DELETE. */
bool api_method_overrides(const request_t *request, const field_t *field);
/* Whether a POST has the parameter `_method` in its query. */
bool api_method_is_in_query(const request_t *request, arena_t *pool);

#endif
