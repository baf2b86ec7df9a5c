/* SPDX-License-Identifier: MIT */
/*
 * http_parse - the example's request parser: what it takes, what it refuses and with which status,
 * and that it says the same however the bytes are cut.
 */
#include "http_parse.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/gyre_test.h"

#define HOST "Host: example.org\r\n"

static struct http_request request;

static int parse(const char *text)
{
    memset(&request, 0x5a, sizeof(request));
    return http_parse(text, strlen(text), &request);
}

/* A request line and Host, and `fields` after them. */
static int parse_with(const char *fields)
{
    char text[1024];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s\r\n", fields);
    return parse(text);
}

GYRE_TEST(http_parse, takes_a_plain_request)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n";

    cr_assert_eq(parse(text), HTTP_COMPLETE);
    cr_assert_eq(request.head_bytes, sizeof(text) - 1);
    cr_assert_eq(request.body_bytes, 0);
    cr_assert_eq(request.minor, 1);
    cr_assert(request.keep_alive && !request.is_head && !request.expects_continue);
}

GYRE_TEST(http_parse, finds_the_end_of_the_head_before_a_body_or_the_next_request)
{
    static const char head[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\n";
    static const char both[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcGET / ...";

    cr_assert_eq(parse(both), HTTP_COMPLETE);
    cr_assert_eq(request.head_bytes, sizeof(head) - 1);
    cr_assert_eq(request.body_bytes, 3);
}

GYRE_TEST(http_parse, knows_the_methods_it_answers)
{
    cr_assert_eq(parse("HEAD / HTTP/1.1\r\n" HOST "\r\n"), HTTP_COMPLETE);
    cr_assert(request.is_head);
    cr_assert_eq(parse("PUT / HTTP/1.1\r\n" HOST "\r\n"), HTTP_COMPLETE);
    cr_assert(!request.is_head);
    cr_assert_eq(parse("DELETE / HTTP/1.1\r\n" HOST "\r\n"), 501);
    cr_assert_eq(parse("get / HTTP/1.1\r\n" HOST "\r\n"), 501); /* methods have a case */
    cr_assert_eq(parse("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 501);
    cr_assert_eq(parse("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), 501);
}

GYRE_TEST(http_parse, takes_both_forms_of_a_target)
{
    cr_assert_eq(parse("GET http://a/ HTTP/1.1\r\n" HOST "\r\n"), HTTP_COMPLETE);
    cr_assert_eq(parse("GET a/ HTTP/1.1\r\n" HOST "\r\n"), 400);
    cr_assert_eq(parse("GET * HTTP/1.1\r\n" HOST "\r\n"), 400);
    cr_assert_eq(parse("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), 400);
}

GYRE_TEST(http_parse, skips_empty_lines_before_a_request)
{
    cr_assert_eq(parse("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), HTTP_COMPLETE);
    cr_assert_eq(request.head_bytes, 4 + strlen("GET / HTTP/1.1\r\n" HOST "\r\n"));
    cr_assert_eq(parse("\r\n"), HTTP_MORE);
}

GYRE_TEST(http_parse, decides_whether_the_connection_goes_on)
{
    static const struct {
        const char *text;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "connection: foo, CLOSE ,\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(parse(cases[i].text), HTTP_COMPLETE, "%s", cases[i].text);
        cr_assert_eq(request.keep_alive, cases[i].keep_alive, "%s", cases[i].text);
    }
}

GYRE_TEST(http_parse, wants_one_host)
{
    cr_assert_eq(parse("GET / HTTP/1.1\r\n\r\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.0\r\n\r\n"), HTTP_COMPLETE);
    cr_assert_eq(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n"), HTTP_COMPLETE); /* empty is allowed */
    cr_assert_eq(parse("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), 400);
    cr_assert_eq(parse_with("Host: a\r\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), HTTP_COMPLETE);
}

GYRE_TEST(http_parse, refuses_what_is_no_request_line)
{
    static const char *const lines[] = {
        "GET /\r\n",          "GET / HTTP/1.1 \r\n", "GET  / HTTP/1.1\r\n", " GET / HTTP/1.1\r\n",
        "GET / http/1.1\r\n", "GET / HTTP/1\r\n",    "GET / HTTP/1.10\r\n", "GET / HTTP/x.1\r\n",
        "G(T / HTTP/1.1\r\n", "/ HTTP/1.1\r\n",      "hello\r\n",           "GET\t/ HTTP/1.1\r\n",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_assert_eq(parse(lines[i]), 400, "%s", lines[i]);
    cr_assert_eq(parse("GET / HTTP/2.0\r\n"), 505);
    cr_assert_eq(parse("GET / HTTP/0.9\r\n"), 505);
    cr_assert_eq(parse("GET / HTTP/1.7\r\n" HOST "\r\n"), HTTP_COMPLETE);
}

GYRE_TEST(http_parse, refuses_what_is_no_http_at_its_first_wrong_byte)
{
    cr_assert_eq(http_parse("\x16\x03\x01", 3, &request), 400); /* a TLS greeting */
    cr_assert_eq(http_parse("GET /\0", 6, &request), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\rX"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n"), 400);
    cr_assert_eq(parse("GET / HTTP/1.1\r\n" HOST "X: a\x7f"), 400);
    cr_assert_eq(parse("\n"), 400);
}

GYRE_TEST(http_parse, refuses_bad_fields)
{
    cr_assert_eq(parse_with("X : a\r\n"), 400);
    cr_assert_eq(parse_with(": a\r\n"), 400);
    cr_assert_eq(parse_with("no colon\r\n"), 400);
    cr_assert_eq(parse_with("X: a\r\n folded\r\n"), 400);
    cr_assert_eq(parse_with("X: \xe4 is obs-text\r\n"), HTTP_COMPLETE);
    cr_assert_eq(parse_with("X:\r\n"), HTTP_COMPLETE);
}

GYRE_TEST(http_parse, reads_lengths)
{
    cr_assert_eq(parse_with("Content-Length: 65536\r\n"), HTTP_COMPLETE);
    cr_assert_eq(request.body_bytes, HTTP_BODY_MAX);
    cr_assert_eq(parse_with("content-length:\t007 \r\n"), HTTP_COMPLETE);
    cr_assert_eq(request.body_bytes, 7);
    cr_assert_eq(parse_with("Content-Length: 65537\r\n"), 413);
    cr_assert_eq(parse_with("Content-Length: 18446744073709551617\r\n"), 413);
    cr_assert_eq(parse_with("Content-Length: 99999999999999999999999999999999999999\r\n"), 413);
    cr_assert_eq(parse_with("Content-Length:\r\n"), 400);
    cr_assert_eq(parse_with("Content-Length: -1\r\n"), 400);
    cr_assert_eq(parse_with("Content-Length: +1\r\n"), 400);
    cr_assert_eq(parse_with("Content-Length: 1x\r\n"), 400);
    cr_assert_eq(parse_with("Content-Length: 1, 1\r\n"), 400);
    cr_assert_eq(parse_with("Content-Length: 1\r\nContent-Length: 1\r\n"), 400);
}

GYRE_TEST(http_parse, refuses_bodies_without_a_length)
{
    cr_assert_eq(parse_with("Transfer-Encoding: chunked\r\n"), 411);
    cr_assert_eq(parse_with("Transfer-Encoding: Chunked\r\n"), 411);
    cr_assert_eq(parse_with("Transfer-Encoding: gzip, chunked\r\n"), 501);
    cr_assert_eq(parse_with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 501);
    cr_assert_eq(parse_with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400);
    cr_assert_eq(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

GYRE_TEST(http_parse, notes_who_waits_for_100_continue)
{
    cr_assert_eq(parse_with("Expect: 100-continue\r\nContent-Length: 3\r\n"), HTTP_COMPLETE);
    cr_assert(request.expects_continue);
    cr_assert_eq(parse_with("Expect: 100-continue\r\n"), HTTP_COMPLETE);
    cr_assert(!request.expects_continue);
    cr_assert_eq(parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
                 HTTP_COMPLETE);
    cr_assert(!request.expects_continue);
}

/* A request whose field is so long that the head has `head_bytes` bytes. */
static char *long_head(size_t head_bytes)
{
    static const char start[] = "GET / HTTP/1.1\r\n" HOST "X: ";
    char *text = malloc(head_bytes + 1);

    cr_assert_not_null(text);
    memset(text, 'x', head_bytes);
    memcpy(text, start, sizeof(start) - 1);
    memcpy(text + head_bytes - 4, "\r\n\r\n", 5);
    return text;
}

GYRE_TEST(http_parse, limits_the_head)
{
    char *text = long_head(HTTP_HEAD_MAX);

    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX, &request), HTTP_COMPLETE);
    cr_assert_eq(request.head_bytes, HTTP_HEAD_MAX);
    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX - 1, &request), HTTP_MORE);
    free(text);
    text = long_head(HTTP_HEAD_MAX + 1);
    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX + 1, &request), 431);
    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX, &request), 431);
    memset(text, 'x', HTTP_HEAD_MAX);
    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX, &request), 414);
    cr_assert_eq(http_parse(text, HTTP_HEAD_MAX - 1, &request), HTTP_MORE);
    free(text);
}

/* What is wrong is found no later with more bytes, and what is right is not complete with fewer.
 * Each piece is in memory of its own, so that the address sanitizer sees a read past it. */
GYRE_TEST(http_parse, says_the_same_however_the_bytes_are_cut)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nConnection: a, close\r\n\r\n",
        "\r\nHEAD http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "X: a\nb\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t bytes = strlen(texts[i]);
        int whole = parse(texts[i]), before = HTTP_MORE;
        for (size_t cut = 0; cut <= bytes; cut++) {
            char *piece = malloc(cut + (cut == 0));
            memcpy(piece, texts[i], cut);
            int result = http_parse(piece, cut, &request);
            free(piece);
            cr_assert(result == HTTP_MORE || result == whole, "%s: %zu: %d", texts[i], cut, result);
            cr_assert(before == HTTP_MORE || result == before, "%s: %zu", texts[i], cut);
            before = result;
        }
        cr_assert_eq(before, whole);
    }
}

/* Seeded noise, and requests with a byte changed: no crash, no read past the end, a result that is
 * known, and a head that ends in an empty line. */
GYRE_TEST(http_parse, survives_noise)
{
    static const char model[] =
        "POST /a HTTP/1.1\r\n" HOST "Content-Length: 12\r\nConnection: close\r\n\r\n";
    uint64_t state = 42;
    size_t complete = 0, refused = 0;

    for (unsigned round = 0; round < 20000; round++) {
        char text[sizeof(model)];
        memcpy(text, model, sizeof(model));
        for (unsigned change = 0; change < 1 + round % 4; change++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            text[(state >> 33) % (sizeof(model) - 1)] =
                round % 2 == 0 ? (char)(state >> 56) : " \t\r\n:,/1Tt"[(state >> 40) % 11];
        }
        int result = http_parse(text, sizeof(model) - 1, &request);
        if (result == HTTP_COMPLETE) {
            complete++;
            cr_assert_leq(request.head_bytes, sizeof(model) - 1);
            cr_assert_eq(memcmp(text + request.head_bytes - 4, "\r\n\r\n", 4), 0);
            cr_assert_leq(request.body_bytes, HTTP_BODY_MAX);
        } else if (result != HTTP_MORE) {
            refused++;
            cr_assert(result >= 400 && result <= 505);
        }
    }
    cr_assert_gt(complete, 1000);
    cr_assert_gt(refused, 1000);
}
