/* SPDX-License-Identifier: MIT */
/*
 * gyre - a loop on every core. This header includes the rest.
 */
#ifndef GYRE_GYRE_H
#define GYRE_GYRE_H

#include <gyre/address.h>
#include <gyre/base.h>
#include <gyre/context.h>
#include <gyre/dump.h>
#include <gyre/embed.h>
#include <gyre/error.h>
#include <gyre/executor.h>
#include <gyre/future.h>
#include <gyre/listener.h>
#include <gyre/loop.h>
#include <gyre/metrics.h>
#include <gyre/periodic.h>
#include <gyre/runtime.h>
#include <gyre/signal.h>
#include <gyre/stream.h>
#include <gyre/task.h>
#include <gyre/timer.h>
#include <gyre/watchdog.h>

#endif
