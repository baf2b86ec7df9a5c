/* SPDX-License-Identifier: MIT */
/*
 * listener - made, told to end, freed. See listener.h for who holds what.
 *
 * open   resolve, bind, then post a part to each loop. A loop that has closed is refused before the
 *        first post: of an open that fails no loop has heard. One that closes after that look has
 *        closed just after the open, and its part has ended.
 * stop   stores the command, then posts it to each part. A part whose loop has closed has ended, or
 *        is about to.
 */
#include <gyre/address.h>
#include <gyre/error.h>
#include <gyre/listener.h>

#include "loop/context.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/listener.h"

static const struct gyre_listener_options defaults = {
    .size = sizeof(struct gyre_listener_options),
    .backlog = 4096,
    .accepts_max = 64,
    .drain_ns = UINT64_C(200) * 1000 * 1000,
    .unix_mode = 0666,
};

void gyre_listener_options_init(struct gyre_listener_options *options)
{
    *options = defaults;
}

/* ---- freed ----------------------------------------------------------------------------------- */

static size_t bytes_of(unsigned count)
{
    return sizeof(struct gyre_listener) + count * sizeof(struct gyre__part);
}

static void hold(struct gyre_listener *listener)
{
    /* relaxed: the caller holds it already, or is handed it in some ordered way */
    atomic_fetch_add_explicit(&listener->holders, 1, memory_order_relaxed);
}

static void free_listener(struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++)
        gyre_loop_release(listener->parts[i].loop);
    gyre__context_drop(listener->context);
    gyre__context_drop(listener->done_context);
    gyre__port_release(listener, bytes_of(listener->count));
}

void gyre__listener_release(struct gyre_listener *listener)
{
    /* acq_rel: the last holder's free comes after everything that the others did */
    if (atomic_fetch_sub_explicit(&listener->holders, 1, memory_order_acq_rel) == 1)
        free_listener(listener);
}

void gyre__listener_unlink(struct gyre_listener *listener)
{
    /* relaxed: only that one of the parts does it */
    if (atomic_exchange_explicit(&listener->linked, false, memory_order_relaxed))
        (void)listener->descriptors->unlink(listener->descriptors->path(&listener->address));
}

/* One part less is open, or the handle has been given back: true for the last. */
static bool count_down(struct gyre_listener *listener)
{
    /* acq_rel: the last one sees what the others saw, the command and `done` among it */
    uint32_t open = atomic_fetch_sub_explicit(&listener->open, 1, memory_order_acq_rel);
    if (open <= 2) /* nobody accepts any more, or a command has been given */
        gyre__listener_unlink(listener);
    return open == 1;
}

void gyre__listener_part_ended(struct gyre__part *part)
{
    struct gyre_listener *listener = part->listener;
    struct gyre_loop *loop = part->loop;
    int status = part->status;
    if (count_down(listener) && listener->done != NULL) {
        gyre__context_begin(listener->done_context);
        int r = listener->done(loop, status, listener->done_arg);
        (void)gyre_context_enter(listener->done_context); /* whatever it has entered */
        if (r != 0 && status == 0)
            gyre__loop_judge(loop, &(struct gyre_failure){.kind = GYRE_FAILED_CALLBACK,
                                                          .error = r,
                                                          .fd = -1,
                                                          .fn = listener->done,
                                                          .arg = listener->done_arg});
        gyre__context_end();
    }
    gyre__listener_release(listener);
}

/* ---- open ------------------------------------------------------------------------------------ */

/* Frees a listener of which no part was posted. */
static void discard(struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++) {
        struct gyre__part *part = &listener->parts[i];
        if (part->fd >= 0)
            listener->descriptors->close(part->fd);
        if (part->reserve_fd >= 0)
            listener->descriptors->close(part->reserve_fd);
    }
    gyre__listener_unlink(listener);
    free_listener(listener);
}

static struct gyre_listener *make(struct gyre_loop *const loops[], unsigned count,
                                  const struct gyre_listener_options *options,
                                  gyre_accept_fn *accept, void *arg)
{
    struct gyre_listener *listener = gyre__port_allocate(bytes_of(count));
    if (listener == NULL)
        return NULL;
    listener->accept = accept;
    listener->arg = arg;
    listener->context = gyre__context_capture();
    listener->options = *options;
    listener->descriptors = loops[0]->backend->descriptors;
    listener->count = count;
    atomic_init(&listener->linked, false);
    atomic_init(&listener->open, count + 1); /* the handle's */
    atomic_init(&listener->holders, count + 1);
    for (unsigned i = 0; i < count; i++)
        gyre__part_init(&listener->parts[i], listener, loops[i]);
    return listener;
}

/* Tries what the address resolves to, until one can be served. */
static int bind_one_of(struct gyre_listener *listener, char texts[][GYRE_ADDRESS_MAX],
                       unsigned count)
{
    int r = -EADDRNOTAVAIL;
    for (unsigned i = 0; i < count && (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT); i++) {
        r = listener->descriptors->parse(texts[i], &listener->address);
        if (r == 0)
            r = gyre__listener_bind(listener);
    }
    for (unsigned i = 0; i < listener->count && r == 0; i++)
        r = listener->descriptors->reserve(&listener->parts[i].reserve_fd);
    return r;
}

