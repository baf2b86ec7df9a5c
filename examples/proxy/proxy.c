/* SPDX-License-Identifier: MIT */
/*
 * proxy - pairs of a client and an upstream, on the loop that accepted the client. See proxy.h.
 *
 * States    connecting   the client waits unread, `upstream` is being connected
 *           joined       `relay` has both streams
 *           A pair is in its core's list from accept to end, whatever its state.
 * Threads   A core's list and pairs belong to its loop's thread. The counters are written by that
 *           thread and read by any. Nothing on the way of a connection is shared by two loops, so
 *           loops do not slow each other down.
 * Rejected  One counter of live pairs for the whole proxy, to know when the last has ended: it
 *           would be a cache line that all loops write for every connection. Each core knows its
 *           own end instead, and says so once, after proxy_stop.
 */
#include "proxy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    CACHE_LINE = 64
};

struct upstream {
    unsigned count;
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
};

/* [I] set once  [o] the loop's thread only  [a] written by the loop's thread, read by any */
struct core {
    _Alignas(CACHE_LINE) struct proxy *proxy; /* [I] */
    struct gyre_loop *loop; /* [I] */
    struct gyre_task drain_task; /* posted once, by the end of the listener */
    struct gyre_task cut_task; /* posted once, by proxy_close */
    struct pair *pairs; /* [o] */
    unsigned next_upstream; /* [o] */
    bool draining; /* [o] no client will come; the last pair's end is to be reported */
    bool cut; /* [o] a client that comes nevertheless is reset */
    _Atomic uint64_t accepted, active, failed_connects, bytes[2]; /* [a] */
};

struct proxy {
    struct gyre_listener *listener;
    struct upstream *upstreams; /* [I] */
    unsigned upstreams_count; /* [I] */
    struct gyre_connect_options connect; /* [I] */
    struct gyre_relay_options relay; /* [I] */
    gyre_fn *done;
    void *done_arg;
    atomic_uint cores_draining; /* the core that takes it to 0 calls done */
    unsigned cores_count; /* [I] */
    struct gyre_loop **loops; /* [I] of the cores, side by side: a search touches no core's line */
    struct core *cores;
};

struct pair {
    struct core *core;
    struct gyre_stream *client; /* until joined */
    struct gyre_stream *upstream; /* while connecting */
    struct gyre_relay *relay; /* once joined */
    unsigned first, tried; /* upstreams: which one came first, how many were tried in vain */
    unsigned address; /* of the upstream being tried, the next one */
    struct pair *next, **link;
};

/* One writer: a load and a store cost nothing, where an atomic addition would lock the line.
 * Relaxed: a count that publishes nothing else. */
static void count(_Atomic uint64_t *counter, uint64_t change)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + change, memory_order_relaxed);
}

static struct core *core_of(struct proxy *proxy, const struct gyre_loop *loop)
{
    unsigned index = 0;

    while (proxy->loops[index] != loop)
        index++;
    return &proxy->cores[index];
}

/* ---- a pair's way */

/* Says once for each core that it has no pairs left. */
static void report_drained(struct proxy *proxy, struct gyre_loop *loop)
{
    /* Acquire and release: done sees what every core did before its own end. */
    if (atomic_fetch_sub_explicit(&proxy->cores_draining, 1, memory_order_acq_rel) == 1 &&
        proxy->done != NULL)
        (void)proxy->done(loop, 0, proxy->done_arg); /* its result has no reader */
}

/* Frees a pair whose streams are gone. */
static void end_pair(struct pair *pair)
{
    struct core *core = pair->core;

    *pair->link = pair->next;
    if (pair->next != NULL)
        pair->next->link = pair->link;
    free(pair);
    count(&core->active, (uint64_t)-1);
    if (core->draining && core->pairs == NULL)
        report_drained(core->proxy, core->loop);
}

/* Ends a pair whatever its state; both peers see a reset. */
static void reset_pair(struct pair *pair)
{
    if (pair->relay != NULL) {
        gyre_relay_cancel(pair->relay); /* and relay_ended frees the pair */
        return;
    }
    gyre_stream_reset(pair->upstream);
    gyre_stream_reset(pair->client);
    end_pair(pair);
}

static void relay_moved(void *arg, int direction, size_t bytes)
{
    struct pair *pair = arg;
    count(&pair->core->bytes[direction], bytes);
}

static void relay_ended(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    (void)loop;
    (void)result; /* the bytes were counted as they moved, and either peer has seen the end */
    end_pair(arg);
}

