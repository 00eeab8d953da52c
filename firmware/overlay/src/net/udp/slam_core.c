/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The deciding half of a SLAM client; see slam_core.h.
 *
 * Freestanding C99 beside memset(): compiled into the firmware and for the host alike.  64-bit
 * divisions happen once per transfer only (on i386 they are a library call).
 */

#ifdef FILE_LICENCE
FILE_LICENCE ( MIT );
#endif
#ifdef FILE_SECBOOT
FILE_SECBOOT ( FORBIDDEN );
#endif

#include <string.h>
#include "slam_core.h"

/* Not every C library of a firmware has it */
#define SLAM_CORE_SIZE_MAX ( ~( ( size_t ) 0 ) )

/** The byte after the end of a NACK, an Int: what this client can do */
#define SLAM_CORE_FLAGS 0x20
#define SLAM_CORE_TAKES_PARITY 0x01
#define SLAM_CORE_CAN_MOVE 0x02

/** As many clients as are expected to wait for the same moment, as a power of two */
#define SLAM_CORE_CROWD_BITS 10

/** That many less one, with 16 bits after the point */
#define SLAM_CORE_CROWD \
	( ( ( ( uint32_t ) 1 << SLAM_CORE_CROWD_BITS ) - 1 ) << 16 )

/****************************************************************************
 *
 * Blocks
 *
 */

static int slam_core_holds ( const uint8_t *map, uint64_t block ) {
	return ( ( map[ ( size_t ) ( block >> 3 ) ] >> ( block & 7 ) ) & 1 );
}

/** The first block from @c from on that is held (@c held 1) or missing (0), or @c count */
static uint64_t slam_core_find ( const uint8_t *map, uint64_t from,
				 uint64_t count, int held ) {
	uint8_t none = ( held ? 0x00 : 0xff );

	while ( from < count ) {
		if ( ( ( from & 7 ) == 0 ) &&
		     ( map[ ( size_t ) ( from >> 3 ) ] == none ) ) {
			from += 8;
			continue;
		}
		if ( slam_core_holds ( map, from ) == held )
			return from;
		from++;
	}
	return count;
}

/**
 * Build a NACK
 *
 * @v map		One bit for each block; set: held
 * @v first_gap		No block before this one is missing
 * @v count		Number of blocks, at least 1
 * @v out		Buffer
 * @v max_len		Its length, at least 3 Ints
 * @ret len		Length of the NACK
 *
 * As many gaps as fit, from the first one on, and the received run that follows them where that
 * fits, too.
 */
size_t slam_core_build_nack ( const uint8_t *map, uint64_t first_gap,
			      uint64_t count, uint8_t *out, size_t max_len ) {
	size_t room = ( max_len - 1 );
	size_t len = 0;
	size_t cost;
	uint64_t extent = 0;
	uint64_t start = slam_core_find ( map, first_gap, count, 0 );
	uint64_t end;

	while ( start < count ) {
		end = slam_core_find ( map, start, count, 1 );
		cost = ( slam_core_int_len ( start - extent ) +
			 slam_core_int_len ( end - start ) );
		if ( cost > ( room - len ) )
			goto full;
		len += slam_core_put_int ( ( start - extent ), &out[len] );
		len += slam_core_put_int ( ( end - start ), &out[len] );
		extent = end;
		start = slam_core_find ( map, end, count, 0 );
	}
	if ( ( extent < count ) &&
	     ( slam_core_int_len ( count - extent ) <= ( room - len ) ) )
		len += slam_core_put_int ( ( count - extent ), &out[len] );
 full:
	out[len++] = SLAM_CORE_NUL;
	return len;
}

/****************************************************************************
 *
 * Patience
 *
 * All clients of a group hear the same last datagram; were they to wait equally long, they would
 * all speak at once.  So every wait is drawn at random, and the data which the first NACK brings
 * makes the others wait anew (NACK suppression, RFC 5740 section 5.3).
 *
 */

/** The next 32 random bits (SplitMix64, public domain, by Sebastiano Vigna) */
static uint32_t slam_core_random ( uint64_t *random ) {
	uint64_t z;

	*random += 0x9e3779b97f4a7c15ULL;
	z = *random;
	z = ( ( z ^ ( z >> 30 ) ) * 0xbf58476d1ce4e5b9ULL );
	z = ( ( z ^ ( z >> 27 ) ) * 0x94d049bb133111ebULL );
	return ( ( uint32_t ) ( ( z ^ ( z >> 31 ) ) >> 32 ) );
}

