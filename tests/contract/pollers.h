/* SPDX-License-Identifier: MIT */
/*
 * pollers - what the tests below the loop share: this run's backend and waker, a poller, and what
 * it reports.
 */
#ifndef GYRE_TEST_CONTRACT_POLLERS_H
#define GYRE_TEST_CONTRACT_POLLERS_H

#include "contract/backend.h"
#include "support.h"

const struct gyre__backend *backend(void);
const struct gyre__readiness *readiness(void);
const struct gyre__waker_kind *waker_kind(void);

struct gyre__poller *make_poller(void);

/* Watches; must succeed. */
void add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum);

/* What is ready now. */
int look(struct gyre__poller *poller, struct gyre__event *events, unsigned events_max);

/* Nothing is ready, or exactly this. */
void assert_quiet(struct gyre__poller *poller);
void assert_only(struct gyre__poller *poller, uint64_t datum, uint32_t wanted);

#endif
