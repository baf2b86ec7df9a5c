/* SPDX-License-Identifier: MIT */
/*
 * configuration - what a loop gets that does not ask: the process's defaults, and which backend
 * "auto" is (T1 to T4).
 *
 * Defaults   Two slots: one is current, the other is written and then becomes it. A lock keeps a
 *            slot that is read from being written; a child of fork frees it, and finds the current
 *            slot whole whatever another thread was about. Until something is configured nobody
 *            takes the lock.
 * Auto       Looked for when it is first needed, and remembered once found: a failure, which may
 *            pass, is not. Of threads that race the first to store wins, and the others take its
 *            result, so that all loops made by "auto" have the same backend.
 */
#ifndef GYRE_LOOP_CONFIGURATION_H
#define GYRE_LOOP_CONFIGURATION_H

#include <gyre/loop.h>

struct gyre__backend;
struct gyre__waker_kind;

/* -EINVAL if a size or value is out of range, whatever names it has. */
int gyre__options_check(const struct gyre_loop_options *options);

/* Finds what the options name, or what is configured where they name nothing: -ENOENT, -ENOTSUP,
 * -EMFILE, -ENFILE, -ENOMEM. */
int gyre__configuration_find(const struct gyre_loop_options *options,
                             const struct gyre__backend **ret_backend,
                             const struct gyre__waker_kind **ret_kind);

/* In a child of fork. */
void gyre__configuration_after_fork(void);

#endif
