/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Feeds the firmware's SLAM client with right, damaged and invented datagrams, and checks what it
 * makes of them.  Built with the sanitizers by tests/sanitized.rs; runs until its time is over.
 *
 * Usage: slam_core SEED SECONDS
 *
 * Each datagram lies in memory of its own of exactly its length, so that a read past its end is
 * caught; so does the block map.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "slam_core.h"

#define CHECK( condition ) do {						\
	if ( ! ( condition ) ) {					\
		fprintf ( stderr, "seed %llu: %s:%d: %s\n", seed,	\
			  __FILE__, __LINE__, #condition );		\
		abort();						\
	}								\
} while ( 0 )

/** Files are at most that long here, so that what was stored can be compared */
#define MAX_FILE 60000
#define MAX_DATAGRAM 2000

static unsigned long long seed;
static uint64_t state;
static unsigned long live;

static uint32_t rnd ( uint32_t below ) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ( ( uint32_t ) ( ( ( state >> 32 ) * below ) >> 32 ) );
}

static void * give ( void *context, size_t len ) {
	( void ) context;
	/* Memory is short now and then */
	if ( ( len > ( 1 << 20 ) ) || ( rnd ( 50 ) == 0 ) )
		return NULL;
	live++;
	return malloc ( len );
}

static void take ( void *context, void *data, size_t len ) {
	( void ) context;
	/* The length must be right, too */
	if ( len )
		( ( volatile uint8_t * ) data )[ len - 1 ] = 0;
	live--;
	free ( data );
}

struct transfer {
	uint64_t id;
	uint64_t total;
	uint64_t block_size;
};

static uint8_t content ( const struct transfer *transfer, uint64_t offset ) {
	return ( ( uint8_t ) ( ( offset * 31 ) ^ ( offset >> 8 ) ^
			       transfer->id ) );
}

static size_t build ( const struct transfer *transfer, uint64_t block,
		      int solicit, uint8_t *out ) {
	uint64_t offset = ( block * transfer->block_size );
	size_t len = 0;

	len += slam_core_put_int ( transfer->id, &out[len] );
	len += slam_core_put_int ( transfer->total, &out[len] );
	len += slam_core_put_int ( transfer->block_size, &out[len] );
	if ( solicit )
		return len;
	len += slam_core_put_int ( block, &out[len] );
	/* Beyond the last block are sums; any bytes will do for one */
	if ( offset >= transfer->total ) {
		memset ( &out[len], ( int ) block, transfer->block_size );
		return ( len + transfer->block_size );
	}
	for ( ; ( offset < transfer->total ) &&
		( offset < ( ( block + 1 ) * transfer->block_size ) ) ;
	      offset++ )
		out[len++] = content ( transfer, offset );
	return len;
}

/** What makes a move of a solicit: a zero byte, a group of either family, a port */
static size_t move ( uint8_t *out ) {
	int ipv6 = ( rnd ( 4 ) == 0 );
	size_t len = ( 1 + ( ipv6 ? SLAM_CORE_GROUP_IPV6 :
			     SLAM_CORE_GROUP_IPV4 ) );
	size_t i;

	for ( i = 0 ; i < len ; i++ )
		out[i] = ( uint8_t ) rnd ( 256 );
	out[0] = 0;
	if ( rnd ( 8 ) )
		out[1] = ( ipv6 ? 0xff : ( 0xe0 | ( out[1] & 0x0f ) ) );
	return len;
}

/** Bytes that begin like a datagram from a server: numbers of any size and length */
static size_t invent ( uint8_t *out ) {
	size_t len = 0;
	unsigned int i;
	uint64_t value;

	for ( i = rnd ( 6 ) ; i ; i-- ) {
		value = ( ( ( ( uint64_t ) rnd ( ~0U ) ) << 32 ) | rnd ( ~0U ) );
		value &= ( SLAM_CORE_INT_MAX >> rnd ( 53 ) );
		len += slam_core_put_int ( value, &out[len] );
	}
	for ( i = rnd ( 4 ) ; i ; i-- )
		out[len++] = ( uint8_t ) rnd ( 256 );
	return len;
}