/** A number from 0 to @c span, each as likely as another */
uint32_t slam_core_draw ( uint64_t *random, uint32_t span ) {
	uint64_t choices = ( ( ( uint64_t ) span ) + 1 );

	return ( ( uint32_t ) ( ( slam_core_random ( random ) *
				  choices ) >> 32 ) );
}

/**
 * A number from 0 to @c span, late ones far more likely than early ones
 *
 * RFC 5740 section 5.3 draws waits from a truncated exponential distribution, so that out of a
 * crowd of any size only a few speak early, and silence the others:
 * t = span * log(1 + u * (crowd - 1)) / log(crowd) for a uniform u.  Logarithms to base 2, straight
 * lines between powers of two.
 */
uint32_t slam_core_draw_late ( uint64_t *random, uint32_t span ) {
	/* 1 to crowd, with 16 bits after the point */
	uint32_t x = ( ( ( uint32_t ) 1 << 16 ) +
		       slam_core_draw ( random, SLAM_CORE_CROWD ) );
	uint32_t whole = 0;
	uint64_t logarithm;

	while ( x >= ( ( uint32_t ) 2 << 16 ) ) {
		x >>= 1;
		whole++;
	}
	logarithm = ( ( whole << 16 ) + ( x - ( ( uint32_t ) 1 << 16 ) ) );
	logarithm = ( ( ( ( uint64_t ) logarithm ) *
			( ( ( uint64_t ) span ) + 1 ) ) /
		      ( SLAM_CORE_CROWD_BITS << 16 ) );
	return ( ( logarithm < span ) ? ( uint32_t ) logarithm : span );
}

static uint64_t slam_core_wait ( struct slam_core *core,
				 const struct slam_core_wait *wait,
				 uint32_t doublings, int late ) {
	uint32_t span = ( ( wait->longest > wait->shortest ) ?
			  ( wait->longest - wait->shortest ) : 0 );
	uint64_t ms = wait->shortest;

	ms += ( late ? slam_core_draw_late ( &core->random, span ) :
		slam_core_draw ( &core->random, span ) );
	/* 32 bits and 31 doublings fit */
	return ( ms << ( ( doublings < 31 ) ? doublings : 31 ) );
}

/** The first valid datagram of a transfer has come */
static void slam_core_introduce ( struct slam_core *core, uint64_t now ) {
	core->fruitless = 0;
	core->silence = slam_core_wait ( core, &core->config.silence, 0, 1 );
	core->silent_until = ( now + core->silence );
	/* Everybody is to speak once: evenly spread */
	core->stalled_until =
		( now + slam_core_wait ( core, &core->config.introduce, 0, 0 ) );
}

/** Data came; @c is_new if we did not hold it */
static void slam_core_heard ( struct slam_core *core, uint64_t now,
			      int is_new ) {
	if ( is_new ) {
		if ( core->fruitless ) {
			core->fruitless = 0;
			core->silence =
				slam_core_wait ( core, &core->config.silence,
						 0, 1 );
		}
		if ( core->nacks ) {
			core->stalled_until =
				( now + slam_core_wait ( core,
							 &core->config.stall,
							 0, 1 ) );
		}
	}
	core->silent_until = ( now + core->silence );
	core->dead_at = ( now + core->config.give_up );
}

/** A NACK goes out, in answer to a solicit or (@c unasked) because the wait is over */
static void slam_core_spoke ( struct slam_core *core, uint64_t now,
			      int unasked ) {
	uint32_t doublings;

	if ( unasked && ( core->fruitless < SLAM_CORE_U32_MAX ) )
		core->fruitless++;
	doublings = core->fruitless;
	if ( doublings > core->config.max_doublings )
		doublings = core->config.max_doublings;
	core->silence = slam_core_wait ( core, &core->config.silence,
					 doublings, 1 );
	core->silent_until = ( now + core->silence );
	core->stalled_until = ( now + slam_core_wait ( core,
						       &core->config.stall,
						       doublings, 1 ) );
}

