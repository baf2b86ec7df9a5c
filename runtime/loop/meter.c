/* SPDX-License-Identifier: MIT */
/*
 * meter - see meter.h for what is measured when.
 */
#include "loop/meter.h"

#include <gyre/error.h>
#include <gyre/metrics.h>

#include "loop/loop.h"

struct gyre__meter *gyre__meter_create(const struct gyre__port *port, bool calls)
{
    struct gyre__meter *meter = gyre__port_allocate(sizeof(*meter));
    if (meter == NULL)
        return NULL;
    meter->port = port;
    meter->calls = calls;
    return meter;
}

void gyre__meter_destroy(struct gyre__meter *meter)
{
    if (meter != NULL)
        gyre__port_release(meter, sizeof(*meter));
}

/* ---- turns and sleeps ------------------------------------------------------------------------ */

/* The user's clock, if there is one, lest virtual time be mixed with real. */
static uint64_t now(const struct gyre_loop *loop)
{
    return loop->options.clock != NULL ? loop->options.clock(loop->options.clock_arg)
                                       : loop->port->ticks_ns();
}

/* 0 if a user's clock has stepped back. */
static uint64_t elapsed(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* What has passed since the last reading. */
static uint64_t lap(struct gyre_loop *loop)
{
    struct gyre__meter *meter = loop->meter;
    uint64_t now_ns = now(loop);
    uint64_t passed_ns = elapsed(meter->since_ns, now_ns);
    meter->since_ns = now_ns;
    return passed_ns;
}

static void end_turn(struct gyre_loop *loop)
{
    struct gyre__meter *meter = loop->meter;
    uint64_t turn = gyre__counter_read(&loop->counters.turns);
    uint64_t busy_ns = lap(loop);
    gyre__counter_add(&meter->busy_ns, busy_ns);
    if (turn != meter->turn) /* else it has had none: run_once begins with the poll */
        gyre__histogram_add(&meter->turns, busy_ns);
    meter->turn = turn;
}

void gyre__meter_begin(struct gyre_loop *loop)
{
    loop->meter->since_ns = now(loop);
}

void gyre__meter_end(struct gyre_loop *loop)
{
    end_turn(loop);
}

void gyre__meter_sleep(struct gyre_loop *loop)
{
    end_turn(loop);
}

void gyre__meter_polled(struct gyre_loop *loop, bool slept)
{
    if (slept)
        gyre__counter_add(&loop->meter->idle_ns, lap(loop));
    else
        end_turn(loop);
}

/* ---- lags ------------------------------------------------------------------------------------ */

void gyre__meter_note_timer(struct gyre_loop *loop, uint64_t deadline_ns)
{
    gyre__histogram_add(&loop->meter->timer_lags, elapsed(deadline_ns, gyre_loop_now_ns(loop)));
}

void gyre__meter_note_post(struct gyre__meter *meter, uint64_t posted_ns)
{
    gyre__histogram_add(&meter->post_lags, elapsed(posted_ns, meter->port->ticks_ns()));
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* A call under way. */
struct call {
    const void *outer; /* the function that it is nested in */
    uint64_t began_ns;
};

static struct call begin_call(struct gyre_loop *loop, union gyre__function function)
{
    struct call call = {.outer = loop->meter->function};
    loop->meter->function = function.address;
    call.began_ns = now(loop);
    return call;
}

static void end_call(struct gyre_loop *loop, const struct call *call)
{
    struct gyre__meter *meter = loop->meter;
    uint64_t took_ns = elapsed(call->began_ns, now(loop));
    if (took_ns > gyre__counter_read(&meter->longest_ns)) {
        /* relaxed: a reader may see the function of the one before */
        atomic_store_explicit(&meter->longest, meter->function, memory_order_relaxed);
        gyre__counter_set(&meter->longest_ns, took_ns);
    }
    meter->function = call->outer;
}

int gyre__meter_call(struct gyre_loop *loop, gyre_fn *fn, int status, void *arg)
{
    if (!loop->meter->calls)
        return fn(loop, status, arg);
    struct call call = begin_call(loop, (union gyre__function){.fn = fn});
    int r = fn(loop, status, arg);
    end_call(loop, &call);
    return r;
}

int gyre__meter_handle(struct gyre_loop *loop, gyre_handler_fn *fn, int fd, uint32_t events,
                       void *arg)
{
    if (!loop->meter->calls)
        return fn(loop, fd, events, arg);
    struct call call = begin_call(loop, (union gyre__function){.handler = fn});
    int r = fn(loop, fd, events, arg);
    end_call(loop, &call);
    return r;
}

/* ---- the public function --------------------------------------------------------------------- */

int gyre_loop_histogram(const struct gyre_loop *loop, enum gyre_loop_metric metric,
                        struct gyre_histogram *ret_histogram)
{
    const struct gyre__histogram *histogram = NULL;
    if (metric > GYRE_METRIC_POST_LAG)
        return -EINVAL;
    if (loop->meter == NULL) {
        *ret_histogram = (struct gyre_histogram){.count = 0};
        return 0;
    }
    if (metric == GYRE_METRIC_TURN)
        histogram = &loop->meter->turns;
    else if (metric == GYRE_METRIC_TIMER_LAG)
        histogram = &loop->meter->timer_lags;
    else
        histogram = &loop->meter->post_lags;
    gyre__histogram_read(histogram, ret_histogram);
    return 0;
}
