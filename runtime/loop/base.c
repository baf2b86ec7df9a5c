/* SPDX-License-Identifier: MIT */
/*
 * base - version, errors, log, and what becomes of a failed function.
 *
 * The allocator is the port's (contract/port.h): it stands below everything, this file included.
 */
#include <gyre/base.h>

#include <stdio.h>

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

enum {
    LINE_MAX_BYTES = 512 /* of a log line: longer ones are cut */
};

int gyre_version(void)
{
    return GYRE_VERSION;
}

static const struct {
    int number;
    const char *name;
    const char *text;
} errors[] = {
#define ENTRY(name, text) {name, #name, text},
    GYRE_ERRORS(ENTRY)
#undef ENTRY
};

/* The index of an error in the list, its length if it is not there. */
static size_t find(int error)
{
    size_t at = 0;
    while (at < sizeof(errors) / sizeof(errors[0]) && errors[at].number != error &&
           errors[at].number != -(int64_t)error) /* there is no -INT_MIN */
        at++;
    return at;
}

const char *gyre_error_name(int error)
{
    size_t at = find(error);
    return at < sizeof(errors) / sizeof(errors[0]) ? errors[at].name : NULL;
}

const char *gyre_error_text(int error)
{
    size_t at = find(error);
    return at < sizeof(errors) / sizeof(errors[0]) ? errors[at].text : "unknown error";
}

/* ---- log ------------------------------------------------------------------------------------- */

static gyre_log_fn *log_fn;
static void *log_arg;

void gyre_set_log(gyre_log_fn *log, void *arg)
{
    log_fn = log;
    log_arg = arg;
}

void gyre__log(enum gyre_log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments); /* cut if need be */
    va_end(arguments);
    if (log_fn != NULL)
        log_fn(level, line, log_arg);
    else if (level != GYRE_LOG_INFO)
        gyre__port_write_log(line);
}

/* ---- failures -------------------------------------------------------------------------------- */

static const void *function_of(const struct gyre_failure *failure)
{
    /* POSIX has function pointers fit into object pointers (dlsym); C says nothing. */
    union {
        gyre_fn *fn;
        gyre_handler_fn *handler;
        gyre_signal_fn *signal;
        const void *address;
    } function = {.fn = failure->fn};
    if (failure->kind == GYRE_FAILED_HANDLER)
        function.handler = failure->handler;
    else if (failure->kind == GYRE_FAILED_SIGNAL)
        function.signal = failure->signal;
    return function.address;
}

static void log_failure(const struct gyre_failure *failure)
{
    static const char *const kinds[] = {
        [GYRE_FAILED_CALLBACK] = "callback",        [GYRE_FAILED_TIMER] = "timer",
        [GYRE_FAILED_HANDLER] = "handler",          [GYRE_FAILED_SIGNAL] = "signal's",
        [GYRE_FAILED_ACCEPT] = "listener's accept", [GYRE_FAILED_TEARDOWN] = "runtime's teardown",
        [GYRE_FAILED_FUTURE] = "watched",
    };
    char symbol[128];
    const char *name = gyre_error_name(failure->error);
    const void *function = function_of(failure);
    const char *what = failure->kind == GYRE_FAILED_FUTURE ? "future" : "function";
    if (function != NULL)
        what = gyre__port_symbol(function, symbol, sizeof(symbol));
    gyre__log(GYRE_LOG_ERROR, "%s %s failed (fd %d): %s (%d)", kinds[failure->kind], what,
              failure->fd, name != NULL ? name : "error", failure->error);
}

void gyre__loop_report(struct gyre_loop *loop, const struct gyre_failure *failure)
{
    if (failure->kind == GYRE_FAILED_HANDLER && failure->error == -EPIPE)
        return; /* a peer that went away is no news to a server (T76) */
    if (gyre__thread.context != NULL && gyre__context_report(loop, failure))
        return;
    if (loop->options.on_error != NULL)
        loop->options.on_error(loop, failure, loop->options.on_error_arg);
    else
        log_failure(failure);
}