static uint64_t slam_core_due ( const struct slam_core *core ) {
	return ( ( core->silent_until < core->stalled_until ) ?
		 core->silent_until : core->stalled_until );
}

/****************************************************************************
 *
 * Parity
 *
 */

/** First block of a window, or of the one after the last */
static uint64_t slam_core_window ( const struct slam_core *core,
				   uint64_t window ) {
	uint64_t block = ( window << SLAM_PARITY_WINDOW_BITS );

	return ( ( block < core->count ) ? block : core->count );
}

/** Blocks that a window misses */
static uint32_t slam_core_missing ( const struct slam_core *core,
				    uint64_t window ) {
	uint64_t end = slam_core_window ( core, ( window + 1 ) );
	uint64_t block = slam_core_window ( core, window );
	uint32_t missing = 0;

	for ( ; block < end ; block++ )
		missing += ( ! slam_core_holds ( core->map, block ) );
	return missing;
}

static void slam_core_hold ( struct slam_core *core, uint64_t block,
			     int held ) {
	uint8_t bit = ( uint8_t ) ( 1 << ( block & 7 ) );
	uint8_t *byte = &core->map[ ( size_t ) ( block >> 3 ) ];

	*byte = ( uint8_t ) ( held ? ( *byte | bit ) : ( *byte & ~bit ) );
}

static size_t slam_core_parity_len ( const struct slam_core *core ) {
	return ( sizeof ( *core->parity ) + core->header.block_size );
}

static void slam_core_forget ( struct slam_core *core,
			       struct slam_parity_block *block ) {
	core->hooks.free ( core->hooks.context, block,
			   slam_core_parity_len ( core ) );
}

/** Give back the sums of the window that was completed last */
static void slam_core_solved ( struct slam_core *core ) {
	struct slam_parity_solution *solution = &core->solution;

	while ( solution->count )
		slam_core_forget ( core, solution->sums[ --solution->count ] );
}

/** Give back all parity blocks */
static void slam_core_drop_parity ( struct slam_core *core ) {
	struct slam_parity_block *block;

	slam_core_solved ( core );
	while ( ( block = core->parity ) != NULL ) {
		core->parity = block->next;
		slam_core_forget ( core, block );
	}
	core->kept = 0;
}

/** Sums that a window needs beyond those that are kept */
static uint32_t slam_core_needed ( const struct slam_core *core,
				   uint64_t window ) {
	const struct slam_parity_block *block;
	uint32_t needed = slam_core_missing ( core, window );

	for ( block = core->parity ; block ; block = block->next )
		needed -= ( block->window == window );
	return needed;
}

/**
 * Give up the sums of the window that needs most, if that is another and needs no less
 *
 * @v core		Client
 * @v window		Window for which room is wanted
 * @v needed		Sums that it needs
 * @ret done		Whether there is room now
 *
 * So the windows that need least are completed, and room is made for the next.
 */
static int slam_core_make_room ( struct slam_core *core, uint64_t window,
				 uint32_t needed ) {
	struct slam_parity_block **link;
	struct slam_parity_block *block;
	uint32_t worst = 0;
	uint32_t most = 0;
	uint32_t its;

	for ( block = core->parity ; block ; block = block->next ) {
		if ( block->window == window )
			continue;
		its = slam_core_needed ( core, block->window );
		if ( ( its > most ) ||
		     ( ( its == most ) && ( block->window > worst ) ) ) {
			most = its;
			worst = block->window;
		}
	}
	if ( ( ! most ) || ( most < needed ) )
		return 0;
	for ( link = &core->parity ; ( block = *link ) != NULL ; ) {
		if ( block->window != worst ) {
			link = &block->next;
			continue;
		}
		*link = block->next;
		core->kept--;
		slam_core_forget ( core, block );
	}
	return 1;
}