static void upstream_opened(struct gyre_stream *upstream, void *arg)
{
    struct pair *pair = arg;
    const struct gyre_relay_options *options = &pair->core->proxy->relay;

    /* This fails if the client has gone meanwhile. */
    if (gyre_stream_relay(pair->client, upstream, options, &pair->relay, relay_ended, pair) != 0)
        reset_pair(pair);
}

/* What is missing on this side: another upstream would not help. */
static bool is_own_shortage(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
           error == -ESHUTDOWN || error == -ECANCELED;
}

static void upstream_ended(struct gyre_stream *upstream, int status, void *arg);

static const struct gyre_stream_events upstream_events = {
    .opened = upstream_opened,
    .ended = upstream_ended,
};

/* Tries what has not been tried yet; resets the client if nothing is left. `error` is what the last
 * attempt ended with. */
static void connect_next(struct pair *pair, int error)
{
    struct core *core = pair->core;
    const struct proxy *proxy = core->proxy;

    while (!is_own_shortage(error) && pair->tried < proxy->upstreams_count) {
        const struct upstream *upstream =
            &proxy->upstreams[(pair->first + pair->tried) % proxy->upstreams_count];
        if (pair->address == upstream->count) {
            pair->address = 0;
            pair->tried++;
            count(&core->failed_connects, 1);
            continue;
        }
        error = gyre_stream_connect(core->loop, upstream->texts[pair->address++], &proxy->connect,
                                    &pair->upstream, &upstream_events, pair);
        if (error == 0)
            return;
    }
    if (is_own_shortage(error))
        count(&core->failed_connects, 1);
    reset_pair(pair);
}

static void upstream_ended(struct gyre_stream *upstream, int status, void *arg)
{
    struct pair *pair = arg;

    pair->upstream = NULL;
    gyre_stream_close(upstream);
    connect_next(pair, status);
}

static int accept_client(struct gyre_stream *client, void *arg)
{
    struct proxy *proxy = arg;
    struct core *core = core_of(proxy, gyre_stream_loop(client));
    struct pair *pair;

    count(&core->accepted, 1);
    if (core->cut) {
        gyre_stream_reset(client);
        return 0;
    }
    pair = malloc(sizeof(*pair));
    if (pair == NULL)
        return -ENOMEM;
    *pair = (struct pair){
        .core = core,
        .client = client,
        .first = core->next_upstream,
        .next = core->pairs,
        .link = &core->pairs,
    };
    if (pair->next != NULL)
        pair->next->link = &pair->next;
    core->pairs = pair;
    core->next_upstream = (core->next_upstream + 1) % proxy->upstreams_count;
    count(&core->active, 1);
    connect_next(pair, 0);
    return 0;
}

/* ---- the end of all */

static int drain_core(struct gyre_loop *loop, int status, void *arg)
{
    struct core *core = arg;

    if (status != 0)
        return 0;
    core->draining = true;
    if (core->pairs == NULL)
        report_drained(core->proxy, loop);
    return 0;
}

static int cut_core(struct gyre_loop *loop, int status, void *arg)
{
    struct core *core = arg;

    (void)loop;
    if (status != 0)
        return 0; /* the loop closes, and ends the streams by itself */
    core->cut = true;
    for (struct pair *pair = core->pairs, *next; pair != NULL; pair = next) {
        next = pair->next;
        reset_pair(pair);
    }
    return 0;
}

static int listener_ended(struct gyre_loop *loop, int status, void *arg)
{
    struct proxy *proxy = arg;

    if (status != 0)
        return 0;
    for (unsigned i = 0; i < proxy->cores_count; i++) {
        if (gyre_loop_post(proxy->cores[i].loop, &proxy->cores[i].drain_task) != 0)
            report_drained(proxy, loop); /* it has closed, and its pairs ended with it */
    }
    return 0;
}

/* The listener is stopped or closed once, and the library's from then on. */
static struct gyre_listener *take_listener(struct proxy *proxy)
{
    struct gyre_listener *listener = proxy->listener;

    proxy->listener = NULL;
    return listener;
}

void proxy_stop(struct proxy *proxy, gyre_fn *done, void *arg)
{
    proxy->done = done;
    proxy->done_arg = arg;
    gyre_listener_stop(take_listener(proxy), listener_ended, proxy);
}

void proxy_close(struct proxy *proxy)
{
    /* After a stop the listener is the library's: what it still accepts is reset. */
    if (proxy->listener != NULL)
        gyre_listener_close(take_listener(proxy), NULL, NULL);
    for (unsigned i = 0; i < proxy->cores_count; i++) {
        if (gyre_loop_post(proxy->cores[i].loop, &proxy->cores[i].cut_task) != 0)
            continue; /* it has closed, and its pairs ended with it */
    }
}