static size_t damage ( uint8_t *data, size_t len ) {
	switch ( rnd ( 4 ) ) {
	case 0:
		return rnd ( ( uint32_t ) len + 1 );
	case 1:
		data[len] = ( uint8_t ) rnd ( 256 );
		return ( len + 1 );
	case 2:
		if ( len )
			data[ rnd ( ( uint32_t ) len ) ] ^=
				( uint8_t ) ( 1 << rnd ( 8 ) );
		return len;
	default:
		return invent ( data );
	}
}

/** A NACK is runs, then one zero byte, then what the client can do, if anything; it ends at the last
 * block at most
 */
static void check_nack ( const uint8_t *data, size_t len, uint64_t count,
			 int takes_parity, int moves ) {
	uint64_t sum = 0;
	uint64_t run;
	size_t used;

	CHECK ( len >= 2 );
	CHECK ( len <= SLAM_CORE_MAX_PACKET );
	if ( takes_parity || moves ) {
		CHECK ( data[ len - 1 ] ==
			( 0x20 | ( takes_parity ? 0x01 : 0 ) |
			  ( moves ? 0x02 : 0 ) ) );
		len--;
	}
	CHECK ( data[ len - 1 ] == 0 );
	len--;
	while ( len ) {
		CHECK ( slam_core_pull_int ( data, len, &used, &run ) ==
			SLAM_CORE_ACCEPTED );
		sum += run;
		data += used;
		len -= used;
	}
	CHECK ( sum <= count );
	CHECK ( sum > 0 );
}

/** Complete a window, or break off somewhere */
static void rebuild ( struct slam_core *core, uint8_t *file ) {
	const uint8_t *block;
	uint64_t offset;
	unsigned int column;
	size_t len;

	if ( rnd ( 10 ) == 0 )
		return;
	for ( column = 0 ; column < SLAM_PARITY_WINDOW ; column++ ) {
		len = slam_core_rebuild_read ( core, column, &offset );
		if ( ! len )
			continue;
		CHECK ( offset + len <= core->header.total_bytes );
		slam_core_rebuild_add ( core, column, &file[offset], len );
	}
	while ( ( block = slam_core_rebuild_block ( core, &offset, &len ) ) ) {
		CHECK ( len > 0 );
		CHECK ( offset + len <= core->header.total_bytes );
		memcpy ( &file[offset], block, len );
		if ( rnd ( 50 ) == 0 )
			return;
	}
}

