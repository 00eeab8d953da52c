/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SLAM on the wire: integers, and the datagrams of a server; see slam_core.h.
 *
 * Freestanding C99.
 */

#ifdef FILE_LICENCE
FILE_LICENCE ( MIT );
#endif
#ifdef FILE_SECBOOT
FILE_SECBOOT ( FORBIDDEN );
#endif

#include <string.h>
#include "slam_core.h"

/** Bytes that an Int takes: the fewest that hold the value beside 3 bits of length */
size_t slam_core_int_len ( uint64_t value ) {
	size_t len = 1;

	/* One byte holds 5 bits, each further one 8 */
	for ( value >>= 5 ; value ; value >>= 8 )
		len++;
	return len;
}

/** Write an Int, at most SLAM_CORE_INT_MAX; its length is returned */
size_t slam_core_put_int ( uint64_t value, uint8_t *out ) {
	size_t len = slam_core_int_len ( value );
	size_t i;

	for ( i = len ; i-- ; value >>= 8 )
		out[i] = ( uint8_t ) value;
	out[0] |= ( uint8_t ) ( len << 5 );
	return len;
}

/** Read an Int of any length; @c used is what it took */
enum slam_core_rejection slam_core_pull_int ( const uint8_t *data, size_t len,
					      size_t *used, uint64_t *value ) {
	size_t int_len;
	size_t i;

	if ( ! len )
		return SLAM_CORE_TRUNCATED;
	int_len = ( data[0] >> 5 );
	if ( ! int_len )
		return SLAM_CORE_INT_LENGTH;
	if ( int_len > len )
		return SLAM_CORE_TRUNCATED;
	*value = ( data[0] & 0x1f );
	for ( i = 1 ; i < int_len ; i++ )
		*value = ( ( *value << 8 ) | data[i] );
	*used = int_len;
	return SLAM_CORE_ACCEPTED;
}

/** Blocks in a transfer */
uint64_t slam_core_count ( const struct slam_core_header *header ) {
	uint64_t last = ( header->total_bytes - 1 );

	/* Files below 4 GiB, which are all that i386 can hold, need no 64-bit division */
	if ( last <= SLAM_CORE_U32_MAX )
		return ( ( ( ( uint32_t ) last ) / header->block_size ) +
			 ( uint64_t ) 1 );
	return ( ( last / header->block_size ) + 1 );
}

/** Bytes in a block; it must be one of the transfer */
size_t slam_core_block_len ( const struct slam_core_header *header,
			     uint64_t offset ) {
	uint64_t left = ( header->total_bytes - offset );

	return ( ( left < header->block_size ) ?
		 ( size_t ) left : header->block_size );
}

/** Windows in a transfer of @c count blocks; a window has as many sums as blocks */
uint64_t slam_core_windows ( uint64_t count ) {
	return ( ( count + SLAM_PARITY_WINDOW - 1 ) >> SLAM_PARITY_WINDOW_BITS );
}

/** Whether it is multicast, and has a port */
static int slam_core_is_group ( const uint8_t *group, size_t len ) {
	int multicast = ( ( len == SLAM_CORE_GROUP_IPV4 ) ?
			  ( ( group[0] >> 4 ) == 0xe ) : ( group[0] == 0xff ) );

	return ( multicast && ( group[ len - 2 ] | group[ len - 1 ] ) );
}

/** Read a datagram from the server; every length and number in it is checked */
enum slam_core_rejection slam_core_decode ( const uint8_t *data, size_t len,
					    struct slam_core_packet *packet ) {
	uint64_t values[3];
	uint64_t offset;
	size_t expected;
	size_t used = 0;
	unsigned int i;
	enum slam_core_rejection rejection;

	for ( i = 0 ; i < 3 ; i++ ) {
		rejection = slam_core_pull_int ( data, len, &used, &values[i] );
		if ( rejection )
			return rejection;
		data += used;
		len -= used;
	}
	if ( ( values[2] == 0 ) || ( values[2] > SLAM_CORE_MAX_BLOCK ) )
		return SLAM_CORE_BLOCK_SIZE;
	/* No client can complete it; stock clients report success with nothing */
	if ( values[1] == 0 )
		return SLAM_CORE_EMPTY_TRANSFER;
	packet->header.transaction = values[0];
	packet->header.total_bytes = values[1];
	packet->header.block_size = ( uint32_t ) values[2];
	packet->is_dismissal = ( ( len == 1 ) && ( *data == SLAM_CORE_NUL ) );
	packet->group = NULL;
	packet->group_len = 0;
	if ( ( ( len == ( 1 + SLAM_CORE_GROUP_IPV4 ) ) ||
	       ( len == ( 1 + SLAM_CORE_GROUP_IPV6 ) ) ) &&
	     ( *data == SLAM_CORE_NUL ) ) {
		packet->group = ( data + 1 );
		packet->group_len = ( len - 1 );
		if ( ! slam_core_is_group ( packet->group,
					    packet->group_len ) )
			return SLAM_CORE_GROUP;
	}
	packet->is_data = ( len && ( ! packet->is_dismissal ) &&
			    ( ! packet->group ) );
	packet->is_parity = 0;
	packet->block = 0;
	packet->row = 0;
	packet->payload = NULL;
	packet->payload_len = 0;
	if ( ! packet->is_data )
		return SLAM_CORE_ACCEPTED;

	rejection = slam_core_pull_int ( data, len, &used, &packet->block );
	if ( rejection )
		return rejection;
	data += used;
	len -= used;
	/* Below 2^53 times below 2^16 may wrap; a wrapped product is no offset of this block */
	offset = ( packet->block * packet->header.block_size );
	if ( ( packet->block >= packet->header.total_bytes ) ||
	     ( packet->block >> 47 ) ||
	     ( offset >= packet->header.total_bytes ) ) {
		/* Numbers beyond the last block are sums over windows, then nothing.  Only a file of
		 * blocks below 64 bytes has a block of so high a number: count them.
		 */
		uint64_t count = slam_core_count ( &packet->header );

		if ( packet->block >= count ) {
			uint64_t number = ( packet->block - count );

			packet->is_parity = 1;
			packet->row = ( number & ( SLAM_PARITY_ROWS - 1 ) );
			packet->block = ( number >> SLAM_PARITY_WINDOW_BITS );
			if ( packet->block >= slam_core_windows ( count ) )
				return SLAM_CORE_BLOCK_NUMBER;
		}
	}
	expected = ( packet->is_parity ? packet->header.block_size :
		     slam_core_block_len ( &packet->header, offset ) );
	if ( len != expected )
		return SLAM_CORE_BLOCK_LENGTH;
	packet->payload = data;
	packet->payload_len = len;
	return SLAM_CORE_ACCEPTED;
}
