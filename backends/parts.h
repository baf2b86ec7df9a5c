/* SPDX-License-Identifier: MIT */
/*
 * parts - what backends are put together from, each in the file of its name.
 *
 * A backend is a table of parts, and most parts serve several: ready.c gives operations to whatever
 * has readiness, one set of descriptors serves every POSIX system.
 */
#ifndef GYRE_BACKENDS_PARTS_H
#define GYRE_BACKENDS_PARTS_H

#include "contract/backend.h"
#include "contract/port.h"

/* The backends that table.c lists. */
extern const struct gyre__backend gyre__backend_epoll;
extern const struct gyre__backend gyre__backend_poll;
extern const struct gyre__backend gyre__backend_select;

extern const struct gyre__operations gyre__operations_ready;

/* The wakers that table.c lists. */
extern const struct gyre__waker_kind gyre__waker_eventfd;
extern const struct gyre__waker_kind gyre__waker_pipe;

extern const struct gyre__descriptors gyre__descriptors_posix;
extern const struct gyre__port gyre__port_linux;

#endif
