/* SPDX-License-Identifier: MIT */
/*
 * address_text - addresses as text: what is taken, what it is written as, and what is refused.
 */
#include "contract/backend.h"
#include "harness/gyre_test.h"

#include <errno.h>
#include <gyre/address.h>
#include <stdio.h>
#include <string.h>

static const struct gyre__descriptors *descriptors(void)
{
    const struct gyre__backend *backend;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &backend), 0);
    return backend->descriptors;
}

/* The text that `text` is written as, or the error of parse. */
static int rewrite(const char *text, char written[GYRE_ADDRESS_MAX])
{
    struct gyre__address address;
    int status = descriptors()->parse(text, &address);
    return status != 0 ? status : descriptors()->format(&address, written, GYRE_ADDRESS_MAX);
}

GYRE_TEST(address_text, canonical_text_is_written_as_it_was_read)
{
    static const char *const texts[] = {
        "127.0.0.1:80",    "0.0.0.0:0",       "255.255.255.255:65535", "[::1]:80",
        "[::]:443",        "[2001:db8::1]:1", "[fe80::1%1]:80",        "unix:/run/x.sock",
        "unix:relative/x", "unix:@name",      "unix:@with/slash",      "unix:/with:colon:1",
        "unix:/with@at",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char written[GYRE_ADDRESS_MAX];
        cr_assert_eq(rewrite(texts[i], written), 0, "%s", texts[i]);
        cr_assert_str_eq(written, texts[i]);
    }
}

GYRE_TEST(address_text, other_forms_are_written_canonically)
{
    static const char *const pairs[][2] = {
        {"127.0.0.1:080", "127.0.0.1:80"},
        {"[2001:DB8:0:0:0:0:0:1]:00001", "[2001:db8::1]:1"},
        {"[::ffff:1.2.3.4]:80", "1.2.3.4:80"},
        {"[fe80::1%lo]:80", "[fe80::1%1]:80"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char written[GYRE_ADDRESS_MAX];
        cr_assert_eq(rewrite(pairs[i][0], written), 0, "%s", pairs[i][0]);
        cr_assert_str_eq(written, pairs[i][1]);
    }
}

GYRE_TEST(address_text, what_is_no_address_is_refused)
{
    static const char *const texts[] = {
        "",
        ":",
        "80",
        ":80",
        "*",
        "**:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:123456",
        "127.0.0.1:18446744073709551696",
        "127.0.0.1:-1",
        "127.0.0.1:+80",
        "127.0.0.1: 80",
        "127.0.0.1:80 ",
        " 127.0.0.1:80",
        "127.0.0.1:0x50",
        "127.0.0.1:http",
        "127.0.0.1:80:80",
        "127.1:80",
        "256.0.0.1:80",
        "1.2.3.4.5:80",
        "0:80",
        "localhost:80",
        "::1:80",
        "::1",
        "[::1]",
        "[::1]80",
        "[::1]:",
        "[::1]x:80",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[:80",
        "[*]:80",
        "[127.0.0.1]:80",
        "[1:2:3:4:5:6:7:8:9]:80",
        "[::1%]:80",
        "[fe80::1%no-such-interface]:80",
        "[aaaa:bbbb:cccc:dddd:eeee:ffff:aaaa:bbbb:cccc:dddd:eeee:ffff:0:1:2:3]:80",
        "unix:",
        "unix:@",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct gyre__address address;
        struct gyre__address before;
        memset(&before, 0x5a, sizeof(before));
        address = before;
        cr_assert_eq(descriptors()->parse(texts[i], &address), -EINVAL, "\"%s\"", texts[i]);
        cr_assert_eq(memcmp(&address, &before, sizeof(before)), 0, "\"%s\"", texts[i]);
    }
}

/* Writes "unix:", `mark` and as many letters as make the name `bytes` long. */
static void write_name(char text[GYRE_ADDRESS_MAX], char mark, size_t bytes)
{
    memset(text, 'x', GYRE_ADDRESS_MAX);
    memcpy(text, "unix:", 5);
    text[5] = mark;
    text[5 + bytes] = '\0';
}

GYRE_TEST(address_text, longest_unix_names_fit_and_longer_ones_do_not)
{
    static const char marks[] = {'/', '@', 'x'};
    for (size_t i = 0; i < sizeof(marks); i++) {
        char text[GYRE_ADDRESS_MAX];
        char written[GYRE_ADDRESS_MAX];
        write_name(text, marks[i], 107);
        cr_assert_eq(rewrite(text, written), 0);
        cr_assert_str_eq(written, text);
        write_name(text, marks[i], 108);
        cr_assert_eq(rewrite(text, written), -ENAMETOOLONG);
    }
}

GYRE_TEST(address_text, text_that_fills_the_limit_is_too_long)
{
    char text[2 * GYRE_ADDRESS_MAX];
    struct gyre__address address;
    memset(text, '1', sizeof(text));
    text[GYRE_ADDRESS_MAX] = '\0';
    cr_assert_eq(descriptors()->parse(text, &address), -ENAMETOOLONG);
    text[GYRE_ADDRESS_MAX - 1] = '\0';
    cr_assert_eq(descriptors()->parse(text, &address), -EINVAL);
}

GYRE_TEST(address_text, any_is_written_as_any_or_as_ipv4_s)
{
    char written[GYRE_ADDRESS_MAX];
    cr_assert_eq(rewrite("*:8080", written), 0);
    cr_assert(strcmp(written, "*:8080") == 0 || strcmp(written, "0.0.0.0:8080") == 0, "%s",
              written);
}

GYRE_TEST(address_text, text_is_written_whole_or_not_at_all)
{
    static const char *const texts[] = {"1.2.3.4:80", "[2001:db8::1]:65535", "unix:/a", "unix:@b"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct gyre__address address;
        char written[GYRE_ADDRESS_MAX] = "before";
        size_t bytes = strlen(texts[i]) + 1;
        cr_assert_eq(descriptors()->parse(texts[i], &address), 0);
        cr_assert_eq(descriptors()->format(&address, written, bytes - 1), -EINVAL);
        cr_assert_eq(descriptors()->format(&address, written, 0), -EINVAL);
        cr_assert_str_eq(written, "before");
        cr_assert_eq(descriptors()->format(&address, written, bytes), 0);
        cr_assert_str_eq(written, texts[i]);
    }
}

GYRE_TEST(address_text, only_named_unix_addresses_have_a_path)
{
    struct gyre__address address;
    cr_assert_eq(descriptors()->parse("unix:/run/x", &address), 0);
    cr_assert(descriptors()->is_unix(&address));
    cr_assert_str_eq(descriptors()->path(&address), "/run/x");
    cr_assert_eq(descriptors()->parse("unix:@name", &address), 0);
    cr_assert(descriptors()->is_unix(&address));
    cr_assert_null(descriptors()->path(&address));
    cr_assert_eq(descriptors()->parse("127.0.0.1:1", &address), 0);
    cr_assert_not(descriptors()->is_unix(&address));
    cr_assert_null(descriptors()->path(&address));
}