void proxy_count(const struct proxy *proxy, unsigned index, struct proxy_counters *ret_counters)
{
    const struct core *core = &proxy->cores[index];

    /* Relaxed: counts that publish nothing else. */
    ret_counters->accepted = atomic_load_explicit(&core->accepted, memory_order_relaxed);
    ret_counters->active = atomic_load_explicit(&core->active, memory_order_relaxed);
    ret_counters->failed_connects =
        atomic_load_explicit(&core->failed_connects, memory_order_relaxed);
    ret_counters->bytes_up = atomic_load_explicit(&core->bytes[0], memory_order_relaxed);
    ret_counters->bytes_down = atomic_load_explicit(&core->bytes[1], memory_order_relaxed);
}

/* ---- making and freeing */

static int resolve_upstreams(struct proxy *proxy, const struct proxy_options *options,
                             const char **ret_culprit)
{
    if (options->upstreams_count == 0 || options->upstreams_count > PROXY_UPSTREAMS_MAX)
        return -EINVAL;
    proxy->upstreams_count = options->upstreams_count;
    proxy->upstreams = calloc(options->upstreams_count, sizeof(*proxy->upstreams));
    if (proxy->upstreams == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < options->upstreams_count; i++) {
        struct upstream *upstream = &proxy->upstreams[i];
        int error = gyre_address_resolve(options->upstreams[i], upstream->texts, &upstream->count);
        if (error != 0) {
            *ret_culprit = options->upstreams[i];
            return error;
        }
    }
    return 0;
}

static int make_cores(struct proxy *proxy, struct gyre_runtime *runtime)
{
    unsigned cores = gyre_runtime_loops(runtime);

    proxy->loops = calloc(cores, sizeof(struct gyre_loop *));
    proxy->cores = aligned_alloc(CACHE_LINE, cores * sizeof(*proxy->cores));
    if (proxy->loops == NULL || proxy->cores == NULL)
        return -ENOMEM;
    proxy->cores_count = cores;
    atomic_init(&proxy->cores_draining, cores);
    for (unsigned i = 0; i < cores; i++) {
        struct core *core = &proxy->cores[i];
        struct gyre_loop *loop = gyre_runtime_loop(runtime, i);
        memset(core, 0, sizeof(*core));
        core->proxy = proxy;
        /* A reference: a proxy_close that comes after the runtime's end is refused, not lost. */
        core->loop = proxy->loops[i] = gyre_loop_acquire(loop);
        core->next_upstream = i % proxy->upstreams_count; /* or all loops would begin alike */
        gyre_task_init(&core->drain_task, drain_core, core);
        gyre_task_init(&core->cut_task, cut_core, core);
    }
    return 0;
}

int proxy_open(struct gyre_runtime *runtime, const struct proxy_options *options,
               struct proxy **ret_proxy, const char **ret_culprit)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    int error;

    *ret_culprit = NULL;
    if (proxy == NULL)
        return -ENOMEM;
    gyre_connect_options_init(&proxy->connect);
    proxy->connect.timeout_ns = options->connect_timeout_ns;
    gyre_relay_options_init(&proxy->relay);
    proxy->relay.idle_ns = options->idle_ns;
    proxy->relay.progress = relay_moved;

    error = resolve_upstreams(proxy, options, ret_culprit);
    if (error == 0)
        error = make_cores(proxy, runtime);
    if (error == 0) {
        error = gyre_listener_open(runtime, options->listen, NULL, &proxy->listener, accept_client,
                                   proxy);
        if (error != 0)
            *ret_culprit = options->listen;
    }
    if (error != 0) {
        proxy_destroy(proxy);
        return error;
    }
    *ret_proxy = proxy;
    return 0;
}

int proxy_address(const struct proxy *proxy, char *text, size_t bytes)
{
    return gyre_listener_address(proxy->listener, text, bytes);
}

void proxy_destroy(struct proxy *proxy)
{
    if (proxy == NULL)
        return;
    if (proxy->listener != NULL)
        gyre_listener_close(take_listener(proxy), NULL, NULL);
    for (unsigned i = 0; i < proxy->cores_count; i++)
        gyre_loop_release(proxy->cores[i].loop);
    free(proxy->cores);
    free(proxy->loops);
    free(proxy->upstreams);
    free(proxy);
}
