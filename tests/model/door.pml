/* SPDX-License-Identifier: MIT */
/*
 * door - the model of the one way into a loop from any other thread.
 *
 * What     Two posters, one owner, the waker and one control node: that of stop; wake's is alike,
 *          its request being whatever the caller stored before. run.sh searches every interleaving
 *          of the protocol, and of each seeded fault until it is found.
 * Why      Spin alone is sequentially consistent and blesses a missing fence. Here each thread has
 *          a store buffer, and the owner stale copies, so that a fault can take away each memory
 *          order that the door needs. Rejected: a buffer in order, for it hides a relaxed link.
 * Threads  owner (0), posters 1 and 2, a store buffer for each.
 * Checked  Each accepted post is run or cancelled exactly once, sees its payload and keeps the
 *          order of its poster; run + cancelled + refused = posted. Each signal answers an arm of
 *          its own; a post to an owner that is awake causes none. CLOSED is final. The control node
 *          is never in the list twice. When nothing can move any more, every post is finished,
 *          every request seen, and the owner has closed or sleeps armed: no wake-up and no stop is
 *          lost.
 * Limits   POSTS_n, STOPS_n, EVENTS. Each CAS is strong: a weak one only adds retries. The
 *          waker's counter cannot overflow. See "Memory" for what memory does not do. Not here:
 *          bounded loops, rings between loops, the owner's own queue, the last reference's end.
 * By hand  spin -a -DFAULT=take_relaxed door.pml && cc -DSAFETY -o pan pan.c && ./pan
 *          spin -t -p -g -l -DFAULT=take_relaxed door.pml
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* post */
#define link_relaxed 1 /* the CAS that links is relaxed: payload_seen, link_written */
#define link_not_renewed 2 /* after a failed CAS `next` stays the older head: link_written */
#define batch_oldest_first 3 /* BATCH: a chain is linked by its oldest node: order_kept */
/* waker */
#define signal_never 4 /* nobody signals, and the wake-up is lost: posts_finished */
#define signal_always 5 /* every poster signals, not who replaced ARMED alone: signal_due */
#define signal_before_link 6 /* who sees ARMED signals, then links: signal_due, posts_finished */
#define sleeping_flag 7 /* publish, then read a flag, no store-load fence: posts_finished */
#define drain_after_arm 8 /* DRAIN: the waker is drained after arm, not before: posts_finished */
/* take */
#define take_relaxed 9 /* the exchange of take is no acquire: payload_seen, link_written */
#define take_by_store 10 /* load the head, store EMPTY: posts_finished */
#define take_newest_first 11 /* the list is not reversed: order_kept */
#define next_read_late 12 /* `next` is read after the function, which frees it: link_written */
/* arm and disarm */
#define arm_by_store 13 /* load EMPTY, store ARMED: posts_finished */
#define disarm_by_store 14 /* store EMPTY, whatever was posted meanwhile: posts_finished */
#define disarm_omitted 15 /* the head stays ARMED while the owner works: signal_to_sleeper */
/* close */
#define close_by_store 16 /* take, then store CLOSED: posts_finished */
#define close_relaxed 17 /* the exchange of close is no acquire: payload_seen, link_written */
#define take_after_close 18 /* the turn that closed takes again, unless EMPTY: closed_is_final */
/* control node */
#define node_pushed_twice 19 /* pushed whatever the flag says: node_once */
#define request_read_first 20 /* the request is read, then the flag cleared: requests_seen */
#define request_wiped 21 /* the request is loaded, then stored 0: requests_seen */
#define clear_by_store 22 /* the flag is cleared by a release store, no fence: requests_seen */
#define clear_no_acquire 23 /* the flag is cleared by a release exchange: requests_seen */
#define clear_no_release 24 /* the flag is cleared by an acquire exchange: link_written */
#define queued_no_release 25 /* the flag is set by an acquire exchange: requests_seen */
#define node_next_read_late 26 /* `next` is read after the clear: posts_finished, ran_once */

/* Not a fault: the flag with its fence, which passes. So it is the fence that the flag lacks. */
#define sleeping_flag_fenced 27