/* Whether every loop still takes its part. */
static int check_open(const struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++) {
        if (gyre__door_is_closed(&listener->parts[i].loop->door))
            return -ESHUTDOWN;
    }
    return 0;
}

/* Posts the parts. From the first post on the listener is open. */
static void publish(struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++) {
        struct gyre__part *part = &listener->parts[i];
        part->posted = gyre__loop_post_exempt(part->loop, &part->attach) == 0;
        if (part->posted)
            continue;
        listener->descriptors->close(part->fd);
        listener->descriptors->close(part->reserve_fd);
        (void)count_down(listener); /* the handle is not given back yet */
        gyre__listener_release(listener);
    }
}

static int check(struct gyre_loop *const loops[], unsigned count,
                 const struct gyre_listener_options *options, gyre_accept_fn *accept)
{
    if (count < 1 || count > GYRE_LOOPS_MAX || accept == NULL ||
        options->size != sizeof(*options) || options->accepts_max == 0)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        if (gyre__loop_is_inherited(loops[i]))
            return -ECHILD;
    }
    for (unsigned i = 1; i < count; i++) {
        if (loops[i]->backend->descriptors != loops[0]->backend->descriptors)
            return -EINVAL; /* of different worlds */
    }
    return 0;
}

int gyre_listener_open_on(struct gyre_loop *const loops[], unsigned count, const char *address,
                          const struct gyre_listener_options *options,
                          struct gyre_listener **ret_listener, gyre_accept_fn *accept, void *arg)
{
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    unsigned texts_count;
    if (options == NULL)
        options = &defaults;
    int r = check(loops, count, options, accept);
    if (r == 0)
        r = gyre__address_resolve(loops[0]->backend->descriptors, loops[0]->port, address, texts,
                                  &texts_count);
    if (r != 0)
        return r;
    struct gyre_listener *listener = make(loops, count, options, accept, arg);
    if (listener == NULL)
        return -ENOMEM;
    r = bind_one_of(listener, texts, texts_count);
    if (r == 0)
        r = check_open(listener);
    if (r != 0) {
        discard(listener);
        return r;
    }
    publish(listener);
    *ret_listener = listener;
    return 0;
}

int gyre_listener_open(struct gyre_runtime *runtime, const char *address,
                       const struct gyre_listener_options *options,
                       struct gyre_listener **ret_listener, gyre_accept_fn *accept, void *arg)
{
    unsigned count = gyre_runtime_loops(runtime);
    struct gyre_loop **loops = gyre__port_allocate(count * sizeof(struct gyre_loop *));
    if (loops == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        loops[i] = gyre_runtime_loop(runtime, i);
    int r = gyre_listener_open_on(loops, count, address, options, ret_listener, accept, arg);
    gyre__port_release(loops, count * sizeof(struct gyre_loop *));
    return r;
}

int gyre_listener_address(const struct gyre_listener *listener, char *text, size_t bytes)
{
    return listener->descriptors->format(&listener->address, text, bytes);
}

/* ---- stop and close -------------------------------------------------------------------------- */

/* In a child: closes its copies of the descriptors. The path, the sockets and what they are steered
 * to are the parent's; the memory stays, since that of the loops refers to it. */
static void forsake(struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++) {
        struct gyre__part *part = &listener->parts[i];
        if (!part->posted || part->state == GYRE__PART_CLOSING)
            continue; /* its descriptors had been closed before the fork */
        listener->descriptors->close(part->fd);
        if (part->reserve_fd >= 0)
            listener->descriptors->close(part->reserve_fd);
    }
}

static void command(struct gyre_listener *listener, enum gyre__listener_command what, gyre_fn *done,
                    void *arg)
{
    if (gyre__loop_is_inherited(listener->parts[0].loop)) {
        forsake(listener);
        return;
    }
    listener->done = done;
    listener->done_arg = arg;
    listener->done_context = gyre__context_capture();
    listener->command = what;
    /* Before the posts: only if every part had ended by itself is this the last. */
    if (count_down(listener) && done != NULL) {
        struct gyre_context *context = gyre_context_current();
        (void)done(listener->parts[0].loop, -ECANCELED, arg); /* no loop to report to */
        (void)gyre_context_enter(context); /* whatever it has entered */
    }
    for (unsigned i = 0; i < listener->count; i++) {
        struct gyre__part *part = &listener->parts[i];
        if (!part->posted)
            continue;
        hold(listener); /* the command's own: its part may be gone when it arrives */
        if (gyre__loop_post_exempt(part->loop, &part->command) != 0)
            gyre__listener_release(listener); /* the loop has closed: the part ends with it */
    }
    gyre__listener_release(listener);
}

void gyre_listener_stop(struct gyre_listener *listener, gyre_fn *done, void *arg)
{
    command(listener, GYRE__LISTENER_STOP, done, arg);
}

void gyre_listener_close(struct gyre_listener *listener, gyre_fn *done, void *arg)
{
    command(listener, GYRE__LISTENER_CLOSE, done, arg);
}