/** Keep a parity block; whether it is of use */
static int slam_core_keep ( struct slam_core *core,
			    const struct slam_core_packet *packet ) {
	struct slam_parity_block **link;
	struct slam_parity_block *block;
	uint32_t missing = slam_core_missing ( core, packet->block );
	uint32_t needed;

	for ( block = core->parity ; block ; block = block->next ) {
		if ( ( block->window == packet->block ) &&
		     ( block->row == packet->row ) )
			missing = 0;
	}
	if ( ! missing ) {
		core->duplicates++;
		return 0;
	}
	/* The map would not fit any memory if a window's number did not fit 32 bits */
	if ( ( missing > SLAM_PARITY_MAX_MISSING ) ||
	     ( ! core->config.max_parity ) ||
	     ( packet->block > SLAM_CORE_U32_MAX ) )
		return 0;
	/* What completes its window takes no room for long */
	needed = slam_core_needed ( core, packet->block );
	if ( ( core->kept >= core->config.max_parity ) && ( needed > 1 ) &&
	     ( ! slam_core_make_room ( core, packet->block, needed ) ) )
		return 0;
	block = core->hooks.alloc ( core->hooks.context,
				    slam_core_parity_len ( core ) );
	if ( ! block )
		return 0;
	block->next = NULL;
	block->window = ( uint32_t ) packet->block;
	block->row = packet->row;
	block->credited = 0;
	memcpy ( block->data, packet->payload, packet->payload_len );
	for ( link = &core->parity ; *link ; link = &( *link )->next ) {}
	*link = block;
	core->kept++;
	return 1;
}

/** Complete a window to which something was added, if that is possible now; whether it is */
static int slam_core_rebuild ( struct slam_core *core, uint64_t window ) {
	struct slam_parity_solution *solution = &core->solution;
	struct slam_parity_block **link = &core->parity;
	struct slam_parity_block *block;
	uint64_t first = slam_core_window ( core, window );
	uint32_t missing;
	uint32_t sums = 0;
	uint32_t i;

	/* Whoever was to take the last one has had its turn */
	slam_core_solved ( core );
	for ( block = core->parity ; block ; block = block->next )
		sums += ( block->window == window );
	if ( ! sums )
		return 0;
	missing = slam_core_missing ( core, window );
	if ( sums < missing )
		return 0;

	solution->len = core->header.block_size;
	for ( i = 0 ; i < missing ; i++ ) {
		uint64_t hole = slam_core_find ( core->map, first,
						 core->count, 0 );

		solution->missing[i] =
			( uint8_t ) ( hole & ( SLAM_PARITY_WINDOW - 1 ) );
		slam_core_hold ( core, hole, 1 );
	}
	core->held += missing;
	core->rebuilt += missing;
	core->solved = first;
	while ( ( block = *link ) != NULL ) {
		if ( block->window != window ) {
			link = &block->next;
			continue;
		}
		*link = block->next;
		core->kept--;
		if ( solution->count < missing )
			solution->sums[ solution->count++ ] = block;
		else
			slam_core_forget ( core, block );
	}
	return ( missing != 0 );
}

/**
 * What to read of the window that is to be completed
 *
 * @v core		Client
 * @v column		Block of the window, from 0
 * @v offset		Its offset from the start of the file, to fill in
 * @ret len		Its length, or 0 if it is not to be read
 */
size_t slam_core_rebuild_read ( const struct slam_core *core,
				unsigned int column, uint64_t *offset ) {
	const struct slam_parity_solution *solution = &core->solution;
	uint32_t i;

	for ( i = 0 ; i < solution->count ; i++ ) {
		if ( solution->missing[i] == column )
			return 0;
	}
	*offset = ( ( core->solved + column ) * core->header.block_size );
	if ( *offset >= core->header.total_bytes )
		return 0;
	return slam_core_block_len ( &core->header, *offset );
}

/** Hand over what was read; each block once, the missing ones never */
void slam_core_rebuild_add ( struct slam_core *core, unsigned int column,
			     const uint8_t *data, size_t len ) {
	slam_parity_add ( &core->solution, ( uint8_t ) column, data, len );
}

/**
 * Take the next missing block, after all others were handed over
 *
 * @v core		Client
 * @v offset		Its offset from the start of the file, to fill in
 * @v len		Its length, to fill in
 * @ret data		The block, valid until the next call, or NULL: it was the last
 */
const uint8_t * slam_core_rebuild_block ( struct slam_core *core,
					  uint64_t *offset, size_t *len ) {
	struct slam_parity_solution *solution = &core->solution;
	uint32_t i;

	/* Solved at the first call, and told by a length of 0 from then on */
	if ( solution->len ) {
		slam_parity_solve ( solution );
		solution->len = 0;
		solution->next = 0;
	}
	i = solution->next++;
	if ( i >= solution->count ) {
		slam_core_solved ( core );
		return NULL;
	}
	*offset = ( ( core->solved + solution->missing[i] ) *
		    core->header.block_size );
	*len = slam_core_block_len ( &core->header, *offset );
	return solution->sums[i]->data;
}

