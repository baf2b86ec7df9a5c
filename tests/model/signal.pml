/* SPDX-License-Identifier: MIT */
/*
 * signal - the model of watchers and nodes: what signal handlers and the owners of loops share.
 *
 * What     One watcher and one node, the owners of two loops, and handlers on two threads. The door
 *          is as door.pml has proven it. run.sh searches every interleaving of the protocol, and of
 *          each seeded fault until it is found.
 * Why      A handler can wait for nobody, and so looks at watchers that are being removed, or used
 *          again. Here each piece of memory that is no atomic knows who used it, and is handed over
 *          by a release that is acquired and by nothing else, as in lane.pml, but for any number of
 *          threads, and with reads that do not exclude each other.
 * Threads  owners 0 and 1 of loops 0 and 1, handlers 2 and 3. A handler that interrupts an owner
 *          does less than one beside it: it runs to its end between two of the owner's steps.
 * Checked  No handler touches a loop that was freed. A signal that comes while its watcher is
 *          active is followed by a call that begins after it and sees what came before the signal.
 *          No call comes after remove, nor for another's registration. The task is in one place at
 *          a time. No memory is read while another writes it. When nothing can move any more, every
 *          remove has returned and every watcher and node that nobody has is there for the next.
 * Limits   SIGNALS, ADDS_n, NODES; one watcher, so that an add that finds it in use ends there.
 *          The lock's holder is alone by definition: its inside is one step. The wait for ever of a
 *          sleeping loop is the door's matter.
 * By hand  spin -a -DFAULT=pin_relaxed signal.pml && cc -DSAFETY -o pan pan.c && ./pan -m20000
 *          spin -t -p -g -l -DFAULT=pin_relaxed signal.pml
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* pin and unpin */
#define pin_omitted 1 /* ACTIVE is enough to go on: loop_lives, loop_handed, members_handed */
#define pin_by_add 2 /* it looks, then adds: loop_lives, loop_handed, members_handed, watched */
#define pin_relaxed 3 /* the CAS is no acquire: members_handed */
#define unpin_relaxed 4 /* the decrement is no release: loop_handed, members_handed */
#define unpin_before_ring 5 /* the pin goes before the waker is written: loop_lives, loop_handed */
#define unpin_silent 6 /* the last unpin wakes nobody: removes_end */
/* post */
#define queued_by_load 7 /* load the flag, then store it: task_once, link_handed */
#define queued_no_acquire 8 /* the exchange is no acquire: link_handed */
#define queued_no_release 9 /* the exchange is no release: signals_answered */
#define refused_stays_queued 10 /* a closed loop's refusal leaves the flag: watcher_returns */
/* deliver */
#define cleared_late 11 /* the flag is cleared after the call: signals_answered */
#define clear_no_acquire 12 /* the exchange is no acquire: signals_answered */
#define clear_no_release 13 /* the exchange is no release: link_handed */
#define removed_unlooked 14 /* a removed watcher's task calls: called_in_time */
/* add and remove */
#define active_first 15 /* ACTIVE is stored before the members: members_handed, task_once */
#define activate_relaxed 16 /* the store of ACTIVE is no release: members_handed */
#define remove_no_wait 17 /* pins are not waited for: loop_lives, loop_handed, members_handed */
#define wait_relaxed 18 /* the reads of the pins are no acquire: loop_handed, members_handed */
#define awaited_never 19 /* remove parks and does not say so: removes_end */
#define park_unchecked 20 /* it parks whatever the word is by now: removes_end */
#define reuse_early 21 /* wherever its task is: called_in_time, task_once, members_handed */
#define lock_relaxed 22 /* the lock hands nothing over: members_handed, link_handed */
/* close */
#define close_frees_first 23 /* freed, then the watchers end: loop_lives, loop_handed */
/* nodes */
#define node_given_early 24 /* its bit is set before it was read: node_handed */
#define give_relaxed 25 /* the bit is set by no release: node_handed */
#define take_relaxed 26 /* it is cleared by no acquire: node_handed */

/*
 * What is searched: by -D, or with -DANY by the environment of the search, so that one build does
 * for all. There the fault goes by its number.
 */
