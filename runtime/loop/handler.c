/* SPDX-License-Identifier: MIT */
/*
 * handler - see handler.h.
 *
 * Kernel   epoll drops a registration when the last duplicate of its file is closed, and says
 *          -EEXIST or -ENOENT by file, not by number (epoll(7), Questions 6). So an add that the
 *          table thinks is a second one is put to the kernel first: if it succeeds, the old entry
 *          was a closed file's.
 */
#include "loop/handler.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

_Static_assert(sizeof(struct gyre__handler) == 40, "an idle connection pays one of these");

static uint64_t datum_of(int fd, const struct gyre__handler *entry)
{
    return (uint64_t)entry->generation << 32 | (uint32_t)fd;
}

/* The entry of fd, made if need be; NULL: no memory. */
static struct gyre__handler *reserve(struct gyre__handlers *handlers, int fd)
{
    uint32_t at = (uint32_t)fd / GYRE__HANDLERS_CHUNK;
    if (at >= handlers->chunks_count) {
        uint32_t count = at < 4 ? 8 : at * 2;
        struct gyre__handler **chunks = gyre__port_allocate(count * sizeof(*chunks));
        if (chunks == NULL)
            return NULL;
        for (uint32_t i = 0; i < handlers->chunks_count; i++)
            chunks[i] = handlers->chunks[i];
        if (handlers->chunks != NULL)
            gyre__port_release(handlers->chunks, handlers->chunks_count * sizeof(*chunks));
        handlers->chunks = chunks;
        handlers->chunks_count = count;
    }
    if (handlers->chunks[at] == NULL)
        handlers->chunks[at] =
            gyre__port_allocate(GYRE__HANDLERS_CHUNK * sizeof(struct gyre__handler));
    return gyre__handlers_find(handlers, fd);
}

static void renew(struct gyre__handlers *handlers, struct gyre__handler *entry)
{
    entry->generation++;
    entry->changed = handlers->polls;
}

static void forget(struct gyre__handlers *handlers, int fd, struct gyre__handler *entry)
{
    renew(handlers, entry);
    gyre__closers_set(&handlers->closers, fd, NULL);
    entry->kind = GYRE__HANDLER_FREE;
    entry->arg = NULL;
    entry->events = 0;
    struct gyre_context *context = entry->context;
    entry->context = NULL;
    gyre__context_drop(context); /* last: it may call the user's release, and that the loop */
}

/* Has the poll set watch an entry for other events. */
static int update(struct gyre_loop *loop, int fd, const struct gyre__handler *entry,
                  uint32_t events)
{
    const struct gyre__readiness *readiness = loop->backend->readiness;
    uint64_t datum = datum_of(fd, entry);
    int r = readiness->update(loop->poller, fd, events, datum);
    if (r == -ENOENT && loop->handlers.torn != 0) /* it may be one that a rebuild could not add */
        r = readiness->add(loop->poller, fd, events, datum);
    return r;
}

/* ---- the user's handlers --------------------------------------------------------------------- */

static int check(struct gyre_loop *loop, int fd, uint32_t events, const char *function)
{
    int r = gyre__loop_check_owner(loop, function);
    if (r != 0)
        return r;
    if (fd < 0)
        return -EINVAL;
    uint32_t known = GYRE_READ | GYRE_WRITE | GYRE_ERROR | loop->backend->events;
    return (events & ~known) == 0 ? 0 : -ENOTSUP;
}

static bool is_users(const struct gyre__handler *entry)
{
    return entry->kind != GYRE__HANDLER_FREE && entry->kind != GYRE__HANDLER_CHANNEL;
}

/* The poll set watches for `events` now. */
static void arm(struct gyre_loop *loop, struct gyre__handler *entry, uint32_t events)
{
    bool once = (events & GYRE_ONESHOT) != 0;
    bool timed = loop->options.timing == GYRE_TIMING_CALLS;
    entry->events = events;
    entry->kind = timed ? GYRE__HANDLER_TIMED : GYRE__HANDLER_USER;
    if (!once)
        return;
    entry->kind = GYRE__HANDLER_ONCE;
    entry->changed = loop->handlers.polls; /* an event already fetched is not this arming's */
}

