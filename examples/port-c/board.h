/* SPDX-License-Identifier: Apache-2.0 */
/* What stands for the hardware: random bytes of the system, and flash that is memory.
 * It survives `restart` and nothing else. */
#ifndef BOARD_H
#define BOARD_H

#include "e4.h"

extern const e4_platform board;

/* Returns 0 if it failed. */
int board_open(void);

#endif
