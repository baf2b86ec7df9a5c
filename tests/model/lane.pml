/* SPDX-License-Identifier: MIT */
/*
 * lane - the model of what one thread posts to one loop.
 *
 * What     One producer and its lane, the owner, a second thread that wakes, and the door as
 *          door.pml has proven it. run.sh searches every interleaving of the protocol, and of each
 *          seeded fault until it is found.
 * Why      A lane hands memory to and fro by three words: `announced`, `returned`, `references`.
 *          Here each piece of memory that is no atomic knows who used it last, and is handed over
 *          by a release that is acquired and by nothing else; an access without that is a data
 *          race, and found at once. Rejected: values in store buffers, as door.pml has them. They
 *          show a late store, not a late load, so that a slot written before it was read passes;
 *          and they take a hundred times the states.
 * Threads  owner (0), producer (1), waker.
 * Checked  Each accepted message is run or cancelled exactly once and in its producer's order, by
 *          lane and by detour; a refused one never. No memory is used by both at a time, nor after
 *          it was freed, nor freed twice. The node is never posted while the owner has it. A stop
 *          is not met before what its thread posted earlier. Who rings has replaced ARMED. When
 *          nothing can move any more, every post is finished, the owner has closed or sleeps armed
 *          without a lane attached, and the lane is freed, or is left to the owner alone.
 * Limits   POSTS, chunks of one message, one lane of a loop: a sweep for another one's sake may
 *          come whenever the owner meets what the door gave. See "Memory" for what memory does not
 *          do. Not here: batches, callbacks refused for memory, room, nested runs (a spent budget
 *          leaves the same behind), the table of lanes, a look at other
 *          threads' lanes for the sake of a task on the detour.
 * By hand  spin -a -DFAULT=look_relaxed lane.pml && cc -DSAFETY -o pan pan.c && ./pan -m20000
 *          spin -t -p -g -l -DFAULT=look_relaxed lane.pml
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* announce */
#define announce_no_release 1 /* the exchange is no release: slot_handed, chunk_handed */
#define announce_no_acquire 2 /* the exchange is no acquire: node_handed */
#define announce_by_store 3 /* load the word, store the count: posts_finished */
#define push_always 4 /* the node is pushed whenever the count changes: node_once */
#define push_before_announce 5 /* see IDLE, push the node, then announce: node_brings */
#define ring_always 6 /* who announces rings, whatever the door said: signal_due */
/* refuse */
#define refuse_by_store 7 /* CLOSED is stored, whatever is there: refused_for_good, ran_once */
#define refuse_unchecked 8 /* the door's refusal is the lane's: refused_for_good, ran_once */
/* look and settle */
#define look_relaxed 9 /* the load is no acquire: slot_handed, chunk_handed */
#define settle_by_store 10 /* load the count, store IDLE: posts_finished */
#define settle_no_release 11 /* the CAS is no release: node_handed */
#define settle_failure_relaxed 12 /* a CAS that finds more only loads: slot_handed, chunk_handed */
#define sleep_unsettled 13 /* the owner sleeps, the lane attached: posts_finished, owner_rests */
/* stop */
#define look_before_door 14 /* the owner looks, then takes: stop_comes_last */
#define stop_skips_queued 15 /* a stop has no look at a lane that is queued: stop_comes_last */
#define stop_takes_once 16 /* the door is not taken again for a stop: stop_comes_last */
#define stop_relaxed 17 /* the request's read is no acquire: stop_comes_last */
/* chunks */
#define return_before_read 18 /* a chunk goes back unread: slot_handed, chunk_handed, lane_lives */
#define return_no_release 19 /* the CAS is no release: chunk_handed, slot_handed */
#define returned_relaxed 20 /* the exchange is no acquire: chunk_handed, slot_handed */
/* detour */
#define detour_unlooked 21 /* a task is queued at once, not behind its lane: order_kept */
#define detour_flag_early 22 /* the lane is taken again before it was IDLE: order_kept */
#define behind_uncounted 23 /* tasks wait aside until the lane is spent: stop_comes_last */
/* the end */
#define close_by_store 24 /* load the count, store CLOSED: posts_finished */
#define close_relaxed 25 /* the exchange is no acquire: slot_handed, chunk_handed */
#define close_lane_first 26 /* the lane closes, then the door: posts_finished */
#define abandoned_not_idle 27 /* the thread's end is enough: lane_lives, posts_finished */
#define abandoned_relaxed 28 /* the load of the references is no acquire: lane_handed */
#define release_relaxed 29 /* references are counted relaxed: lane_handed, slot_handed */
#define forsake_both 30 /* the loop's reference goes too, though it knows: lane_lives */
#define forsake_one 31 /* it stays, though the loop never knew the lane: lane_freed */

