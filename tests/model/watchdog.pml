/* SPDX-License-Identifier: MIT */
/*
 * watchdog - the model of the stack samples: who asks a thread for its stack, and its handler.
 *
 * What     Two that ask, the watchdog and a dump; the threads of two loops, whose stretches begin
 *          and end while signals come, or with MOVES of one loop, which the second thread runs
 *          behind the first. run.sh searches every interleaving of the protocol, and of each seeded
 *          fault until it is found.
 * Why      A signal may come when nobody asks any more, or somebody else does; and the answer has
 *          one place in the process.
 * Memory   By views. A store is appended to those of its place, and each actor knows of one of
 *          them: a load that nothing orders sees that one or any later. A release hands over what
 *          the actor knows, an acquire takes it on, and nothing else does. The answer is no atomic:
 *          who uses it must know of all uses before. The word of the states is read as it is: with
 *          an old one the CAS fails, or the signal might as well have come earlier.
 * Checked  A sample that is reported is whole, of the thread that ran the loop, and of the stretch
 *          that was asked about. Nobody is inside the answer while another is. When nothing can
 *          move any more, all who asked have come to their end, and nobody writes.
 * Limits   ASKS_n, STRETCHES. Any wait may be over at any moment, so that waking is not here. A
 *          store never overtakes a load before it. A thread that gets the number of one that has
 *          ended is as good as one outside of its stretches. Numbers do not come back. No fork.
 * By hand  spin -a -DFAULT=done_relaxed watchdog.pml && cc -DSAFETY -o pan pan.c && ./pan -m20000
 *          spin -t -p -g -l -DFAULT=done_relaxed watchdog.pml
 */

#define none 0 /* the protocol as it is meant */

/* The seeded faults. After the colon, the checks that may find each one. */

/* asking */
#define number_omitted 1 /* the word is the phase alone: right_thread */
#define thread_late 2 /* ASKED is stored, then the thread: right_thread */
#define ask_relaxed 3 /* the store of ASKED is no release: right_thread, frames_handed */
#define ask_while_taken 4 /* whatever the handler does: frames_alone, frames_handed */
#define look_relaxed 5 /* the load before it is no acquire: frames_handed */
#define lock_omitted 6 /* two may ask at a time: right_thread, frames_alone, frames_handed */
#define lock_relaxed 7 /* the lock hands nothing over: frames_handed */
/* waiting */
#define wait_for_ever 8 /* it has no limit: asks_end */
#define await_relaxed 9 /* the load of DONE is no acquire: frames_handed */
#define give_up_not 10 /* ASKED is left behind: frames_alone, frames_handed */
#define give_up_by_store 11 /* FREE is stored: frames_alone, frames_handed */
#define taken_is_done 12 /* who cannot give up reads at once: frames_alone, frames_handed */
/* answering */
#define load_relaxed 13 /* the handler's load is no acquire: right_thread, frames_handed */
#define thread_not_compared 14 /* whoever gets the signal answers: right_thread */
#define taken_by_store 15 /* TAKEN is stored: frames_alone, frames_handed */
#define taken_not 16 /* it writes, and says DONE only: frames_alone, frames_handed */
#define done_early 17 /* DONE is stored, then the rest written: frames_alone, frames_handed */
#define done_relaxed 18 /* the store of DONE is no release: frames_handed */
/* the stamp */
#define stamp_first 19 /* the stamp is stored, then the thread: right_thread */
#define stamp_relaxed 20 /* the store of the stamp is no release: right_thread */
#define since_relaxed 21 /* its load is no acquire: right_thread */
#define end_not_stamped 22 /* the last stamp outlasts its stretch: right_stretch */
#define stamp_not_compared 23 /* whatever it is behind the sample: right_stretch */

/*
 * What is searched: by -D, or with -DANY by the environment of the search, so that one build does
 * for all. There the fault goes by its number.
 */