#ifdef ANY
byte fault, signals_1, signals_2, nodes, adds_1, adds_2;
bit may_close, sequential;
#define FAULT fault
#define CLOSE may_close
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef SIGNALS_1
#define SIGNALS_1 1 /* signals that the first handler's thread gets */
#endif
#ifndef SIGNALS_2
#define SIGNALS_2 1
#endif
#ifndef NODES
#define NODES 0 /* callbacks that each handler adds to loop 0, to which it holds a reference */
#endif
#ifndef ADDS_1
#define ADDS_1 1 /* registrations by the owner of loop 0 */
#endif
#ifndef ADDS_2
#define ADDS_2 1
#endif
#ifndef CLOSE
#define CLOSE 0 /* 1: loop 0 may close, and is freed then */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: every operation hands all over: what spin alone would see */
#endif
byte signals_1 = SIGNALS_1, signals_2 = SIGNALS_2, nodes = NODES;
byte adds_1 = ADDS_1, adds_2 = ADDS_2;
#endif

#define THREADS 4
#define HANDLER 2 /* the first */

/* The word of a watcher: how many have it pinned, and these. */
#define AWAITED 4
#define ACTIVE 8
#define COUNT(word) ((word) & 3)

/*
 * Memory.
 *
 * read      no write by another thread may be hidden from the reader.
 * write     neither a write nor a read may be.
 * release   a change of a word covers all that the thread knows of; a read-modify-write prolongs
 *           what the word covered before, a plain store ends it.
 * acquire   what the word covers is hidden no more.
 *
 * A signal comes after all that its sender did before: the system's own lock sees to that. So a
 * handler's first load of the word of a watcher is not stale; after that, the CAS decides.
 */
#define MEMBERS 0 /* of the watcher */
#define LINK 1    /* of its task */
#define LOOP 2    /* loop 0: whoever frees it writes */
#define NODE 3
#define BEFORE 4 /* what a thread did before its signal came */
#define PLACES 5

#define PINS 0
#define QUEUED 1
#define DOOR(loop) (2 + (loop))
#define LOCK 4
#define FREE 5
#define WORDS 6

#define WRITE(thread) (1 << (thread))
#define READ(thread) (16 << (thread))
#define WRITES 15

byte hidden_from[PLACES * THREADS]; /* bits: accesses that the thread does not know of */
byte cover[WORDS * PLACES];         /* accesses that a release to the word covers */

/* The watcher. */
byte pins;
bit queued, used, removed;
byte its_loop, its_registration;
byte parked; /* bits: owners */

/* The node. */
bit node_free = 1;

/* The loops. */
bit in_door[2], in_queue[2], node_in_door[2], closed[2];

/* Ghosts: what has really happened. */
#define REGISTRATIONS 4
byte last_registration;
byte announced;    /* bits: registrations that were added, and no remove or close has begun */
byte watching;     /* bits: those whose remove has not returned */
byte owed[2];      /* of each handler, bits: registrations that owe its signal a call */
byte waiting;      /* bits: owners inside remove */
byte holders;      /* of the watcher: owners */
byte node_callers; /* handlers that hold a reference to loop 0 */
bit under_way;     /* the task is posted, and the loop has not met it */
bit freed;

/* The checks: names for the verdict. Hidden: no part of the state. */
hidden byte loop_lives, loop_handed, members_handed, link_handed, node_handed, watched;
hidden byte task_once, called_in_time, signals_answered, removes_end, watcher_returns, node_returns;
hidden byte i; /* of the d_steps */

#define check(name, fact) name = (fact); assert(name)
#define bit_of(registration) (1 << ((registration) - 1))

