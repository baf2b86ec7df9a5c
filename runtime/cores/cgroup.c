/* SPDX-License-Identifier: MIT */
/*
 * cgroup - see cgroup.h.
 *
 *     /proc/self/mountinfo   36 31 0:30 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
 *                                       root        point                   type          options
 *     /proc/self/cgroup      4:cpu,cpuacct:/docker/abc/worker
 *                                          path
 *     directory              point + (path without root), then up to point
 *
 * mountinfo is cut into a table of mounts in place; each line of cgroup is then looked up there.
 */
#include "cores/cgroup.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum limits {
    PATH_BYTES = 4096, /* the system's own limit */
    FILE_BYTES = 4096, /* a page: the longest that a cgroup file is */
    TEXT_BYTES_FIRST = 16384,
    TEXT_BYTES_MAX = 4 << 20, /* mountinfo of a host with thousands of containers */
    MOUNTS_MAX = 32
};

/* The kernel's periods are at most 1 s. The bounds keep quota times period within 64 bits. */
#define PERIOD_US_MAX UINT64_C(10000000)
#define QUOTA_US_MAX UINT64_C(1000000000000)

enum kind {
    KIND_CPU = 1, /* v1, the cpu controller */
    KIND_CPUSET = 2, /* v1, the cpuset controller */
    KIND_V2 = 4
};

struct mount {
    unsigned kinds;
    const char *root;
    const char *point;
};

struct reader {
    const struct gyre__port *port;
    const char *root;
    struct gyre__cgroup *cgroup;
    int shortage; /* the first that kept a file from being read, 0: none */
    bool mounts_over;
    unsigned mounts;
    struct mount mount[MOUNTS_MAX];
    size_t directory_length;
    char directory[PATH_BYTES]; /* as the system names it, without `root` */
    char path[PATH_BYTES + PATH_BYTES];
    char text[FILE_BYTES];
};

unsigned gyre__cpus_count(const struct gyre__cpus *cpus)
{
    unsigned count = 0;
    for (unsigned cpu = 0; cpu < GYRE__CPUS_MAX; cpu++)
        count += gyre__cpus_has(cpus, cpu);
    return count;
}

bool gyre__cpus_intersect(struct gyre__cpus *cpus, const struct gyre__cpus *others)
{
    struct gyre__cpus both = *cpus;
    uint64_t any = 0;
    for (unsigned i = 0; i < GYRE__CPUS_MAX / 64; i++)
        any |= both.bits[i] &= others->bits[i];
    if (any == 0)
        return false;
    *cpus = both;
    return true;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void note(struct gyre__cgroup *cgroup, const char *format, ...) GYRE_PRINTF(2, 3);
static void note(struct gyre__cgroup *cgroup, const char *format, ...)
{
    size_t room = sizeof(cgroup->notes) - cgroup->notes_length;
    char *end = cgroup->notes + cgroup->notes_length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(end, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length + 1 >= room) {
        *end = '\0';
        cgroup->notes_lost++;
        return;
    }
    memcpy(end + length, "\n", 2);
    cgroup->notes_length += (size_t)length + 1;
}

/* Takes a number off the front of *text; one past `max` is `max`. */
static bool take_number(const char **text, uint64_t max, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
        if (number > max)
            number = max;
    }
    *text = at;
    *ret_number = number;
    return true;
}

static bool at_end(const char *text)
{
    return text[0] == '\0' || (text[0] == '\n' && text[1] == '\0');
}

bool gyre__cpus_parse(const char *text, struct gyre__cpus *ret_cpus)
{
    struct gyre__cpus cpus = {{0}};
    for (;;) {
        uint64_t first;
        uint64_t last;
        if (!take_number(&text, UINT32_MAX, &first))
            return false;
        last = first;
        if (*text == '-') {
            text++;
            if (!take_number(&text, UINT32_MAX, &last) || last < first)
                return false;
        }
        for (uint64_t cpu = first; cpu <= last && cpu < GYRE__CPUS_MAX; cpu++)
            gyre__cpus_add(&cpus, (unsigned)cpu);
        if (*text != ',')
            break;
        text++;
    }
    if (!at_end(text))
        return false;
    *ret_cpus = cpus;
    return true;
}