/* Adds a handler; `close` is NULL if nobody owns fd. */
static int add(struct gyre_loop *loop, int fd, uint32_t events, gyre_handler_fn *fn, void *arg,
               gyre_close_fn *close)
{
    if (fn == NULL)
        return -EINVAL;
    if (loop->closed)
        return -ESHUTDOWN;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, fd);
    if (entry != NULL && entry->kind == GYRE__HANDLER_CHANNEL)
        return -EBUSY;
    /* The number may be a closed one's, far beyond what the process ever uses: ask the kernel
     * before making room for it. */
    struct gyre__handler next = {.generation = entry != NULL ? entry->generation + 1 : 1};
    int r =
        loop->backend->readiness->add(loop->poller, fd, events | GYRE_ERROR, datum_of(fd, &next));
    if (r != 0)
        return r;
    entry = reserve(&loop->handlers, fd);
    if (entry == NULL ||
        (close != NULL && gyre__closers_reserve(&loop->handlers.closers, fd) != 0)) {
        (void)loop->backend->readiness->remove(loop->poller, fd); /* it was just added */
        if (entry != NULL && is_users(entry))
            forget(&loop->handlers, fd, entry); /* a closed file's, as the add has shown */
        return -ENOMEM;
    }
    renew(&loop->handlers, entry);
    struct gyre_context *before = entry->context; /* of a closed file's handler (T35) */
    entry->fn.handler = fn;
    entry->arg = arg;
    entry->context = gyre__context_capture();
    gyre__closers_set(&loop->handlers.closers, fd, close);
    arm(loop, entry, events | GYRE_ERROR);
    gyre__context_drop(before);
    return 0;
}

int gyre_loop_add_handler(struct gyre_loop *loop, int fd, uint32_t events, gyre_handler_fn *fn,
                          void *arg)
{
    int r = check(loop, fd, events, "gyre_loop_add_handler");
    return r != 0 ? r : add(loop, fd, events, fn, arg, NULL);
}

int gyre_loop_add_owned_handler(struct gyre_loop *loop, int fd, uint32_t events,
                                gyre_handler_fn *fn, void *arg, gyre_close_fn *close)
{
    int r = check(loop, fd, events, "gyre_loop_add_owned_handler");
    if (r != 0)
        return r;
    return close == NULL ? -EINVAL : add(loop, fd, events, fn, arg, close);
}

int gyre_loop_update_handler(struct gyre_loop *loop, int fd, uint32_t events)
{
    int r = check(loop, fd, events, "gyre_loop_update_handler");
    if (r != 0)
        return r;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, fd);
    if (entry == NULL || entry->kind == GYRE__HANDLER_FREE)
        return -ENOENT;
    if (entry->kind == GYRE__HANDLER_CHANNEL)
        return -EBUSY;
    r = update(loop, fd, entry, events | GYRE_ERROR);
    if (r == 0)
        arm(loop, entry, events | GYRE_ERROR);
    return r;
}

int gyre_loop_remove_handler(struct gyre_loop *loop, int fd)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_remove_handler");
    if (r != 0)
        return r;
    struct gyre__handler *entry = fd < 0 ? NULL : gyre__handlers_find(&loop->handlers, fd);
    if (entry == NULL || entry->kind == GYRE__HANDLER_FREE)
        return -ENOENT;
    if (entry->kind == GYRE__HANDLER_CHANNEL)
        return -EBUSY;
    r = loop->backend->readiness->remove(loop->poller, fd);
    forget(&loop->handlers, fd, entry);
    return r;
}

/* ---- the backend's host ---------------------------------------------------------------------- */