/*
 * What is searched: by -D, or with -DANY by the environment of the search, so that one build does
 * for all. There the fault goes by its number.
 */
#ifdef ANY
byte fault, posts_1, posts_2, stops_1, stops_2, events;
bit batch, may_close, drain, sequential;
#define FAULT fault
#define POSTS_1 posts_1
#define POSTS_2 posts_2
#define STOPS_1 stops_1
#define STOPS_2 stops_2
#define BATCH batch
#define CLOSE may_close
#define DRAIN drain
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef POSTS_1
#define POSTS_1 2 /* posts of poster 1, at most POSTS */
#endif
#ifndef POSTS_2
#define POSTS_2 2
#endif
#ifndef STOPS_1
#define STOPS_1 0 /* requests of poster 1 to stop */
#endif
#ifndef STOPS_2
#define STOPS_2 0
#endif
#ifndef EVENTS
#define EVENTS 1 /* how often something other than the waker ends a wait */
#endif
#ifndef BATCH
#define BATCH 0 /* 1: poster 1 posts its nodes as one chain */
#endif
#ifndef CLOSE
#define CLOSE 0 /* 1: the owner may close, armed or not */
#endif
#ifndef DRAIN
#define DRAIN 0 /* 0: the wait consumes the waker's edge; 1: a level that lasts until drained */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: no buffers, no stale copies: what spin alone would see */
#endif
byte events = EVENTS;
#endif

/* Values of the head and of links. */
#define EMPTY 0
#define NIL 0
#define POSTS 2
#define TASKS (2 * POSTS) /* nodes 1 to TASKS, POSTS of them for each poster */
#define CONTROL (TASKS + 1)
#define GARBAGE 13 /* a link never written, or freed */
#define ARMED 14
#define CLOSED 15

/* Locations. */
#define HEAD 0
#define NEXT(n) (n)
#define PAYLOAD(n) (CONTROL + (n))
#define REQUEST(thread) (CONTROL + TASKS + (thread))
#define QUEUED (CONTROL + TASKS + 3)
#define SLEEPING (CONTROL + TASKS + 4) /* sleeping_flag only */
#define LOCATIONS (CONTROL + TASKS + 5)

#define OWNER 0
#define THREADS 3

/*
 * Memory.
 *
 * store     goes into the thread's own buffer, one entry a location, and reaches memory at any
 *           later time, in any order against other locations. A second store to the location takes
 *           the entry over.
 * load      sees the own buffer first. The owner may be given the copy it had before others stored,
 *           for as long as it likes; once it saw the newest value it sees none before that one.
 * exchange  (and CAS) acts on memory at once, on the newest value.
 *   release   waits until the own buffer is empty, and then covers all that the thread stored.
 *             Without it, entries of other locations stay behind.
 *   acquire   ends the stale copies of what releases to this location cover, and of nothing else.
 * waker     its system calls order nothing: the weakest reading.
 *
 * It does not delay a load past a later store, nor let a store pass the branch that it hangs on; a
 * store reaches all others at once; and there is one stale copy, not all the values between.
 * Posters load nothing but the head and the flag, and a stale head only fails their CAS, so they
 * have no stale copies: the acquire half of a poster's exchange of the flag shows only as program
 * order. C11 needs it, for the owner's use of the node's `next` comes before the poster's.
 */
byte memory[LOCATIONS];
byte buffer[THREADS * LOCATIONS]; /* value + 1, or 0: no entry */
byte entries[THREADS];            /* in each buffer */
byte stale[LOCATIONS];            /* the owner's older copy: value + 1, or 0: none */
short stored[THREADS];            /* locations whose newest value is the poster's */
short head_covers;                /* locations whose newest value a release to the head covers */
short queued_covers;              /* and to the flag */

bit waker;

/* Ghosts: what has really happened. */
mtype = { unposted, accepted, ran, cancelled, refused };
mtype state[TASKS + 1] = unposted;
byte due;    /* arms that a signal may still answer */
bit resting; /* the owner is between arm and disarm */
bit closed;  /* the owner has closed */
byte asked;  /* bits: posters whose request is in memory, and no read has seen it since */
bit in_list; /* the control node is linked, and its flag not cleared since */