/**
 * Let as many of a window's missing blocks as parity was kept count as there, or no longer
 *
 * Any as many more blocks or sums complete the window, so these need not be asked for.
 */
static void slam_core_credit ( struct slam_core *core, int credit ) {
	struct slam_parity_block *block;
	uint64_t first;
	uint64_t hole;

	for ( block = core->parity ; block ; block = block->next ) {
		first = slam_core_window ( core, block->window );
		if ( ! credit ) {
			if ( block->credited )
				slam_core_hold ( core, first + block->credit, 0 );
			block->credited = 0;
			continue;
		}
		/* The last ones */
		hole = slam_core_window ( core, ( ( uint64_t ) block->window ) + 1 );
		while ( hole-- > first ) {
			if ( slam_core_holds ( core->map, hole ) )
				continue;
			block->credited = 1;
			block->credit = ( uint8_t ) ( hole - first );
			slam_core_hold ( core, hole, 1 );
			break;
		}
	}
}

/****************************************************************************
 *
 * Receiver
 *
 */

static int slam_core_is_complete ( const struct slam_core *core ) {
	return ( core->header.block_size && ( core->held == core->count ) );
}

static void slam_core_nack ( struct slam_core *core, uint64_t now, int unasked,
			     struct slam_core_actions *actions ) {
	static const uint8_t initial[1] = { 0 };
	uint8_t flags = SLAM_CORE_FLAGS;

	/* A server that was not heard yet need not know that */
	if ( core->map && core->config.max_parity )
		flags |= SLAM_CORE_TAKES_PARITY;
	if ( core->map && core->config.group_len )
		flags |= SLAM_CORE_CAN_MOVE;

	if ( core->map ) {
		core->first_gap = slam_core_find ( core->map, core->first_gap,
						   core->count, 0 );
	}
	actions->send = core->packet;
	slam_core_credit ( core, 1 );
	/* Before a header is known: block 0 of unknown many, `20 21 00` */
	actions->send_len =
		slam_core_build_nack ( ( core->map ? core->map : initial ),
				       core->first_gap,
				       ( core->map ? core->count : 1 ),
				       core->packet,
				       ( sizeof ( core->packet ) -
					 ( flags != SLAM_CORE_FLAGS ) ) );
	slam_core_credit ( core, 0 );
	if ( flags != SLAM_CORE_FLAGS )
		core->packet[ actions->send_len++ ] = flags;
	core->nacks++;
	slam_core_spoke ( core, now, unasked );
}

static void slam_core_finish ( struct slam_core *core, enum slam_core_end end,
			       struct slam_core_actions *actions ) {
	core->end = end;
	/* A server that never heard of us need not hear that we leave */
	if ( core->nacks ) {
		core->packet[0] = SLAM_CORE_NUL;
		actions->send = core->packet;
		actions->send_len = 1;
	}
}

/** Why nothing came of it */
static enum slam_core_end slam_core_diagnosis ( const struct slam_core *core ) {
	if ( core->header.block_size && core->data )
		return SLAM_CORE_SILENT;
	if ( core->rejected )
		return SLAM_CORE_REFUSED;
	if ( core->solicits )
		return SLAM_CORE_NO_DATA;
	return SLAM_CORE_NO_SERVER;
}

/** Whether @c header belongs to the transfer at hand */
static int slam_core_is_same ( const struct slam_core *core,
			       const struct slam_core_header *header ) {
	return ( ( core->header.block_size == header->block_size ) &&
		 ( core->header.total_bytes == header->total_bytes ) &&
		 ( core->header.transaction == header->transaction ) );
}

