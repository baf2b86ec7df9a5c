/* SPDX-License-Identifier: MIT */
/*
 * fork - tells a loop of this process from one that a child has inherited (T112).
 *
 * What     A child has its parent's loops in memory, without the threads that ran them, and shares
 *          the kernel's side: the poll set and the waker are the parent's too. So in a child every
 *          call and post on such a loop is -ECHILD, and its close frees, calls nobody and tells the
 *          kernel nothing.
 * How      A word counts the forks that lead to this process; a loop notes it at creation. The
 *          child's handler changes the word before anything else can run, on the one thread there
 *          is. It also ends the runs that the thread was inside of, else the rest of their
 *          callbacks would run in two processes, and has it be inside of none. What goes on behind
 *          a user's function without being a run looks at the word itself: a close, completions,
 *          accepts, and bytes that were written before the fork.
 * Why      getpid is a system call, 95 ns, on each post; the word is a load.
 */
#ifndef GYRE_LOOP_FORK_H
#define GYRE_LOOP_FORK_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint32_t gyre__forks;

static inline uint32_t gyre__forks_now(void)
{
    /* relaxed: it changes only where there is one thread */
    return atomic_load_explicit(&gyre__forks, memory_order_relaxed);
}

/* Has forks noticed from now on. -ENOMEM. */
int gyre__fork_watch(void);

#endif