/* The checks: names for the verdict. Hidden: no part of the state. */
hidden byte payload_seen, link_written, ran_once, order_kept, posts_finished;
hidden byte signal_due, signal_to_sleeper, arm_fails_for_work, owner_rests;
hidden byte closed_is_final, node_once, requests_seen;
hidden byte i, must_signal;

#define check(name, fact) name = (fact); assert(name)

#define entry(thread, x) buffer[(thread) * LOCATIONS + (x)]
#define drained(thread) (entries[thread] == 0)
#define own_entry_gone(x) (entry(OWNER, x) == 0) /* an exchange of x follows the own store to x */
#define posted(n) ((n) <= POSTS_1 || (n) > POSTS && (n) <= POSTS + POSTS_2)
#define finished(n) (state[n] == ran || state[n] == cancelled || state[n] == refused)

inline drop_entry(thread, x)
{
    entries[thread] = entries[thread] - (entry(thread, x) != 0);
    entry(thread, x) = 0
}

/* What is at x is not the newest value any more. */
inline outdate(x)
{
    stored[1] = stored[1] & ~(1 << (x));
    stored[2] = stored[2] & ~(1 << (x));
    head_covers = head_covers & ~(1 << (x));
    queued_covers = queued_covers & ~(1 << (x))
}

/* A poster changes memory: the owner may go on seeing what was there before. */
inline change(x, value)
{
    if
    :: memory[x] != (value) ->
        outdate(x);
        if
        :: stale[x] == 0 && !SEQUENTIAL -> stale[x] = memory[x] + 1
        :: else
        fi;
        memory[x] = (value)
    :: else
    fi
}

/* The owner changes memory: by an exchange or a CAS, or when a store of its own comes through. */
inline change_own(x, value)
{
    outdate(x);
    memory[x] = (value);
    stale[x] = 0
}

inline flush(thread, x)
{
    if
    :: (thread) == OWNER -> change_own(x, entry(thread, x) - 1)
    :: else ->
        change(x, entry(thread, x) - 1);
        stored[thread] = stored[thread] | (1 << (x));
        asked = asked | ((x) == REQUEST(thread) -> 1 << (thread) : 0)
    fi;
    drop_entry(thread, x)
}

inline store(thread, x, value)
{
    entries[thread] = entries[thread] + (entry(thread, x) == 0);
    entry(thread, x) = (value) + 1;
    if
    :: SEQUENTIAL -> flush(thread, x)
    :: else
    fi
}

/* The owner's load. */
inline load(x, result)
{
    if
    :: entry(OWNER, x) != 0 -> result = entry(OWNER, x) - 1
    :: entry(OWNER, x) == 0 && stale[x] != 0 -> result = stale[x] - 1
    :: entry(OWNER, x) == 0 -> stale[x] = 0; result = memory[x]
    fi
}

inline acquire(covers)
{
    d_step {
        i = 0;
        do
        :: i < LOCATIONS && (covers & (1 << i)) -> stale[i] = 0; i++
        :: i < LOCATIONS && !(covers & (1 << i)) -> i++
        :: else -> break
        od;
        i = 0
    }
}

#define FLUSH(x) :: d_step { entry(me, x) != 0 -> flush(me, x) }

proctype store_buffer(byte me)
{
end:
    do
    FLUSH(HEAD)
    FLUSH(NEXT(1))
    FLUSH(NEXT(2))
    FLUSH(NEXT(3))
    FLUSH(NEXT(4))
    FLUSH(PAYLOAD(1))
    FLUSH(PAYLOAD(2))
    FLUSH(PAYLOAD(3))
    FLUSH(PAYLOAD(4))
    FLUSH(NEXT(CONTROL))
    FLUSH(REQUEST(1))
    FLUSH(REQUEST(2))
    FLUSH(QUEUED)
    FLUSH(SLEEPING)
    od
}