/** Make the transfer that @c header belongs to the one at hand */
static enum slam_core_rejection
slam_core_enter ( struct slam_core *core, const struct slam_core_header *header,
		  uint64_t now, struct slam_core_actions *actions ) {
	uint64_t count;
	uint64_t bytes;
	uint8_t *map;

	if ( slam_core_is_same ( core, header ) )
		return SLAM_CORE_ACCEPTED;

	/* What cannot be received must not cost us what we have */
	if ( header->total_bytes > core->config.max_bytes ) {
		core->refused_bytes = header->total_bytes;
		return SLAM_CORE_TOO_LARGE;
	}
	count = slam_core_count ( header );
	bytes = ( ( count + 7 ) >> 3 );
	map = NULL;
	if ( bytes <= ( SLAM_CORE_SIZE_MAX / 2 ) )
		map = core->hooks.alloc ( core->hooks.context, ( size_t ) bytes );
	if ( ! map ) {
		core->refused_bytes = header->total_bytes;
		return SLAM_CORE_NO_MEMORY;
	}
	memset ( map, 0, ( size_t ) bytes );

	actions->started = ( core->map == NULL );
	actions->restarted = ( core->map != NULL );
	slam_core_free ( core );
	core->map = map;
	core->map_len = ( size_t ) bytes;
	core->header = *header;
	core->count = count;
	core->held = 0;
	core->first_gap = 0;
	if ( actions->restarted ) {
		core->restarts++;
		if ( core->restarts > core->config.max_restarts ) {
			slam_core_finish ( core, SLAM_CORE_UNSTABLE, actions );
			return SLAM_CORE_ACCEPTED;
		}
	}
	slam_core_introduce ( core, now );
	return SLAM_CORE_ACCEPTED;
}

static enum slam_core_rejection
slam_core_multicast ( struct slam_core *core,
		      const struct slam_core_packet *packet, uint64_t now,
		      struct slam_core_actions *actions ) {
	enum slam_core_rejection rejection;
	int is_new;

	if ( packet->group )
		return SLAM_CORE_GROUP;
	if ( ! packet->is_data )
		return SLAM_CORE_SOLICIT_TO_GROUP;
	rejection = slam_core_enter ( core, &packet->header, now, actions );
	if ( rejection || core->end )
		return rejection;
	core->data++;
	if ( packet->is_parity ) {
		is_new = slam_core_keep ( core, packet );
		if ( is_new )
			actions->rebuild = slam_core_rebuild ( core,
							       packet->block );
	} else if ( slam_core_holds ( core->map, packet->block ) ) {
		is_new = 0;
		core->duplicates++;
	} else {
		is_new = 1;
		slam_core_hold ( core, packet->block, 1 );
		core->held++;
		if ( packet->block == core->first_gap )
			core->first_gap++;
		actions->payload = packet->payload;
		actions->payload_len = packet->payload_len;
		actions->offset = ( packet->block * packet->header.block_size );
		if ( core->parity )
			actions->rebuild = slam_core_rebuild (
				core, ( packet->block >>
					SLAM_PARITY_WINDOW_BITS ) );
	}
	slam_core_heard ( core, now, is_new );
	if ( slam_core_is_complete ( core ) )
		slam_core_finish ( core, SLAM_CORE_COMPLETE, actions );
	return SLAM_CORE_ACCEPTED;
}

static enum slam_core_rejection
slam_core_unicast ( struct slam_core *core,
		    const struct slam_core_packet *packet, uint64_t now,
		    struct slam_core_actions *actions ) {
	enum slam_core_rejection rejection;

	if ( packet->is_data )
		return SLAM_CORE_DATA_TO_CLIENT;
	if ( packet->is_dismissal ) {
		/* Of another transfer than the one at hand it says nothing */
		if ( slam_core_is_same ( core, &packet->header ) )
			slam_core_finish ( core, SLAM_CORE_DISMISSED, actions );
		return SLAM_CORE_ACCEPTED;
	}
	if ( packet->group &&
	     ( packet->group_len != core->config.group_len ) )
		return SLAM_CORE_GROUP;
	rejection = slam_core_enter ( core, &packet->header, now, actions );
	if ( rejection || core->end )
		return rejection;
	core->solicits++;
	if ( packet->group ) {
		/* Asked there again and again, it stays */
		if ( ( ! core->moved ) ||
		     memcmp ( core->group, packet->group,
			      packet->group_len ) ) {
			memcpy ( core->group, packet->group,
				 packet->group_len );
			core->moved = 1;
			actions->regroup = 1;
		}
	} else {
		actions->regroup = core->moved;
		core->moved = 0;
	}
	slam_core_nack ( core, now, 0, actions );
	return SLAM_CORE_ACCEPTED;
}

