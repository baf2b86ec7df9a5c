/* SPDX-License-Identifier: MIT */
/*
 * dump - describes a loop in lines: see gyre/dump.h.
 *
 * The inside's part walks what is the owner's, so it is for the thread inside alone. Becoming the
 * owner while nobody is inside was rejected: a run that begins meanwhile would be refused, because
 * somebody looked on.
 */
#include <gyre/dump.h>

#include <stdio.h>

#include <gyre/error.h>
#include <gyre/metrics.h>

#include "loop/loop.h"

enum {
    LISTED_MAX = 32, /* callbacks, or timers */
    LINE_BYTES = 512,
    SYMBOL_BYTES = 256
};

struct dump {
    struct gyre_loop *loop;
    gyre_sink_fn *sink;
    void *arg;
    uint64_t now_ns; /* by the loop's clock */
    unsigned listed; /* of what is being walked */
};

GYRE_PRINTF(2, 3) static void print(const struct dump *dump, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments); /* cut if need be */
    va_end(arguments);
    dump->sink(line, dump->arg);
}

/* A line for a queued callback. */
static void print_callback(const struct dump *dump, gyre_fn *fn)
{
    char symbol[SYMBOL_BYTES];
    union gyre__function function = {.fn = fn};
    print(dump, "  callback %s", gyre__port_symbol(function.address, symbol, sizeof(symbol)));
}

/* ---- what anybody may see -------------------------------------------------------------------- */

static void print_counters(const struct dump *dump)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(dump->loop, &stats);
    print(dump, "turns %llu, polls %llu, sleeps %llu, wakes written %llu",
          (unsigned long long)stats.turns, (unsigned long long)stats.polls,
          (unsigned long long)stats.sleeps, (unsigned long long)stats.wakes_written);
    print(dump, "posts %llu, callbacks run %llu, most queued %llu", (unsigned long long)stats.posts,
          (unsigned long long)stats.callbacks, (unsigned long long)stats.queue_max);
    print(dump, "timers live %llu, fired %llu, cancelled %llu",
          (unsigned long long)stats.timers_live, (unsigned long long)stats.timers,
          (unsigned long long)stats.timers_cancelled);
    print(dump, "events %llu, stale events %llu, rebuilds %llu", (unsigned long long)stats.events,
          (unsigned long long)stats.events_stale, (unsigned long long)stats.rebuilds);
}

static void print_histogram(const struct dump *dump, const char *what, enum gyre_loop_metric metric)
{
    struct gyre_histogram histogram;
    if (gyre_loop_histogram(dump->loop, metric, &histogram) != 0 || histogram.count == 0)
        return;
    print(dump, "%s: %llu, half up to %llu ns, 99 in 100 up to %llu ns, the most %llu ns", what,
          (unsigned long long)histogram.count,
          (unsigned long long)gyre_histogram_quantile(&histogram, 0.5),
          (unsigned long long)gyre_histogram_quantile(&histogram, 0.99),
          (unsigned long long)histogram.max_ns);
}

static void print_times(const struct dump *dump)
{
    struct gyre_loop_stats stats;
    char symbol[SYMBOL_BYTES];
    gyre_loop_stats(dump->loop, &stats);
    print(dump, "busy %llu us, idle %llu us", (unsigned long long)(stats.busy_ns / 1000),
          (unsigned long long)(stats.idle_ns / 1000));
    if (stats.longest_call != NULL)
        print(dump, "longest call %llu ns: %s", (unsigned long long)stats.longest_call_ns,
              gyre__port_symbol(stats.longest_call, symbol, sizeof(symbol)));
    print_histogram(dump, "turns", GYRE_METRIC_TURN);
    print_histogram(dump, "timers late", GYRE_METRIC_TIMER_LAG);
    print_histogram(dump, "posts late", GYRE_METRIC_POST_LAG);
}

/* What the thread inside does, which is another. */
static void print_stretch(const struct dump *dump)
{
    struct gyre__watch *watch = &dump->loop->watch;
    const void *stack[GYRE_STACK_MAX];
    char symbol[SYMBOL_BYTES];
    /* acquire: pairs with the release in gyre__watch_stamp; the thread's number is seen */
    uint64_t since = atomic_load_explicit(&watch->busy_ns, memory_order_acquire);
    if (since == 0) {
        bool on = atomic_load_explicit(&watch->on, memory_order_relaxed); /* alone */
        print(dump, on ? "waits, or nobody is inside" : "not watched");
        return;
    }
    unsigned count = gyre__watch_sample(watch, since, stack);
    uint64_t now_ns = gyre__port_native()->ticks_ns();
    print(dump, "busy for %llu us%s",
          (unsigned long long)(now_ns > since ? (now_ns - since) / 1000 : 0),
          count > 0 ? ":" : "; its stack is not known");
    for (unsigned at = 0; at < count; at++)
        print(dump, "  #%u %s", at, gyre__port_symbol(stack[at], symbol, sizeof(symbol)));
}

