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
/* Of a POST: whether its query may have the parameter `_method`, as below for forms. */
bool api_method_is_in_query(const request_t *request, arena_t *pool);

typedef enum api_form {
    API_FORM_NONE,
    API_FORM_PLAIN,  /* application/x-www-form-urlencoded and no more: the default of curl */
    API_FORM_OPAQUE, /* servers may read another form in it than the edge */
} api_form_t;

/* Of a POST: the form that its body may be. */
api_form_t api_method_form(const request_t *request);
/* Whether a plain form may have the parameter `_method`, which some servers find in names like ".method". */
bool api_method_is_in_form(str_t body, arena_t *pool);
/* Of a POST whose body is no form: makes it JSON if it has no type, which some servers take for a form. */
void api_method_set_type(request_t *request, arena_t *pool);

#endif
