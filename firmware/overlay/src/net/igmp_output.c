// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What a host says: reports and leaves, in the formats of all versions; see igmp_core.h.
 */

#include "igmp_parts.h"

static const uint8_t all_routers[4] = { 224, 0, 0, 2 };
static const uint8_t v3_routers[4] = { 224, 0, 0, 22 };
static const uint8_t all_routers6[16] =
	{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 };
static const uint8_t v2_routers6[16] =
	{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 22 };

static size_t message_at ( enum igmp_family family ) {
	return ( ( family == IGMP_IPV4 ) ? ( IPV4_HEADER + 4 ) :
		 ( IPV6_HEADER + 8 ) );
}

size_t igmp_destination ( enum igmp_family family ) {
	return ( ( family == IGMP_IPV4 ) ? 16 : 24 );
}

/* Puts headers before a message of `len` bytes that stands at message_at(). */
static size_t finish ( const struct igmp *igmp, uint8_t *packet, size_t len,
		       const uint8_t *destination ) {
	size_t at = message_at ( igmp->family );
	uint8_t *message = &packet[at];

	put16 ( &message[2], 0 );
	clear ( packet, at );
	if ( igmp->family == IGMP_IPV4 ) {
		packet[0] = 0x46;
		/* RFC 3376 section 4: Internetwork Control */
		packet[1] = 0xc0;
		put16 ( &packet[2], ( unsigned int ) ( at + len ) );
		/* Never fragmented: no identification is needed (RFC 6864 section 4.1). */
		packet[6] = 0x40;
		packet[8] = 1;
		packet[9] = IPV4_PROTOCOL_IGMP;
		copy ( &packet[12], igmp->source, 4 );
		copy ( &packet[16], destination, 4 );
		packet[20] = 0x94;
		packet[21] = 0x04;
		put16 ( &packet[10], checksum ( sum ( 0, packet, at ) ) );
		put16 ( &message[2], checksum ( sum ( 0, message, len ) ) );
		return ( at + len );
	}
	packet[0] = 0x60;
	put16 ( &packet[4], ( unsigned int ) ( 8 + len ) );
	packet[6] = IPV6_HOP_BY_HOP;
	packet[7] = 1;
	copy ( &packet[8], igmp->source, 16 );
	copy ( &packet[24], destination, 16 );
	packet[40] = IPV6_ICMP;
	packet[42] = 0x05;
	packet[43] = 0x02;
	packet[46] = 0x01;
	put16 ( &message[2],
		checksum ( sum ( pseudo_sum ( packet, len ), message, len ) ) );
	return ( at + len );
}

/* A report or a leave in the format of v1 and v2 */
size_t igmp_old_message ( const struct igmp *igmp, uint8_t *packet,
			    const struct igmp_group *group ) {
	int ipv4 = ( igmp->family == IGMP_IPV4 );
	int leaving = ( group->state == IGMP_LEAVING );
	size_t addr = address_len ( igmp->family );
	uint8_t *message = &packet[ message_at ( igmp->family ) ];
	const uint8_t *destination = group->address;
	size_t len = ( ipv4 ? 8 : 24 );

	clear ( message, len );
	if ( leaving ) {
		message[0] = ( ipv4 ? IGMP_V2_LEAVE : MLD_V1_DONE );
		destination = ( ipv4 ? all_routers : all_routers6 );
	} else if ( ipv4 ) {
		message[0] = ( ( igmp->version == IGMP_V1 ) ?
			       IGMP_V1_REPORT : IGMP_V2_REPORT );
	} else {
		message[0] = MLD_V1_REPORT;
	}
	copy ( &message[ len - addr ], group->address, addr );
	return finish ( igmp, packet, len, destination );
}

/* A v3 report: `only` one group, or all that we are members of; 0 if there are none */
size_t igmp_new_message ( const struct igmp *igmp, uint8_t *packet,
			    const struct igmp_group *only, uint8_t type ) {
	int ipv4 = ( igmp->family == IGMP_IPV4 );
	size_t addr = address_len ( igmp->family );
	uint8_t *message = &packet[ message_at ( igmp->family ) ];
	unsigned int records = 0;
	size_t len = 8;
	unsigned int i;

	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		const struct igmp_group *group = &igmp->groups[i];

		if ( only ? ( group != only ) :
		     ( ( group->state != IGMP_MEMBER ) ||
		       is_silent ( igmp->family, group->address ) ) )
			continue;
		clear ( &message[len], 4 );
		message[len] = type;
		copy ( &message[ len + 4 ], group->address, addr );
		len += ( 4 + addr );
		records++;
	}
	if ( ! records )
		return 0;
	clear ( message, 8 );
	message[0] = ( ipv4 ? IGMP_V3_REPORT : MLD_V2_REPORT );
	put16 ( &message[6], records );
	return finish ( igmp, packet, len,
			( ipv4 ? v3_routers : v2_routers6 ) );
}
