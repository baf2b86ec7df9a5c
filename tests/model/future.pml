/* SPDX-License-Identifier: MIT */
/*
 * future - the model of what waits for a future: who adds, who resolves, and loops that close.
 *
 * What     Two loops that add waiters to one future, run what comes and may close; one or two
 *          resolvers. The waiters are 1 and 2 of loop 0, and 3 of loop 1. run.sh searches every
 *          interleaving, and of each seeded fault until it is found.
 * Door     A queue that is open or closed, in one step, with release and acquire: door.pml shows
 *          that the real one is that. Sleeping and waking are there too.
 * Checked  Each waiter that was added ends exactly once, in the order of adding on its loop, and is
 *          run only when the result can be seen; nobody touches a waiter or a loop that is gone;
 *          one resolver wins. When nothing can move any more, all have ended, nothing is left over
 *          and the head is DONE.
 * Limits   Three waiters, one future. Each CAS is strong. The last reference of a future that
 *          nobody resolves is not here.
 * By hand  spin -a -DFAULT=done_first future.pml && cc -DSAFETY -o pan pan.c && ./pan
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* adding */
#define chain_relaxed 1 /* the CAS into the chain is relaxed: link_written, member_seen */
#define chain_not_renewed 2 /* after a failed CAS the link stays: ended_once, all_ended */
#define late_unreceived 3 /* who finds DONE queues its waiter at once: order_kept */
#define done_unacquired 4 /* DONE is found without acquire: order_kept */
/* resolving */
#define claim_by_store 5 /* the claim is loaded, then stored: resolved_once */
#define result_late 6 /* the result is stored when the chain was posted: result_seen */
#define take_relaxed 7 /* the exchange that takes is no acquire: link_written, member_seen */
#define take_by_store 8 /* load the head, store EMPTY: all_ended, nothing_left */
#define done_by_store 9 /* load EMPTY, store DONE: all_ended, nothing_left */
#define done_first 10 /* DONE is exchanged in, then the chain posted: order_kept */
#define done_relaxed 11 /* DONE is set without release: order_kept */
#define newest_first 12 /* the chain is not reversed: order_kept */
#define link_read_late 13 /* the link is read after the post: waiter_there */
#define loop_not_held 14 /* the loop is rung after the post without a reference: loop_there */
#define refused_ended 15 /* a resolver that is refused ends the waiter: ended_once, nothing_left */
#define refused_kept 16 /* and its reference is not dropped: nothing_left */
/* closing */
#define list_first 17 /* the list is cancelled, then the door closed: ended_once, waiter_there */
#define list_forgotten 18 /* what did not come through the door is left alone: all_ended */
#define one_reference 19 /* list and chain share one reference: waiter_there */

#ifdef ANY
byte fault, resolvers;
bit may_close, sequential;
#define FAULT fault
#define RESOLVERS resolvers
#define CLOSE may_close
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef RESOLVERS
#define RESOLVERS 1
#endif
#ifndef CLOSE
#define CLOSE 1 /* the loops may close */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: no buffers, no stale reads: what spin alone would see */
#endif
#endif

#define WAITERS 3
#define LOOPS 2
#define NIL 0 /* the head is EMPTY, or the chain ends */
#define DONE 14
#define GARBAGE 15
#define loop_of(w) ((w) == 3)
#define first_of(l) ((l) == 0 -> 1 : 3)
#define last_of(l) ((l) == 0 -> 2 : 3)

/*
 * Memory. Each location but the head has one writer, whose store waits in a buffer, and comes to
 * memory in any order against its other stores; a release waits for its own buffer to be empty. The
 * head, the claim and the doors are changed in single steps. A read that no acquire covers may see
 * what was there before: then GARBAGE, or a door without what was posted.
 */
#define LINK(w) (w)
#define MEMBERS(w) (WAITERS + (w))
#define RESULT (2 * WAITERS + 1)
#define LOCATIONS (2 * WAITERS + 2)

byte memory[LOCATIONS] = GARBAGE;
byte buffer[LOCATIONS]; /* value + 1, or 0: no entry */
byte head = NIL;
bit claimed;

chan door_0 = [WAITERS] of { byte };
chan door_1 = [WAITERS] of { byte };
bit door_closed[LOOPS];

/* Ghosts: what has really happened. */
mtype = { unadded, waiting, ran, cancelled };
mtype state[WAITERS + 1] = unadded;
byte references[WAITERS + 1];
byte loop_references[LOOPS];
bit loop_gone[LOOPS];
byte resolved; /* by how many */