inline note(me, place, access)
{
    d_step {
        i = 0;
        do
        :: i < THREADS && i != me && !SEQUENTIAL ->
            hidden_from[place * THREADS + i] = hidden_from[place * THREADS + i] | access;
            i++
        :: i == me -> i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < WORDS && !SEQUENTIAL ->
            cover[i * PLACES + place] = cover[i * PLACES + place] & ~(access);
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline read(me, place, name)
{
    check(name, (hidden_from[place * THREADS + me] & WRITES) == 0);
    note(me, place, READ(me))
}

inline write(me, place, name)
{
    check(name, hidden_from[place * THREADS + me] == 0);
    note(me, place, WRITE(me))
}

inline release(me, word)
{
    d_step {
        i = 0;
        do
        :: i < PLACES && !SEQUENTIAL ->
            cover[word * PLACES + i] =
                cover[word * PLACES + i] | (255 & ~hidden_from[i * THREADS + me]);
            i++
        :: else -> break
        od;
        i = 0
    }
}

inline acquire(me, word)
{
    d_step {
        i = 0;
        do
        :: i < PLACES ->
            hidden_from[i * THREADS + me] =
                hidden_from[i * THREADS + me] & ~cover[word * PLACES + i];
            i++
        :: else -> break
        od;
        i = 0
    }
}

/* A plain store: what others released to the word is not acquired any more. */
inline stored(word)
{
    d_step {
        i = 0;
        do
        :: i < PLACES -> cover[word * PLACES + i] = 0; i++
        :: else -> break
        od;
        i = 0
    }
}

inline lock(me)
{
    if
    :: FAULT != lock_relaxed -> acquire(me, LOCK)
    :: else
    fi
}

inline unlock(me)
{
    if
    :: FAULT != lock_relaxed -> release(me, LOCK)
    :: else
    fi
}

inline touch_loop(me, loop)
{
    if
    :: (loop) == 0 ->
        check(loop_lives, !freed);
        read(me, LOOP, loop_handed)
    :: else
    fi
}

/* The flag is cleared, before or after the call. */
inline clear()
{
    if
    :: FAULT != clear_no_acquire -> acquire(me, QUEUED)
    :: else
    fi;
    if
    :: FAULT != clear_no_release -> release(me, QUEUED)
    :: else
    fi;
    queued = 0;
    under_way = 0
}

/* A call of the function that the watcher has: it answers the signals that it knows of. */
inline call()
{
    read(me, MEMBERS, members_handed);
    check(called_in_time, its_loop == me && (watching & bit_of(its_registration)));
    d_step {
        i = 0;
        do
        :: i < 2 && !(hidden_from[BEFORE * THREADS + me] & WRITE(HANDLER + i)) ->
            owed[i] = owed[i] & ~bit_of(its_registration);
            i++
        :: i < 2 && (hidden_from[BEFORE * THREADS + me] & WRITE(HANDLER + i)) -> i++
        :: else -> break
        od;
        i = 0
    }
}

/* From now on no call is owed. */
inline excuse(registration)
{
    d_step {
        announced = announced & ~bit_of(registration);
        owed[0] = owed[0] & ~bit_of(registration);
        owed[1] = owed[1] & ~bit_of(registration)
    }
}

inline write_members()
{
    write(me, MEMBERS, members_handed);
    its_loop = me;
    its_registration = mine;
    removed = 0;
    queued = 0;
    stored(QUEUED)
}

inline store_active()
{
    pins = ACTIVE;
    stored(PINS);
    if
    :: FAULT != activate_relaxed -> release(me, PINS)
    :: else
    fi
}

inline acquire_pins()
{
    if
    :: FAULT != wait_relaxed -> acquire(me, PINS)
    :: else
    fi
}

proctype owner(byte me)
{
    byte adds = (me == 0 -> adds_1 : adds_2);
    byte mine, seen; /* its registration, or 0 */
    bit resting, is_closing;

turn:
end:
    if
    :: atomic { /* add */
        !resting && !is_closing && mine == 0 && adds > 0 ->
        adds--;
        lock(me);
        if
        :: used -> unlock(me); goto turn /* it makes another watcher */
        :: else -> used = 1; unlock(me)
        fi;
        holders++;
        last_registration++;
        mine = last_registration
        }
        atomic {
            if
            :: FAULT == active_first -> store_active()
            :: else -> write_members()
            fi
        }
        atomic {
            if
            :: FAULT == active_first -> write_members()
            :: else -> store_active()
            fi;
            announced = announced | bit_of(mine);
            watching = watching | bit_of(mine);
            goto turn
        }
    :: atomic { !resting && mine != 0 -> goto remove } /* also while it closes */
    :: atomic { /* close */
        CLOSE && me == 0 && !resting && !is_closing ->
        is_closing = 1;
        if
        :: mine != 0 -> excuse(mine)
        :: else
        fi;
        closed[me] = 1;
        goto take
        }
    :: atomic { /* its end: nothing more can come */
        is_closing && !resting && !in_queue[me] && node_callers == 0 &&
            (mine == 0 || FAULT == close_frees_first) ->
        resting = (mine == 0);
        if
        :: !freed -> write(me, LOOP, loop_handed); freed = 1
        :: else
        fi;
        if
        :: mine != 0 -> goto remove
        :: else -> goto turn
        fi
        }
    :: atomic { in_door[me] || node_in_door[me] -> goto take }
    :: atomic { in_queue[me] -> goto deliver }
    :: atomic { !resting && !is_closing -> resting = 1; goto turn }
    fi;

take: /* or close, which takes as well */
    atomic {
        acquire(me, DOOR(me));
        if
        :: in_door[me] -> in_door[me] = 0; in_queue[me] = 1; write(me, LINK, link_handed)
        :: else
        fi;
        if
        :: node_in_door[me] -> node_in_door[me] = 0
        :: else -> goto turn
        fi;
        if
        :: FAULT == node_given_early -> release(me, FREE); node_free = 1
        :: else
        fi
    }
    atomic {
        read(me, NODE, node_handed);
        if
        :: FAULT == node_given_early -> goto turn
        :: else
        fi
    }
    atomic {
        if
        :: FAULT != give_relaxed -> release(me, FREE)
        :: else
        fi;
        node_free = 1;
        goto turn
    }

deliver:
    atomic {
        in_queue[me] = 0;
        write(me, LINK, link_handed);
        read(me, MEMBERS, members_handed);
        if
        :: removed && FAULT != removed_unlooked ->
            lock(me);
            used = 0;
            under_way = 0;
            unlock(me);
            goto turn
        :: else
        fi;
        if
        :: FAULT == cleared_late && !is_closing -> call()
        :: else -> clear()
        fi
    }
    atomic {
        if
        :: is_closing && FAULT != cleared_late -> goto turn
        :: is_closing && FAULT == cleared_late -> clear()
        :: !is_closing && FAULT != cleared_late -> call()
        :: !is_closing && FAULT == cleared_late -> clear()
        fi;
        goto turn
    }

remove:
    atomic {
        excuse(mine);
        waiting = waiting | 1 << me;
        seen = COUNT(pins);
        pins = pins & ~ACTIVE;
        acquire_pins()
    }
    do
    :: atomic { seen == 0 || FAULT == remove_no_wait -> break }
    :: atomic { seen != 0 && FAULT != remove_no_wait ->
        seen = COUNT(pins);
        pins = (FAULT == awaited_never -> pins : pins | AWAITED);
        acquire_pins()
        }
        atomic { /* the system looks at the word, and parks in the same step */
            if
            :: seen != 0 && (pins == (seen | AWAITED) || FAULT == park_unchecked ||
                FAULT == awaited_never) -> parked = parked | 1 << me
            :: else
            fi
        }
        atomic { !(parked & 1 << me) -> seen = COUNT(pins); acquire_pins() }
    od;
    atomic { pins = 0; stored(PINS); seen = 0 }
    atomic {
        write(me, MEMBERS, members_handed);
        removed = queued && FAULT != reuse_early;
        lock(me);
        used = removed;
        unlock(me);
        waiting = waiting & ~(1 << me);
        watching = watching & ~bit_of(mine);
        holders--;
        mine = 0;
        goto turn
    }
}

inline pin()
{
    pins = (FAULT == pin_omitted -> pins : pins + 1);
    if
    :: FAULT != pin_relaxed -> acquire(me, PINS)
    :: else
    fi
}

inline unpin()
{
    must_wake = (pins == (AWAITED | 1) && FAULT != unpin_silent);
    pins = (FAULT == pin_omitted -> pins : pins - 1);
    if
    :: FAULT != unpin_relaxed -> release(me, PINS)
    :: else
    fi
}

proctype handler(byte me)
{
    byte signals = (me == HANDLER -> signals_1 : signals_2);
    byte callbacks = nodes;
    byte loop;
    bit must_wake, unpinned, was_queued;

    do
    :: atomic { signals > 0 ->
        signals--;
        note(me, BEFORE, WRITE(me));
        owed[me - HANDLER] = owed[me - HANDLER] | announced;
        if
        :: (pins & ACTIVE) == 0 -> goto done
        :: (pins & ACTIVE) != 0 && FAULT != pin_by_add -> pin()
        :: (pins & ACTIVE) != 0 && FAULT == pin_by_add
        fi
        }
        atomic {
            if
            :: FAULT == pin_by_add -> pin()
            :: else
            fi;
            read(me, MEMBERS, members_handed);
            loop = its_loop;
            touch_loop(me, loop);
            was_queued = queued;
            queued = (FAULT == queued_by_load -> queued : 1);
            if
            :: FAULT != queued_no_acquire -> acquire(me, QUEUED)
            :: else
            fi;
            if
            :: FAULT != queued_no_release -> release(me, QUEUED)
            :: else
            fi;
            if
            :: was_queued -> goto leave
            :: else
            fi
        }
        atomic {
            queued = 1;
            touch_loop(me, loop);
            check(task_once, !under_way && !in_door[0] && !in_door[1]);
            write(me, LINK, link_handed);
            if
            :: closed[loop] && FAULT != refused_stays_queued -> goto refused
            :: closed[loop] && FAULT == refused_stays_queued -> goto leave
            :: else
            fi;
            under_way = 1;
            in_door[loop] = 1;
            release(me, DOOR(loop))
        }
        atomic {
            if
            :: FAULT == unpin_before_ring -> unpin(); unpinned = 1
            :: else -> touch_loop(me, loop)
            fi
        }
        atomic {
            if
            :: unpinned -> touch_loop(me, loop); unpinned = 0; goto left
            :: else -> goto leave
            fi
        }
refused:
        atomic { queued = 0; stored(QUEUED); release(me, QUEUED) }
leave:
        atomic { unpin() }
left:
        atomic {
            parked = (must_wake -> 0 : parked); /* all that wait for the word, which is one */
            must_wake = 0
        }
done:
        atomic { loop = 0; was_queued = 0 }
    :: atomic { callbacks > 0 && node_free ->
        callbacks--;
        node_free = 0;
        if
        :: FAULT != take_relaxed -> acquire(me, FREE)
        :: else
        fi
        }
        atomic { write(me, NODE, node_handed) }
        atomic {
            if
            :: closed[0] -> release(me, FREE); node_free = 1
            :: else -> release(me, DOOR(0)); node_in_door[0] = 1
            fi
        }
    :: atomic { callbacks > 0 && !node_free -> callbacks-- } /* -EAGAIN */
    :: atomic { signals == 0 && callbacks == 0 -> break }
    od;
    atomic { node_callers = node_callers - (nodes > 0); }
}

/* When nothing can move any more. */
proctype quiet()
{
    timeout ->
    d_step {
        check(removes_end, waiting == 0);
        check(signals_answered, owed[0] == 0 && owed[1] == 0);
        check(watcher_returns, used == (holders > 0));
        check(node_returns, node_free)
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.signals_1 = atoi(getenv("SIGNALS_1"));
        now.signals_2 = atoi(getenv("SIGNALS_2"));
        now.nodes = atoi(getenv("NODES"));
        now.adds_1 = atoi(getenv("ADDS_1"));
        now.adds_2 = atoi(getenv("ADDS_2"));
        now.may_close = atoi(getenv("CLOSE"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    atomic {
        node_callers = (nodes > 0 -> 2 : 0);
        run owner(0);
        run owner(1);
        run handler(HANDLER);
        run handler(HANDLER + 1);
        run quiet()
    }
}
