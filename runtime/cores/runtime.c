/* SPDX-License-Identifier: MIT */
/*
 * runtime - a set of loops, one a core: create, start, stop, join, destroy. See runtime.h for the
 * states and the protocol. This file goes from the states over a thread's life to the public calls.
 *
 * Order     Setups, teardowns and the threads inside their loops are counted down. A decrement
 *           releases, and who finds or waits for 0 acquires: all decrements are read-modify-writes,
 *           so they form one release sequence, and 0 shows what every one of them was preceded by.
 */
#include "cores/runtime.h"

#include <stdio.h>

#include <gyre/context.h>
#include <gyre/error.h>

#include "loop/loop.h"

enum gate {
    GATE_SHUT,
    GATE_OPEN, /* run your loop */
    GATE_LEAVE /* not all threads could be made: end */
};

/* ---- states ---------------------------------------------------------------------------------- */

#define TO(state) (1u << GYRE__RUNTIME_##state)

static const uint32_t changes_allowed[] = {
    [GYRE__RUNTIME_NEW] = TO(NEW_STOPPED) | TO(STARTING),
    [GYRE__RUNTIME_NEW_STOPPED] = TO(STARTING_STOPPED),
    [GYRE__RUNTIME_STARTING] = TO(STARTING_STOPPED) | TO(RUNNING) | TO(FAILED),
    [GYRE__RUNTIME_STARTING_STOPPED] = TO(STOPPING) | TO(FAILED),
    [GYRE__RUNTIME_RUNNING] = TO(STOPPING),
    [GYRE__RUNTIME_STOPPING] = TO(ENDED),
    [GYRE__RUNTIME_ENDED] = 0,
    [GYRE__RUNTIME_FAILED] = 0,
};