/*
 * What is searched: by -D, or with -DANY by the environment of the search, so that one build does
 * for all. There the fault goes by its number.
 */
#ifdef ANY
byte fault, posts, ooms, stops, wakes, events;
bit may_close, budget, sequential;
#define FAULT fault
#define POSTS posts
#define CLOSE may_close
#define BUDGET budget
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef POSTS
#define POSTS 3 /* messages, at most POSTS_MAX */
#endif
#ifndef OOMS
#define OOMS 0 /* how often there may be no memory for a chunk */
#endif
#ifndef STOPS
#define STOPS 0 /* of the producer, at any time */
#endif
#ifndef WAKES
#define WAKES 0 /* of a second thread: the control node is on its way, with no stop */
#endif
#ifndef EVENTS
#define EVENTS 1 /* how often something other than a ring ends a wait */
#endif
#ifndef CLOSE
#define CLOSE 0 /* 1: the owner may close */
#endif
#ifndef BUDGET
#define BUDGET 0 /* 1: a turn may end before its callbacks do, and leave the lane queued */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: every operation hands all over: what spin alone would see */
#endif
byte ooms = OOMS, stops = STOPS, wakes = WAKES, events = EVENTS;
#endif

#define POSTS_MAX 4
#define CHUNKS POSTS_MAX /* a lane never needs more */
#define KEPT 2 /* chunks; those past it are surplus */

/* Values of `announced`, besides counts. */
#define IDLE 0
#define CLOSED 255
#define NIL 0

/* What the door and the queue hold: tasks 1 to POSTS_MAX on the detour, and these. */
#define PLAIN POSTS_MAX /* PLAIN + n: task n, which is on none */
#define LANE (2 * POSTS_MAX + 1) /* in the door the lane's node, in the queue its entry */
#define CONTROL (LANE + 1)

#define OWNER 0
#define PRODUCER 1

/*
 * Memory.
 *
 * touch     a thread reads or writes what is no atomic. Whatever the other one did there before
 *           must have been handed over. Reads count as writes: no two threads read one thing here.
 * release   a change of a word hands over all that the thread has touched, to who acquires.
 * acquire   ends the other's hold of what the word covers. Every change is a read-modify-write and
 *           prolongs the release; a plain store, of a fault, ends it.
 * load      the owner may be given the count that it had seen before, for as long as nothing that
 *           it acquires covers the newer one.
 *
 * Not stale are the producer's loads of `announced` and `returned`: what it would get is what it
 * gets by loading earlier. So it is with the owner's load of the door's head.
 */
#define SLOT(chunk) (1 << ((chunk) - 1))
#define NEXT(chunk) (1 << (CHUNKS + (chunk) - 1))
#define LINK (1 << (2 * CHUNKS)) /* of the lane's node */
#define PRODUCERS (1 << (2 * CHUNKS + 1)) /* the producer's members of the lane */
#define OWNERS (1 << (2 * CHUNKS + 2))

#define ANNOUNCED 0
#define RETURNED 1
#define REFERENCES 2
#define HEAD 3
#define STOP 4
#define WORDS 5

short held[2];          /* touched by that thread, and not handed over */
short cover[2 * WORDS]; /* what of it a release to the word covers */
bit unseen;             /* the producer changed `announced`, and the owner may not see it: */
byte seen;              /* the oldest value that it may be given */
byte seen_by_head, seen_by_stop; /* the one after it acquired that word; 0: that one */

/* The lane. */
byte announced;
byte returned;
byte references = 2;
byte next[CHUNKS + 1], slot[CHUNKS + 1];
byte head = 1, spare;
bit head_used;
byte chunks = 2; /* bits: those that are allocated */