hidden byte ended_once, order_kept, result_seen, link_written, member_seen, waiter_there;
hidden byte loop_there, resolved_once, all_ended, nothing_left, head_done;
hidden byte i;

#define check(name, fact) name = (fact); assert(name)
#define finished(w) (state[w] == ran || state[w] == cancelled)
#define drained_loop(l)                                                                            \
    ((l) == 0 -> buffer[LINK(1)] == 0 && buffer[LINK(2)] == 0 && buffer[MEMBERS(1)] == 0 &&        \
                         buffer[MEMBERS(2)] == 0 :                                                 \
                 buffer[LINK(3)] == 0 && buffer[MEMBERS(3)] == 0)
#define drained_resolver (buffer[RESULT] == 0)

inline store(x, value)
{
    if
    :: SEQUENTIAL -> memory[x] = (value)
    :: else -> buffer[x] = (value) + 1
    fi
}

#define FLUSH(x) :: d_step { buffer[x] != 0 -> memory[x] = buffer[x] - 1; buffer[x] = 0 }

proctype store_buffers()
{
end:
    do
    FLUSH(LINK(1))
    FLUSH(LINK(2))
    FLUSH(LINK(3))
    FLUSH(MEMBERS(1))
    FLUSH(MEMBERS(2))
    FLUSH(MEMBERS(3))
    FLUSH(RESULT)
    od
}

inline drop_loop(l)
{
    loop_references[l] = loop_references[l] - 1;
    loop_gone[l] = loop_references[l] == 0
}

inline drop_waiter(w)
{
    check(waiter_there, references[w] > 0);
    references[w] = references[w] - 1;
    if
    :: references[w] == 0 -> drop_loop(loop_of(w))
    :: else
    fi
}

/* The waiter's function is called; its loop's references, of which there are so many, go. */
inline finish(w, fate, count)
{
    check(ended_once, state[w] == waiting);
    check(order_kept, w != 2 || finished(1));
    check(result_seen, fate == cancelled || memory[RESULT] == 1);
    state[w] = fate;
    drop_waiter(w);
    if
    :: count == 2 && FAULT != one_reference -> drop_waiter(w)
    :: else
    fi
}

proctype loop(byte me; chan door)
{
    byte w = first_of(me); /* the next to be added */
    byte seen, task;
    chan queue = [WAITERS] of { byte };
    bit closed;

turn:
end_turn:
    do
    :: atomic {
        !closed && w <= last_of(me) ->
        store(MEMBERS(w), 1);
        state[w] = waiting;
        references[w] = (FAULT == one_reference -> 1 : 2);
        loop_references[me] = loop_references[me] + 1;
        seen = head
        }
        goto chain
    :: atomic { !closed && nempty(queue) -> queue?task; finish(task, ran, 2); task = 0 }
    :: atomic { !closed && nempty(door) -> door?task; queue!task; task = 0 }
    :: atomic { CLOSE && !closed -> closed = 1 } goto close
    od;

chain:
    atomic {
        if
        :: seen == DONE -> goto late
        :: else -> store(LINK(w), seen)
        fi
    }
link:
    atomic {
        /* Release: pairs with the resolver's take. */
        drained_loop(me) || FAULT == chain_relaxed ->
        if
        :: head == seen -> head = w; w++; seen = 0; goto turn
        :: head != seen && FAULT == chain_not_renewed && head != DONE -> seen = head; goto link
        :: else -> seen = head; goto chain
        fi
    }
late:
    atomic {
        /* Receives, then queues. Acquire: pairs with DONE, and shows what the resolver posted. */
        seen = 0;
        if
        :: FAULT == late_unreceived
        :: (FAULT == done_unacquired || FAULT == done_relaxed) && !SEQUENTIAL
        :: FAULT != late_unreceived ->
            do
            :: nempty(door) -> door?task; queue!task
            :: empty(door) -> task = 0; break
            od
        fi;
        queue!w;
        w++
    }
    goto turn;

close:
    if
    :: FAULT == list_first ->
        atomic { task = first_of(me) }
        do
        :: atomic {
            task <= last_of(me) && state[task] == waiting -> finish(task, cancelled, 1); task++
            }
        :: atomic { task <= last_of(me) && state[task] != waiting -> task++ }
        :: atomic { task > last_of(me) -> task = 0; break }
        od
    :: else
    fi;
    atomic {
        door_closed[me] = 1;
        do
        :: nempty(door) -> door?task; queue!task
        :: empty(door) -> task = 0; break
        od
    }
    do
    :: atomic { nempty(queue) -> queue?task; finish(task, cancelled, 2); task = 0 }
    :: atomic { empty(queue) -> break }
    od;
    atomic { task = first_of(me) }
    do
    :: atomic {
        task <= last_of(me) && state[task] == waiting && FAULT != list_forgotten ->
        finish(task, cancelled, 1);
        task++
        }
    :: atomic {
        task <= last_of(me) && (state[task] != waiting || FAULT == list_forgotten) -> task++
        }
    :: atomic { task > last_of(me) -> task = 0; drop_loop(me); break } /* and the user lets go */
    od
}

