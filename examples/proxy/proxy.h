/* SPDX-License-Identifier: MIT */
/*
 * proxy - a TCP proxy on the loops of a runtime: each loop accepts, connects and relays by itself.
 *
 * What      A client is accepted on one loop, an upstream is connected on the same loop, and the
 *           two become a pair that gyre_stream_relay joins: bytes, back-pressure, half-close,
 *           reset.
 * Choice    Round robin, counted on each loop. When a connect fails the next upstream is tried,
 *           each once; after the last the client is reset. The client is not read meanwhile.
 * Names     Upstreams are resolved once, by proxy_open. The addresses of one name are tried in turn
 *           and count as one upstream.
 * Memory    At most 2 * GYRE_STREAM_BUFFER bytes a pair, and none while it is idle.
 * Threads   Every function may be called from any thread but a loop's; open, stop, close and
 *           destroy by one thread after the other.
 * Lifetime  open .. [stop] .. close .. (the runtime is stopped and joined) .. destroy.
 */
#ifndef PROXY_H
#define PROXY_H

#include <gyre/gyre.h>

struct proxy;

enum proxy_limits {
    PROXY_UPSTREAMS_MAX = 64 /* 4 KiB each; past this a balancer needs more than a round robin */
};

struct proxy_options {
    const char *listen;
    const char *const *upstreams;
    unsigned upstreams_count; /* 1 to PROXY_UPSTREAMS_MAX */
    uint64_t connect_timeout_ns; /* for each address that is tried, 0: the system's */
    uint64_t idle_ns; /* a pair without a byte for so long is reset, 0: never */
};

/* Of one loop. Each number is exact; together they are not one instant's. */
struct proxy_counters {
    uint64_t accepted; /* clients */
    uint64_t active; /* pairs, connecting or joined */
    uint64_t failed_connects; /* upstreams that were tried in vain */
    uint64_t bytes_up; /* sent on to upstreams */
    uint64_t bytes_down; /* sent on to clients */
};

/*
 * Listens on every loop of `runtime`, which may be started before or after. With an error,
 * *ret_culprit is the text of the options that it is about, or NULL if it is about none.
 *
 * Blocks:   for a name, as long as the system's resolver does.
 * Errors:   as gyre_address_resolve for an upstream, as gyre_listener_open for listen; -ENOMEM.
 */
GYRE_MUST_CHECK int proxy_open(struct gyre_runtime *runtime, const struct proxy_options *options,
                               struct proxy **ret_proxy, const char **ret_culprit);

/* Writes the address that is listened at, as gyre_listener_address does. Not after proxy_stop. */
GYRE_MUST_CHECK int proxy_address(const struct proxy *proxy, char *text, size_t bytes);

/*
 * Steers new clients away; the pairs go on. `done` is called on a loop once the last of them has
 * ended. It is not called if the loops close first.
 */
void proxy_stop(struct proxy *proxy, gyre_fn *done, void *arg);

/* Stops listening and resets every pair, on their loops, as soon as those turn. */
void proxy_close(struct proxy *proxy);

/* Reads the counters of loop number `index`. */
void proxy_count(const struct proxy *proxy, unsigned index, struct proxy_counters *ret_counters);

/* Frees the proxy; its loops have closed before. NULL is ignored. */
void proxy_destroy(struct proxy *proxy);

#endif
