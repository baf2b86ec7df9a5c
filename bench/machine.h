/* SPDX-License-Identifier: MIT */
/*
 * machine - what a figure was measured on, as a short text: CPU, cores, kernel.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stddef.h>

/* "AMD EPYC, 2 cores, Linux 6.1.0"; what the system does not tell is left out. */
void machine_describe(char *text, size_t bytes);

#endif
