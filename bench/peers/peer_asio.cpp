/* SPDX-License-Identifier: MIT */
/*
 * peer_asio - asio (without Boost): asio::post to an io_context for one thread.
 *
 * The hint of 1 is what its documentation gives a context that one thread runs; posts from others
 * stay safe. peer_post gives the operation the message's memory, through the allocator associated
 * with the handler, as asio's example of custom memory does.
 */
#include <asio.hpp>

#include <cstddef>
#include <new>

#include "measure.h"
#include "peer.h"

struct peer_loop {
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
};

/* The memory that asio has for a posted handler is three words and the handler, which is two. */
struct peer_message {
    peer_fn *fn;
    void *arg;
    alignas(std::max_align_t) unsigned char operation[64];
};

const size_t peer_message_bytes = sizeof(peer_message);

namespace
{

/* Allocates one object, in the message. */
template <typename T> struct message_allocator {
    using value_type = T;
    peer_message *message;

    explicit message_allocator(peer_message *of) : message(of)
    {
    }

    template <typename U>
    message_allocator(const message_allocator<U> &other) : message(other.message)
    {
    }

    T *allocate(std::size_t count) const
    {
        if (count * sizeof(T) > sizeof(message->operation))
            measure_fail("asio wants %zu bytes for an operation", count * sizeof(T));
        return reinterpret_cast<T *>(message->operation);
    }

    void deallocate(T *, std::size_t) const
    {
    }

    template <typename U> bool operator==(const message_allocator<U> &other) const
    {
        return message == other.message;
    }

    template <typename U> bool operator!=(const message_allocator<U> &other) const
    {
        return message != other.message;
    }
};

/* Calls a message's function; asio finds the allocator by its names. */
struct message_handler {
    using allocator_type = message_allocator<void>;
    peer_loop *loop;
    peer_message *message;

    allocator_type get_allocator() const noexcept
    {
        return allocator_type(message);
    }

    void operator()() const
    {
        (void)message->fn(loop, 0, message->arg); /* nobody here handles errors */
    }
};

} // namespace

peer_loop *peer_loop_create()
{
    return new peer_loop;
}

/* A handler that posts itself: a context with something to call does not wait. */
void peer_loop_keep_awake(peer_loop *loop, void (*work)(void))
{
    asio::post(loop->context, [loop, work] {
        work();
        peer_loop_keep_awake(loop, work);
    });
}

void peer_loop_run(peer_loop *loop)
{
    (void)loop->context.run(); /* how many it called is checked by the case */
}

void peer_loop_stop(peer_loop *loop)
{
    loop->context.stop();
}

void peer_call(peer_loop *loop, peer_fn *fn, void *arg)
{
    asio::post(loop->context, [loop, fn, arg] { (void)fn(loop, 0, arg); });
}

void peer_message_init(peer_message *message, peer_fn *fn, void *arg)
{
    message->fn = fn;
    message->arg = arg;
}

void peer_post(peer_loop *loop, peer_message *message)
{
    asio::post(loop->context, message_handler{loop, message});
}