#ifdef ANY
byte fault, asks_1, asks_2, stretches;
bit moves, sequential;
#define FAULT fault
#define STRETCHES stretches
#define MOVES moves
#define SEQUENTIAL sequential
#else
#ifndef FAULT
#define FAULT none
#endif
#ifndef ASKS_1
#define ASKS_1 2 /* of the watchdog */
#endif
#ifndef ASKS_2
#define ASKS_2 1 /* of the dump */
#endif
#ifndef STRETCHES
#define STRETCHES 1 /* of each thread */
#endif
#ifndef MOVES
#define MOVES 0 /* 1: there is one loop, which thread 1 runs behind thread 0 */
#endif
#ifndef SEQUENTIAL
#define SEQUENTIAL 0 /* 1: every load sees the last store: what spin alone would see */
#endif
byte asks_1 = ASKS_1, asks_2 = ASKS_2;
#endif

#define ASKERS 2
#define ACTORS 4 /* the askers, then the threads */

/* The places. Of a stamp each odd store begins a stretch, and the next is the 0 at its end. */
#define ASKED_THREAD 0 /* whom the request is for */
#define FRAMES 1       /* the addresses: here accesses are counted, not stores */
#define STAMP(loop) (2 + (loop))
#define OWNER(loop) (4 + (loop)) /* who runs it */
#define PLACES 6

byte last[PLACES];          /* the number of its stores */
byte view[ACTORS * PLACES]; /* the one of them that the actor knows of */

/* The words that hand over, and what a release has given to each. */
#define STATE 0
#define LOCK 1
#define LOOP 2 /* that moves */
#define WORDS 3
byte handed[WORDS * PLACES];

/* What the stores were, by their number. A thread's number is 0: none, 1 or 2. */
#define STORES 8
#define nth(loop, store) ((loop) * STORES + (store))
byte asked_threads[STORES];
byte owners[2 * STORES];
byte stamp_owners[2 * STORES]; /* what the release of a stamp hands over of OWNER */
byte stampers[2 * STORES];     /* ghost: whose stretch it is */

mtype = { free, asked, taken, done };
mtype phase = free; /* with the number, the word of the states */
byte number;
bit locked;

/* The answer: two pieces, since it is not written in one step. What it is of are ghosts. */
byte piece_thread[2], piece_stretch[2];

byte signals[2]; /* pending, of each thread */
bit ended[2];    /* the thread has */
bit moved;       /* the loop, to the second thread */

/* Ghosts. */
byte writers, readers; /* inside the answer */
byte askers;           /* that have not come to their end */

/* The checks: names for the verdict. Hidden: no part of the state. */
hidden byte sample_whole, right_thread, right_stretch, frames_alone, frames_handed;
hidden byte asks_end, none_writes;
hidden byte i; /* of the d_steps */

#define check(name, fact) name = (fact); assert(name)
#define known(me, place) view[(me) * PLACES + (place)]

inline put(me, place)
{
    last[place] = last[place] + 1;
    known(me, place) = last[place]
}

/* A load: of the store that it knows of, or of any later one. */
inline get(me, place)
{
    do
    :: known(me, place) < last[place] -> known(me, place) = known(me, place) + 1
    :: !SEQUENTIAL || known(me, place) == last[place] -> break
    od
}

inline release(me, word)
{
    d_step {
        i = 0;
        do
        :: i < PLACES -> handed[(word) * PLACES + i] = known(me, i); i++
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
            if
            :: handed[(word) * PLACES + i] > known(me, i) ->
                known(me, i) = handed[(word) * PLACES + i]
            :: else
            fi;
            i++
        :: else -> break
        od;
        i = 0
    }
}

/* A plain store to the word of the states; a read-modify-write leaves what it hands over. */
inline store_state(me, new_phase, is_release)
{
    phase = new_phase;
    number = mine;
    if
    :: is_release -> release(me, STATE)
    :: else ->
        d_step {
            i = 0;
            do
            :: i < PLACES -> handed[STATE * PLACES + i] = 0; i++
            :: else -> break
            od;
            i = 0
        }
    fi
}

/* Not only writes: the lock keeps those who read apart as well. */
inline use_frames(me)
{
    check(frames_handed, SEQUENTIAL || known(me, FRAMES) == last[FRAMES]);
    put(me, FRAMES)
}

/* ---- a thread that runs a loop ---- */

#define OUTSIDE 0
#define BEGINS 1 /* one of the two stores is done */
#define INSIDE 2

inline store_owner()
{
    put(me, OWNER(loop));
    owners[nth(loop, last[OWNER(loop)])] = self
}