int gyre__host_claim(struct gyre__channel *channel, gyre__ready_fn *fn)
{
    struct gyre_loop *loop = channel->loop;
    if (loop->closed)
        return -ESHUTDOWN;
    struct gyre__handler *entry = reserve(&loop->handlers, channel->fd);
    if (entry == NULL)
        return -ENOMEM;
    if (entry->kind == GYRE__HANDLER_CHANNEL)
        return -EBUSY;
    uint32_t events = 0;
    if (is_users(entry)) {
        /* Ours to take only if the kernel knows nothing of it: the handler's file was closed (T35).
         * */
        events = GYRE_ERROR;
        struct gyre__handler next = {.generation = entry->generation + 1};
        int r = loop->backend->readiness->add(loop->poller, channel->fd, events,
                                              datum_of(channel->fd, &next));
        if (r != 0)
            return r == -EEXIST ? -EBUSY : r;
    }
    renew(&loop->handlers, entry);
    gyre__closers_set(&loop->handlers.closers, channel->fd, NULL);
    entry->events = events;
    entry->fn.ready = fn;
    entry->arg = channel;
    entry->kind = GYRE__HANDLER_CHANNEL;
    return 0;
}

bool gyre__host_is_inherited(const struct gyre_loop *loop)
{
    return gyre__loop_is_inherited(loop);
}

int gyre__host_watch(struct gyre__channel *channel, uint32_t events)
{
    struct gyre_loop *loop = channel->loop;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, channel->fd);
    const struct gyre__readiness *readiness = loop->backend->readiness;
    uint64_t datum = datum_of(channel->fd, entry);
    if ((loop->backend->capabilities & GYRE__CAP_EXCLUSIVE) == 0)
        events &= ~(uint32_t)GYRE__EXCLUSIVE; /* then several loops wake for one, that is all */
    int r = entry->events == 0 ? readiness->add(loop->poller, channel->fd, events, datum)
                               : update(loop, channel->fd, entry, events);
    if (r == 0)
        entry->events = events;
    return r;
}

void gyre__host_unwatch(struct gyre__channel *channel)
{
    struct gyre_loop *loop = channel->loop;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, channel->fd);
    renew(&loop->handlers, entry);
    if (entry->events != 0 && !gyre__loop_is_inherited(loop))
        (void)loop->backend->readiness->remove(loop->poller, channel->fd); /* gone: as well */
    entry->events = 0;
}

void gyre__host_release(struct gyre__channel *channel)
{
    struct gyre_loop *loop = channel->loop;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, channel->fd);
    if (entry == NULL)
        return; /* the loop has closed and freed its table */
    if (entry->events != 0 && (loop->backend->capabilities & GYRE__CAP_FORGETS) == 0)
        (void)loop->backend->readiness->remove(loop->poller, channel->fd); /* gone: as well */
    forget(&loop->handlers, channel->fd, entry);
}

/* ---- events ---------------------------------------------------------------------------------- */

typedef void visit_fn(struct gyre_loop *loop, int fd, struct gyre__handler *entry);

static void visit(struct gyre_loop *loop, visit_fn *fn)
{
    for (uint32_t at = 0; at < loop->handlers.chunks_count; at++) {
        if (loop->handlers.chunks[at] == NULL)
            continue;
        for (uint32_t i = 0; i < GYRE__HANDLERS_CHUNK; i++) {
            struct gyre__handler *entry = &loop->handlers.chunks[at][i];
            if (entry->kind != GYRE__HANDLER_FREE)
                fn(loop, (int)(at * GYRE__HANDLERS_CHUNK + i), entry);
        }
    }
}

/* Registers an entry in a poll set that was emptied. One whose call is over stays registered, so
 * that a second add is refused; the event that it may make is dropped. */
static void add_again(struct gyre_loop *loop, int fd, struct gyre__handler *entry)
{
    uint32_t events = entry->events;
    if (events == 0 && entry->kind == GYRE__HANDLER_ONCE)
        events = GYRE_ONESHOT;
    if (events == 0)
        return;
    int r = loop->backend->readiness->add(loop->poller, fd, events, datum_of(fd, entry));
    /* -EBADF: closed without being removed, nothing of it can come; -EEXIST: it was added before */
    if (r != 0 && r != -EBADF && r != -EEXIST)
        loop->handlers.torn = r;
}

