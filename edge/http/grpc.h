/*
 * Errors of the edge itself for gRPC clients: a response of trailers alone ("Trailers-Only" of the gRPC
 * protocol over HTTP/2), with status 200 and the real status in grpc-status, because such clients look only
 * there.
 */
#ifndef BOXEDGE_GRPC_H
#define BOXEDGE_GRPC_H

#include "message.h"

#include "arena.h"

/* Whether the request is a gRPC call: over HTTP/2, and its type is application/grpc, with or without a format
 * or parameters. gRPC-Web, which runs over any HTTP, is not. */
bool grpc_is_request(const request_t *request);
/* The gRPC status for an HTTP status with its stable word (may be NULL). */
unsigned grpc_status_of(int status, const char *code);
/* Adds grpc-status and grpc-message to the fields of an answer. */
void grpc_add_status(arena_t *pool, fields_t *fields, int status, const char *code, const char *sentence);

#endif
