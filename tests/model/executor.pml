/* SPDX-License-Identifier: MIT */
/*
 * executor - the model of an executor's queue: submitters, workers that sleep, and the closer.
 *
 * What     Two submitters put two or three pieces of work into a ring of two cells; two workers
 *          take them and sleep in between; perhaps somebody closes. The first piece blocks until
 *          the second is done, so that a worker which ought to be woken and is not shows as a
 *          standstill.
 * Memory   The word, the wakes and the places are changed by read-modify-writes, in one step. A
 *          cell's work and its sequence number are stored, each through a buffer that comes to
 *          memory at any time and in any order; a release waits for its own buffer. Acquire is in
 *          "what was read is there": a cell whose number says it is filled may be read before its
 *          work has come, if nobody waited.
 * Parking  compares and sleeps in one step, as a futex does; waking is a step of its own.
 * Checked  Each piece that was accepted is done or cancelled once, with its content seen; no cell
 *          is filled before it was emptied. When nothing can move any more, all of them have ended,
 *          and the workers sleep, or have left if the queue was closed.
 * Limits   Two workers. Each CAS is strong.
 * By hand  spin -a -DFAULT=wake_never executor.pml && cc -DSAFETY -o pan pan.c && ./pan
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* the word */
#define wake_never 1 /* a submitter wakes nobody: all_ended */
#define chain_never 2 /* a worker that leaves items behind wakes nobody: all_ended */
#define waking_kept 3 /* who was woken does not end the waking: all_ended */
#define sleep_by_flag 4 /* a worker sees no item, then counts itself a sleeper: all_ended */
#define count_by_store 5 /* the word is loaded, then stored: workers_rest, all_ended */
/* parking */
#define park_unchecked 6 /* parks whatever was given: all_ended, workers_rest */
#define unpark_first 7 /* unparks, then gives the wake: all_ended, workers_rest */
/* the ring */
#define filled_relaxed 8 /* the number of a filled cell is no release: content_seen */
#define fill_unchecked 9 /* a cell is filled unseen: content_seen, cell_free */
#define emptied_early 10 /* it counts as empty before it is read: content_seen, done_once */
#define unfilled_taken 11 /* a taker does not wait until it is filled: content_seen, all_ended */
/* the end */
#define close_forgets 12 /* the closer leaves what is in the ring: all_ended */
#define late_forgets 13 /* who finds it closed takes nothing out: all_ended */
#define close_wakes_one 14 /* the closer wakes one of those who sleep: workers_rest */

#ifdef ANY
byte fault, pieces;
bit may_close, sequential;
#define FAULT fault
#define PIECES pieces
#define CLOSE may_close
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef PIECES
#define PIECES 3 /* two of one submitter and one of the other; or 2, one each */
#endif
#ifndef CLOSE
#define CLOSE 0 /* 1: somebody closes, at any moment */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: no buffers: what spin alone would see */
#endif
#endif

#define WORKS 3
#define CELLS 2
#define WORKERS 2
#define GARBAGE 15

/* The word. */
byte items, sleepers;
bit waking, closed;

byte wakes;
bit parked[WORKERS];

byte tail, head;
byte number[CELLS]; /* the cells' sequences */
byte work_in[CELLS] = GARBAGE;
byte number_later[CELLS]; /* buffered: value + 1, or 0 */
byte work_later[CELLS];

mtype = { unput, accepted, refused, done, cancelled };
mtype state[WORKS + 1] = unput;
bit held[CELLS]; /* ghost: filled, and not read yet */
byte left; /* ghost: workers that have ended */

hidden byte all_ended, count_kept, workers_rest, content_seen, cell_free, done_once;
hidden byte i;

#define check(name, fact) name = (fact); assert(name)
#define ended(w) (state[w] == refused || state[w] == done || state[w] == cancelled)
#define cell(place) ((place) % CELLS)

proctype buffers()
{
end:
    do
    :: d_step { number_later[0] != 0 -> number[0] = number_later[0] - 1; number_later[0] = 0 }
    :: d_step { number_later[1] != 0 -> number[1] = number_later[1] - 1; number_later[1] = 0 }
    :: d_step { work_later[0] != 0 -> work_in[0] = work_later[0] - 1; work_later[0] = 0 }
    :: d_step { work_later[1] != 0 -> work_in[1] = work_later[1] - 1; work_later[1] = 0 }
    od
}

inline store_work(c, value)
{
    if
    :: SEQUENTIAL -> work_in[c] = (value)
    :: else -> work_later[c] = (value) + 1
    fi
}

inline store_number(c, value)
{
    if
    :: SEQUENTIAL -> number[c] = (value)
    :: else -> number_later[c] = (value) + 1
    fi
}

/* Takes a sleeper off, if there is work for it and nobody is on the way. */
inline call_sleeper(allowed)
{
    if
    :: items > 0 && sleepers > 0 && !waking && (allowed) -> sleepers--; waking = 1; call = 1
    :: else -> call = 0
    fi
}

inline unpark_one()
{
    atomic {
        if
        :: parked[0] -> parked[0] = 0
        :: parked[1] -> parked[1] = 0
        :: !parked[0] && !parked[1]
        fi
    }
}

inline give_wake()
{
    if
    :: FAULT == unpark_first -> unpark_one(); atomic { wakes++ }
    :: FAULT != unpark_first -> atomic { wakes++ }; unpark_one()
    fi
}