/* Cuts the line off the front of *text; NULL after the last. */
static char *take_line(char **text)
{
    char *line = *text;
    if (*line == '\0')
        return NULL;
    char *end = strchr(line, '\n');
    if (end == NULL) {
        *text = line + strlen(line);
    } else {
        *end = '\0';
        *text = end + 1;
    }
    return line;
}

/* Cuts the word off the front of *text; "" after the last. */
static char *take_word(char **text)
{
    char *word = *text;
    char *end = strchr(word, ' ');
    if (end == NULL) {
        *text = word + strlen(word);
    } else {
        *end = '\0';
        *text = end + 1;
    }
    return word;
}

/* Whether a list with commas has the item. */
static bool list_has(const char *list, const char *item)
{
    size_t length = strlen(item);
    while (*list != '\0') {
        size_t here = strcspn(list, ",");
        if (here == length && memcmp(list, item, length) == 0)
            return true;
        list += here;
        list += *list == ',';
    }
    return false;
}

/* mountinfo writes blanks, newlines and backslashes as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0';) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Reads a file of /proc of unknown length: *ret_text is to be released with *ret_bytes. */
static int read_text(struct reader *reader, const char *path, char **ret_text, size_t *ret_bytes)
{
    int length = snprintf(reader->path, sizeof(reader->path), "%s%s", reader->root, path);
    if (length < 0 || (size_t)length >= sizeof(reader->path))
        return -ENAMETOOLONG;
    for (size_t bytes = TEXT_BYTES_FIRST;; bytes *= 4) {
        char *text = gyre__port_allocate(bytes);
        if (text == NULL)
            return -ENOMEM;
        int64_t result = reader->port->read_file(reader->path, text, bytes);
        if (result >= 0) {
            *ret_text = text;
            *ret_bytes = bytes;
            return 0;
        }
        gyre__port_release(text, bytes);
        if (result != -E2BIG || bytes >= TEXT_BYTES_MAX)
            return (int)result;
    }
}

/* Whether a file could not be read for want of something: what it says is not known then, and a
 * plan without it might be any. */
static bool is_shortage(int64_t result)
{
    return result == -EMFILE || result == -ENFILE || result == -ENOMEM;
}

/* Reads a file of the current directory into reader->text; its path is then in reader->path. */
static bool read_here(struct reader *reader, const char *name)
{
    int length = snprintf(reader->path, sizeof(reader->path), "%s%s/%s", reader->root,
                          reader->directory, name);
    if (length < 0 || (size_t)length >= sizeof(reader->path)) {
        note(reader->cgroup, "a path of cgroups is too long, and was left out");
        return false;
    }
    int64_t result = reader->port->read_file(reader->path, reader->text, sizeof(reader->text));
    if (result >= 0)
        return true;
    if (is_shortage(result)) {
        if (reader->shortage == 0)
            reader->shortage = (int)result;
        return false;
    }
    /* A group need not have the controller, and the root has no limits. */
    if (result != -ENOENT && result != -ENOTDIR)
        note(reader->cgroup, "%s: cannot be read (errno %d), left out", reader->path, (int)-result);
    return false;
}

static void malformed(struct reader *reader)
{
    note(reader->cgroup, "%s: malformed, left out", reader->path);
}

static void add_quota(struct reader *reader, uint64_t quota_us, uint64_t period_us)
{
    struct gyre__cgroup *cgroup = reader->cgroup;
    if (cgroup->has_quota && quota_us * cgroup->period_us >= cgroup->quota_us * period_us)
        return;
    cgroup->has_quota = true;
    cgroup->quota_us = quota_us;
    cgroup->period_us = period_us;
    note(cgroup, "quota %llu/%llu us: %s%s", (unsigned long long)quota_us,
         (unsigned long long)period_us, reader->root, reader->directory);
}