/* The one function that changes the state. False: it is not `from`. */
static bool change_state(struct gyre_runtime *runtime, enum gyre__runtime_state from,
                         enum gyre__runtime_state to)
{
    uint32_t expected = from;
    if ((changes_allowed[from] & 1u << to) == 0)
        gyre__port_abort("gyre_runtime: a change of state that is not allowed");
    /* acq_rel: who acts upon a state sees what preceded the change to it, by whichever thread */
    return atomic_compare_exchange_strong_explicit(&runtime->state, &expected, to,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

static enum gyre__runtime_state read_state(const struct gyre_runtime *runtime)
{
    /* acquire: pairs with the release in change_state */
    return atomic_load_explicit(&runtime->state, memory_order_acquire);
}

bool gyre__runtime_is_inherited(const struct gyre_runtime *runtime)
{
    return gyre__loop_is_inherited(runtime->cores[0].loop); /* there is one at least */
}

/* ---- counting down --------------------------------------------------------------------------- */

/* True for the one call that reaches 0. */
static bool count_down(_Atomic uint32_t *left)
{
    /* release: pairs with the acquire in wait_for_none; acquire: the last sees all others' work */
    return atomic_fetch_sub_explicit(left, 1, memory_order_acq_rel) == 1;
}

static void wait_for_none(const struct gyre__port *port, _Atomic uint32_t *left)
{
    uint32_t count;
    /* acquire: pairs with the release in count_down */
    while ((count = atomic_load_explicit(left, memory_order_acquire)) != 0)
        port->park(left, count); /* only the last one unparks */
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void release_runtime(struct gyre_runtime *runtime)
{
    /* acq_rel: the last holder sees what the other did with the runtime before it let go */
    if (atomic_fetch_sub_explicit(&runtime->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < runtime->cores_made; i++)
        gyre_loop_release(runtime->cores[i].loop);
    if (runtime->cores != NULL)
        gyre__port_release(runtime->cores, runtime->plan.loops * sizeof(*runtime->cores));
    gyre__port_release(runtime, sizeof(*runtime));
}

/* Closes the loops on the calling thread: there are no others. */
static void close_loops(struct gyre_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->cores_made; i++)
        (void)gyre__loop_close_managed(runtime->cores[i].loop); /* nobody is inside */
}

/* ---- teardown -------------------------------------------------------------------------------- */

static void post_or_abort(struct gyre__core *core, struct gyre_task *task)
{
    if (gyre__loop_post_exempt(core->loop, task) != 0)
        gyre__port_abort("gyre_runtime: a loop closed before its teardown");
}

static int run_teardown(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__core *core = arg;
    struct gyre_runtime *runtime = core->runtime;
    const struct gyre_runtime_options *options = &runtime->options;
    int r = 0;
    gyre__assert_on_loop();
    if (status == 0 && core->setup_result == 0 && options->teardown != NULL)
        r = options->teardown(loop, core->index, options->arg);
    if (gyre__loop_is_inherited(loop))
        return 0; /* it has forked: there are no others in the child */
    (void)gyre_context_enter(NULL); /* the task's, whatever it has entered */
    if (r < 0)
        gyre__loop_report(
            loop, &(struct gyre_failure){
                      .kind = GYRE_FAILED_TEARDOWN, .error = r, .fd = -1, .arg = options->arg});
    core->torn_down = true;
    if (count_down(&runtime->teardowns_left)) {
        for (unsigned i = 0; i < runtime->cores_made; i++)
            post_or_abort(&runtime->cores[i], &runtime->cores[i].end);
    }
    return 0;
}

/* Ends a loop's run. What the teardowns have posted to it is in its queue by now, or was in its
 * door when this turn began: the end is posted after all of that, and the turn is still run. */
static int run_end(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__core *core = arg;
    gyre__assert_on_loop();
    core->ended = status == 0;
    if (core->ended)
        gyre__loop_stop_managed(loop);
    return 0;
}

/* Begins the first phase of a stop: for the one thread that made the state STOPPING or FAILED. */
static void post_teardowns(struct gyre_runtime *runtime)
{
    /* relaxed: the runtime is alive, since no thread of it ends before the last post below */
    atomic_fetch_add_explicit(&runtime->references, 1, memory_order_relaxed);
    for (unsigned i = 0; i < runtime->cores_made; i++)
        post_or_abort(&runtime->cores[i], &runtime->cores[i].teardown);
    /* release: pairs with the acquire in run_after_failure */
    atomic_store_explicit(&runtime->teardowns_posted, 1, memory_order_release);
    runtime->port->unpark(&runtime->teardowns_posted);
    release_runtime(runtime);
}

void gyre_runtime_stop(struct gyre_runtime *runtime)
{
    while (!gyre__runtime_is_inherited(runtime)) {
        enum gyre__runtime_state state = read_state(runtime);
        switch (state) {
        case GYRE__RUNTIME_NEW:
            if (change_state(runtime, state, GYRE__RUNTIME_NEW_STOPPED))
                return;
            break;
        case GYRE__RUNTIME_STARTING:
            if (change_state(runtime, state, GYRE__RUNTIME_STARTING_STOPPED))
                return;
            break;
        case GYRE__RUNTIME_RUNNING:
            if (change_state(runtime, state, GYRE__RUNTIME_STOPPING)) {
                post_teardowns(runtime);
                return;
            }
            break;
        case GYRE__RUNTIME_NEW_STOPPED:
        case GYRE__RUNTIME_STARTING_STOPPED:
        case GYRE__RUNTIME_STOPPING:
        case GYRE__RUNTIME_ENDED:
        case GYRE__RUNTIME_FAILED:
            return;
        }
    }
}

/* ---- a core's thread ------------------------------------------------------------------------- */

static void finish_setup(struct gyre__core *core, int result)
{
    struct gyre_runtime *runtime = core->runtime;
    core->setup_over = true;
    core->setup_result = result;
    if (count_down(&runtime->setups_left))
        runtime->port->unpark(&runtime->setups_left);
}

static int run_setup(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__core *core = arg;
    const struct gyre_runtime_options *options = &core->runtime->options;
    gyre__assert_on_loop();
    /* Closed before it ran; or its loop's run failed before it came to this. */
    if (status != 0 || core->setup_over)
        return 0;
    int r = options->setup != NULL ? options->setup(loop, core->index, options->arg) : 0;
    finish_setup(core, r < 0 ? r : 0);
    return 0; /* start returns the failure, so that the error hook need not hear of it */
}

/* Runs the loop until its end. Who unwinds the run unwinds it to here, where it goes on: with what
 * it has left, and with the end once more if it was in the turn that met that. */
static int run_loop(struct gyre__core *core)
{
    int r = gyre__loop_run_managed(core->loop);
    while (r == GYRE_UNWIND) {
        if (core->ended)
            post_or_abort(core, &core->end);
        core->ended = false;
        r = gyre__loop_run_managed(core->loop);
    }
    return r;
}

/* Runs on after a failed run, as far as it goes, until the loop's teardown has been called. */
static int run_after_failure(struct gyre__core *core, int result)
{
    struct gyre_runtime *runtime = core->runtime;
    const char *name = gyre_error_name(result);
    int none = 0;
    gyre__log(GYRE_LOG_ERROR, "gyre/%u: the loop's run failed: %s (%d)", core->index,
              name != NULL ? name : "error", result);
    /* relaxed: join reads it after it has joined the thread */
    (void)atomic_compare_exchange_strong_explicit(&runtime->first_error, &none, result,
                                                  memory_order_relaxed, memory_order_relaxed);
    if (!core->setup_over)
        finish_setup(core, result);
    gyre_runtime_stop(runtime);
    /* acquire: pairs with the release in post_teardowns */
    while (atomic_load_explicit(&runtime->teardowns_posted, memory_order_acquire) == 0)
        runtime->port->park(&runtime->teardowns_posted, 0);
    return core->torn_down ? 0 : run_loop(core);
}

static void run_core(void *arg)
{
    struct gyre__core *core = arg;
    struct gyre_runtime *runtime = core->runtime;
    uint32_t gate;
    /* acquire: pairs with the release in open_gate; the fields that start has set are seen */
    while ((gate = atomic_load_explicit(&runtime->gate, memory_order_acquire)) == GATE_SHUT)
        runtime->port->park(&runtime->gate, GATE_SHUT);
    if (gate == GATE_LEAVE)
        return;

    /* relaxed: who asks compares it with its own, and this thread sees its own store */
    atomic_store_explicit(&core->serial, gyre__thread_serial(), memory_order_relaxed);
    int r = run_loop(core);
    while (r < 0 && !gyre__runtime_is_inherited(runtime))
        r = run_after_failure(core, r);
    if (gyre__runtime_is_inherited(runtime))
        return; /* a child, forked inside: the others do not exist here */

    if (count_down(&runtime->insiders))
        runtime->port->unpark(&runtime->insiders);
    else
        wait_for_none(runtime->port, &runtime->insiders);
    (void)gyre__loop_close_managed(core->loop); /* this thread was the last inside it */
}

static bool is_on_core(const struct gyre_runtime *runtime)
{
    uint64_t serial = gyre__thread_serial();
    for (unsigned i = 0; i < runtime->cores_made; i++) {
        /* relaxed: see run_core */
        if (atomic_load_explicit(&runtime->cores[i].serial, memory_order_relaxed) == serial)
            return true;
    }
    return false;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int make_thread(struct gyre__core *core)
{
    struct gyre_runtime *runtime = core->runtime;
    char name[GYRE__THREAD_NAME_MAX];
    struct gyre__thread_options options = {.name = name, .cpu = runtime->plan.cpu[core->index]};
    (void)snprintf(name, sizeof(name), "gyre/%u", core->index); /* at most 1023: it fits */
    int r = runtime->port->thread_create(&options, &core->thread, run_core, core);
    if (r != -EINVAL || options.cpu == GYRE__CPU_ANY || runtime->options.pin == GYRE_PIN_ALWAYS)
        return r;
    /* The CPUs have changed since the plan was made: a loop that floats is better than none. */
    gyre__log(GYRE_LOG_WARNING, "%s: cannot be pinned to CPU %d, runs on any", name, options.cpu);
    options.cpu = GYRE__CPU_ANY;
    return runtime->port->thread_create(&options, &core->thread, run_core, core);
}

static void join_threads(struct gyre_runtime *runtime, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        runtime->port->thread_join(runtime->cores[i].thread);
}

static void open_gate(struct gyre_runtime *runtime, enum gate gate)
{
    /* release: pairs with the acquire in run_core */
    atomic_store_explicit(&runtime->gate, gate, memory_order_release);
    runtime->port->unpark(&runtime->gate);
}

/* Makes all threads and lets them go, or none. */
static int make_threads(struct gyre_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->cores_made; i++) {
        int r = make_thread(&runtime->cores[i]);
        if (r != 0) {
            open_gate(runtime, GATE_LEAVE);
            join_threads(runtime, i);
            close_loops(runtime);
            return r;
        }
    }
    open_gate(runtime, GATE_OPEN);
    return 0;
}

/* Waits for the setups, and returns the failure of the first loop that has one. */
static int wait_for_setups(struct gyre_runtime *runtime)
{
    wait_for_none(runtime->port, &runtime->setups_left);
    for (unsigned i = 0; i < runtime->cores_made; i++) {
        if (runtime->cores[i].setup_result != 0)
            return runtime->cores[i].setup_result;
    }
    return 0;
}

static void enter_failed(struct gyre_runtime *runtime)
{
    /* A stop may come between the two, and nothing else can. */
    if (!change_state(runtime, GYRE__RUNTIME_STARTING, GYRE__RUNTIME_FAILED))
        (void)change_state(runtime, GYRE__RUNTIME_STARTING_STOPPED, GYRE__RUNTIME_FAILED);
}

int gyre_runtime_start(struct gyre_runtime *runtime)
{
    if (gyre__runtime_is_inherited(runtime))
        return -ECHILD;
    if (!change_state(runtime, GYRE__RUNTIME_NEW, GYRE__RUNTIME_STARTING) &&
        !change_state(runtime, GYRE__RUNTIME_NEW_STOPPED, GYRE__RUNTIME_STARTING_STOPPED))
        return -EBUSY;
    int r = make_threads(runtime);
    if (r != 0) {
        enter_failed(runtime);
        return r;
    }
    r = wait_for_setups(runtime);
    if (r != 0) {
        enter_failed(runtime);
        post_teardowns(runtime);
        join_threads(runtime, runtime->cores_made);
        return r;
    }
    if (change_state(runtime, GYRE__RUNTIME_STARTING, GYRE__RUNTIME_RUNNING))
        return 0;
    /* A stop came before or during start, and left this to it. */
    (void)change_state(runtime, GYRE__RUNTIME_STARTING_STOPPED, GYRE__RUNTIME_STOPPING);
    post_teardowns(runtime);
    return 0;
}

/* ---- join and destroy ------------------------------------------------------------------------ */

int gyre_runtime_join(struct gyre_runtime *runtime)
{
    if (gyre__runtime_is_inherited(runtime))
        return -ECHILD;
    if (is_on_core(runtime))
        return -EDEADLK;
    switch (read_state(runtime)) {
    case GYRE__RUNTIME_RUNNING:
    case GYRE__RUNTIME_STOPPING:
        join_threads(runtime, runtime->cores_made);
        (void)change_state(runtime, GYRE__RUNTIME_STOPPING, GYRE__RUNTIME_ENDED);
        break;
    case GYRE__RUNTIME_ENDED:
        break;
    case GYRE__RUNTIME_NEW:
    case GYRE__RUNTIME_NEW_STOPPED:
    case GYRE__RUNTIME_STARTING:
    case GYRE__RUNTIME_STARTING_STOPPED:
    case GYRE__RUNTIME_FAILED:
        return -EINVAL;
    }
    /* relaxed: the threads that store it have been joined */
    return atomic_load_explicit(&runtime->first_error, memory_order_relaxed);
}

void gyre_runtime_destroy(struct gyre_runtime *runtime)
{
    if (runtime == NULL)
        return;
    if (is_on_core(runtime)) {
        gyre__log(GYRE_LOG_ERROR, "gyre_runtime_destroy: called on one of its loops, and ignored");
        return;
    }
    if (gyre__runtime_is_inherited(runtime)) {
        close_loops(runtime);
        release_runtime(runtime);
        return;
    }
    switch (read_state(runtime)) {
    case GYRE__RUNTIME_NEW:
    case GYRE__RUNTIME_NEW_STOPPED:
        close_loops(runtime);
        break;
    case GYRE__RUNTIME_RUNNING:
    case GYRE__RUNTIME_STOPPING:
        gyre_runtime_stop(runtime);
        (void)gyre_runtime_join(runtime); /* a run's failure has been logged */
        break;
    case GYRE__RUNTIME_STARTING:
    case GYRE__RUNTIME_STARTING_STOPPED:
        gyre__port_abort("gyre_runtime_destroy: called while start is under way");
    case GYRE__RUNTIME_ENDED:
    case GYRE__RUNTIME_FAILED:
        break;
    }
    release_runtime(runtime);
}

/* ---- create ---------------------------------------------------------------------------------- */

static const struct gyre_runtime_options defaults = {.size = sizeof(struct gyre_runtime_options)};

void gyre_runtime_options_init(struct gyre_runtime_options *options)
{
    *options = defaults;
}

static int check_options(const struct gyre_runtime_options *options)
{
    if (options->size != sizeof(*options) || options->loops > GYRE_LOOPS_MAX)
        return -EINVAL;
    if (options->loop != NULL && options->loop->size != sizeof(*options->loop))
        return -EINVAL;
    switch (options->pin) {
    case GYRE_PIN_AUTO:
    case GYRE_PIN_NEVER:
    case GYRE_PIN_ALWAYS:
        return 0;
    }
    return -EINVAL;
}

/* Gives `loop` to the next core, and posts its setup ahead of everybody else's posts. */
static int adopt_loop(struct gyre_runtime *runtime, struct gyre_loop *loop)
{
    struct gyre__core *core = &runtime->cores[runtime->cores_made];
    core->runtime = runtime;
    core->loop = loop;
    core->index = runtime->cores_made++;
    gyre_task_init(&core->setup, run_setup, core);
    gyre_task_init(&core->teardown, run_teardown, core);
    gyre_task_init(&core->end, run_end, core);
    return gyre__loop_post_exempt(loop, &core->setup);
}

/* The plan, from the port of the first loop; and room for the cores. */
static int make_plan(struct gyre_runtime *runtime, const struct gyre_runtime_options *options,
                     const struct gyre_loop *first)
{
    const char *root = options->system_root != NULL ? options->system_root : "";
    runtime->port = first->port;
    int r = gyre__cpu_plan_make(runtime->port, root, options->loops, options->pin, &runtime->plan);
    if (r != 0)
        return r;
    runtime->cores = gyre__port_allocate(runtime->plan.loops * sizeof(*runtime->cores));
    return runtime->cores != NULL ? 0 : -ENOMEM;
}

static int make_cores(struct gyre_runtime *runtime, const struct gyre_runtime_options *options)
{
    struct gyre_loop_options loop_options;
    struct gyre_loop *loop;
    gyre_loop_options_init(&loop_options);
    if (options->loop != NULL)
        loop_options = *options->loop;
    loop_options.make_current = GYRE_CURRENT_NO; /* it is for the loops' own threads */
    int r = gyre__loop_create_managed(&loop_options, &loop);
    if (r != 0)
        return r;
    r = make_plan(runtime, options, loop);
    if (r != 0) {
        gyre_loop_release(loop);
        return r;
    }
    r = adopt_loop(runtime, loop);
    while (r == 0 && runtime->cores_made < runtime->plan.loops) {
        r = gyre__loop_create_managed(&loop_options, &loop);
        if (r == 0)
            r = adopt_loop(runtime, loop);
    }
    return r;
}

int gyre_runtime_create(const struct gyre_runtime_options *options,
                        struct gyre_runtime **ret_runtime)
{
    if (options == NULL)
        options = &defaults;
    int r = check_options(options);
    if (r != 0)
        return r;
    struct gyre_runtime *runtime = gyre__port_allocate(sizeof(*runtime));
    if (runtime == NULL)
        return -ENOMEM;
    runtime->options = *options;
    runtime->options.loop = NULL;
    runtime->options.system_root = NULL;
    atomic_init(&runtime->state, GYRE__RUNTIME_NEW);
    atomic_init(&runtime->references, 1);
    atomic_init(&runtime->gate, GATE_SHUT);

    r = make_cores(runtime, options);
    if (r != 0) {
        release_runtime(runtime);
        return r;
    }
    atomic_init(&runtime->setups_left, runtime->cores_made);
    atomic_init(&runtime->teardowns_left, runtime->cores_made);
    atomic_init(&runtime->insiders, runtime->cores_made);
    *ret_runtime = runtime;
    return 0;
}

/* ---- small things ---------------------------------------------------------------------------- */

unsigned gyre_runtime_loops(const struct gyre_runtime *runtime)
{
    return runtime->cores_made;
}

struct gyre_loop *gyre_runtime_loop(const struct gyre_runtime *runtime, unsigned index)
{
    return index < runtime->cores_made ? runtime->cores[index].loop : NULL;
}

size_t gyre_runtime_plan(const struct gyre_runtime *runtime, char *text, size_t bytes)
{
    return gyre__cpu_plan_print(&runtime->plan, text, bytes);
}
