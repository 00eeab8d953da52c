// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What the parts of group membership have in common: igmp_core.c keeps the state, igmp_input.c
 * reads packets, igmp_output.c writes them.  None includes a header of iPXE's.
 */

#ifndef SLAMBOOT_IGMP_PARTS_H
#define SLAMBOOT_IGMP_PARTS_H

#include "igmp_core.h"

/* Message types: RFC 2236 section 2.1, RFC 3376 section 4 */
#define IGMP_QUERY		0x11
#define IGMP_V1_REPORT		0x12
#define IGMP_V2_REPORT		0x16
#define IGMP_V2_LEAVE		0x17
#define IGMP_V3_REPORT		0x22
/* RFC 2710 section 3.1, RFC 3810 section 5.2 */
#define MLD_QUERY		130
#define MLD_V1_REPORT		131
#define MLD_V1_DONE		132
#define MLD_V2_REPORT		143

/* Record types: RFC 3376 section 4.2.12 */
#define MODE_IS_EXCLUDE		2
#define CHANGE_TO_INCLUDE	3
#define CHANGE_TO_EXCLUDE	4

/* Defaults: RFC 3376 section 8, RFC 3810 section 9 */
#define ROBUSTNESS		2
#define QUERY_INTERVAL_S	125
#define UNSOLICITED_MS		1000
#define UNSOLICITED_OLD_MS	10000
/* RFC 2236 section 4: what an IGMPv1 query means by a maximum response time of 0 */
#define V1_RESPONSE_MS		10000

#define IPV4_HEADER		20
#define IPV4_PROTOCOL_IGMP	2
#define IPV6_HEADER		40
#define IPV6_HOP_BY_HOP		0
#define IPV6_ICMP		58

/* Bytes ------------------------------------------------------------------------------------- */

static inline void copy ( uint8_t *to, const uint8_t *from, size_t len ) {
	while ( len-- )
		*(to++) = *(from++);
}

static inline void clear ( uint8_t *to, size_t len ) {
	while ( len-- )
		*(to++) = 0;
}

static inline int same ( const uint8_t *a, const uint8_t *b, size_t len ) {
	while ( len-- ) {
		if ( *(a++) != *(b++) )
			return 0;
	}
	return 1;
}

static inline int zero ( const uint8_t *a, size_t len ) {
	while ( len-- ) {
		if ( *(a++) )
			return 0;
	}
	return 1;
}

static inline unsigned int get16 ( const uint8_t *from ) {
	return ( ( ( unsigned int ) from[0] << 8 ) | from[1] );
}

static inline void put16 ( uint8_t *to, unsigned int value ) {
	to[0] = ( uint8_t ) ( value >> 8 );
	to[1] = ( uint8_t ) value;
}

/* Sum of 16-bit words for the Internet checksum (RFC 1071); folded before it can overflow. */
static inline uint32_t sum ( uint32_t total, const uint8_t *data, size_t len ) {
	while ( len > 1 ) {
		total += get16 ( data );
		total = ( ( total & 0xffff ) + ( total >> 16 ) );
		data += 2;
		len -= 2;
	}
	if ( len )
		total += ( ( uint32_t ) data[0] << 8 );
	return ( ( total & 0xffff ) + ( total >> 16 ) );
}

static inline unsigned int checksum ( uint32_t total ) {
	total = ( ( total & 0xffff ) + ( total >> 16 ) );
	return ( ~total & 0xffff );
}

/* Sum over IPv6's pseudo-header (RFC 8200 section 8.1) */
static inline uint32_t pseudo_sum ( const uint8_t *header, size_t len ) {
	uint8_t tail[8] = { 0, 0, 0, 0, 0, 0, 0, IPV6_ICMP };

	put16 ( &tail[2], ( unsigned int ) len );
	return sum ( sum ( 0, &header[8], 32 ), tail, sizeof ( tail ) );
}

/* Addresses --------------------------------------------------------------------------------- */

static inline size_t address_len ( enum igmp_family family ) {
	return ( ( family == IGMP_IPV4 ) ? 4 : 16 );
}

static inline int is_multicast ( enum igmp_family family, const uint8_t *address ) {
	return ( ( family == IGMP_IPV4 ) ?
		 ( ( address[0] & 0xf0 ) == 0xe0 ) : ( address[0] == 0xff ) );
}

/* The destination that all versions use for what concerns every group, and every host hears. */
static inline int is_all_hosts ( enum igmp_family family,
				 const uint8_t *address ) {
	static const uint8_t all_systems[4] = { 224, 0, 0, 1 };
	static const uint8_t all_nodes6[16] =
		{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };

	return ( ( family == IGMP_IPV4 ) ? same ( address, all_systems, 4 ) :
		 same ( address, all_nodes6, 16 ) );
}

/* Groups that every host hears and none reports: RFC 3376 section 5, RFC 3810 section 6. */
static inline int is_silent ( enum igmp_family family, const uint8_t *group ) {
	/* Reserved and interface-local scope stay off the link. */
	if ( ( family == IGMP_IPV6 ) && ( ( group[1] & 0x0f ) < 2 ) )
		return 1;
	return is_all_hosts ( family, group );
}

/* Time -------------------------------------------------------------------------------------- */

static inline int due ( uint32_t now, uint32_t at ) {
	return ( ( now - at ) < 0x80000000UL );
}

/* State (igmp_core.c) ------------------------------------------------------------------------ */

/* The group of that address, if we are in it or leaving it */
struct igmp_group * igmp_find ( struct igmp *igmp, const uint8_t *address );
/* In ( 0, max ], as the RFCs ask; at once for 0. */
uint32_t igmp_random_delay ( struct igmp *igmp, uint32_t max );
/* Forget what was to be sent for a group */
void igmp_cancel ( struct igmp_group *group );
/* What we speak now; a change of it cancels all that was to be sent (RFC 3376 section 7.2.1). */
void igmp_settle_version ( struct igmp *igmp, uint32_t now, int heard );

/* Messages (igmp_output.c) ------------------------------------------------------------------- */

/* A report or a leave in the format of v1 and v2 */
size_t igmp_old_message ( const struct igmp *igmp, uint8_t *packet,
			  const struct igmp_group *group );
/* A v3 report: `only` one group, or all that we are members of; 0 if there are none */
size_t igmp_new_message ( const struct igmp *igmp, uint8_t *packet,
			  const struct igmp_group *only, uint8_t type );

#endif /* SLAMBOOT_IGMP_PARTS_H */
