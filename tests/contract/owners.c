/* SPDX-License-Identifier: MIT */
/*
 * owners - rules T16 and T66a of descriptors with an owner: handlers like any other, which the
 * loop's close hands back to the owner's close function.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    OWNERS = 3
};

/* An object with a descriptor. Its close function says its name and closes. */
struct owner {
    struct scene *scene;
    const char *name;
    int fd;
    unsigned calls; /* of the handler */
    unsigned closes;
    void (*then)(struct owner *owner); /* if not NULL, called by the close function */
    struct owner *other; /* for `then` */
};

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int call_owner(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct owner *owner = arg;
    char byte;
    owner->calls++;
    if (loop != owner->scene->loop || fd != owner->fd || events != GYRE_READ)
        say(owner->scene, "wrong arguments");
    return read(fd, &byte, 1) == 1 ? 0 : -EIO;
}

static void close_owner(struct gyre_loop *loop, int fd, void *arg)
{
    struct owner *owner = arg;
    say(owner->scene, owner->name);
    if (loop != owner->scene->loop || fd != owner->fd)
        say(owner->scene, "wrong arguments");
    owner->closes++;
    (void)close(fd); /* the owner's own */
    if (owner->then != NULL)
        owner->then(owner);
}

static int add_owner(struct owner *owner)
{
    return gyre_loop_add_owned_handler(owner->scene->loop, owner->fd, GYRE_READ, call_owner, owner,
                                       close_owner);
}

/* An owner of a pipe's reading end. *ret_writer has the other end. */
static struct owner open_owner(struct scene *scene, const char *name, int *ret_writer)
{
    int fds[2];
    make_pipe(fds);
    *ret_writer = fds[1];
    return (struct owner){.scene = scene, .name = name, .fd = fds[0]};
}

static void close_all(struct scene *scene)
{
    cr_assert_eq(gyre_loop_close(scene->loop, GYRE_CLOSE_ALL_FDS), 0);
}

/* ---- T16 ------------------------------------------------------------------------------------- */

GYRE_TEST(owners, T16_owned_handler_is_called_like_any_other)
{
    struct scene scene;
    int writer;
    scene_open(&scene);
    struct owner owner = open_owner(&scene, "owner", &writer);
    cr_assert_eq(add_owner(&owner), 0);
    cr_assert_eq(add_owner(&owner), -EEXIST);
    for (unsigned i = 1; i <= 2; i++) {
        cr_assert_eq(write(writer, "x", 1), 1);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_eq(owner.calls, i);
    }
    cr_assert_eq(gyre_loop_update_handler(scene.loop, owner.fd, GYRE_NONE), 0);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, owner.fd), 0);
    scene_close(&scene);
    cr_assert_str_eq(scene.text, "");
    (void)close(owner.fd); /* nobody else has */
    (void)close(writer);
}

GYRE_TEST(owners, T16_owner_without_a_function_or_descriptor_is_refused)
{
    struct scene scene;
    int writer;
    scene_open(&scene);
    struct gyre_loop *loop = scene.loop;
    struct owner owner = open_owner(&scene, "owner", &writer);
    cr_assert_eq(gyre_loop_add_owned_handler(loop, owner.fd, GYRE_READ, call_owner, &owner, NULL),
                 -EINVAL);
    cr_assert_eq(gyre_loop_add_owned_handler(loop, owner.fd, GYRE_READ, NULL, &owner, close_owner),
                 -EINVAL);
    cr_assert_eq(gyre_loop_add_owned_handler(loop, -1, GYRE_READ, call_owner, &owner, close_owner),
                 -EINVAL);
    cr_assert_eq(gyre_loop_add_owned_handler(loop, closed_number(), GYRE_READ, call_owner, &owner,
                                             close_owner),
                 -EBADF);
    cr_assert_eq(gyre_loop_remove_handler(loop, owner.fd), -ENOENT, "nothing was added");
    close_all(&scene);
    cr_assert_eq(owner.closes, 0);
    cr_assert_eq(add_owner(&owner), -ESHUTDOWN);
    scene_close(&scene);
    (void)close(owner.fd); /* nobody else has */
    (void)close(writer);
}

/* ---- T66a ------------------------------------------------------------------------------------ */