/* The door: oldest first. Of these the owner has taken, and not met, `taking`. */
chan door = [POSTS_MAX + 2] of { byte };
bit door_closed, armed, rung;
bit control_queued, stop_requested;

/* Ghosts: what has really happened. */
mtype = { unposted, under_way, done, refused };
mtype state[POSTS_MAX + 1] = unposted;
mtype = { away, queued, attached };
mtype place = away;
bit alive = 1;   /* the lane */
bit node_away;   /* the node is not the producer's */
byte due;        /* arms that a ring may still answer */
byte asked;      /* messages posted before the stop */
bit known, owner_ended, producer_ended, is_closing;

/* The checks: names for the verdict. Hidden: no part of the state. */
hidden byte slot_handed, chunk_handed, node_handed, lane_handed, lane_lives, lane_freed, freed_once;
hidden byte ran_once, order_kept, refused_for_good, posts_finished, owner_rests;
hidden byte node_once, node_brings, signal_due, stop_comes_last;
hidden byte i;

#define check(name, fact) name = (fact); assert(name)

#define under(n, m) ((n) < (m) && state[n] == under_way)
#define finished(n) (state[n] == done || state[n] == refused)

inline keep_covers(me, mask)
{
    cover[2 * ANNOUNCED + me] = cover[2 * ANNOUNCED + me] & (mask);
    cover[2 * RETURNED + me] = cover[2 * RETURNED + me] & (mask);
    cover[2 * REFERENCES + me] = cover[2 * REFERENCES + me] & (mask);
    cover[2 * HEAD + me] = cover[2 * HEAD + me] & (mask);
    cover[2 * STOP + me] = cover[2 * STOP + me] & (mask)
}

inline touch(me, what, name)
{
    check(name, (held[1 - me] & (what)) == 0);
    if
    :: SEQUENTIAL
    :: else -> held[me] = held[me] | (what); keep_covers(me, ~(what))
    fi
}

inline touch_chunk(me, chunk, what, name)
{
    check(lane_lives, alive && (chunk) != NIL && (chunks & (1 << (chunk))));
    touch(me, what, name)
}

inline release(me, word)
{
    cover[2 * word + me] = held[me];
    if
    :: me == PRODUCER && word == HEAD -> seen_by_head = (unseen -> announced : 0)
    :: me == PRODUCER && word == STOP -> seen_by_stop = (unseen -> announced : 0)
    :: else
    fi
}

/* The owner reads or changes the newest value. */
inline meet_newest()
{
    unseen = 0;
    seen = 0;
    seen_by_head = 0;
    seen_by_stop = 0
}

inline see(value_covered)
{
    seen = (value_covered > seen -> value_covered : seen);
    value_covered = 0;
    if
    :: unseen && seen == announced -> meet_newest()
    :: else
    fi
}

inline acquire(me, word)
{
    held[1 - me] = held[1 - me] & ~cover[2 * word + 1 - me];
    keep_covers(1 - me, held[1 - me]);
    if
    :: me == OWNER && word == HEAD -> see(seen_by_head)
    :: me == OWNER && word == STOP -> see(seen_by_stop)
    :: else
    fi
}

/* A plain store to the word, of a fault: what others released to it is not acquired any more. */
inline stored(me, word)
{
    cover[2 * word + 1 - me] = 0;
    release(me, word)
}

/* The producer changes `announced`. */
inline change(value)
{
    if
    :: !SEQUENTIAL && !unseen -> unseen = 1; seen = announced
    :: else
    fi;
    announced = value
}

inline load_announced(result)
{
    if
    :: result = announced;
        if
        :: FAULT == look_relaxed
        :: else -> acquire(OWNER, ANNOUNCED)
        fi;
        meet_newest()
    :: unseen -> result = seen
    fi
}

inline free_chunk(chunk)
{
    check(freed_once, chunks & (1 << (chunk)));
    chunks = chunks & ~(1 << (chunk))
}

inline free_chunks(first)
{
    i = first;
    do
    :: i != NIL -> free_chunk(i); i = next[i]
    :: else -> break
    od
}