/* What is at x, or what was there before, where nothing orders the read. */
inline load(x, result)
{
    if
    :: result = memory[x]
    :: FAULT == take_relaxed && !SEQUENTIAL -> result = GARBAGE
    fi
}

proctype resolver()
{
    byte hand[WAITERS]; /* taken, newest first */
    byte count, w, value, l;
    bit refused;

    atomic { /* relaxed: it only counts who comes first */
        if
        :: claimed -> goto leave
        :: !claimed && FAULT == claim_by_store
        :: !claimed && FAULT != claim_by_store -> claimed = 1
        fi
    }
    atomic {
        claimed = 1;
        resolved++;
        check(resolved_once, resolved == 1);
        if
        :: FAULT != result_late -> store(RESULT, 1)
        :: else
        fi
    }
again:
    atomic {
        /* Release: pairs with the acquire of who finds DONE. */
        drained_resolver ->
        if
        :: head == NIL && FAULT != done_by_store -> head = DONE; goto leave
        :: head == NIL && FAULT == done_by_store -> goto done_late
        :: head != NIL && head != DONE -> w = head
        :: head == DONE -> goto leave /* done_first */
        fi
    }
    atomic {
        /* Acquire: pairs with each link in the chain. */
        w = (FAULT == take_by_store -> w : head);
        head = (FAULT == done_first -> DONE : NIL)
    }
walk:
    atomic {
        if
        :: w == NIL -> goto post_next
        :: else ->
            check(waiter_there, references[w] > 0);
            hand[count] = w;
            count++;
            load(LINK(w), value);
            check(link_written, value != GARBAGE);
            w = value;
            value = 0
        fi
    }
    goto walk;

post_next:
    atomic {
        if
        :: count == 0 && FAULT == result_late -> store(RESULT, 1); goto again
        :: count == 0 && FAULT != result_late -> goto again
        :: count > 0 && FAULT != newest_first ->
            count--;
            w = hand[count];
            hand[count] = 0
        :: count > 0 && FAULT == newest_first ->
            w = hand[0];
            hand[0] = hand[1];
            hand[1] = hand[2];
            hand[2] = 0;
            count--
        fi;
        check(waiter_there, references[w] > 0);
        load(MEMBERS(w), value);
        check(member_seen, value == 1);
        value = 0;
        l = loop_of(w);
        if
        :: FAULT != loop_not_held -> loop_references[l] = loop_references[l] + 1
        :: else
        fi
    }
    atomic {
        /* The door's release. */
        drained_resolver ->
        refused = door_closed[l];
        if
        :: refused
        :: !refused && l == 0 -> door_0!w
        :: !refused && l == 1 -> door_1!w
        fi
    }
    atomic {
        if
        :: refused && FAULT == refused_ended -> finish(w, cancelled, 1)
        :: refused && FAULT != refused_kept -> drop_waiter(w)
        :: refused && FAULT == refused_kept
        :: !refused && FAULT == link_read_late -> check(waiter_there, references[w] > 0)
        :: !refused && FAULT != link_read_late
        fi
    }
    atomic {
        /* Rings, if the loop sleeps. */
        check(loop_there, !loop_gone[l]);
        if
        :: FAULT != loop_not_held -> drop_loop(l)
        :: else
        fi;
        l = 0;
        w = 0;
        refused = 0
    }
    goto post_next;
done_late:
    atomic { head = DONE; w = 0 }
leave:
    skip
}

/* When nothing else can move. */
proctype quiet()
{
    timeout ->
    d_step {
        i = 1;
        do
        :: i <= WAITERS ->
            check(all_ended, state[i] == unadded || finished(i));
            check(nothing_left, references[i] == 0);
            i++
        :: else -> break
        od;
        i = 0;
        check(head_done, head == DONE)
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.resolvers = atoi(getenv("RESOLVERS"));
        now.may_close = atoi(getenv("CLOSE"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    atomic {
        loop_references[0] = 1;
        loop_references[1] = 1;
        run loop(0, door_0);
        run loop(1, door_1);
        run resolver();
        if
        :: RESOLVERS == 2 -> run resolver()
        :: else
        fi;
        run store_buffers();
        run quiet()
    }
}
