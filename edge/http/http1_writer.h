/*
 * The sending half of an HTTP/1 message, for requests and responses alike. Bytes are staged as slices and
 * flushed in one call; only the bytes that the kernel does not take are copied. Bodies go out unframed or
 * chunked (RFC 9112 section 7.1).
 */
#ifndef BOXEDGE_HTTP1_WRITER_H
#define BOXEDGE_HTTP1_WRITER_H

#include <sys/uio.h>

#include "buffer.h"
#include "conn.h"
#include "field.h"

#define HTTP1_STAGE_SLICES 12
#define HTTP1_STAGE_CHUNKS 4

typedef struct http1_writer {
    struct iovec stage[HTTP1_STAGE_SLICES];
    int staged;
    size_t staged_bytes;
    char chunk_lines[HTTP1_STAGE_CHUNKS][24];
    int chunk_line_count;
    bool chunked;
    bool chunk_open; /* a chunk's data was staged, its CRLF not yet */
    buffer_t rest;   /* accepted but not written yet */
    account_t *account;
    uint64_t written;
} http1_writer_t;

typedef enum http1_flush {
    HTTP1_FLUSHED, /* all bytes are written */
    HTTP1_BLOCKED, /* some bytes are kept: call again when the connection is writable */
    HTTP1_BROKEN,  /* the connection failed */
} http1_flush_t;

/* `account` counts the kept bytes and outlives the writer. */
void http1_writer_init(http1_writer_t *writer, account_t *account);
/* Drops the kept bytes. */
void http1_writer_fini(http1_writer_t *writer);

/* Stages bytes unframed; the slice must live until the flush. */
void http1_writer_raw(http1_writer_t *writer, str_t data);
/* Stages body bytes, as a chunk if the message is chunked. An empty slice stages nothing. */
void http1_writer_body(http1_writer_t *writer, str_t data);
/* Stages the end of a chunked body with its trailers; no-op otherwise. */
void http1_writer_end(http1_writer_t *writer, const fields_t *trailers);

/* The number of body bytes that fit before more than `bound` are kept. */
size_t http1_writer_room(const http1_writer_t *writer, size_t bound);
/* Whether no byte is staged or kept. */
bool http1_writer_empty(const http1_writer_t *writer);
MUST_USE http1_flush_t http1_writer_flush(http1_writer_t *writer, conn_t *conn);

#endif
