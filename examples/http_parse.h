/* SPDX-License-Identifier: MIT */
/*
 * http_parse - the head of an HTTP/1.x request, checked as RFC 9112 asks of an origin server.
 *
 * A pure function over bytes: no memory, no state, no system. It is called again from the start
 * when more bytes have come; with the limit on a head that stays cheap.
 *
 * Strict    Where the RFC leaves a choice between repair and refusal, refusal: a lone LF or CR, a
 *           folded line, a blank before a colon, two Hosts or Content-Lengths. Two parsers that
 *           repair differently are how requests are smuggled.
 * Bodies    By Content-Length alone. "chunked" is refused with 411 (RFC 9112, 6.3: a server may ask
 *           for a length), other codings with 501 (6.1), both fields together with 400.
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>

enum http_limits {
    HTTP_HEAD_MAX = 8192, /* bytes of request line and fields: what other servers allow */
    HTTP_BODY_MAX = 65536 /* bytes of a body that is read only to be thrown away */
};

/* What http_parse returns, besides a status from 400 on. */
enum http_result {
    HTTP_COMPLETE = 0,
    HTTP_MORE = 1 /* the head is not complete; so far nothing is wrong with it */
};

struct http_request {
    size_t head_bytes; /* with the empty line: the body starts here */
    size_t body_bytes;
    int minor; /* of HTTP/1.x */
    bool is_head; /* the answer has no body */
    bool keep_alive;
    bool expects_continue; /* the client waits for "100 Continue" before it sends the body */
};

/*
 * Reads a head from the start of `data`. HTTP_COMPLETE fills in *ret_request; a status (400, 411,
 * 413, 414, 431, 501, 505) says what to refuse the request with, and that the connection cannot go
 * on.
 */
int http_parse(const char *data, size_t bytes, struct http_request *ret_request);

#endif