/* ---- what is the owner's --------------------------------------------------------------------- */

static void print_handler(const struct dump *dump, int fd, const struct gyre__handler *entry)
{
    char symbol[SYMBOL_BYTES];
    union gyre__function function = {.address = NULL};
    if (entry->kind == GYRE__HANDLER_CHANNEL) {
        print(dump, "  fd %d events %#x: a stream or listener", fd, (unsigned)entry->events);
        return;
    }
    function.handler = entry->fn.handler;
    print(dump, "  fd %d events %#x%s: handler %s", fd, (unsigned)entry->events,
          entry->kind == GYRE__HANDLER_ONCE ? " (one call)" : "",
          gyre__port_symbol(function.address, symbol, sizeof(symbol)));
}

static void print_handlers(const struct dump *dump)
{
    const struct gyre__handlers *handlers = &dump->loop->handlers;
    print(dump, "descriptors:");
    for (uint32_t at = 0; at < handlers->chunks_count; at++) {
        const struct gyre__handler *chunk = handlers->chunks[at];
        for (uint32_t i = 0; chunk != NULL && i < GYRE__HANDLERS_CHUNK; i++) {
            if (chunk[i].kind != GYRE__HANDLER_FREE)
                print_handler(dump, (int)(at * GYRE__HANDLERS_CHUNK + i), &chunk[i]);
        }
    }
}

static bool print_timer(const struct gyre_timer *timer, void *arg)
{
    struct dump *dump = arg;
    char symbol[SYMBOL_BYTES];
    union gyre__function function = {.fn = timer->fn};
    bool late = timer->deadline_ns < dump->now_ns;
    uint64_t ns = late ? dump->now_ns - timer->deadline_ns : timer->deadline_ns - dump->now_ns;
    print(dump, "  timer %s%llu us: %s", late ? "late by " : "in ", (unsigned long long)(ns / 1000),
          gyre__port_symbol(function.address, symbol, sizeof(symbol)));
    return ++dump->listed < LISTED_MAX;
}

/* The messages that a lane's entry in the queue stands for, in their order. */
static void print_messages(struct dump *dump, struct gyre_task *entry)
{
    const struct gyre__lane *lane = gyre__lane_of_entry(entry);
    const struct gyre__chunk *chunk = lane->head;
    uint32_t used = lane->head_used;
    for (uint64_t at = lane->taken; at < lane->limit && dump->listed < LISTED_MAX; at++) {
        if (used == chunk->size) {
            chunk = chunk->next;
            used = 0;
        }
        const struct gyre__message *message = &chunk->messages[used++];
        const struct gyre_task *task = message->arg;
        print_callback(dump, message->fn != NULL ? message->fn : task->fn);
        dump->listed++;
    }
}

static void print_callbacks(struct dump *dump)
{
    const struct gyre__queue *queue = &dump->loop->queue;
    print(dump, "callbacks queued: %llu", (unsigned long long)(queue->added - queue->taken));
    dump->listed = 0;
    for (struct gyre_task *at = queue->head; at != NULL && dump->listed < LISTED_MAX;
         at = at->next) {
        if (gyre__task_kind(at) == GYRE__TASK_LANE) {
            print_messages(dump, at);
            continue;
        }
        print_callback(dump, at->fn);
        dump->listed++;
    }
}

static void print_owned(struct dump *dump)
{
    struct gyre_loop *loop = dump->loop;
    gyre__assert_on_loop();
    if (loop->closed) {
        print(dump, "closed");
        return;
    }
    print_handlers(dump);
    print(dump, "timers armed: %llu", (unsigned long long)gyre__counter_read(&loop->timers.armed));
    dump->now_ns = gyre_loop_now_ns(loop);
    dump->listed = 0;
    (void)gyre__timers_walk(&loop->timers, print_timer, dump); /* false: the list is full */
    print_callbacks(dump);
}

int gyre_loop_dump(struct gyre_loop *loop, gyre_sink_fn *sink, void *arg)
{
    if (sink == NULL)
        return -EINVAL;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    struct dump dump = {.loop = loop, .sink = sink, .arg = arg};
    print(&dump, "loop %p: %s, %s", (void *)loop, gyre_loop_backend(loop), gyre_loop_waker(loop));
    print_counters(&dump);
    if (loop->meter != NULL)
        print_times(&dump);
    if (gyre__loop_is_mine(loop))
        print_owned(&dump);
    else
        print_stretch(&dump);
    return 0;
}
