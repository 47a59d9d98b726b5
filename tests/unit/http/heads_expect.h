/* Expectations about request heads, for tests. */
#ifndef BOXEDGE_TEST_HEADS_EXPECT_H
#define BOXEDGE_TEST_HEADS_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "heads.h"

#define KEY  "dGhlIHNhbXBsZSBub25jZQ=="
#define GET  "GET / HTTP/1.1\r\n"
#define HOST "Host: a.test\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST

/* Every way of parsing `data` refuses it with `status`. */
void expect_status(str_t data, int status);

#endif