/* Drops a reference; the last one frees. */
inline drop(me, members)
{
    check(lane_lives, alive && references > 0);
    touch(me, members, lane_handed);
    references--;
    if
    :: FAULT == release_relaxed
    :: else -> release(me, REFERENCES); acquire(me, REFERENCES)
    fi;
    if
    :: references == 0 ->
        check(lane_handed, held[1 - me] == 0);
        alive = 0;
        free_chunks(head);
        free_chunks(spare);
        free_chunks(returned);
        i = 0;
        spare = NIL;
        returned = NIL
    :: else
    fi
}

/* Into the door, which is open: the CAS releases. Of links only the lane node's is followed. */
inline post(me, item)
{
    door!item;
    if
    :: me == PRODUCER -> release(PRODUCER, HEAD)
    :: else
    fi;
    must_ring = armed;
    armed = 0
}

inline ring()
{
    check(signal_due, due > 0);
    due--;
    rung = 1;
    must_ring = 0
}

/* The message is its poster's again: it will not run. */
inline refuse(m)
{
    check(refused_for_good, state[m] == under_way);
    state[m] = refused
}

proctype producer()
{
    byte m, count, before, chunk;
    byte tail = 1, made = 1;
    bit tail_used, detoured, pushed, forsaken, must_ring;

call:
    if
    :: atomic { m < POSTS -> m++; state[m] = under_way }
    :: atomic { stops > 0 ->
        stops--;
        asked = m;
        stop_requested = 1;
        release(PRODUCER, STOP)
        }
        atomic {
            if
            :: !control_queued && !door_closed -> control_queued = 1; post(PRODUCER, CONTROL)
            :: else -> control_queued = 1
            fi;
            if
            :: must_ring
            :: else -> goto call
            fi
        }
        goto ringing
    :: atomic { m == POSTS -> goto leave }
    fi;
    atomic {
        if
        :: forsaken -> refuse(m); goto call
        :: !forsaken && detoured && FAULT != detour_flag_early ->
            /* Relaxed: its tasks are in the door, before whatever it pushes next. */
            detoured = (announced != IDLE)
        :: else -> detoured = 0
        fi;
        if
        :: detoured -> goto detour
        :: !detoured && ooms > 0 -> ooms--; goto detour /* a batch may need a chunk at any time */
        :: !detoured && !tail_used -> goto put
        :: !detoured && tail_used && spare != NIL -> chunk = spare; goto link
        :: !detoured && tail_used && spare == NIL
        fi
    }
    atomic {
        if
        :: returned != NIL ->
            chunk = returned;
            returned = NIL;
            if
            :: FAULT == returned_relaxed
            :: else -> acquire(PRODUCER, RETURNED)
            fi
        :: else ->
            made++;
            chunk = made;
            chunks = chunks | (1 << chunk);
            goto linked
        fi
    }
link:
    atomic {
        touch_chunk(PRODUCER, chunk, NEXT(chunk), chunk_handed);
        spare = next[chunk];
linked:
        touch_chunk(PRODUCER, chunk, NEXT(chunk), chunk_handed);
        next[chunk] = NIL;
        touch_chunk(PRODUCER, tail, NEXT(tail), chunk_handed);
        next[tail] = chunk;
        tail = chunk;
        chunk = 0;
put:
        touch_chunk(PRODUCER, tail, SLOT(tail), slot_handed);
        slot[tail] = m;
        tail_used = 1;
        count++
    }

    if
    :: atomic { FAULT == announce_by_store -> before = announced }
        atomic { change(count); stored(PRODUCER, ANNOUNCED) }
    :: atomic { FAULT == push_before_announce && announced == IDLE -> goto push }
announce:
        atomic { before = announced; change(count); release(PRODUCER, ANNOUNCED); goto call }
    :: atomic {
        FAULT != announce_by_store && (FAULT != push_before_announce || announced != IDLE) ->
        check(lane_lives, alive);
        before = announced;
        change(count);
        if
        :: FAULT == announce_no_release
        :: else -> release(PRODUCER, ANNOUNCED)
        fi;
        if
        :: FAULT == announce_no_acquire
        :: else -> acquire(PRODUCER, ANNOUNCED)
        fi
        }
    fi;
    atomic {
        must_ring = (FAULT == ring_always);
        if
        :: before == IDLE || FAULT == push_always && before != CLOSED -> goto push
        :: before == CLOSED -> before = 0; refuse(m); goto forsake
        :: before != IDLE && before != CLOSED && must_ring -> before = 0; goto ringing
        :: else -> before = 0; goto call
        fi
    }
push:
    atomic {
        before = 0;
        touch(PRODUCER, LINK, node_handed);
        if
        :: door_closed -> goto refused_by_door
        :: else -> check(node_once, !node_away); node_away = 1; post(PRODUCER, LANE); pushed = 1
        fi;
        if
        :: FAULT == ring_always -> must_ring = 1
        :: else
        fi;
        if
        :: FAULT == push_before_announce -> goto announce
        :: must_ring && FAULT != push_before_announce
        :: else -> goto call
        fi
    }
ringing:
    atomic { ring(); goto call }

refused_by_door:
    atomic {
        /* Relaxed: nothing travels with CLOSED; whoever comes first, the other learns of it. */
        if
        :: announced == count || FAULT == refuse_by_store ->
            change(CLOSED);
            refuse(m)
        :: announced != count && FAULT != refuse_by_store && FAULT != refuse_unchecked ->
            goto call /* accepted, and cancelled by the close */
        :: announced != count && FAULT == refuse_unchecked -> refuse(m)
        fi
    }
    goto forsake;

detour:
    atomic {
        if
        :: door_closed -> refuse(m); goto call
        :: !door_closed && !pushed ->
            post(PRODUCER, PLAIN + m) /* nothing was ever announced: it comes behind nothing */
        :: else -> post(PRODUCER, m); detoured = 1
        fi;
        if
        :: must_ring -> goto ringing
        :: else -> goto call
        fi
    }

leave:
    if
    :: forsaken -> goto ended
    :: else
    fi;
forsake:
    if
    :: atomic {
        FAULT == forsake_both || !pushed && FAULT != forsake_one -> drop(PRODUCER, PRODUCERS)
        }
    :: else
    fi;
    atomic {
        drop(PRODUCER, PRODUCERS);
        forsaken = 1;
        if
        :: m < POSTS -> goto call
        :: else
        fi
    }
ended:
    producer_ended = 1
}

