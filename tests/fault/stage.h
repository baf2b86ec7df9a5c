/* SPDX-License-Identifier: MIT */
/*
 * stage - what the network scenarios share: one loop with a client, and servers that echo.
 *
 * The client sends STAGE_BYTES, finishes, and reads them back to the end. A server writes back what
 * it gets, and closes when its peer has ended. Each side, and each listener, is a party; the loop
 * is stopped when the last has left. Whatever fails, every party leaves: a side that is told an
 * error hands it to sweep_tell and closes.
 */
#ifndef GYRE_TEST_FAULT_STAGE_H
#define GYRE_TEST_FAULT_STAGE_H

#include "sweep.h"

enum stage_limits {
    STAGE_BYTES = 100 * 1000, /* more than a stream buffers */
    STAGE_SIDES_MAX = 8
};

struct stage;

/* A stream that echoes. */
struct stage_side {
    struct stage *stage;
    struct gyre_stream *stream; /* NULL: free */
    bool ended; /* the peer has */
};

struct stage {
    struct gyre_loop *loop;
    bool closes; /* a run that fails ends the scenario; else it is begun again */
    unsigned parties;
    struct gyre_listener *listeners[2];
    struct stage_side sides[STAGE_SIDES_MAX];
    struct gyre_stream *client;
    size_t sent;
    size_t got;
    bool intact; /* the bytes came back as they were sent */
    bool finished; /* the client has read the end */
    void *extra; /* the scenario's */
};

/* Makes the loop; false: sweep_tell knows why. */
bool stage_open(struct stage *stage);

/* Listens with a function of the scenario's, or stage_accept; a party. False: told. */
bool stage_listen(struct stage *stage, unsigned index, const char *address, gyre_accept_fn *accept);

/* Accepts a stream and echoes; arg is the stage. */
int stage_accept(struct gyre_stream *stream, void *arg);

/* Connects the client, a party. When it leaves, the listeners are told to end. */
void stage_connect(struct stage *stage, const char *address);

void stage_enter(struct stage *stage);
void stage_leave(struct stage *stage);

/* Runs until everybody has left, or a run fails where that is the end; closes; checks that all is
 * well unless something was told. */
void stage_run(struct stage *stage);

/* Closes the loop of a scenario that did not come to run. */
void stage_close(struct stage *stage);

/* "127.x.y.z:0", an address of loopback that no other process connects to by mistake. */
const char *stage_ipv4(void);

/* "unix:" and a path that is this process's alone. */
const char *stage_path(void);

/* Removes the path's file, should it still be there. */
void stage_remove_path(void);

#endif
