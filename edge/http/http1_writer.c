#include "http1_writer.h"

static const char hex_digits[] = "0123456789abcdef";

void http1_writer_init(http1_writer_t *writer, account_t *account)
{
    *writer = (http1_writer_t){.account = account};
}

void http1_writer_fini(http1_writer_t *writer)
{
    buffer_clear(&writer->rest, writer->account);
    writer->staged = 0;
    writer->staged_bytes = 0;
}

/* Moves staged bytes to the end of the kept ones. */
static void spill(http1_writer_t *writer)
{
    for (int i = 0; i < writer->staged; i++)
        buffer_append(&writer->rest, str_make(writer->stage[i].iov_base, writer->stage[i].iov_len),
                      writer->account);
    writer->staged = 0;
    writer->staged_bytes = 0;
    writer->chunk_line_count = 0;
}

void http1_writer_raw(http1_writer_t *writer, str_t data)
{
    if (data.n == 0)
        return;
    if (writer->staged == HTTP1_STAGE_SLICES)
        spill(writer);
    writer->stage[writer->staged++] = (struct iovec){(void *)(uintptr_t)data.p, data.n};
    writer->staged_bytes += data.n;
}

/* Stages "[CRLF]<hex length>CRLF": the CRLF that ends a chunk goes with the line of the next one. */
static void stage_chunk_line(http1_writer_t *writer, size_t length)
{
    if (writer->chunk_line_count == HTTP1_STAGE_CHUNKS || writer->staged + 2 > HTTP1_STAGE_SLICES)
        spill(writer);
    char *line = writer->chunk_lines[writer->chunk_line_count++];
    size_t n = 0;
    if (writer->chunk_open) {
        line[n++] = '\r';
        line[n++] = '\n';
    }
    int shift = 60;
    while (shift > 0 && (length >> shift) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        line[n++] = hex_digits[(length >> shift) & 15];
    line[n++] = '\r';
    line[n++] = '\n';
    writer->chunk_open = true;
    http1_writer_raw(writer, str_make(line, n));
}

void http1_writer_body(http1_writer_t *writer, str_t data)
{
    if (data.n == 0)
        return;
    if (writer->chunked)
        stage_chunk_line(writer, data.n);
    http1_writer_raw(writer, data);
}

void http1_writer_end(http1_writer_t *writer, const fields_t *trailers)
{
    if (!writer->chunked)
        return;
    http1_writer_raw(writer, writer->chunk_open ? STR("\r\n0\r\n") : STR("0\r\n"));
    for (uint32_t i = 0; i < trailers->count; i++) {
        const field_t *field = &trailers->at[i];
        http1_writer_raw(writer, field->name);
        http1_writer_raw(writer, STR(": "));
        http1_writer_raw(writer, field->value);
        http1_writer_raw(writer, STR("\r\n"));
    }
    http1_writer_raw(writer, STR("\r\n"));
}

size_t http1_writer_room(const http1_writer_t *writer, size_t bound)
{
    size_t kept = buffer_size(&writer->rest) + writer->staged_bytes;
    return kept < bound ? bound - kept : 0;
}

bool http1_writer_empty(const http1_writer_t *writer)
{
    return writer->staged_bytes == 0 && buffer_size(&writer->rest) == 0;
}

/* Drops the first n staged bytes. */
static void unstage(http1_writer_t *writer, size_t n)
{
    int from = 0;
    writer->staged_bytes -= n;
    while (from < writer->staged && n >= writer->stage[from].iov_len)
        n -= writer->stage[from++].iov_len;
    for (int i = from; i < writer->staged; i++)
        writer->stage[i - from] = writer->stage[i];
    writer->staged -= from;
    if (n != 0) {
        writer->stage[0].iov_base = (char *)writer->stage[0].iov_base + n;
        writer->stage[0].iov_len -= n;
    }
}

static http1_flush_t flush_rest(http1_writer_t *writer, conn_t *conn)
{
    while (buffer_size(&writer->rest) != 0) {
        str_t rest = buffer_str(&writer->rest);
        struct iovec iov = {(void *)(uintptr_t)rest.p, rest.n};
        size_t n;
        conn_result_t result = conn_write(conn, &iov, 1, &n);
        if (result == CONN_AGAIN)
            return HTTP1_BLOCKED;
        if (result != CONN_OK)
            return HTTP1_BROKEN;
        writer->written += n;
        buffer_consume(&writer->rest, n, writer->account);
        if (n < rest.n && n < CONN_TURN_BYTES)
            return HTTP1_BLOCKED; /* the kernel is full: do not try again */
    }
    return HTTP1_FLUSHED;
}

http1_flush_t http1_writer_flush(http1_writer_t *writer, conn_t *conn)
{
    http1_flush_t result = flush_rest(writer, conn);
    while (result == HTTP1_FLUSHED && writer->staged != 0) {
        size_t n, offered = writer->staged_bytes;
        conn_result_t written = conn_write(conn, writer->stage, writer->staged, &n);
        if (written == CONN_AGAIN) {
            result = HTTP1_BLOCKED;
        } else if (written != CONN_OK) {
            result = HTTP1_BROKEN;
        } else {
            writer->written += n;
            unstage(writer, n);
            if (n < offered && n < CONN_TURN_BYTES)
                result = HTTP1_BLOCKED;
        }
    }
    if (result == HTTP1_BROKEN) {
        http1_writer_fini(writer);
        return result;
    }
    spill(writer);
    return result == HTTP1_FLUSHED && !conn_flushed(conn) ? HTTP1_BLOCKED : result;
}