static void add_cpus(struct reader *reader)
{
    struct gyre__cgroup *cgroup = reader->cgroup;
    struct gyre__cpus cpus;
    if (at_end(reader->text)) /* v1: a group that was given none yet */
        return;
    if (!gyre__cpus_parse(reader->text, &cpus)) {
        malformed(reader);
        return;
    }
    unsigned before = cgroup->has_cpus ? gyre__cpus_count(&cgroup->cpus) : GYRE__CPUS_MAX + 1;
    if (!cgroup->has_cpus)
        cgroup->cpus = cpus;
    else if (!gyre__cpus_intersect(&cgroup->cpus, &cpus))
        note(cgroup, "%s: has no CPU of its children's, left out", reader->path);
    cgroup->has_cpus = true;
    if (gyre__cpus_count(&cgroup->cpus) < before)
        note(cgroup, "cpuset %.*s: %s%s", (int)strcspn(reader->text, "\n"), reader->text,
             reader->root, reader->directory);
}

static bool parse_quota(const char *text, uint64_t *ret_quota_us)
{
    return take_number(&text, QUOTA_US_MAX, ret_quota_us) && at_end(text) && *ret_quota_us != 0;
}

static bool parse_period(const char *text, uint64_t *ret_period_us)
{
    return take_number(&text, PERIOD_US_MAX + 1, ret_period_us) && at_end(text) &&
           *ret_period_us != 0 && *ret_period_us <= PERIOD_US_MAX;
}

/* cpu.max: "max 100000" or "150000 100000". */
static void read_quota_v2(struct reader *reader)
{
    if (!read_here(reader, "cpu.max"))
        return;
    char *rest = reader->text;
    const char *quota = take_word(&rest);
    uint64_t quota_us;
    uint64_t period_us;
    if (!parse_period(rest, &period_us))
        malformed(reader);
    else if (strcmp(quota, "max") == 0)
        return;
    else if (!parse_quota(quota, &quota_us))
        malformed(reader);
    else
        add_quota(reader, quota_us, period_us);
}

static void read_quota_v1(struct reader *reader)
{
    uint64_t quota_us;
    uint64_t period_us;
    if (!read_here(reader, "cpu.cfs_quota_us"))
        return;
    if (strncmp(reader->text, "-1", 2) == 0 && at_end(reader->text + 2))
        return;
    if (!parse_quota(reader->text, &quota_us)) {
        malformed(reader);
        return;
    }
    if (!read_here(reader, "cpu.cfs_period_us"))
        note(reader->cgroup, "%s: missing, so its quota was left out", reader->path);
    else if (!parse_period(reader->text, &period_us))
        malformed(reader);
    else
        add_quota(reader, quota_us, period_us);
}

static void read_directory(struct reader *reader, enum kind kind)
{
    switch (kind) {
    case KIND_V2:
        read_quota_v2(reader);
        if (read_here(reader, "cpuset.cpus.effective"))
            add_cpus(reader);
        break;
    case KIND_CPU:
        read_quota_v1(reader);
        break;
    case KIND_CPUSET:
        if (read_here(reader, "cpuset.effective_cpus") || read_here(reader, "cpuset.cpus"))
            add_cpus(reader);
        break;
    }
}

/* ---- groups and mounts ----------------------------------------------------------------------- */

/* The part of `path` below `root`, "" or with a leading slash; NULL if it is not below. */
static const char *below(const char *path, const char *root)
{
    size_t length = strlen(root);
    if (length == 1)
        length = 0; /* "/" */
    if (strstr(path, "/..") != NULL || strncmp(path, root, length) != 0)
        return NULL;
    path += length;
    if (strcmp(path, "/") == 0)
        path++;
    return path[0] == '\0' || path[0] == '/' ? path : NULL;
}

/* Reads the group at `path` and its ancestors, up to where they are mounted. */
static void read_group(struct reader *reader, enum kind kind, const char *path)
{
    const struct mount *mount = NULL;
    const char *rest = NULL;
    for (unsigned i = 0; i < reader->mounts && rest == NULL; i++) {
        if ((reader->mount[i].kinds & kind) == 0)
            continue;
        rest = below(path, reader->mount[i].root);
        if (mount == NULL || rest != NULL)
            mount = &reader->mount[i];
    }
    if (mount == NULL) {
        note(reader->cgroup, "group %s: not mounted, left out", path);
        return;
    }

    size_t point_length = strlen(mount->point);
    int length = snprintf(reader->directory, sizeof(reader->directory), "%s%s", mount->point,
                          rest != NULL ? rest : "");
    if (length < 0 || (size_t)length >= sizeof(reader->directory)) {
        note(reader->cgroup, "a path of cgroups is too long, and was left out");
        return;
    }
    for (;;) {
        read_directory(reader, kind);
        if (strlen(reader->directory) <= point_length)
            return;
        *strrchr(reader->directory, '/') = '\0';
    }
}

