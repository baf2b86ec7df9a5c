/* SPDX-License-Identifier: MIT */
/*
 * sizes_asio - the sizes case on Asio. A task is a posted function object of one pointer; Asio is a
 * header, and has no library of its own.
 */
#include <chrono>
#include <deque>
#include <memory>

#include <asio.hpp>

#include "measure.h"
#include "sizes.h"

namespace
{

std::unique_ptr<asio::io_context> make_context()
{
    auto context = std::make_unique<asio::io_context>();
    asio::steady_timer timer(*context); /* the services that a program uses, and their reactor */
    context->poll();
    context->restart();
    return context;
}

void count_tasks(asio::io_context &context)
{
    static int argument;
    int *pointer = &argument;
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++)
        asio::post(context, [pointer] { ++*pointer; });
    sizes_end(0, SIZES_OBJECTS);
}

void count_timers(asio::io_context &context)
{
    std::deque<asio::steady_timer> timers;
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        timers.emplace_back(context, std::chrono::seconds(SIZES_HOUR_S + i));
        timers.back().async_wait([](const asio::error_code &) {});
    }
    sizes_end(0, SIZES_OBJECTS); /* the deque's memory is the timers' own */
}

void count_streams(asio::io_context &context)
{
    std::deque<asio::ip::tcp::socket> sockets;
    sizes_listen();
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        sockets.emplace_back(context, asio::ip::tcp::v4(), sizes_connect());
        sockets.back().async_wait(asio::ip::tcp::socket::wait_read,
                                  [](const asio::error_code &) {});
    }
    context.poll();
    sizes_end(0, SIZES_OBJECTS);
}

} // namespace

int main(int argc, char **argv)
{
    auto context = make_context();
    if (sizes_asked(argc, argv, "loop")) {
        sizes_begin();
        auto second = make_context();
        sizes_end(0, 1);
    } else if (sizes_asked(argc, argv, "task")) {
        count_tasks(*context);
    } else if (sizes_asked(argc, argv, "timer")) {
        count_timers(*context);
    } else if (sizes_asked(argc, argv, "stream")) {
        count_streams(*context);
    } else if (sizes_asked(argc, argv, "library")) {
        sizes_lacks("library");
    } else {
        measure_fail("which thing?");
    }
    return 0;
}
