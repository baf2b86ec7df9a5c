/* SPDX-License-Identifier: MIT */
/*
 * mutant - which of the seeded faults of faults.txt this process has: the number in GYRE_MUTANT, 0
 * for none. Read before main, and so before the library's first line.
 */
#include <stdlib.h>

int gyre_mutant;

__attribute__((constructor)) static void pick(void)
{
    const char *number = getenv("GYRE_MUTANT");
    gyre_mutant = number != NULL ? atoi(number) : 0;
}