/* A second thread: gyre_loop_wake, again and again. It touches nothing that others do, so what it
 * releases is not followed. */
proctype waker()
{
    bit must_ring;
    do
    :: atomic {
        wakes > 0 ->
        wakes--;
        if
        :: !control_queued && !door_closed -> control_queued = 1; post(OWNER, CONTROL)
        :: else -> control_queued = 1
        fi
        }
        if
        :: atomic { must_ring -> ring() }
        :: else
        fi
    :: else -> break
    od
}

/* Queues the lane's entry for what is seen beyond `limit`. */
inline queue_lane(count)
{
    check(node_brings, count != CLOSED && count > limit);
    limit = count;
    place = queued;
    queue!LANE
}

/* Where its entry stands. */
inline look_in_place()
{
    load_announced(value);
    check(node_brings, value != CLOSED && value >= limit);
    limit = value;
    value = 0
}

/* Lets go of the lane, which is spent, or queues it for more. */
inline settle()
{
    check(lane_lives, alive);
    meet_newest();
    if
    :: announced == limit ->
        announced = IDLE;
        node_away = 0;
        place = away;
        if
        :: FAULT == settle_no_release
        :: else -> release(OWNER, ANNOUNCED)
        fi
    :: else ->
        if
        :: FAULT == settle_failure_relaxed
        :: else -> acquire(OWNER, ANNOUNCED)
        fi;
        queue_lane(announced)
    fi
}

inline finish(m)
{
    check(ran_once, state[m] == under_way);
    check(order_kept, !under(1, m) && !under(2, m) && !under(3, m));
    state[m] = done
}

#define is_abandoned (references == 1 && (announced == IDLE || FAULT == abandoned_not_idle))
#define callbacks (len(queue) + (place == queued) * (limit - taken - 1))