inline store_stamp()
{
    put(me, STAMP(loop));
    stamp_owners[nth(loop, last[STAMP(loop)])] =
        (FAULT == stamp_relaxed -> 0 : known(me, OWNER(loop)));
    stampers[nth(loop, last[STAMP(loop)])] = self
}

inline write_piece(at)
{
    check(frames_alone, writers == 1 && readers == 0);
    use_frames(me);
    piece_thread[at] = self;
    piece_stretch[at] = (where == INSIDE -> known(me, STAMP(loop)) : 0)
}

proctype thread(byte me, self)
{
    byte loop = (MOVES -> 0 : self - 1);
    byte left = STRETCHES, where = OUTSIDE;
    byte mine; /* in the handler: the number that it has seen */

turn:
    if
    :: atomic { where == OUTSIDE && left > 0 && (!MOVES || self == 1 || moved) ->
        left--;
        where = BEGINS;
        if
        :: MOVES && self == 2 -> acquire(me, LOOP)
        :: else
        fi;
        if
        :: FAULT == stamp_first -> store_stamp()
        :: else -> store_owner()
        fi;
        goto turn
        }
    :: atomic { where == BEGINS ->
        where = INSIDE;
        if
        :: FAULT == stamp_first -> store_owner()
        :: else -> store_stamp()
        fi;
        goto turn
        }
    :: atomic { where == INSIDE ->
        where = OUTSIDE;
        if
        :: FAULT == end_not_stamped && left == 0
        :: else -> put(me, STAMP(loop))
        fi;
        if
        :: MOVES && self == 1 && left == 0 -> release(me, LOOP); moved = 1
        :: else
        fi;
        goto turn
        }
    :: atomic { where == OUTSIDE && left == 0 -> /* a signal that is pending goes with it */
        ended[self - 1] = 1;
        signals[self - 1] = 0;
        goto gone
        }
    :: atomic { signals[self - 1] > 0 -> /* the handler, to its end */
        signals[self - 1] = signals[self - 1] - 1;
        if
        :: phase != asked -> goto turn
        :: else -> mine = number
        fi;
        if
        :: FAULT != load_relaxed -> acquire(me, STATE)
        :: else
        fi
        }
    fi;
    atomic {
        get(me, ASKED_THREAD);
        if
        :: asked_threads[known(me, ASKED_THREAD)] != self && FAULT != thread_not_compared ->
            mine = 0;
            goto turn
        :: else
        fi
    }
    atomic {
        if
        :: FAULT == taken_not
        :: FAULT == taken_by_store -> store_state(me, taken, 0)
        :: FAULT != taken_not && FAULT != taken_by_store && phase == asked && number == mine ->
            phase = taken
        :: else -> mine = 0; goto turn
        fi
    }
    atomic { writers++; write_piece(0) }
    atomic {
        if
        :: FAULT == done_early -> store_state(me, done, 1)
        :: else -> write_piece(1); writers--
        fi
    }
    atomic {
        if
        :: FAULT == done_early -> write_piece(1); writers--
        :: else -> store_state(me, done, FAULT != done_relaxed)
        fi;
        mine = 0;
        goto turn
    }
gone:
    skip
}

/* ---- who asks ---- */

inline acquire_done()
{
    if
    :: FAULT != await_relaxed -> acquire(me, STATE)
    :: else
    fi
}

inline store_thread()
{
    put(me, ASKED_THREAD);
    asked_threads[last[ASKED_THREAD]] = its_thread
}