static void live_once ( unsigned long *completed, unsigned long *rebuilt ) {
	static uint8_t file[ MAX_FILE ];
	static const struct slam_core_hooks hooks = { give, take, NULL };
	struct slam_core_config config;
	struct slam_core_actions actions;
	struct slam_core *core = malloc ( sizeof ( *core ) );
	struct transfer transfers[3];
	struct transfer *now_sent = &transfers[0];
	uint8_t buf[ MAX_FILE + 64 ];
	uint8_t *datagram;
	enum slam_core_kind kind;
	uint64_t now = rnd ( 1000 );
	uint64_t next = 0;
	uint64_t wake;
	uint32_t mischief = rnd ( 4 ) ? rnd ( 3 ) : 50;
	size_t len;
	size_t i;
	int solicit;
	int ended = 0;

	for ( i = 0 ; i < 3 ; i++ ) {
		transfers[i].id = ( ( rnd ( 2 ) ? 1 : ( ( uint64_t ) 1 << 52 ) )
				    + i );
		transfers[i].total = ( 1 + rnd ( MAX_FILE ) );
		transfers[i].block_size = ( 1 + rnd ( 1500 ) );
	}
	slam_core_defaults ( &config );
	config.max_restarts = rnd ( 8 );
	config.max_parity = ( rnd ( 2 ) ? 48 : rnd ( 3 ) );
	config.group_len = ( rnd ( 3 ) ? SLAM_CORE_GROUP_IPV4 :
			     rnd ( 2 ) ? SLAM_CORE_GROUP_IPV6 : 0 );
	/* What is invented is refused: there is nothing to compare it with */
	config.max_bytes = MAX_FILE;
	slam_core_init ( core, &config, &hooks, rnd ( ~0U ), now );
	wake = now;
	for ( i = 0 ; i < 4000 ; i++ ) {
		now += rnd ( 20 );
		if ( rnd ( 1000 ) == 0 ) {
			now_sent = &transfers[ rnd ( 3 ) ];
			next = 0;
		}
		solicit = ( rnd ( 20 ) == 0 );
		len = build ( now_sent, next, solicit, buf );
		if ( solicit && ( rnd ( 3 ) == 0 ) )
			len += move ( &buf[len] );
		next++;
		if ( ( next * now_sent->block_size ) >= now_sent->total )
			next = 0;
		if ( rnd ( 5 ) == 0 )
			next = rnd ( ( uint32_t ) ( ( now_sent->total - 1 ) /
						    now_sent->block_size ) + 1 );
		if ( ( ! solicit ) && ( rnd ( 6 ) == 0 ) ) {
			uint64_t blocks = ( ( ( now_sent->total - 1 ) /
					      now_sent->block_size ) + 1 );
			uint64_t sums = ( ( blocks + 127 ) & ~127ULL );

			len = build ( now_sent, ( blocks + rnd ( ( uint32_t )
						  sums + 2 ) ), 0, buf );
		}
		if ( rnd ( 100 ) < mischief )
			len = damage ( buf, len );
		kind = ( solicit ? SLAM_CORE_UNICAST : SLAM_CORE_MULTICAST );
		if ( rnd ( 100 ) < mischief )
			kind = ( rnd ( 2 ) ? SLAM_CORE_UNICAST :
				 SLAM_CORE_MULTICAST );
		if ( rnd ( 10 ) == 0 ) {
			kind = SLAM_CORE_TIMEOUT;
			if ( rnd ( 2 ) && ( wake > now ) )
				now = wake;
			len = 0;
		}
		if ( rnd ( 5000 ) == 0 )
			kind = SLAM_CORE_STOP;
		datagram = malloc ( len ? len : 1 );
		memcpy ( datagram, buf, len );
		slam_core_input ( core, kind, datagram, len, now, &actions );

		CHECK ( ! ( actions.started && actions.restarted ) );
		if ( actions.payload ) {
			CHECK ( ! ended );
			CHECK ( actions.payload >= datagram );
			CHECK ( actions.payload + actions.payload_len ==
				datagram + len );
			CHECK ( actions.payload_len > 0 );
			CHECK ( actions.offset + actions.payload_len <=
				core->header.total_bytes );
			memcpy ( &file[actions.offset], actions.payload,
				 actions.payload_len );
		}
		free ( datagram );
		if ( actions.rebuild ) {
			CHECK ( ! ended );
			rebuild ( core, file );
			( *rebuilt )++;
		}
		if ( actions.send_len ) {
			CHECK ( ! ended );
			if ( actions.send_len == 1 ) {
				CHECK ( actions.send[0] == 0 );
				CHECK ( actions.end );
			} else {
				check_nack ( actions.send, actions.send_len,
					     ( core->map ? core->count : 1 ),
					     ( core->map &&
					       config.max_parity ),
					     ( core->map &&
					       config.group_len ) );
			}
		}
		if ( ended )
			CHECK ( ( int ) actions.end == ended );
		if ( ( actions.end == SLAM_CORE_COMPLETE ) && ( ! ended ) ) {
			CHECK ( core->held == core->count );
			( *completed )++;
		}
		ended = actions.end;
		if ( ! ended )
			wake = actions.wake;
		if ( ended && ( rnd ( 20 ) == 0 ) )
			break;
	}
	slam_core_free ( core );
	slam_core_free ( core );
	free ( core );
	CHECK ( live == 0 );
}

int main ( int argc, char **argv ) {
	unsigned long lives = 0;
	unsigned long completed = 0;
	unsigned long rebuilt = 0;
	time_t until;

	if ( argc != 3 ) {
		fprintf ( stderr, "usage: slam_core SEED SECONDS\n" );
		return 2;
	}
	seed = strtoull ( argv[1], NULL, 10 );
	until = ( time ( NULL ) + atoi ( argv[2] ) );
	do {
		state = ( ( seed + 1 ) * 0x9e3779b97f4a7c15ULL );
		live_once ( &completed, &rebuilt );
		lives++;
		seed++;
	} while ( time ( NULL ) < until );
	printf ( "%lu lives, %lu complete, %lu windows rebuilt\n", lives,
		 completed, rebuilt );
	return ( ( completed && rebuilt ) ? 0 : 1 );
}
