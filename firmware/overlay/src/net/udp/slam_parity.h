/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SLAMBOOT_SLAM_PARITY_H
#define SLAMBOOT_SLAM_PARITY_H

/*
 * Parity blocks: sums over windows of blocks, any n of which stand in for any n blocks that are
 * missing.  The code is written down in docs/slam-wire.md; slam-client/src/parity.rs is the same
 * in Rust.
 */

#include <stddef.h>
#include <stdint.h>

/** Blocks that a parity block is a sum of, as a power of two */
#define SLAM_PARITY_WINDOW_BITS 7

/** Blocks that a parity block is a sum of */
#define SLAM_PARITY_WINDOW ( 1 << SLAM_PARITY_WINDOW_BITS )

/** Different parity blocks of a window */
#define SLAM_PARITY_ROWS 128

/** Parity serves windows of which no more than this is missing */
#define SLAM_PARITY_MAX_MISSING 32

/** A parity block that waits until its window can be completed */
struct slam_parity_block {
	/** The next one, of any window */
	struct slam_parity_block *next;
	/** Its window */
	uint32_t window;
	/** Which sum over the window */
	uint8_t row;
	/** Whether a missing block is told to be there for its sake, and which one of the window */
	uint8_t credited;
	uint8_t credit;
	/** The sum */
	uint8_t data[];
};

/** A window that is being completed */
struct slam_parity_solution {
	/** Blocks that are missing, and as many sums */
	uint32_t count;
	/** Length of a sum; 0 once they are solved */
	size_t len;
	/** The next one to hand out, once they are solved */
	uint32_t next;
	/** Columns of the blocks, ascending */
	uint8_t missing[SLAM_PARITY_MAX_MISSING];
	/** The sums, which become the blocks */
	struct slam_parity_block *sums[SLAM_PARITY_MAX_MISSING];
	/** Coefficients of the missing blocks in the sums */
	uint8_t matrix[SLAM_PARITY_MAX_MISSING][SLAM_PARITY_MAX_MISSING];
};

extern uint8_t slam_parity_multiply ( uint8_t a, uint8_t b );
extern uint8_t slam_parity_invert ( uint8_t a );
extern uint8_t slam_parity_coefficient ( uint8_t row, uint8_t column );
extern void slam_parity_add ( struct slam_parity_solution *solution,
			      uint8_t column, const uint8_t *data, size_t len );
extern void slam_parity_solve ( struct slam_parity_solution *solution );

#endif /* SLAMBOOT_SLAM_PARITY_H */
