/* SPDX-License-Identifier: MIT */
/*
 * timers_asio - the timer cases on Asio: a steady_timer in each object. Arming anew and stopping
 * end the wait that is under way, whose handler is called for it: that is part of the operation,
 * and settle() does it.
 */
#include <chrono>
#include <deque>
#include <optional>

#include <asio.hpp>

#include "measure.h"
#include "timers.h"

const uint64_t timers_peer_resolution_ns = 0;

namespace
{

struct alignas(TIMERS_LINE) object {
    explicit object(asio::io_context &context) : timer(context)
    {
    }
    asio::steady_timer timer;
};

asio::io_context context(1); /* one thread runs it, which Asio uses to lock less */
asio::steady_timer wake(context);
std::deque<object> objects;
std::optional<asio::executor_work_guard<asio::io_context::executor_type>> guard;
asio::steady_timer::time_point base;

void start(unsigned timer, uint64_t delay_ns)
{
    objects[timer].timer.expires_at(base + std::chrono::nanoseconds(delay_ns));
    objects[timer].timer.async_wait([timer](const asio::error_code &error) {
        if (!error)
            timers_fired(timer);
    });
}

} // namespace

void timers_peer_create(unsigned count)
{
    guard.emplace(context.get_executor());
    for (unsigned i = 0; i < count; i++)
        objects.emplace_back(context);
}

void timers_peer_run(void)
{
    asio::post(context, timers_work);
    context.restart();
    context.run();
}

void timers_peer_stop(void)
{
    context.stop();
}

void timers_peer_now(void)
{
    base = asio::steady_timer::clock_type::now();
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    start(timer, delay_ns);
}

void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    start(timer, delay_ns);
}

void timers_peer_cancel(unsigned timer)
{
    objects[timer].timer.cancel();
}

void timers_peer_settle(void)
{
    context.poll();
}

void timers_peer_wake(void)
{
    wake.expires_at(base); /* long past: the reactor sets its timerfd anew */
    wake.async_wait([](const asio::error_code &) {});
}
