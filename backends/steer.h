/* SPDX-License-Identifier: MIT */
/*
 * steer - the slot steer_away of gyre__descriptors, a file for each system that has a way.
 */
#ifndef GYRE_BACKENDS_STEER_H
#define GYRE_BACKENDS_STEER_H

int gyre__steer_away(int fd);

#endif
