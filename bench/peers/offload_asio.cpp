// SPDX-License-Identifier: MIT
//
// offload_asio - the executor case on asio: a thread_pool, and posts back to the io_context.

#include <asio.hpp>

#include "measure.h"
#include "offload.h"

namespace {

asio::io_context loop{1};
asio::thread_pool pool{OFFLOAD_THREADS};
asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(loop);

void submit(offload_piece *piece);

void come_home(offload_piece *piece)
{
    switch (offload_home(piece)) {
    case OFFLOAD_AGAIN:
        submit(piece);
        break;
    case OFFLOAD_REST:
        break;
    case OFFLOAD_END:
        guard.reset();
        break;
    }
}

void submit(offload_piece *piece)
{
    asio::post(pool, [piece] {
        offload_work(piece);
        asio::post(loop, [piece] { come_home(piece); });
    });
}

} // namespace

int main(int argc, char **argv)
{
    offload_create(argc, argv);
    offload_begin();
    for (unsigned i = 0; i < offload.flight; i++)
        submit(&offload.pieces[i]);
    loop.run();
    offload_end();
    pool.join();
    return 0;
}