inline signal()
{
    check(signal_due, due > 0);
    due--;
    waker = 1
}

/* The fate of the tasks that the poster has in hand; the control node has none. */
inline settle(fate)
{
    d_step {
        i = task - count;
        do
        :: i < task -> state[i] = fate; i++
        :: else -> break
        od;
        i = 0;
        count = 0;
        oldest = 0;
        newest = 0;
        seen = 0
    }
}

proctype poster(byte me)
{
    byte task = (me - 1) * POSTS + 1; /* the next one to post */
    byte posts = (me == 1 -> POSTS_1 : POSTS_2);
    byte stops = (me == 1 -> STOPS_1 : STOPS_2);
    byte count, newest, oldest, seen;

call:
    if
    :: d_step { /* a task, or a batch */
        posts > 0 ->
        count = (BATCH && me == 1 -> posts : 1);
        posts = posts - count;
        oldest = task;
        newest = task + count - 1;
        task = task + count;
        i = oldest;
        do
        :: i <= newest ->
            store(me, PAYLOAD(i), 1);
            if
            :: i > oldest && FAULT != batch_oldest_first -> store(me, NEXT(i), i - 1)
            :: i < newest && FAULT == batch_oldest_first -> store(me, NEXT(i), i + 1)
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0;
        if
        :: FAULT == batch_oldest_first -> oldest = newest; newest = task - count
        :: else
        fi;
        seen = memory[HEAD]
        }
    :: d_step { stops > 0 -> stops--; store(me, REQUEST(me), 1) }
        atomic {
            /* acq_rel: the request is stored before it, the node's `next` after it. */
            drained(me) || FAULT == queued_no_release ->
            if
            :: FAULT != queued_no_release -> queued_covers = queued_covers | stored[me]
            :: else
            fi;
            if
            :: memory[QUEUED] == 1 && FAULT != node_pushed_twice -> goto call
            :: else -> memory[QUEUED] = 1
            fi;
            oldest = CONTROL;
            newest = CONTROL;
            seen = memory[HEAD]
        }
    :: else -> goto leave
    fi;

post:
    atomic {
        if
        :: seen == CLOSED -> settle(refused); goto call
        :: else -> store(me, NEXT(oldest), (seen == ARMED -> NIL : seen))
        fi;
        if
        :: seen == ARMED && FAULT == signal_before_link -> signal()
        :: else
        fi
    }
link:
    atomic {
        /* Release: pairs with the exchanges of take and close. Failure: relaxed. */
        drained(me) || FAULT == link_relaxed ->
        if
        :: memory[HEAD] == seen -> change(HEAD, newest)
        :: memory[HEAD] != seen && FAULT == link_not_renewed -> seen = memory[HEAD]; goto link
        :: else -> seen = memory[HEAD]; goto post
        fi;
        if
        :: FAULT != link_relaxed -> head_covers = head_covers | stored[me]
        :: else
        fi;
        if
        :: newest == CONTROL -> check(node_once, !in_list); in_list = 1
        :: else
        fi;
        check(signal_to_sleeper, seen != ARMED || resting);
        must_signal = (seen == ARMED -> FAULT != signal_never && FAULT != signal_before_link :
            FAULT == signal_always || FAULT == sleeping_flag || FAULT == sleeping_flag_fenced);
        settle(accepted);
        if
        :: must_signal
        :: else -> goto call
        fi
    }
    atomic {
        if
        :: FAULT != sleeping_flag && FAULT != sleeping_flag_fenced -> signal()
        :: else ->
            if
            :: memory[SLEEPING] == 1 -> memory[SLEEPING] = 0; signal()
            :: else
            fi
        fi
    }
    goto call;
leave:
    skip
}

/* The owner's exchange of the head. What was there goes to `list`, newest first. */
inline exchange_head(value)
{
    list = memory[HEAD];
    check(closed_is_final, list != CLOSED);
    change_own(HEAD, value);
    if
    :: list == ARMED -> due--; list = NIL
    :: else
    fi
}