/* Takes the oldest out of the ring: the caller has taken it off the count. */
inline pop(fate)
{
    atomic { place = head; head++ }
    atomic {
        number[cell(place)] == place + 1 || FAULT == unfilled_taken ->
        if
        :: FAULT == emptied_early -> store_number(cell(place), place + CELLS)
        :: else
        fi
    }
    atomic {
        /* A cell that is filled anew before it was read shows the newer work. */
        work = work_in[cell(place)];
        check(content_seen, work != GARBAGE);
        check(done_once, state[work] == accepted);
        held[cell(place)] = 0
    }
    atomic {
        work_in[cell(place)] = GARBAGE; /* ghost: nobody may read it again */
        if
        :: FAULT != emptied_early -> store_number(cell(place), place + CELLS)
        :: else
        fi;
        place = 0
    }
    if
    :: atomic { fate == cancelled -> state[work] = cancelled }
    :: atomic { fate == done && (work != 1 || ended(2)) -> state[work] = done }
    fi;
    atomic { work = 0 }
}

proctype submitter(byte first; byte last)
{
    byte next = first;
    byte place, work, seen_items;
    bit call;

put:
    if
    :: atomic { next > last -> goto leave }
    :: atomic { next <= last && closed -> state[next] = refused; next++ } goto put
    :: atomic {
        /* The place, when its cell is free. Full: the submitter tries again later. */
        next <= last && !closed && (number[cell(tail)] == tail || FAULT == fill_unchecked) ->
        place = tail;
        tail++;
        check(cell_free, !held[cell(place)]);
        held[cell(place)] = 1;
        state[next] = accepted;
        store_work(cell(place), next)
        }
    fi;
    atomic {
        /* Release: pairs with the taker's acquire. */
        work_later[cell(place)] == 0 || FAULT == filled_relaxed ->
        store_number(cell(place), place + 1);
        place = 0
    }
    atomic {
        /* The word: one exchange. */
        if
        :: closed -> goto late
        :: !closed && FAULT == count_by_store -> seen_items = items
        :: !closed && FAULT != count_by_store ->
            items++;
            call_sleeper(FAULT != wake_never)
        fi
    }
    if
    :: atomic {
        FAULT == count_by_store -> items = seen_items + 1; call_sleeper(true); seen_items = 0
        }
    :: FAULT != count_by_store
    fi;
    if
    :: call -> give_wake()
    :: !call
    fi;
    atomic { call = 0; next++ }
    goto put;
late:
    if
    :: FAULT != late_forgets -> pop(cancelled)
    :: FAULT == late_forgets
    fi;
    atomic { next++ }
    goto put;
leave:
    skip
}

proctype worker(byte me)
{
    byte place, work;
    bit call, woken;

take:
    atomic {
        if
        :: closed -> woken = 0; goto leave
        :: else
        fi;
        if
        :: woken && FAULT != waking_kept -> waking = 0
        :: else
        fi;
        woken = 0;
        if
        :: items > 0 -> items--; call_sleeper(FAULT != chain_never)
        :: items == 0 && FAULT != sleep_by_flag -> sleepers++; goto sleep
        :: items == 0 && FAULT == sleep_by_flag -> goto flag
        fi
    }
    if
    :: call -> give_wake()
    :: !call
    fi;
    atomic { call = 0 }
    pop(done);
    goto take;
flag:
    atomic { sleepers++ }
sleep:
    atomic {
        if
        :: wakes > 0 && FAULT != park_unchecked -> wakes--; woken = 1; goto take
        :: wakes == 0 || FAULT == park_unchecked -> parked[me] = 1
        fi
    }
end_parked:
    atomic { !parked[me] -> skip }
    atomic {
        if
        :: wakes > 0 -> wakes--; woken = 1; goto take
        :: wakes == 0 -> goto sleep
        fi
    }
leave:
    atomic { left++ }
}

proctype closer()
{
    byte count, asleep, place, work;

    atomic {
        closed = 1;
        count = (FAULT == close_forgets -> 0 : items);
        asleep = sleepers;
        items = 0;
        sleepers = 0;
        waking = 0
    }
    atomic { wakes = wakes + (FAULT == close_wakes_one && asleep > 1 -> 1 : asleep) }
    if
    :: atomic { asleep > 0 -> parked[0] = 0; parked[1] = 0; asleep = 0 }
    :: asleep == 0
    fi;
    do
    :: count > 0 -> pop(cancelled); atomic { count-- }
    :: count == 0 -> break
    od
}

/* When nothing else can move. */
proctype quiet()
{
    timeout ->
    d_step {
        i = 1;
        do
        :: i <= PIECES -> check(all_ended, ended(i)); i++
        :: else -> break
        od;
        i = 0;
        check(count_kept, items == 0);
        check(workers_rest, (closed -> left == WORKERS : parked[0] && parked[1] && sleepers == 2))
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.pieces = atoi(getenv("PIECES"));
        now.may_close = atoi(getenv("CLOSE"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    d_step {
        number[1] = 1
    }
    atomic {
        if
        :: PIECES == 3 -> run submitter(1, 2); run submitter(3, 3)
        :: else -> run submitter(1, 1); run submitter(2, 2)
        fi;
        run worker(0);
        run worker(1);
        if
        :: CLOSE -> run closer()
        :: else
        fi;
        run buffers();
        run quiet()
    }
}
