/* SPDX-License-Identifier: MIT */
/*
 * configuration - the defaults of the process, and its instance, while threads race for both.
 *
 * Defaults    Writers configure sets of options whose members belong together; readers, loops and
 *             forked children must find one set, never parts of two.
 * Instance    In each round some threads install a loop of their own and some ask for the instance;
 *             all must see the same one, and of the installers at most one may win.
 *
 * GYRE_STRESS_ROUNDS sets the number of rounds.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    WRITERS = 2,
    READERS = 2,
    RACERS = 4,
    SETS = 50,
    CHILDREN = 40
};

static uint64_t rounds;

/* ---- defaults -------------------------------------------------------------------------------- */

static const char *const backends[] = {"epoll", "poll", "select"};

/* Set number `number`, from 1 on. */
static struct gyre_loop_options make_set(unsigned number)
{
    struct gyre_loop_options set;
    gyre_loop_options_init(&set);
    set.backend = backends[number % 3];
    set.make_current = GYRE_CURRENT_NO;
    set.queue_max = number;
    set.callback_budget_ns = number * UINT64_C(3);
    set.timer_budget_ns = number * UINT64_C(5);
    set.wait_max_ns = number * UINT64_C(7);
    return set;
}

static void check_set(const struct gyre_loop_options *set)
{
    uint64_t number = set->queue_max;
    CHECK(number >= 1 && number <= SETS);
    CHECK_STR(set->backend, backends[number % 3]);
    CHECK_EQ(set->callback_budget_ns, number * 3);
    CHECK_EQ(set->timer_budget_ns, number * 5);
    CHECK_EQ(set->wait_max_ns, number * 7);
}

static void write_sets(unsigned me)
{
    uint64_t chance = crew_seed() + me;
    for (uint64_t i = 0; i < rounds; i++) {
        struct gyre_loop_options set = make_set(1 + (unsigned)(crew_random(&chance) % SETS));
        CHECK_EQ(gyre_loop_configure(&set), 0);
    }
}

static void read_sets(void)
{
    for (uint64_t i = 0; i < rounds; i++) {
        struct gyre_loop_options set;
        const char *name;
        gyre_loop_options_init(&set);
        check_set(&set);
        CHECK_EQ(gyre_loop_default_backend(&name), 0);
    }
}

static void take_side(unsigned index, void *arg)
{
    (void)arg;
    if (index < WRITERS)
        write_sets(index);
    else
        read_sets();
}

/* The child has one thread, whatever the others of its parent were about. */
static void look_from_a_child(void)
{
    pid_t child = fork();
    int status = -1;
    if (child == 0) {
        struct gyre_loop_options set;
        gyre_loop_options_init(&set);
        check_set(&set);
        set = make_set(1);
        CHECK_EQ(gyre_loop_configure(&set), 0);
        gyre_loop_options_init(&set);
        CHECK_EQ(set.queue_max, 1);
        plain_exit_child();
    }
    CHECK_NE(child, -1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static void defaults_are_always_one_set(void)
{
    struct crew crew;
    struct gyre_loop_options saved;
    rounds = crew_size("GYRE_STRESS_ROUNDS", 100000, 5000);
    gyre_loop_options_init(&saved);
    struct gyre_loop_options first = make_set(1);
    CHECK_EQ(gyre_loop_configure(&first), 0);
    crew_start(&crew, WRITERS + READERS, take_side, NULL);
    for (int i = 0; i < CHILDREN && !plain_tsan(); i++) /* which has no forks with threads */
        look_from_a_child();
    crew_join(&crew);
    CHECK_EQ(gyre_loop_configure(&saved), 0);
}

/* ---- instance -------------------------------------------------------------------------------- */

static struct {
    pthread_barrier_t begins;
    pthread_barrier_t ended;
    struct gyre_loop *seen[RACERS];
    _Atomic unsigned installed;
} race;

static void install_one(unsigned index)
{
    struct gyre_loop *mine = crew_loop_make(0);
    int r = gyre_loop_install_instance(mine);
    CHECK(r == 0 || r == -EBUSY);
    if (r == 0) /* relaxed: read after the barrier */
        atomic_fetch_add_explicit(&race.installed, 1, memory_order_relaxed);
    CHECK(gyre_loop_instance_exists());
    race.seen[index] = gyre_loop_instance();
    CHECK_EQ(race.seen[index] == mine, r == 0);
    gyre_loop_release(mine);
}

static void race_for_the_instance(unsigned index, void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < rounds; i++) {
        pthread_barrier_wait(&race.begins);
        if (index % 2 == 0)
            install_one(index);
        else
            race.seen[index] = gyre_loop_instance();
        pthread_barrier_wait(&race.ended);
    }
}

static void instance_is_one_for_all_threads(void)
{
    struct crew crew;
    uint64_t installed = 0;
    rounds = crew_size("GYRE_STRESS_ROUNDS", 3000, 300);
    pthread_barrier_init(&race.begins, NULL, RACERS + 1);
    pthread_barrier_init(&race.ended, NULL, RACERS + 1);
    crew_start(&crew, RACERS, race_for_the_instance, NULL);
    for (uint64_t i = 0; i < rounds; i++) {
        atomic_store_explicit(&race.installed, 0, memory_order_relaxed);
        CHECK(!gyre_loop_instance_exists());
        pthread_barrier_wait(&race.begins);
        pthread_barrier_wait(&race.ended);
        for (unsigned at = 0; at < RACERS; at++)
            CHECK(race.seen[at] != NULL && race.seen[at] == race.seen[0]);
        unsigned won = atomic_load_explicit(&race.installed, memory_order_relaxed);
        CHECK_LE(won, 1);
        installed += won;
        gyre_loop_clear_instance();
    }
    crew_join(&crew);
    pthread_barrier_destroy(&race.begins);
    pthread_barrier_destroy(&race.ended);
    plain_note("%llu rounds, %llu of them won by an installer", (unsigned long long)rounds,
               (unsigned long long)installed);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(defaults_are_always_one_set),
    PLAIN_CASE(instance_is_one_for_all_threads),
};
PLAIN_MAIN(cases)