/* Adds all that the poll set should have and lacks. */
GYRE_ON_LOOP static void fill(struct gyre_loop *loop)
{
    int r = gyre__loop_watch_waker(loop);
    loop->handlers.torn = r == -EEXIST ? 0 : r;
    visit(loop, add_again);
    if (loop->handlers.torn != 0)
        gyre__log(GYRE_LOG_WARNING, "some descriptors are not watched, which is tried again: %s",
                  gyre_error_text(loop->handlers.torn));
}

/* Empties the poll set and fills it anew, so that it loses what the kernel would not remove. */
GYRE_ON_LOOP static void rebuild(struct gyre_loop *loop)
{
    int r = loop->backend->readiness->reset(loop->poller);
    if (r != 0) {
        gyre__log(GYRE_LOG_ERROR, "the poll set cannot be rebuilt: %s", gyre_error_text(r));
        return;
    }
    gyre__counter_add(&loop->counters.rebuilds, 1);
    fill(loop);
}

void gyre__handlers_mend(struct gyre_loop *loop)
{
    uint64_t now = gyre__loop_turn_ns(loop);
    if (loop->handlers.torn == 0 || now - loop->handlers.rebuilt_ns < GYRE__REBUILD_PAUSE_NS)
        return;
    loop->handlers.rebuilt_ns = now;
    fill(loop);
}

/* noinline: else its registers are saved and restored around every event, a dozen instructions. */
GYRE_ON_LOOP __attribute__((noinline)) static void drop(struct gyre_loop *loop, int fd,
                                                        const struct gyre__handler *entry)
{
    gyre__counter_add(&loop->counters.events_stale, 1);
    if (entry != NULL && entry->changed == loop->handlers.polls)
        return; /* its registration went after the poll: an ordinary stale event */
    uint64_t now = gyre__loop_turn_ns(loop);
    if (loop->handlers.rebuilt_ns != 0 && now - loop->handlers.rebuilt_ns < GYRE__REBUILD_PAUSE_NS)
        return; /* it comes again */
    loop->handlers.rebuilt_ns = now;
    gyre__log(GYRE_LOG_WARNING,
              "descriptor %d was closed without being removed, and a duplicate keeps it open", fd);
    rebuild(loop);
}

/* In the context of the registration, whatever the function has entered. noinline: as drop */
GYRE_ON_LOOP __attribute__((noinline)) static void judge(struct gyre_loop *loop, int fd,
                                                         gyre_handler_fn *fn, void *arg,
                                                         struct gyre_context *context, int result)
{
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_HANDLER, .error = result, .fd = fd, .handler = fn, .arg = arg};
    (void)gyre_context_enter(context);
    gyre__loop_judge(loop, &failure);
}

/* Calls a handler in the context of its registration, one that fires once, and one that is timed.
 * It may remove itself, so that the call needs a reference of its own. False: its one call is over,
 * and a rebuild has armed it anew. noinline: as drop. */
GYRE_ON_LOOP __attribute__((noinline)) static bool call_specially(struct gyre_loop *loop,
                                                                  struct gyre__handler *entry,
                                                                  int fd, uint32_t events)
{
    if (entry->events == 0) {
        gyre__counter_add(&loop->counters.events_stale, 1);
        return false;
    }
    struct gyre_context *context = gyre_context_acquire(entry->context);
    gyre_handler_fn *fn = entry->fn.handler;
    void *arg = entry->arg;
    if (entry->kind == GYRE__HANDLER_ONCE && entry->changed != loop->handlers.polls)
        entry->events = 0; /* the kernel has disarmed it */
    gyre__context_begin(context);
    int r = loop->meter == NULL ? fn(loop, fd, events, arg)
                                : gyre__meter_handle(loop, fn, fd, events, arg);
    if (r != 0)
        judge(loop, fd, fn, arg, context, r);
    gyre__context_end();
    gyre__context_drop(context);
    return true;
}

/* Hands one event of a batch to whom it belongs. False: it is nobody's, or the waker's. The event
 * is a copy: a nested run may fill the batch anew. */