proctype asker(byte me, asks)
{
    byte loop, since, its_thread, mine;
    byte thread_0, thread_1, stretch_0, stretch_1; /* the copy of the answer */
    bit sent, sampled;

again:
    if
    :: atomic { asks == 0 -> goto leave }
    :: atomic { asks > 0 ->
        asks--;
        if
        :: loop = 0
        :: !MOVES && (me == 1 || asks + 1 < asks_1) -> loop = 1 /* not at first: they are alike */
        fi;
        get(me, STAMP(loop));
        if
        :: known(me, STAMP(loop)) % 2 == 0 -> loop = 0; goto again
        :: else -> since = known(me, STAMP(loop))
        fi;
        if
        :: FAULT != since_relaxed && known(me, OWNER(loop)) < stamp_owners[nth(loop, since)] ->
            known(me, OWNER(loop)) = stamp_owners[nth(loop, since)]
        :: else
        fi
        }
    fi;
    atomic { get(me, OWNER(loop)); its_thread = owners[nth(loop, known(me, OWNER(loop)))] }
    atomic {
        !locked || FAULT == lock_omitted ->
        locked = 1;
        if
        :: FAULT != lock_relaxed -> acquire(me, LOCK)
        :: else
        fi
    }
    atomic {
        if
        :: phase == taken && FAULT != ask_while_taken -> goto unlock /* -EBUSY */
        :: else -> mine = (FAULT == number_omitted -> 0 : number + 1)
        fi;
        if
        :: FAULT != look_relaxed -> acquire(me, STATE)
        :: else
        fi
    }
    atomic {
        if
        :: FAULT == thread_late -> store_state(me, asked, 1)
        :: else -> store_thread()
        fi
    }
    atomic {
        if
        :: FAULT == thread_late -> store_thread()
        :: else -> store_state(me, asked, FAULT != ask_relaxed)
        fi
    }
    atomic {
        if
        :: its_thread != 0 && !ended[its_thread - 1] ->
            signals[its_thread - 1] = signals[its_thread - 1] + 1;
            sent = 1
        :: else
        fi
    }
    if
    :: atomic { sent && phase == done && number == mine -> acquire_done() }
    :: atomic { !sent || FAULT != wait_for_ever -> goto give_up }
    fi;
copy:
    atomic {
        readers++;
        check(frames_alone, writers == 0 && readers == 1);
        use_frames(me);
        thread_0 = piece_thread[0];
        stretch_0 = piece_stretch[0]
    }
    atomic {
        check(frames_alone, writers == 0 && readers == 1);
        use_frames(me);
        thread_1 = piece_thread[1];
        stretch_1 = piece_stretch[1];
        readers--;
        sampled = 1;
        goto unlock
    }
give_up:
    atomic {
        if
        :: FAULT == give_up_not -> goto unlock
        :: FAULT == give_up_by_store -> store_state(me, free, 0); goto unlock
        :: FAULT != give_up_not && FAULT != give_up_by_store && phase == asked &&
            number == mine -> phase = free; goto unlock
        :: else
        fi
    }
    if
    :: atomic { phase == done && number == mine -> acquire_done(); goto copy }
    :: atomic { FAULT == taken_is_done -> goto copy }
    :: atomic { goto unlock } /* -ETIMEDOUT */
    fi;
unlock:
    atomic {
        mine = 0;
        sent = 0;
        locked = 0;
        if
        :: FAULT != lock_relaxed -> release(me, LOCK)
        :: else
        fi
    }
    atomic {
        get(me, STAMP(loop));
        if
        :: sampled && (known(me, STAMP(loop)) == since || FAULT == stamp_not_compared) ->
            check(sample_whole, thread_0 == thread_1 && stretch_0 == stretch_1);
            check(right_thread, thread_0 == stampers[nth(loop, since)]);
            check(right_stretch, stretch_0 == since)
        :: else
        fi;
        d_step {
            loop = 0;
            since = 0;
            its_thread = 0;
            thread_0 = 0;
            thread_1 = 0;
            stretch_0 = 0;
            stretch_1 = 0;
            sampled = 0
        };
        goto again
    }
leave:
    atomic { askers-- }
}

/* When nothing can move any more. */
proctype quiet()
{
    timeout ->
    d_step {
        check(asks_end, askers == 0);
        check(none_writes, writers == 0 && readers == 0 && phase != taken)
    }
}

init
{
#ifdef ANY
    c_code {
        now.fault = atoi(getenv("FAULT"));
        now.asks_1 = atoi(getenv("ASKS_1"));
        now.asks_2 = atoi(getenv("ASKS_2"));
        now.stretches = atoi(getenv("STRETCHES"));
        now.moves = atoi(getenv("MOVES"));
        now.sequential = atoi(getenv("SEQUENTIAL"));
    };
#endif
    atomic {
        askers = ASKERS;
        run asker(0, asks_1);
        run asker(1, asks_2);
        run thread(ASKERS, 1);
        run thread(ASKERS + 1, 2);
        run quiet()
    }
}
