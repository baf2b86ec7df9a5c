/* SPDX-License-Identifier: MIT */
/*
 * dispatch_asio - the dispatch case on Asio: a stream_descriptor a pair, read with async_read_some.
 *
 * Asio reads by itself, and its registration is edge-triggered: when a read is started again it is
 * tried at once, so that an event costs a second read, which finds nothing. (With async_wait, and a
 * read by hand, the second call would be an epoll_ctl: that is never tried without one.)
 */
#include <deque>

#include <asio.hpp>

#include "dispatch.h"
#include "measure.h"

namespace
{

struct watcher {
    watcher(asio::io_context &context, const dispatch_pair &pair)
        : context(context), descriptor(context, pair.in), pair(pair)
    {
    }

    void start()
    {
        descriptor.async_read_some(asio::buffer(&byte, 1),
                                   [this](const asio::error_code &error, std::size_t bytes) {
                                       received(error, bytes);
                                   });
    }

    void received(const asio::error_code &error, std::size_t bytes)
    {
        if (error || bytes != 1)
            measure_fail("async_read_some: %s", error.message().c_str());
        if (dispatch_pass(&pair))
            context.stop();
        else
            start();
    }

    asio::io_context &context;
    asio::posix::stream_descriptor descriptor;
    const dispatch_pair &pair;
    char byte = 0;
};

} // namespace

int main(int argc, char **argv)
{
    dispatch_create(argc, argv);
    asio::io_context context(1); /* one thread runs it, which Asio uses to lock less */
    std::deque<watcher> watchers;
    for (unsigned i = 0; i < dispatch.count; i++) {
        watchers.emplace_back(context, dispatch.pairs[i]);
        watchers.back().start();
    }
    dispatch_begin();
    context.run();
    dispatch_end();
    return 0;
}
