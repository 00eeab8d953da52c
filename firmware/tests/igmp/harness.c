// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Drives igmp_core.c for tests/igmp.rs: one command a line on stdin, one answer a line on stdout.
 *
 *   init FAMILY SOURCE SEED       FAMILY is 4 or 6, addresses and packets are hexadecimal
 *   join NOW GROUP                answers the result's number, as do leave and input
 *   leave NOW GROUP
 *   input NOW PACKET
 *   poll NOW                      the next packet, or -
 *   timeout NOW                   milliseconds, or -
 *   idle                          0 or 1
 *   before FAMILY PACKET N        length of the IP header in front of the payload at offset N
 *   fuzz SEED ROUNDS              mutated input until ROUNDS or the first broken promise
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "igmp_core.h"

static struct igmp igmp;

/* Every packet has a heap block of just its size: AddressSanitizer sees the first byte too many. */
static uint8_t * exact ( const uint8_t *data, size_t len ) {
	uint8_t *block = malloc ( len ? len : 1 );

	if ( ! block )
		exit ( 2 );
	memcpy ( block, data, len );
	return block;
}

static size_t unhex ( const char *text, uint8_t *out, size_t max ) {
	size_t len = 0;
	unsigned int byte;

	while ( ( len < max ) && ( sscanf ( text, "%2x", &byte ) == 1 ) ) {
		out[len++] = ( uint8_t ) byte;
		text += 2;
	}
	return len;
}

static void hex ( const uint8_t *data, size_t len ) {
	while ( len-- )
		printf ( "%02x", *(data++) );
	printf ( "\n" );
}

/* Fuzzing --------------------------------------------------------------------------------- */

static uint32_t state;

static uint32_t rnd ( uint32_t limit ) {
	state ^= ( state << 13 );
	state ^= ( state >> 17 );
	state ^= ( state << 5 );
	return ( state % limit );
}

/* RFC 1071 as in its section 4.1: kept apart from the code under test */
static unsigned int inet ( const uint8_t *data, size_t len, uint32_t start ) {
	uint32_t total = start;
	size_t i;

	for ( i = 0 ; i < len ; i++ )
		total += ( ( i & 1 ) ? data[i] : ( ( uint32_t ) data[i] << 8 ) );
	while ( total >> 16 )
		total = ( ( total & 0xffff ) + ( total >> 16 ) );
	return ( ~total & 0xffff );
}

static uint32_t pseudo ( const uint8_t *packet, size_t len ) {
	uint32_t total = ( ( uint32_t ) len + 58 );
	size_t i;

	for ( i = 8 ; i < 40 ; i++ )
		total += ( ( i & 1 ) ? packet[i] :
			   ( ( uint32_t ) packet[i] << 8 ) );
	return total;
}

static void seal4 ( uint8_t *packet, size_t len ) {
	size_t header = ( ( packet[0] & 0x0fU ) * 4 );
	unsigned int csum;

	if ( ( header < 20 ) || ( header + 8 > len ) )
		return;
	packet[2] = ( uint8_t ) ( len >> 8 );
	packet[3] = ( uint8_t ) len;
	packet[10] = packet[11] = 0;
	csum = inet ( packet, header, 0 );
	packet[10] = ( uint8_t ) ( csum >> 8 );
	packet[11] = ( uint8_t ) csum;
	packet[header + 2] = packet[header + 3] = 0;
	csum = inet ( &packet[header], ( len - header ), 0 );
	packet[header + 2] = ( uint8_t ) ( csum >> 8 );
	packet[header + 3] = ( uint8_t ) csum;
}

static void seal6 ( uint8_t *packet, size_t len ) {
	size_t header = 40;
	unsigned int csum;

	if ( len < 56 )
		return;
	if ( packet[6] == 0 )
		header += ( 8 + ( packet[41] * 8U ) );
	if ( header + 8 > len )
		return;
	packet[4] = ( uint8_t ) ( ( len - 40 ) >> 8 );
	packet[5] = ( uint8_t ) ( len - 40 );
	packet[header + 2] = packet[header + 3] = 0;
	csum = inet ( &packet[header], ( len - header ),
		      pseudo ( packet, ( len - header ) ) );
	packet[header + 2] = ( uint8_t ) ( csum >> 8 );
	packet[header + 3] = ( uint8_t ) csum;
}

static const uint8_t groups4[3][4] =
	{ { 239, 255, 1, 1 }, { 239, 255, 1, 2 }, { 224, 0, 0, 1 } };
