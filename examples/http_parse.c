/* SPDX-License-Identifier: MIT */
/*
 * http_parse - line by line through the head of a request. See http_parse.h.
 *
 * A line is checked for its bytes while it is found, so that what is no HTTP at all (a TLS
 * greeting, say) is refused at its first wrong byte, and not when a line or a timeout ends. Later
 * steps only see lines of printable bytes, blanks, tabs and bytes from 0x80 on.
 */
#include "http_parse.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *data;
    size_t bytes;
};

/* What the fields said that need to be judged together. */
struct fields {
    unsigned hosts, lengths, codings;
    bool chunked, close, keep_alive, expects_continue;
    size_t length;
};

static bool is_token(struct text text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return text.bytes != 0;
}

static bool equals(struct text text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.data, word, text.bytes) == 0;
}

/* Cuts off and returns what stands before the first `separator`; all if there is none. */
static struct text cut(struct text *rest, char separator)
{
    const char *end = rest->bytes != 0 ? memchr(rest->data, separator, rest->bytes) : NULL;
    struct text piece = *rest;

    if (end != NULL)
        piece.bytes = (size_t)(end - rest->data);
    rest->data += piece.bytes + (end != NULL);
    rest->bytes -= piece.bytes + (end != NULL);
    return piece;
}

static struct text trim(struct text text)
{
    while (text.bytes != 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.bytes--;
    }
    while (text.bytes != 0 &&
           (text.data[text.bytes - 1] == ' ' || text.data[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

/* The line at the start of `rest`, without its CR LF, which are cut off too. */
static int cut_line(struct text *rest, struct text *ret_line)
{
    size_t i = 0;

    for (; i < rest->bytes; i++) {
        unsigned char c = (unsigned char)rest->data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            break;
    }
    if (i == rest->bytes || (rest->data[i] == '\r' && i + 1 == rest->bytes))
        return HTTP_MORE;
    if (rest->data[i] != '\r' || rest->data[i + 1] != '\n')
        return 400;
    *ret_line = (struct text){rest->data, i};
    rest->data += i + 2;
    rest->bytes -= i + 2;
    return HTTP_COMPLETE;
}

static int parse_request_line(struct text line, struct http_request *request)
{
    struct text method = cut(&line, ' ');
    struct text target = cut(&line, ' ');

    if (!is_token(method) || target.bytes == 0)
        return 400;
    for (size_t i = 0; i < target.bytes; i++) {
        if (target.data[i] <= ' ' || target.data[i] > '~') /* signed: also what has the high bit */
            return 400;
    }
    if (line.bytes != 8 || memcmp(line.data, "HTTP/", 5) != 0 || line.data[6] != '.' ||
        line.data[5] < '0' || line.data[5] > '9' || line.data[7] < '0' || line.data[7] > '9')
        return 400;
    if (line.data[5] != '1')
        return 505;
    request->minor = line.data[7] - '0';
    request->is_head = method.bytes == 4 && memcmp(method.data, "HEAD", 4) == 0;
    if (!request->is_head && !(method.bytes == 3 && memcmp(method.data, "GET", 3) == 0) &&
        !(method.bytes == 4 && memcmp(method.data, "POST", 4) == 0) &&
        !(method.bytes == 3 && memcmp(method.data, "PUT", 3) == 0))
        return 501;
    /* The origin form, or the absolute one, which every server must accept. */
    if (target.data[0] != '/' && !(target.bytes > 7 && strncasecmp(target.data, "http://", 7) == 0))
        return 400;
    return 0;
}

static int parse_length(struct text value, struct fields *fields)
{
    fields->lengths++;
    if (value.bytes == 0)
        return 400;
    for (size_t i = 0; i < value.bytes; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 400;
        if (fields->length <= HTTP_BODY_MAX) /* past that the value does not matter any more */
            fields->length = fields->length * 10 + (size_t)(value.data[i] - '0');
    }
    return 0;
}

static void parse_connection(struct text value, struct fields *fields)
{
    while (value.bytes != 0) {
        struct text option = trim(cut(&value, ','));
        fields->close = fields->close || equals(option, "close");
        fields->keep_alive = fields->keep_alive || equals(option, "keep-alive");
    }
}

static int parse_field(struct text line, struct fields *fields)
{
    const char *colon = memchr(line.data, ':', line.bytes);
    struct text name = cut(&line, ':');
    struct text value = trim(line);

    if (colon == NULL || !is_token(name))
        return 400;
    if (equals(name, "host")) {
        fields->hosts++;
        for (size_t i = 0; i < value.bytes; i++) {
            if (value.data[i] <= ' ' || value.data[i] > '~' ||
                strchr("/\\?#@\"<>", value.data[i]) != NULL)
                return 400;
        }
    } else if (equals(name, "content-length")) {
        return parse_length(value, fields);
    } else if (equals(name, "transfer-encoding")) {
        fields->codings++;
        fields->chunked = equals(value, "chunked");
    } else if (equals(name, "connection")) {
        parse_connection(value, fields);
    } else if (equals(name, "expect")) {
        fields->expects_continue = equals(value, "100-continue");
    }
    return 0;
}

static int judge(const struct fields *fields, struct http_request *request)
{
    if (fields->hosts > 1 || (fields->hosts == 0 && request->minor != 0) || fields->lengths > 1)
        return 400;
    if (fields->codings != 0) {
        if (fields->lengths != 0 || request->minor == 0)
            return 400;
        return fields->codings == 1 && fields->chunked ? 411 : 501;
    }
    if (fields->length > HTTP_BODY_MAX)
        return 413;
    request->body_bytes = fields->length;
    request->keep_alive = !fields->close && (request->minor != 0 || fields->keep_alive);
    request->expects_continue =
        fields->expects_continue && request->minor != 0 && fields->length != 0;
    return HTTP_COMPLETE;
}

int http_parse(const char *data, size_t bytes, struct http_request *ret_request)
{
    struct http_request request = {0};
    struct fields fields = {0};
    /* A head that is longer shows as one that does not end here. */
    struct text rest = {data, bytes < HTTP_HEAD_MAX ? bytes : HTTP_HEAD_MAX};
    struct text line;
    bool has_request_line = false;
    int result;

    for (;;) {
        result = cut_line(&rest, &line);
        if (result == HTTP_MORE && bytes >= HTTP_HEAD_MAX)
            return has_request_line ? 431 : 414;
        if (result != HTTP_COMPLETE)
            return result;
        if (line.bytes == 0 && has_request_line)
            break;
        if (line.bytes == 0) /* empty lines before a request: RFC 9112, 2.2 */
            continue;
        result = has_request_line ? parse_field(line, &fields) : parse_request_line(line, &request);
        if (result != 0)
            return result;
        has_request_line = true;
    }
    result = judge(&fields, &request);
    if (result == HTTP_COMPLETE) {
        request.head_bytes = (size_t)(rest.data - data);
        *ret_request = request;
    }
    return result;
}
