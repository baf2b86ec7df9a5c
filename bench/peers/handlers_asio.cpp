/* SPDX-License-Identifier: MIT */
/*
 * handlers_asio - handlers on Asio: a stream_descriptor each. The loop is kept turning by a handler
 * that posts itself: there is a poll between any two calls of it.
 *
 * The kernel is told of a descriptor when the object is made, and not again: a handler is added as
 * a wait, and removed by cancelling its waits, whose handlers are called for it. Making the object
 * anew (assign, release) costs Asio three system calls more. Each wait costs one, since Asio's
 * registration is edge-triggered.
 */
#include <deque>

#include <asio.hpp>

#include "handlers.h"
#include "measure.h"

namespace
{

using asio::posix::stream_descriptor;

struct watcher {
    watcher(asio::io_context &context, int fd) : descriptor(context, fd)
    {
    }
    stream_descriptor descriptor;
    unsigned removals = 0; /* what is on its way to be called is not cancelled */
};

asio::io_context context(1); /* one thread runs it, which Asio uses to lock less */
std::deque<watcher> watchers;

void wait(unsigned handler, stream_descriptor::wait_type what)
{
    watcher &watcher = watchers[handler];
    unsigned removals = watcher.removals;
    watcher.descriptor.async_wait(what, [handler, what, removals](const asio::error_code &error) {
        if (removals != watchers[handler].removals)
            return;
        if (error)
            measure_fail("async_wait: %s", error.message().c_str());
        bool readable = what == stream_descriptor::wait_read;
        wait(handler, what); /* before the call, which may remove it */
        handlers_event(handler, readable, !readable);
    });
}

void turn()
{
    if (handlers_turn())
        asio::post(context, turn);
    else
        context.stop();
}

} // namespace

void handlers_peer_create(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        watchers.emplace_back(context, fds[i]);
}

void handlers_peer_add(unsigned handler)
{
    wait(handler, stream_descriptor::wait_read);
}

void handlers_peer_update(unsigned handler)
{
    wait(handler, stream_descriptor::wait_write);
}

void handlers_peer_remove(unsigned handler)
{
    watchers[handler].removals++;
    watchers[handler].descriptor.cancel();
}

void handlers_peer_run(void)
{
    asio::post(context, turn);
    context.run();
}
