/* SPDX-License-Identifier: MIT */
/*
 * descriptors - room for many of them, for the measuring programs that need it.
 */
#ifndef BENCH_DESCRIPTORS_H
#define BENCH_DESCRIPTORS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Raises the process's limit, if need be, so that `count` descriptors can be open; ends the program
 * as one that this machine cannot run if that is refused. Children inherit the limit. */
void descriptors_need(unsigned long count);

#ifdef __cplusplus
}
#endif

#endif
