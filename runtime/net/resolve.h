/* SPDX-License-Identifier: MIT */
/*
 * resolve - names looked up off the loop, since a resolver blocks for as long as it likes.
 *
 * What      One detached thread a lookup, 32 in the process at most. The answer is posted to the
 *           loop that asked.
 * Why       A thread costs some 20 us, a lookup hundreds: a pool would save nothing yet. A later
 *           executor, with its own bound and queue, takes this over.
 * Lifetime  Two hold a lookup: the loop's side until the answer or the cancel, the thread until its
 *           post is taken or refused. The last one frees it. Only the loop's side knows of a
 *           cancel: a thread inside a resolver cannot be stopped.
 * Threads   start, cancel, and the answer: the loop's.
 */
#ifndef GYRE_NET_RESOLVE_H
#define GYRE_NET_RESOLVE_H

#include <gyre/address.h>
#include <gyre/loop.h>

enum gyre__resolve_limits {
    GYRE__LOOKUPS_MAX = 32 /* threads: a resolver that hangs must not fill the process with them */
};

struct gyre__lookup;

/* The answer: 0 and `count` numeric addresses, valid until it returns, or what resolving failed
 * with; -ECANCELED: the loop closes. */
typedef void gyre__resolved_fn(void *arg, int status, char texts[][GYRE_ADDRESS_MAX],
                               unsigned count);

/* Looks `address` up, and has `fn` called with `arg` on `loop`, once, unless the lookup is
 * cancelled first. -EINVAL, -ENAMETOOLONG: not a name and a port; -EAGAIN: too many lookups;
 * -ENOMEM, or what making a thread fails with. */
int gyre__resolve_start(struct gyre_loop *loop, const char *address,
                        struct gyre__lookup **ret_lookup, gyre__resolved_fn *fn, void *arg);

/* Has nobody called any more; the lookup is not the caller's afterwards. */
void gyre__resolve_cancel(struct gyre__lookup *lookup);

#endif