/* The task has run or been cancelled, and its memory is its user's again. */
inline finish(task)
{
    check(ran_once, state[task] == accepted);
    check(order_kept, task % POSTS == 1 % POSTS || finished(task - 1));
    state[task] = (closed -> cancelled : ran);
    drop_entry(OWNER, NEXT(task));
    change_own(NEXT(task), GARBAGE);
    change_own(PAYLOAD(task), 0)
}

/* Exchange with 0, relaxed: the clear orders it, and without that it may come early. */
inline read_request(thread)
{
    if
    :: FAULT == request_read_first
    :: else -> load(REQUEST(thread), value)
    fi;
    if
    :: value == 0
    :: value != 0 && FAULT != request_wiped -> change_own(REQUEST(thread), 0)
    :: value != 0 && FAULT == request_wiped -> store(OWNER, REQUEST(thread), 0)
    fi;
    asked = asked & ~(value << (thread));
    value = 0
}

proctype owner()
{
    byte list; /* taken, newest first */
    byte next; /* taken, oldest first */
    byte node; /* in hand */
    byte value;

turn:
    atomic {
        /* Relaxed: the CAS of arm catches a stale EMPTY. */
        load(HEAD, value);
        if
        :: value == EMPTY -> goto idle
        :: value == CLOSED && FAULT != take_after_close -> goto leave
        :: else
        fi
    }
take:
    atomic {
        /* Acquire: pairs with each link since the last take, for every CAS prolongs the release. */
        own_entry_gone(HEAD) ->
        if
        :: FAULT == take_by_store ->
            list = (value == ARMED -> NIL : value);
            store(OWNER, HEAD, EMPTY)
        :: else -> exchange_head(EMPTY)
        fi;
        value = 0;
        if
        :: FAULT == take_relaxed
        :: else -> acquire(head_covers)
        fi
    }
reverse:
    if
    :: atomic { FAULT == take_newest_first -> next = list; list = NIL }
    :: else
    fi;
    do
    :: atomic {
        list != NIL ->
        node = list;
        load(NEXT(node), list);
        check(link_written, list != GARBAGE);
        store(OWNER, NEXT(node), next);
        next = node;
        node = 0
        }
    :: else -> break
    od;

    do
    :: atomic {
        next != NIL ->
        node = next;
        if
        :: FAULT == next_read_late && node != CONTROL
        :: FAULT == node_next_read_late && node == CONTROL
        :: else -> load(NEXT(node), next); check(link_written, next != GARBAGE)
        fi;
        if
        :: node == CONTROL -> goto control
        :: else
        fi
        }
        atomic {
            load(PAYLOAD(node), value);
            check(payload_seen, value == 1);
            value = 0;
            finish(node);
            if
            :: FAULT == next_read_late ->
                load(NEXT(node), next);
                check(link_written, next != GARBAGE)
            :: else
            fi;
            goto done
        }
control:
        if
        :: atomic {
            FAULT == request_read_first ->
            asked = 0;
            change_own(REQUEST(1), 0);
            change_own(REQUEST(2), 0)
            }
        :: else
        fi;
        atomic {
            /* acq_rel: the node's `next` is done with before it, the request is read after it. */
            drained(OWNER) || FAULT == clear_no_release ->
            in_list = 0;
            if
            :: FAULT == clear_by_store -> store(OWNER, QUEUED, 0)
            :: else -> memory[QUEUED] = 0
            fi;
            if
            :: FAULT == clear_by_store || FAULT == clear_no_acquire
            :: else -> acquire(queued_covers)
            fi
        }
        atomic {
            read_request(1);
            read_request(2);
            if
            :: FAULT == node_next_read_late ->
                load(NEXT(node), next);
                check(link_written, next != GARBAGE)
            :: else
            fi
        }
done:
        atomic { node = 0 }
    :: else -> break
    od;

idle:
    if
    :: atomic { closed -> goto turn }
    :: atomic { !closed && CLOSE -> goto close }
    :: atomic { !closed && waker == 1 -> waker = 0; goto turn } /* a wait of zero: not armed */
    :: atomic {
        /* Arm. Relaxed: arm and post change one word, so one comes first and the other sees it. */
        !closed && FAULT != arm_by_store && FAULT != sleeping_flag &&
            FAULT != sleeping_flag_fenced && own_entry_gone(HEAD) ->
        stale[HEAD] = 0;
        if
        :: memory[HEAD] == EMPTY -> memory[HEAD] = ARMED; due++; resting = 1
        :: else -> check(arm_fails_for_work, memory[HEAD] <= CONTROL); goto turn
        fi
        }
    :: atomic {
        FAULT == arm_by_store ->
        load(HEAD, value);
        if
        :: value == EMPTY -> store(OWNER, HEAD, ARMED); due++; resting = 1
        :: else -> value = 0; goto turn
        fi
        }
    :: atomic {
        FAULT == sleeping_flag || FAULT == sleeping_flag_fenced ->
        store(OWNER, SLEEPING, 1);
        due++;
        resting = 1
        }
        atomic {
            drained(OWNER) || FAULT == sleeping_flag ->
            if
            :: FAULT == sleeping_flag_fenced -> stale[HEAD] = 0
            :: else
            fi;
            load(HEAD, value);
            if
            :: value == EMPTY
            :: else -> goto disarm
            fi
        }
    fi;
    if
    :: atomic { CLOSE -> goto close } /* armed for the poll of a foreign loop, and then closed */
    :: atomic { waker = waker && FAULT != drain_after_arm }
    fi;
end_wait:
    if
    :: atomic { waker == 1 -> waker = DRAIN }
    :: atomic { events > 0 -> events-- }
    fi;
disarm:
    atomic {
        /* Relaxed: if a node is there, the exchange of take acquires it. */
        own_entry_gone(HEAD) && own_entry_gone(SLEEPING) ->
        value = 0;
        stale[HEAD] = 0;
        resting = 0;
        if
        :: FAULT == sleeping_flag || FAULT == sleeping_flag_fenced ->
            due = due - memory[SLEEPING];
            memory[SLEEPING] = 0
        :: FAULT == disarm_omitted
        :: FAULT == disarm_by_store ->
            due = due - (memory[HEAD] == ARMED);
            memory[HEAD] = EMPTY
        :: else ->
            if
            :: memory[HEAD] == ARMED -> memory[HEAD] = EMPTY; due--
            :: else
            fi
        fi
    }
    if
    :: atomic { DRAIN && FAULT != drain_after_arm -> waker = 0 }
    :: else
    fi;
    goto turn;

close:
    atomic {
        /* Acquire: as take. */
        own_entry_gone(HEAD) ->
        closed = 1;
        resting = 0;
        exchange_head((FAULT == close_by_store -> EMPTY : CLOSED));
        if
        :: FAULT == close_relaxed
        :: else -> acquire(head_covers)
        fi;
        if
        :: FAULT == close_by_store -> store(OWNER, HEAD, CLOSED)
        :: else
        fi
    }
    goto reverse;
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
        :: i <= TASKS -> check(posts_finished, finished(i) || !posted(i)); i++
        :: else -> break
        od;
        i = 0;
        check(requests_seen, closed || asked == 0);
        check(owner_rests, (closed -> memory[HEAD] == CLOSED : resting))
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.posts_1 = atoi(getenv("POSTS_1"));
        now.posts_2 = atoi(getenv("POSTS_2"));
        now.stops_1 = atoi(getenv("STOPS_1"));
        now.stops_2 = atoi(getenv("STOPS_2"));
        now.events = atoi(getenv("EVENTS"));
        now.batch = atoi(getenv("BATCH"));
        now.may_close = atoi(getenv("CLOSE"));
        now.drain = atoi(getenv("DRAIN"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    d_step {
        i = 1;
        do
        :: i <= CONTROL -> memory[NEXT(i)] = GARBAGE; i++
        :: else -> break
        od;
        i = 0
    }
    atomic {
        run owner();
        run poster(1);
        run poster(2);
        run store_buffer(OWNER);
        run store_buffer(1);
        run store_buffer(2);
        run quiet()
    }
}
