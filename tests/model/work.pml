/* SPDX-License-Identifier: MIT */
/*
 * work - the model of one piece of work between its runner and its loop, which may close.
 *
 * What     A runner that takes the piece from the executor's queue, runs it and posts it home; its
 *          loop, which receives it, or closes at any moment: door, withdrawal, what came through,
 *          what is left. The queue is executor.pml's, the door door.pml's.
 * Memory   The state changes by read-modify-writes, in one step. What the work does to its argument
 *          waits in a buffer, and a release waits for that.
 * Checked  done is called once, when the work does not run, nor will, and with its stores seen; the
 *          piece is freed once, by one, and nobody touches it after that; the loop is there for who
 *          rings. When nothing can move any more, all has ended and nothing is left.
 * By hand  spin -a -DFAULT=await_not work.pml && cc -DSAFETY -o pan pan.c && ./pan
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* the runner's */
#define begin_by_store 1 /* QUEUED is loaded, then RUNNING stored: argument_free */
#define finish_by_store 2 /* the state is loaded, then FINISHED stored: piece_there, all_ended */
#define finish_relaxed 3 /* FINISHED is no release: work_seen */
#define leave_frees 4 /* a runner that was refused frees at once: piece_there, freed_once */
#define refused_done 5 /* a runner that was refused calls done: done_once */
#define loop_not_held 6 /* the runner rings without a reference: loop_there, loop_kept */
/* the loop's */
#define await_not 7 /* what runs is not waited for: argument_free */
#define withdraw_not 8 /* what is queued is cancelled in one step with its end: loop_kept */
#define cancel_by_store 9 /* the state is loaded, then CANCELLED stored: freed_once */
#define refused_kept 10 /* what the runner has left is left, too: freed_once */
#define awaited_kept 11 /* the reference of what was waited for is kept: loop_kept */

#ifdef ANY
byte fault;
bit sequential;
#define FAULT fault
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: no buffer: what spin alone would see */
#endif
#endif

mtype = { queued, running, awaited, finished, withdrawn, cancelled, refused };
mtype state = queued;

bit in_door, door_closed;
bit worked, worked_later; /* what the work stores: in memory, and in the buffer */

/* Ghosts. */
bit begun, runs; /* the work has begun; and is under way */
byte calls; /* of done */
byte frees;
byte references = 2; /* of the loop: its user's and the piece's */

hidden byte done_once, argument_free, work_seen, piece_there, freed_once, loop_there, loop_kept;
hidden byte all_ended;

#define check(name, fact) name = (fact); assert(name)
#define touch() check(piece_there, frees == 0)

inline free_piece()
{
    check(freed_once, frees == 0);
    frees++
}

inline call_done()
{
    check(done_once, calls == 0);
    check(argument_free, !runs);
    check(work_seen, !begun || worked);
    calls++
}

proctype buffer()
{
end:
    do
    :: d_step { worked_later -> worked = 1; worked_later = 0 }
    od
}

/* The runner is done with a piece that its loop may have left. */
inline leave()
{
    atomic {
        touch();
        if
        :: FAULT == leave_frees -> free_piece()
        :: FAULT != leave_frees ->
            before = state;
            state = refused;
            if
            :: before == cancelled -> free_piece()
            :: before != cancelled
            fi
        fi;
        if
        :: FAULT == refused_done -> call_done()
        :: FAULT != refused_done
        fi
    }
}

proctype runner()
{
    mtype before;

    atomic {
        touch();
        if
        :: state == queued && FAULT != begin_by_store -> state = running; goto run_it
        :: state == queued && FAULT == begin_by_store -> goto begin_late
        :: state != queued
        fi
    }
    leave();
    goto end_of_runner;
begin_late:
    atomic { state = running }
run_it:
    atomic { runs = 1; begun = 1; check(argument_free, calls == 0) }
    atomic {
        if
        :: SEQUENTIAL -> worked = 1
        :: else -> worked_later = 1
        fi
    }
    atomic { runs = 0; check(argument_free, calls == 0 || FAULT == begin_by_store) }
    atomic {
        /* Release: pairs with the acquire of a loop that waits. */
        worked_later == 0 || FAULT == finish_relaxed ->
        touch();
        before = state;
        if
        :: FAULT != finish_by_store -> state = finished
        :: FAULT == finish_by_store
        fi
    }
    if
    :: atomic { FAULT == finish_by_store -> touch(); state = finished }
    :: FAULT != finish_by_store
    fi;
    if
    :: before != running -> goto end_of_runner /* unparks: the address alone is used */
    :: before == running
    fi;
    if
    :: atomic {
        /* The door's release. */
        !door_closed && (worked_later == 0) ->
        touch();
        in_door = 1;
        references = references - (FAULT == loop_not_held)
        }
    :: atomic { door_closed -> skip }
        leave()
    fi;
    atomic {
        check(loop_there, references > 0); /* it may have to ring */
        references = references - (FAULT != loop_not_held)
    }
end_of_runner:
    skip
}

proctype loop()
{
    mtype before;
    bit holds, closed;

turn:
    if
    :: atomic { in_door && !closed -> in_door = 0; call_done(); free_piece() } goto leave_loop
    :: atomic { !closed -> closed = 1; door_closed = 1 }
    fi;
    /* Withdraw, then what came through, then what is left. */
    atomic {
        if
        :: frees == 0 && state == queued && FAULT != withdraw_not -> state = withdrawn; holds = 1
        :: else
        fi
    }
    if
    :: atomic { in_door -> in_door = 0; call_done(); free_piece() } goto leave_loop
    :: atomic { !in_door -> skip }
    fi;
    atomic {
        touch();
        before = state;
        if
        :: state == running && FAULT != await_not -> state = awaited
        :: state == running && FAULT == await_not -> state = cancelled; goto ended
        :: state != running && FAULT == cancel_by_store -> goto cancel_late
        :: state != running && FAULT != cancel_by_store -> state = cancelled; goto judge
        fi
    }
    atomic { state == finished -> holds = 1; before = awaited; goto judge }
cancel_late:
    atomic { touch(); state = cancelled }
judge:
    atomic {
        if
        :: before == refused && FAULT != refused_kept -> free_piece()
        :: before == awaited -> free_piece(); holds = FAULT != awaited_kept
        :: else
        fi
    }
ended:
    atomic { call_done(); before = 0 }
    atomic { references = references - holds; holds = 0 }
leave_loop:
    atomic { references-- } /* the user's */
}

/* When nothing else can move. */
proctype quiet()
{
    timeout ->
    d_step {
        check(all_ended, calls == 1);
        check(freed_once, frees == 1);
        check(loop_kept, references == 0)
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    atomic {
        run runner();
        run loop();
        run buffer();
        run quiet()
    }
}