/** Fill in what a firmware's client does */
void slam_core_defaults ( struct slam_core_config *config ) {
	static const struct slam_core_config defaults = {
		.first_nack = { 0, 20 },
		.introduce = { 20, 200 },
		.silence = { 100, 250 },
		.stall = { 1000, 2000 },
		.max_doublings = 4,
		.max_restarts = 64,
		.max_parity = 48,
		.group_len = SLAM_CORE_GROUP_IPV4,
		.give_up = 30000,
		.max_bytes = SLAM_CORE_INT_MAX,
	};

	*config = defaults;
}

/** Begin; clients of one group should differ in their seed */
void slam_core_init ( struct slam_core *core,
		      const struct slam_core_config *config,
		      const struct slam_core_hooks *hooks, uint64_t seed,
		      uint64_t now ) {
	memset ( core, 0, sizeof ( *core ) );
	core->config = *config;
	core->hooks = *hooks;
	core->random = seed;
	core->silence = slam_core_wait ( core, &config->first_nack, 0, 1 );
	core->silent_until = ( now + core->silence );
	core->stalled_until = core->silent_until;
	core->dead_at = ( now + config->give_up );
}

/** Give back all memory; safe to call twice */
void slam_core_free ( struct slam_core *core ) {
	slam_core_drop_parity ( core );
	if ( core->map )
		core->hooks.free ( core->hooks.context, core->map,
				   core->map_len );
	core->map = NULL;
	core->map_len = 0;
}

/**
 * Decide whether to take a datagram at all, before slam_core_input() sees it
 *
 * @v core		Client
 * @v from_server	It came from the address that the server is asked at
 * @ret heed		Take it
 *
 * A server with several addresses may send from another than the one that it is asked at: so
 * anybody is believed until that address is heard, and nobody else from then on.  What a neighbour
 * had sent by then may be anything, and is asked for once more.
 */
int slam_core_heed ( struct slam_core *core, int from_server ) {
	if ( from_server ) {
		if ( core->foreign_taken && core->map && ! core->end ) {
			slam_core_drop_parity ( core );
			memset ( core->map, 0, core->map_len );
			core->held = 0;
			core->first_gap = 0;
		}
		core->foreign_taken = 0;
		core->server_heard = 1;
		return 1;
	}
	if ( core->server_heard ) {
		core->rejected++;
		core->last_rejection = SLAM_CORE_FOREIGN;
		return 0;
	}
	core->foreign_taken = 1;
	return 1;
}

/** Take what happened at @c now; fill in what follows from it */
void slam_core_input ( struct slam_core *core, enum slam_core_kind kind,
		       const uint8_t *data, size_t len, uint64_t now,
		       struct slam_core_actions *actions ) {
	struct slam_core_packet packet;
	enum slam_core_rejection rejection = SLAM_CORE_ACCEPTED;

	memset ( actions, 0, sizeof ( *actions ) );
	actions->end = core->end;
	if ( core->end )
		return;
	switch ( kind ) {
	case SLAM_CORE_MULTICAST:
	case SLAM_CORE_UNICAST:
		rejection = slam_core_decode ( data, len, &packet );
		if ( rejection )
			break;
		if ( kind == SLAM_CORE_MULTICAST )
			rejection = slam_core_multicast ( core, &packet, now,
							  actions );
		else
			rejection = slam_core_unicast ( core, &packet, now,
							actions );
		break;
	case SLAM_CORE_TIMEOUT:
		if ( now >= core->dead_at )
			slam_core_finish ( core, slam_core_diagnosis ( core ),
					   actions );
		else if ( now >= slam_core_due ( core ) )
			slam_core_nack ( core, now, 1, actions );
		break;
	case SLAM_CORE_STOP:
		slam_core_finish ( core, SLAM_CORE_STOPPED, actions );
		break;
	}
	/* Ignored datagrams extend no timer */
	if ( rejection ) {
		core->rejected++;
		core->last_rejection = rejection;
	}
	actions->end = core->end;
	actions->wake = slam_core_due ( core );
	if ( actions->wake > core->dead_at )
		actions->wake = core->dead_at;
}