proctype owner()
{
    chan queue = [POSTS_MAX + 1] of { byte };
    chan behind = [POSTS_MAX] of { byte }; /* behind_uncounted only */
    byte taken, limit;
    byte taking, quota, item, value, used_up, must;
    bit stopping, stop_met, lane_closed;

turn:
    if
    :: atomic { CLOSE -> is_closing = 1 }
        if
        :: FAULT == close_lane_first -> goto close_lane
        :: else
        fi;
close_door:
        atomic {
            door_closed = 1;
            taking = len(door);
            acquire(OWNER, HEAD);
            goto meet
        }
    :: atomic { FAULT == look_before_door -> goto look }
    :: atomic { FAULT != look_before_door }
    fi;
take:
    atomic {
        taking = len(door);
        if
        :: taking > 0 -> acquire(OWNER, HEAD)
        :: else
        fi
    }
meet:
    do
    :: atomic {
        taking > 0 ->
        door?item;
        taking--;
        if
        :: item == CONTROL ->
            control_queued = 0;
            if
            :: stop_requested ->
                stop_requested = 0;
                stopping = 1;
                stop_met = (FAULT != stop_takes_once);
                must = asked;
                if
                :: FAULT == stop_relaxed
                :: else -> acquire(OWNER, STOP)
                fi
            :: else
            fi
        :: item == LANE ->
            check(lane_lives, alive);
            touch(OWNER, LINK, node_handed);
            known = 1;
            load_announced(value);
            queue_lane(value);
            value = 0
        :: item > PLAIN && item < LANE -> queue!(item - PLAIN)
        :: item <= PLAIN ->
            if
            :: place == queued && FAULT == behind_uncounted -> behind!item
            :: place == queued && FAULT != behind_uncounted && FAULT != detour_unlooked ->
                look_in_place();
                queue!item
            :: place == attached && FAULT != detour_unlooked -> settle(); queue!item
            :: else -> queue!item
            fi
        fi;
        item = 0
        }
    :: atomic {
        /* A sweep. Acquire: the thread's last count is seen. */
        known && is_abandoned ->
        if
        :: FAULT == abandoned_relaxed
        :: else -> acquire(OWNER, REFERENCES)
        fi;
        touch(OWNER, PRODUCERS, lane_handed);
        known = 0;
        drop(OWNER, OWNERS)
        }
    :: atomic { taking == 0 -> break }
    od;
    if
    :: atomic { is_closing && lane_closed -> goto cancel }
    :: atomic { is_closing && !lane_closed -> goto close_lane }
    :: atomic { !is_closing && stop_met -> stop_met = 0; goto take }
    :: atomic { !is_closing && !stop_met && FAULT == look_before_door -> goto callbacks_run }
    :: atomic { !is_closing && !stop_met && FAULT != look_before_door }
    fi;
look:
    atomic {
        if
        :: place == attached ->
            check(lane_lives, alive);
            load_announced(value);
            if
            :: value != limit -> queue_lane(value)
            :: value == limit /* looked in vain */
            :: value == limit -> settle() /* and too often */
            fi;
            value = 0
        :: place == queued && stopping && FAULT != stop_skips_queued -> look_in_place()
        :: else
        fi;
        if
        :: FAULT == look_before_door -> goto take
        :: else
        fi
    }
callbacks_run:
    atomic { quota = callbacks }
next_callback:
    do
    :: atomic {
        quota > 0 ->
        quota--;
        queue?<item>;
        if
        :: item != LANE -> queue?item; finish(item); item = 0; goto next_callback
        :: else -> item = 0; check(lane_lives, alive)
        fi;
        if
        :: head_used ->
            touch_chunk(OWNER, head, NEXT(head), chunk_handed);
            used_up = head;
            head = next[head]
        :: else
        fi;
        used_up = (FAULT == return_before_read -> head : used_up);
        if
        :: used_up != NIL
        :: else -> goto read
        fi
        }
        atomic {
            touch_chunk(OWNER, used_up, NEXT(used_up), chunk_handed);
            if
            :: used_up > KEPT -> free_chunk(used_up)
            :: else ->
                next[used_up] = returned;
                returned = used_up;
                if
                :: FAULT == return_no_release
                :: else -> release(OWNER, RETURNED)
                fi
            fi;
            used_up = 0
        }
read:
        atomic {
            touch_chunk(OWNER, head, SLOT(head), slot_handed);
            head_used = 1;
            taken++;
            finish(slot[head]);
            if
            :: taken == limit ->
                queue?item;
                item = 0;
                place = (is_closing -> away : attached);
                if
                :: len(behind) > 0 && !is_closing -> settle()
                :: else
                fi;
                do
                :: len(behind) > 0 -> behind?item; queue!item; item = 0
                :: else -> break
                od
            :: else
            fi
        }
    :: atomic { BUDGET && !stopping && !is_closing && quota > 0 -> quota = 0; break }
    :: atomic { quota == 0 -> break }
    od;
    if
    :: atomic { is_closing && len(queue) > 0 -> goto cancel }
    :: atomic { is_closing && len(queue) == 0 -> goto drop_lane }
    :: atomic {
        !is_closing && stopping ->
        check(stop_comes_last, !under(1, must + 1) && !under(2, must + 1) && !under(3, must + 1) &&
                                   !under(4, must + 1));
        stopping = 0;
        must = 0;
        goto turn
        }
    :: atomic { !is_closing && !stopping && len(queue) > 0 -> goto turn }
    :: atomic { !is_closing && !stopping && place == attached -> goto turn } /* a wait of zero */
    :: atomic {
        !is_closing && !stopping && len(queue) == 0 && FAULT != settle_by_store ->
        if
        :: place == attached && FAULT != sleep_unsettled -> settle()
        :: else
        fi;
        if
        :: place == queued -> goto turn
        :: else
        fi
        }
    :: atomic {
        !is_closing && !stopping && len(queue) == 0 && FAULT == settle_by_store ->
        load_announced(value);
        if
        :: place == attached && value != limit -> value = 0; goto turn
        :: else -> value = 0
        fi
        }
        atomic {
            if
            :: place == attached ->
                announced = IDLE;
                meet_newest();
                stored(OWNER, ANNOUNCED);
                node_away = 0;
                place = away
            :: else
            fi
        }
    fi;
    atomic {
        if
        :: len(door) == 0 -> armed = 1; due++
        :: else -> goto turn
        fi
    }
end_wait:
    if
    :: atomic { rung -> rung = 0 }
    :: atomic { events > 0 -> events-- }
    fi;
    atomic {
        due = due - armed;
        armed = 0;
        goto turn
    }

close_lane:
    if
    :: atomic { FAULT == close_by_store && known -> value = announced; acquire(OWNER, ANNOUNCED) }
    :: else
    fi;
    atomic {
        lane_closed = 1;
        if
        :: known ->
            check(lane_lives, alive);
            value = (FAULT == close_by_store -> value : announced);
            meet_newest();
            announced = CLOSED;
            if
            :: FAULT == close_relaxed
            :: else -> acquire(OWNER, ANNOUNCED)
            fi;
            /* CLOSED: its producer was refused, and took back what it announced. */
            if
            :: value != IDLE && value != CLOSED && value != limit && place != queued ->
                queue_lane(value)
            :: value != IDLE && value != CLOSED && place == queued -> limit = value
            :: else -> place = (place == queued -> queued : away)
            fi;
            value = 0
        :: else
        fi;
        if
        :: FAULT == close_lane_first -> goto close_door
        :: else
        fi
    }
cancel:
    atomic {
        quota = callbacks;
        if
        :: quota > 0 -> goto next_callback
        :: else
        fi
    }
drop_lane:
    atomic {
        if
        :: known -> known = 0; drop(OWNER, OWNERS)
        :: else
        fi;
        owner_ended = 1
    }
}

/* When nothing else can move. */
proctype quiet()
{
    timeout ->
    d_step {
        i = 1;
        do
        :: i <= POSTS -> check(posts_finished, finished(i)); i++
        :: else -> break
        od;
        i = 0;
        check(owner_rests, owner_ended || armed && place == away);
        check(lane_freed, producer_ended && (!alive && chunks == 0 ||
            alive && !owner_ended && known && is_abandoned))
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.posts = atoi(getenv("POSTS"));
        now.ooms = atoi(getenv("OOMS"));
        now.stops = atoi(getenv("STOPS"));
        now.wakes = atoi(getenv("WAKES"));
        now.events = atoi(getenv("EVENTS"));
        now.may_close = atoi(getenv("CLOSE"));
        now.budget = atoi(getenv("BUDGET"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    atomic {
        run owner();
        run producer();
        run waker();
        run quiet()
    }
}