GYRE_TEST(owners, T66a_close_all_fds_has_owners_close_what_is_theirs_once)
{
    static const char *const names[OWNERS] = {"first", "second", "third"};
    struct scene scene;
    struct owner owners[OWNERS];
    int writers[OWNERS];
    scene_open(&scene);
    for (int i = 0; i < OWNERS; i++) {
        owners[i] = open_owner(&scene, names[i], &writers[i]);
        cr_assert_eq(add_owner(&owners[i]), 0);
    }
    struct watch watch = {.scene = &scene, .name = "nobody's", .fd = writers[1]};
    watch_fd(&watch, GYRE_NONE);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    close_all(&scene);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "callback! first second third");
    for (int i = 0; i < OWNERS; i++) {
        cr_assert_eq(owners[i].closes, 1);
        cr_assert_not(is_open(owners[i].fd));
        cr_assert_eq(is_open(writers[i]), i != 1, "the loop closes what nobody owns");
    }
    scene_close(&scene);
    (void)close(writers[0]); /* it is empty */
    (void)close(writers[2]);
}

static void keep(struct gyre_loop *loop, int fd, void *arg)
{
    (void)loop;
    *(int *)arg = fd;
}

GYRE_TEST(owners, T66a_owner_may_keep_its_descriptor)
{
    struct scene scene;
    int fds[2];
    int kept = -1;
    scene_open(&scene);
    make_pipe(fds);
    cr_assert_eq(
        gyre_loop_add_owned_handler(scene.loop, fds[0], GYRE_READ, watch_handler, &kept, keep), 0);
    close_all(&scene);
    cr_assert_eq(kept, fds[0]);
    cr_assert(is_open(fds[0]), "the function is in place of the loop's close, not beside it");
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(owners, T66a_owners_are_not_called_without_the_flag)
{
    for (int by_destroy = 0; by_destroy < 2; by_destroy++) {
        struct scene scene;
        int writer;
        scene_open(&scene);
        struct owner owner = open_owner(&scene, "owner", &writer);
        cr_assert_eq(add_owner(&owner), 0);
        if (by_destroy == 0)
            cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
        scene_close(&scene);
        cr_assert_eq(owner.closes, 0);
        cr_assert(is_open(owner.fd));
        (void)close(owner.fd); /* nobody else has */
        (void)close(writer);
    }
}

/* Has the loop watch what an owner had, for nobody. */
static void watch_in_its_place(struct owner *owner, struct watch *watch)
{
    *watch = (struct watch){.scene = owner->scene, .name = "nobody's", .fd = owner->fd};
    watch_fd(watch, GYRE_READ);
}

GYRE_TEST(owners, T66a_removed_owner_is_not_called_and_its_successor_is)
{
    struct scene scene;
    struct owner owners[OWNERS];
    struct watch watch;
    int writers[OWNERS];
    scene_open(&scene);
    for (int i = 0; i < OWNERS; i++) {
        owners[i] = open_owner(&scene, "old", &writers[i]);
        cr_assert_eq(add_owner(&owners[i]), 0);
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, owners[i].fd), 0);
    }
    struct owner next = owners[2];
    next.name = "new";
    watch_in_its_place(&owners[1], &watch);
    cr_assert_eq(add_owner(&next), 0);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "new");
    cr_assert(is_open(owners[0].fd), "it has no handler");
    cr_assert_not(is_open(owners[1].fd), "it has one, and no owner");
    scene_close(&scene);
    (void)close(owners[0].fd); /* nobody else has */
    for (int i = 0; i < OWNERS; i++)
        (void)close(writers[i]); /* it is empty */
}

GYRE_TEST(owners, T66a_update_keeps_the_owner)
{
    struct scene scene;
    int writer;
    scene_open(&scene);
    struct owner owner = open_owner(&scene, "owner", &writer);
    uint32_t once = gyre_loop_capabilities(scene.loop) & GYRE_ONESHOT;
    cr_assert_eq(add_owner(&owner), 0);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, owner.fd, GYRE_READ | once), 0);
    cr_assert_eq(write(writer, "x", 1), 1);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(owner.calls, 1);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "owner");
    cr_assert_eq(owner.closes, 1);
    scene_close(&scene);
    (void)close(writer);
}

GYRE_TEST(owners, T66a_new_file_under_an_owners_number_is_not_the_owners)
{
    struct scene scene;
    struct watch watch;
    int writers[2];
    scene_open(&scene);
    struct owner gone = open_owner(&scene, "gone", &writers[0]);
    cr_assert_eq(add_owner(&gone), 0);
    (void)close(gone.fd); /* without removing the handler (T35) */
    struct owner file = open_owner(&scene, "file", &writers[1]);
    cr_assert_eq(file.fd, gone.fd);
    watch_in_its_place(&file, &watch);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "");
    cr_assert_not(is_open(file.fd));
    scene_close(&scene);
    (void)close(writers[0]); /* they are empty */
    (void)close(writers[1]);
}

/* ---- T66a: what the close function may do ---------------------------------------------------- */