/* A line of /proc/self/cgroup: "number:controllers:path". */
static void read_group_line(struct reader *reader, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL || path[1] != '/') {
        note(reader->cgroup, "%s/proc/self/cgroup: malformed line, left out", reader->root);
        return;
    }
    *path++ = '\0';
    *controllers++ = '\0';
    if (strcmp(line, "0") == 0 && controllers[0] == '\0')
        read_group(reader, KIND_V2, path);
    if (list_has(controllers, "cpu"))
        read_group(reader, KIND_CPU, path);
    if (list_has(controllers, "cpuset"))
        read_group(reader, KIND_CPUSET, path);
}

/* A line of mountinfo. False: it is malformed. */
static bool read_mount_line(struct reader *reader, char *line)
{
    struct mount mount = {0};
    char *tail = strstr(line, " - ");
    if (tail == NULL)
        return false;
    *tail = '\0';
    tail += 3;
    for (unsigned i = 0; i < 3; i++)
        (void)take_word(&line); /* the mount's number, its parent's, the device */
    char *root = take_word(&line);
    char *point = take_word(&line);
    if (root[0] != '/' || point[0] != '/')
        return false;

    const char *type = take_word(&tail);
    (void)take_word(&tail); /* the source */
    if (strcmp(type, "cgroup2") == 0) {
        mount.kinds = KIND_V2;
    } else if (strcmp(type, "cgroup") == 0) {
        mount.kinds |= list_has(tail, "cpu") ? KIND_CPU : 0;
        mount.kinds |= list_has(tail, "cpuset") ? KIND_CPUSET : 0;
    }
    if (mount.kinds == 0)
        return true;
    if (reader->mounts == MOUNTS_MAX) {
        reader->mounts_over = true;
        return true;
    }
    unescape(root);
    unescape(point);
    mount.root = root;
    mount.point = strcmp(point, "/") == 0 ? "" : point;
    reader->mount[reader->mounts++] = mount;
    return true;
}

static int read_groups(struct reader *reader, char *mounts)
{
    char *text;
    size_t bytes;
    int result = read_text(reader, "/proc/self/cgroup", &text, &bytes);
    if (is_shortage(result))
        return result;
    if (result < 0) {
        note(reader->cgroup, "%s/proc/self/cgroup: cannot be read (errno %d), no limits known",
             reader->root, -result);
        return 0;
    }

    bool sound = true;
    for (char *line; (line = take_line(&mounts)) != NULL;)
        sound &= read_mount_line(reader, line);
    if (!sound)
        note(reader->cgroup, "%s/proc/self/mountinfo: malformed lines, left out", reader->root);
    if (reader->mounts_over)
        note(reader->cgroup, "more than %d mounts of cgroups, the rest is left out", MOUNTS_MAX);
    char *rest = text;
    for (char *line; (line = take_line(&rest)) != NULL;)
        read_group_line(reader, line);
    gyre__port_release(text, bytes);
    return reader->shortage;
}

int gyre__cgroup_read(const struct gyre__port *port, const char *root,
                      struct gyre__cgroup *ret_cgroup)
{
    struct reader *reader = gyre__port_allocate(sizeof(*reader));
    char *mounts;
    size_t bytes;
    if (reader == NULL)
        return -ENOMEM;
    memset(ret_cgroup, 0, sizeof(*ret_cgroup));
    reader->port = port;
    reader->root = root;
    reader->cgroup = ret_cgroup;

    int result = read_text(reader, "/proc/self/mountinfo", &mounts, &bytes);
    if (result == 0) {
        result = read_groups(reader, mounts);
        gyre__port_release(mounts, bytes);
    } else if (!is_shortage(result)) {
        note(ret_cgroup, "%s/proc/self/mountinfo: cannot be read (errno %d), no limits known", root,
             -result);
        result = 0;
    }
    gyre__port_release(reader, sizeof(*reader));
    return result;
}
