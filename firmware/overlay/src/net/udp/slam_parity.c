/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Parity blocks; see slam_parity.h.
 *
 * Freestanding C99.  No tables are kept: the products of one factor are 255 additions, which a
 * block of ordinary size repays several times, and an option ROM has no room to spare.
 */

#ifdef FILE_LICENCE
FILE_LICENCE ( MIT );
#endif
#ifdef FILE_SECBOOT
FILE_SECBOOT ( FORBIDDEN );
#endif

#include "slam_parity.h"

/** x^8 = x^4 + x^3 + x^2 + 1 */
#define SLAM_PARITY_REDUCED 0x1d

/** Twice @c a */
static uint8_t slam_parity_double ( uint8_t a ) {
	return ( ( uint8_t ) ( ( a << 1 ) ^
			       ( ( a & 0x80 ) ? SLAM_PARITY_REDUCED : 0 ) ) );
}

/** @c a times @c b in GF(2^8) */
uint8_t slam_parity_multiply ( uint8_t a, uint8_t b ) {
	uint8_t product = 0;

	for ( ; b ; b >>= 1 ) {
		if ( b & 1 )
			product ^= a;
		a = slam_parity_double ( a );
	}
	return product;
}

/** One over @c a, which is not 0: its 254th power, since its 255th is 1 */
uint8_t slam_parity_invert ( uint8_t a ) {
	uint8_t power = 1;
	unsigned int i;

	for ( i = 0 ; i < 7 ; i++ ) {
		a = slam_parity_multiply ( a, a );
		power = slam_parity_multiply ( power, a );
	}
	return power;
}

/** What the block in @c column counts for in the sum @c row; never 0 */
uint8_t slam_parity_coefficient ( uint8_t row, uint8_t column ) {
	return slam_parity_invert ( ( uint8_t ) ( ( SLAM_PARITY_ROWS | row ) ^
						  column ) );
}

/** Products of @c factor with every byte */
static void slam_parity_products ( uint8_t factor, uint8_t products[256] ) {
	unsigned int i;

	/* In this order GCC 12 at -O3 sees that it stays within bounds */
	products[0] = 0;
	for ( i = 1 ; i < 256 ; i++ )
		products[i] = ( slam_parity_double ( products[ i >> 1 ] ) ^
				( ( i & 1 ) ? factor : 0 ) );
}

/** Add @c factor times @c data to @c sum */
static void slam_parity_add_scaled ( uint8_t *sum, uint8_t factor,
				     const uint8_t *data, size_t len ) {
	uint8_t products[256];

	if ( ! factor )
		return;
	slam_parity_products ( factor, products );
	while ( len-- )
		*(sum++) ^= products[ *(data++) ];
}

/** Multiply @c data by @c factor */
static void slam_parity_scale ( uint8_t *data, uint8_t factor, size_t len ) {
	uint8_t products[256];

	slam_parity_products ( factor, products );
	for ( ; len-- ; data++ )
		*data = products[*data];
}

/**
 * Take a block that is there out of the sums
 *
 * @v solution		Window
 * @v column		Which block of the window
 * @v data		The block
 * @v len		Its length
 */
void slam_parity_add ( struct slam_parity_solution *solution, uint8_t column,
		       const uint8_t *data, size_t len ) {
	uint32_t i;

	if ( len > solution->len )
		len = solution->len;
	for ( i = 0 ; i < solution->count ; i++ ) {
		slam_parity_add_scaled ( solution->sums[i]->data,
					 slam_parity_coefficient (
						solution->sums[i]->row, column ),
					 data, len );
	}
}

/**
 * Turn the sums into the missing blocks, in their order
 *
 * @v solution		Window, of which every other block was added
 *
 * Gauss-Jordan elimination.  No pivot is ever 0: every square part of a Cauchy matrix can be
 * inverted.
 */
void slam_parity_solve ( struct slam_parity_solution *solution ) {
	uint32_t count = solution->count;
	uint32_t pivot;
	uint32_t i;
	uint32_t j;
	uint8_t factor;

	for ( i = 0 ; i < count ; i++ ) {
		for ( j = 0 ; j < count ; j++ ) {
			solution->matrix[i][j] =
				slam_parity_coefficient ( solution->sums[i]->row,
							  solution->missing[j] );
		}
	}
	for ( pivot = 0 ; pivot < count ; pivot++ ) {
		factor = slam_parity_invert ( solution->matrix[pivot][pivot] );
		slam_parity_scale ( solution->matrix[pivot], factor, count );
		slam_parity_scale ( solution->sums[pivot]->data, factor,
				    solution->len );
		for ( i = 0 ; i < count ; i++ ) {
			if ( i == pivot )
				continue;
			factor = solution->matrix[i][pivot];
			slam_parity_add_scaled ( solution->matrix[i], factor,
						 solution->matrix[pivot],
						 count );
			slam_parity_add_scaled ( solution->sums[i]->data,
						 factor,
						 solution->sums[pivot]->data,
						 solution->len );
		}
	}
}
