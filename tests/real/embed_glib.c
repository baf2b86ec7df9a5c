/* SPDX-License-Identifier: MIT */
/*
 * embed_glib - a loop inside GLib's main loop, as a source of its own, among GLib's timers.
 */
#include <glib-unix.h>
#include <glib.h>

#include "embedded.h"
#include "harness/plain.h"

struct source {
    GSource glib; /* first */
    struct embedded *work;
    GMainLoop *main_loop;
};

static gboolean prepare(GSource *source, gint *ret_wait_ms)
{
    *ret_wait_ms = embedded_prepare(((struct source *)source)->work);
    return *ret_wait_ms == 0;
}

/* The descriptor makes GLib dispatch; a deadline has to be said. A turn too many does no harm. */
static gboolean check(GSource *source)
{
    (void)source;
    return TRUE;
}

static gboolean dispatch(GSource *source, GSourceFunc fn, gpointer arg)
{
    struct source *it = (struct source *)source;
    (void)fn;
    (void)arg;
    if (embedded_turn(it->work))
        g_main_loop_quit(it->main_loop);
    return G_SOURCE_CONTINUE;
}

static gboolean count(gpointer arg)
{
    ++*(unsigned *)arg;
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs functions = {.prepare = prepare, .check = check, .dispatch = dispatch};

static void loop_inside_glibs_does_all_its_work(void)
{
    struct embedded work;
    unsigned ticks = 0;
    if (!embedded_open(&work))
        PLAIN_SKIP("this backend has no descriptor of its own");
    GMainContext *context = g_main_context_new();
    GMainLoop *main_loop = g_main_loop_new(context, FALSE);
    GSource *source = g_source_new(&functions, sizeof(struct source));
    GSource *timer = g_timeout_source_new(2);
    ((struct source *)source)->work = &work;
    ((struct source *)source)->main_loop = main_loop;
    (void)g_source_add_unix_fd(source, work.fd, G_IO_IN);
    (void)g_source_attach(source, context);
    g_source_set_callback(timer, count, &ticks, NULL);
    (void)g_source_attach(timer, context);
    g_main_loop_run(main_loop);
    CHECK_GE(ticks, 1); /* GLib's own came to its turn */
    g_source_destroy(timer);
    g_source_unref(timer);
    g_source_destroy(source);
    g_source_unref(source);
    g_main_loop_unref(main_loop);
    g_main_context_unref(context);
    embedded_close(&work);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(loop_inside_glibs_does_all_its_work),
};

PLAIN_MAIN(cases)