static void try_everything(struct owner *owner)
{
    struct gyre_loop *loop = owner->scene->loop;
    struct owner *other = owner->other;
    uint64_t handle;
    bool holds = gyre_loop_remove_handler(loop, owner->fd) == -ENOENT &&
                 gyre_loop_remove_handler(loop, other->fd) == 0 &&
                 gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS) == -EBUSY && gyre_loop_run(loop) != 0 &&
                 add_owner(other) == -ESHUTDOWN &&
                 gyre_loop_call_at(loop, 0, &handle, say_word, NULL) == -ESHUTDOWN &&
                 gyre_loop_add_callback(loop, say_word, NULL) == -ESHUTDOWN &&
                 gyre_loop_stop(loop) == 0;
    say(owner->scene, holds ? "as told" : "otherwise");
    (void)close(other->fd); /* it is this owner's, too */
}

GYRE_TEST(owners, T66a_owner_may_remove_and_close_another_of_its_descriptors)
{
    struct scene scene;
    int writers[2];
    scene_open(&scene);
    struct owner second;
    struct owner first = open_owner(&scene, "first", &writers[0]);
    second = open_owner(&scene, "second", &writers[1]);
    first.then = try_everything;
    first.other = &second;
    cr_assert_eq(add_owner(&first), 0);
    cr_assert_eq(add_owner(&second), 0);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "first as told");
    cr_assert_eq(first.closes, 1);
    cr_assert_eq(second.closes, 0);
    scene_close(&scene);
    (void)close(writers[0]); /* they are empty */
    (void)close(writers[1]);
}

static void release_loop(struct owner *owner)
{
    gyre_loop_release(owner->scene->loop);
}

GYRE_TEST(owners, T66a_owner_may_drop_the_last_reference)
{
    struct memory_count memory = {0};
    struct scene scene;
    int writer;
    count_memory(&memory);
    scene_open(&scene);
    struct owner owner = open_owner(&scene, "owner", &writer);
    owner.then = release_loop;
    cr_assert_eq(add_owner(&owner), 0);
    close_all(&scene);
    cr_assert_eq(owner.closes, 1);
    cr_assert_eq(memory.blocks, 0);
    (void)close(writer);
}

static void say_context(struct owner *owner)
{
    void *value;
    if (gyre_context_find(gyre_context_current(), owner, &value) == 0)
        say(owner->scene, value);
}

GYRE_TEST(owners, T66a_owner_is_called_in_the_context_of_its_registration)
{
    struct gyre_context_options options;
    struct gyre_context *context;
    struct scene scene;
    int writer;
    scene_open(&scene);
    struct owner owner = open_owner(&scene, "owner", &writer);
    char request[] = "request";
    owner.then = say_context;
    gyre_context_options_init(&options);
    options.key = &owner;
    options.value = request;
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    gyre_context_enter(context);
    cr_assert_eq(add_owner(&owner), 0);
    gyre_context_enter(NULL);
    gyre_context_release(context);
    close_all(&scene);
    cr_assert_str_eq(scene.text, "owner request");
    cr_assert_null(gyre_context_current());
    scene_close(&scene);
    (void)close(writer);
}

/* ---- memory ---------------------------------------------------------------------------------- */

GYRE_TEST(owners, T66a_owner_that_cannot_be_added_is_not_called)
{
    struct memory_count memory = {0};
    long failures = 0;
    int r = -ENOMEM;
    count_memory(&memory);
    for (long nth = 1; r == -ENOMEM && nth < 64; nth++) {
        struct scene scene;
        int writers[2];
        scene_open(&scene);
        struct owner gone = open_owner(&scene, "gone", &writers[0]);
        struct watch watch = {.scene = &scene, .name = "nobody's", .fd = gone.fd};
        watch_fd(&watch, GYRE_READ);
        (void)close(gone.fd); /* without removing the handler (T35) */
        struct owner owner = open_owner(&scene, "owner", &writers[1]);
        cr_assert_eq(owner.fd, gone.fd);
        memory.calls = 0;
        memory.fail_at = nth;
        r = add_owner(&owner);
        memory.fail_at = 0;
        failures += r == -ENOMEM;
        close_all(&scene);
        cr_assert_eq(owner.closes, r == 0);
        cr_assert_eq(is_open(owner.fd), r != 0, "neither it nor what had its number is known");
        scene_close(&scene);
        cr_assert_eq(memory.blocks, 0);
        if (r != 0)
            (void)close(owner.fd); /* nobody else has */
        (void)close(writers[0]); /* they are empty */
        (void)close(writers[1]);
    }
    cr_assert_eq(r, 0);
    cr_assert_geq(failures, 2, "a directory, and a chunk of it");
}