GYRE_ON_LOOP static inline bool deliver(struct gyre_loop *loop, struct gyre__event event)
{
    int fd = (int)(uint32_t)event.datum;
    struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, fd);
    if (entry == NULL || entry->generation != event.datum >> 32) {
        if (event.datum != GYRE__WAKER_DATUM) /* whose descriptor has no entry */
            drop(loop, fd, entry);
        else if (!loop->waker_edge)
            loop->waker_kind->drain(&loop->waker);
        return false;
    }
    if (entry->kind == GYRE__HANDLER_CHANNEL) {
        entry->fn.ready(entry->arg, event.events);
    } else if (entry->kind != GYRE__HANDLER_USER || entry->context != NULL) {
        return call_specially(loop, entry, fd, event.events);
    } else {
        gyre_handler_fn *fn = entry->fn.handler;
        void *arg = entry->arg;
        int r = fn(loop, fd, event.events, arg);
        if (r != 0)
            judge(loop, fd, fn, arg, NULL, r);
        gyre__context_end();
    }
    return true;
}

void gyre__handlers_dispatch(struct gyre_loop *loop)
{
    uint64_t events = 0;
    while (loop->batch_next < loop->batch_count && loop->interrupted == 0)
        events += deliver(loop, loop->batch[loop->batch_next++]);
    gyre__counter_add(&loop->counters.events, events);
}

/* ---- close ----------------------------------------------------------------------------------- */

static void abandon(struct gyre_loop *loop, int fd, struct gyre__handler *entry)
{
    (void)fd;
    if (entry->kind == GYRE__HANDLER_CHANNEL && !gyre__loop_is_inherited(loop)) {
        struct gyre__channel *channel = entry->arg;
        channel->backend->operations->abandon(channel);
    }
}

void gyre__handlers_abandon(struct gyre_loop *loop)
{
    visit(loop, abandon);
}

/* Lets the owner close, in the context of the registration. He may remove what else is his. */
GYRE_ON_LOOP static void close_by_owner(struct gyre_loop *loop, int fd, struct gyre__handler *entry,
                                        gyre_close_fn *close)
{
    struct gyre_context *context = gyre_context_acquire(entry->context);
    void *arg = entry->arg;
    forget(&loop->handlers, fd, entry); /* first: once is all */
    gyre__context_begin(context);
    close(loop, fd, arg);
    gyre__context_end();
    gyre__context_drop(context);
}

static void close_fd(struct gyre_loop *loop, int fd, struct gyre__handler *entry)
{
    gyre__assert_on_loop();
    if (!is_users(entry))
        return;
    gyre_close_fn *close = gyre__closers_find(&loop->handlers.closers, fd);
    if (close == NULL)
        loop->backend->descriptors->close(fd);
    else if (!gyre__loop_is_inherited(loop)) /* else the owner is the parent's as well */
        close_by_owner(loop, fd, entry, close);
}

void gyre__handlers_close_fds(struct gyre_loop *loop)
{
    visit(loop, close_fd);
}

static void drop_context(struct gyre_loop *loop, int fd, struct gyre__handler *entry)
{
    (void)loop;
    (void)fd;
    struct gyre_context *context = entry->context;
    entry->context = NULL;
    gyre__context_drop(context);
}

void gyre__handlers_deinit(struct gyre_loop *loop)
{
    struct gyre__handlers *handlers = &loop->handlers;
    visit(loop, drop_context);
    for (uint32_t at = 0; at < handlers->chunks_count; at++) {
        if (handlers->chunks[at] != NULL)
            gyre__port_release(handlers->chunks[at],
                               GYRE__HANDLERS_CHUNK * sizeof(struct gyre__handler));
    }
    if (handlers->chunks != NULL)
        gyre__port_release(handlers->chunks, handlers->chunks_count * sizeof(*handlers->chunks));
    handlers->chunks = NULL;
    handlers->chunks_count = 0;
    gyre__closers_deinit(&handlers->closers);
}