static const uint8_t groups6[3][16] = {
	{ 0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
	{ 0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 },
	{ 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
};

/* A sound message of any kind */
static size_t sound ( int family, uint8_t *packet ) {
	static const uint8_t types4[] = { 0x11, 0x12, 0x16, 0x17, 0x22 };
	static const uint8_t types6[] = { 130, 131, 132, 143 };
	size_t body = ( ( family == 4 ) ? 8 : 24 );
	size_t at = ( ( family == 4 ) ? 24 : 48 );
	size_t addr = ( ( family == 4 ) ? 4 : 16 );
	const uint8_t *group = ( ( family == 4 ) ? groups4[ rnd ( 3 ) ] :
				 groups6[ rnd ( 3 ) ] );
	size_t sources = 0;
	size_t len;

	memset ( packet, 0, 512 );
	if ( rnd ( 2 ) ) {
		sources = rnd ( 4 );
		body += ( 4 + ( sources * addr ) );
	}
	len = ( at + body );
	if ( family == 4 ) {
		packet[0] = 0x46;
		packet[8] = 1;
		packet[9] = 2;
		packet[15] = ( uint8_t ) rnd ( 256 );
		memcpy ( &packet[16], rnd ( 2 ) ? groups4[2] : group, 4 );
		packet[20] = 0x94;
		packet[21] = 4;
		packet[at] = types4[ rnd ( 5 ) ];
		packet[at + 1] = ( uint8_t ) rnd ( 256 );
		if ( rnd ( 2 ) )
			memcpy ( &packet[at + 4], group, 4 );
	} else {
		packet[0] = 0x60;
		packet[7] = 1;
		packet[8] = 0xfe;
		packet[9] = 0x80;
		packet[23] = ( uint8_t ) rnd ( 256 );
		memcpy ( &packet[24], rnd ( 2 ) ? groups6[2] : group, 16 );
		packet[40] = 58;
		packet[42] = 5;
		packet[43] = 2;
		packet[46] = 1;
		packet[at] = types6[ rnd ( 4 ) ];
		packet[at + 4] = ( uint8_t ) rnd ( 256 );
		packet[at + 5] = ( uint8_t ) rnd ( 256 );
		if ( rnd ( 2 ) )
			memcpy ( &packet[at + 8], group, 16 );
	}
	if ( sources )
		packet[ at + body - ( sources * addr ) - 1 ] =
			( uint8_t ) sources;
	return len;
}

#define PROMISE( condition ) do {					\
		if ( ! (condition) ) {					\
			printf ( "broken: %s, line %d, round %lu\n",	\
				 #condition, __LINE__, round );		\
			return;						\
		}							\
	} while ( 0 )

static void fuzz ( uint32_t seed, unsigned long rounds ) {
	uint8_t source[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0,
			       0, 0, 0, 0, 0, 0, 0, 9 };
	uint8_t packet[512];
	uint8_t out[IGMP_PACKET_MAX];
	struct igmp host, other;
	unsigned long results[16] = { 0 };
	unsigned long sent = 0;
	uint32_t now = seed;
	unsigned long round;
	int family = 4;

	state = ( seed ? seed : 1 );
	for ( round = 0 ; round < rounds ; round++ ) {
		uint8_t *input;
		uint32_t delay;
		size_t before;
		size_t len;
		unsigned int i;
		int result;

		if ( ( round % 4096 ) == 0 ) {
			family = ( ( family == 4 ) ? 6 : 4 );
			igmp_init ( &host, ( ( family == 4 ) ? IGMP_IPV4 :
					     IGMP_IPV6 ), source, rnd ( 1000 ) );
			igmp_init ( &other, host.family, source, 7 );
		}
		/* Mostly small steps, sometimes past every timer */
		now += ( rnd ( 64 ) ? rnd ( 2000 ) : rnd ( 600000 ) );
		if ( ! rnd ( 8 ) ) {
			const uint8_t *group = ( ( family == 4 ) ?
				groups4[ rnd ( 3 ) ] : groups6[ rnd ( 3 ) ] );

			if ( rnd ( 2 ) ) {
				PROMISE ( igmp_join ( &host, now, group ) == 0 );
			} else {
				igmp_leave ( &host, now, group );
			}
		}

		len = sound ( family, packet );
		if ( rnd ( 4 ) ) {
			for ( i = rnd ( 6 ) ; i ; i-- )
				packet[ rnd ( ( uint32_t ) len ) ] =
					( uint8_t ) rnd ( 256 );
			if ( ! rnd ( 4 ) )
				len = rnd ( ( uint32_t ) len + 40 );
		}
		if ( rnd ( 8 ) ) {
			if ( family == 4 ) {
				seal4 ( packet, len );
			} else {
				seal6 ( packet, len );
			}
		}
		input = exact ( packet, len );
		result = igmp_input ( &host, now, input, len );
		PROMISE ( ( result >= 0 ) && ( result <= IGMP_FULL ) );
		results[result]++;
		before = rnd ( ( uint32_t ) len + 1 );
		PROMISE ( igmp_header_before ( host.family, &input[before],
					       ( len - before ), before )
			  <= before );
		free ( input );

		if ( rnd ( 3 ) )
			continue;
		for ( i = 0 ; ( len = igmp_poll ( &host, now, out ) ) ; i++ ) {
			PROMISE ( i < ( 1 + ( 3 * IGMP_GROUPS ) ) );
			PROMISE ( len <= IGMP_PACKET_MAX );
			if ( family == 4 ) {
				PROMISE ( out[8] == 1 );
				PROMISE ( inet ( out, 24, 0 ) == 0 );
				PROMISE ( inet ( &out[24], len - 24, 0 ) == 0 );
			} else {
				PROMISE ( out[7] == 1 );
				PROMISE ( inet ( &out[48], len - 48,
					pseudo ( out, len - 48 ) ) == 0 );
			}
			PROMISE ( igmp_input ( &other, now, out, len ) ==
				  IGMP_IGNORED );
			sent++;
		}
		if ( igmp_timeout ( &host, now, &delay ) )
			PROMISE ( ( delay > 0 ) && ( delay < 0x80000000 ) );
	}
	printf ( "fine: %lu sent, results", sent );
	for ( round = 0 ; round <= IGMP_FULL ; round++ )
		printf ( " %lu", results[round] );
	printf ( "\n" );
}

int main ( void ) {
	static char line[8192];
	static char first[8192];
	static uint8_t bytes[4096];

	while ( fgets ( line, sizeof ( line ), stdin ) ) {
		unsigned long a, b;
		uint8_t *block;
		uint32_t delay;
		size_t len;

		if ( sscanf ( line, "init %lu %8191s %lu", &a, first, &b ) == 3 ) {
			unhex ( first, bytes, 16 );
			igmp_init ( &igmp, ( ( a == 4 ) ? IGMP_IPV4 :
					     IGMP_IPV6 ), bytes,
				    ( uint32_t ) b );
			printf ( "0\n" );
		} else if ( sscanf ( line, "join %lu %8191s", &a, first ) == 2 ) {
			unhex ( first, bytes, 16 );
			printf ( "%d\n", igmp_join ( &igmp, ( uint32_t ) a,
						     bytes ) );
		} else if ( sscanf ( line, "leave %lu %8191s", &a, first ) == 2 ) {
			unhex ( first, bytes, 16 );
			printf ( "%d\n", igmp_leave ( &igmp, ( uint32_t ) a,
						      bytes ) );
		} else if ( sscanf ( line, "input %lu %8191s", &a, first ) == 2 ) {
			len = unhex ( first, bytes, sizeof ( bytes ) );
			block = exact ( bytes, len );
			printf ( "%d\n", igmp_input ( &igmp, ( uint32_t ) a,
						      block, len ) );
			free ( block );
		} else if ( sscanf ( line, "poll %lu", &a ) == 1 ) {
			len = igmp_poll ( &igmp, ( uint32_t ) a, bytes );
			if ( len ) {
				hex ( bytes, len );
			} else {
				printf ( "-\n" );
			}
		} else if ( sscanf ( line, "timeout %lu", &a ) == 1 ) {
			if ( igmp_timeout ( &igmp, ( uint32_t ) a, &delay ) ) {
				printf ( "%lu\n", ( unsigned long ) delay );
			} else {
				printf ( "-\n" );
			}
		} else if ( strncmp ( line, "idle", 4 ) == 0 ) {
			printf ( "%d\n", igmp_idle ( &igmp ) );
		} else if ( sscanf ( line, "before %lu %8191s %lu",
				     &a, first, &b ) == 3 ) {
			len = unhex ( first, bytes, sizeof ( bytes ) );
			block = exact ( bytes, len );
			printf ( "%lu\n", ( unsigned long )
				 igmp_header_before ( ( a == 4 ) ? IGMP_IPV4 :
						      IGMP_IPV6, &block[b],
						      len - b, b ) );
			free ( block );
		} else if ( sscanf ( line, "fuzz %lu %lu", &a, &b ) == 2 ) {
			fuzz ( ( uint32_t ) a, b );
		} else {
			printf ( "?\n" );
		}
		fflush ( stdout );
	}
	return 0;
}
