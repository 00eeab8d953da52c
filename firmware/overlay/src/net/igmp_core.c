// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Multicast group membership of a host; see igmp_core.h.
 *
 * We ask for groups from any source, never for chosen sources: in v3's terms, every group is in
 * EXCLUDE mode with an empty list.  So a query for a group and sources is answered like one for the
 * group: the answer, MODE_IS_EXCLUDE ( {} ), says all that is true of us, and nothing has to be
 * kept of the sources.
 */

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

/* Only these destinations are used by all versions. */
static const uint8_t all_systems[4] = { 224, 0, 0, 1 };
static const uint8_t all_routers[4] = { 224, 0, 0, 2 };
static const uint8_t v3_routers[4] = { 224, 0, 0, 22 };
static const uint8_t all_nodes6[16] =
	{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
static const uint8_t all_routers6[16] =
	{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 };
static const uint8_t v2_routers6[16] =
	{ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 22 };

/* Bytes ------------------------------------------------------------------------------------- */

static void copy ( uint8_t *to, const uint8_t *from, size_t len ) {
	while ( len-- )
		*(to++) = *(from++);
}

static void clear ( uint8_t *to, size_t len ) {
	while ( len-- )
		*(to++) = 0;
}

static int same ( const uint8_t *a, const uint8_t *b, size_t len ) {
	while ( len-- ) {
		if ( *(a++) != *(b++) )
			return 0;
	}
	return 1;
}

static int zero ( const uint8_t *a, size_t len ) {
	while ( len-- ) {
		if ( *(a++) )
			return 0;
	}
	return 1;
}

static unsigned int get16 ( const uint8_t *from ) {
	return ( ( ( unsigned int ) from[0] << 8 ) | from[1] );
}

static void put16 ( uint8_t *to, unsigned int value ) {
	to[0] = ( uint8_t ) ( value >> 8 );
	to[1] = ( uint8_t ) value;
}

/* Sum of 16-bit words for the Internet checksum (RFC 1071); folded before it can overflow. */
static uint32_t sum ( uint32_t total, const uint8_t *data, size_t len ) {
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

static unsigned int checksum ( uint32_t total ) {
	total = ( ( total & 0xffff ) + ( total >> 16 ) );
	return ( ~total & 0xffff );
}

/* Sum over IPv6's pseudo-header (RFC 8200 section 8.1) */
static uint32_t pseudo_sum ( const uint8_t *header, size_t len ) {
	uint8_t tail[8] = { 0, 0, 0, 0, 0, 0, 0, IPV6_ICMP };

	put16 ( &tail[2], ( unsigned int ) len );
	return sum ( sum ( 0, &header[8], 32 ), tail, sizeof ( tail ) );
}

/* Addresses --------------------------------------------------------------------------------- */

static size_t address_len ( enum igmp_family family ) {
	return ( ( family == IGMP_IPV4 ) ? 4 : 16 );
}

static int is_multicast ( enum igmp_family family, const uint8_t *address ) {
	return ( ( family == IGMP_IPV4 ) ?
		 ( ( address[0] & 0xf0 ) == 0xe0 ) : ( address[0] == 0xff ) );
}

/* Groups that every host hears and none reports: RFC 3376 section 5, RFC 3810 section 6. */
static int is_silent ( enum igmp_family family, const uint8_t *group ) {
	if ( family == IGMP_IPV4 )
		return same ( group, all_systems, 4 );
	/* Reserved and interface-local scope stay off the link. */
	return ( ( ( group[1] & 0x0f ) < 2 ) ||
		 same ( group, all_nodes6, 16 ) );
}

static int is_link_local ( const uint8_t *address ) {
	return ( ( address[0] == 0xfe ) && ( ( address[1] & 0xc0 ) == 0x80 ) );
}

static struct igmp_group * find ( struct igmp *igmp, const uint8_t *address ) {
	unsigned int i;

	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		if ( ( igmp->groups[i].state != IGMP_FREE ) &&
		     same ( igmp->groups[i].address, address,
			    address_len ( igmp->family ) ) )
			return &igmp->groups[i];
	}
	return NULL;
}

/* Time -------------------------------------------------------------------------------------- */

static int due ( uint32_t now, uint32_t at ) {
	return ( ( now - at ) < 0x80000000UL );
}

/* Marsaglia's xorshift32: spreads answers, keeps no secrets. */
static uint32_t random_below ( struct igmp *igmp, uint32_t limit ) {
	igmp->random ^= ( igmp->random << 13 );
	igmp->random ^= ( igmp->random >> 17 );
	igmp->random ^= ( igmp->random << 5 );
	return ( limit ? ( igmp->random % limit ) : 0 );
}

/* In ( 0, max ], as the RFCs ask; at once for 0. */
static uint32_t random_delay ( struct igmp *igmp, uint32_t max ) {
	return ( max ? ( 1 + random_below ( igmp, max ) ) : 0 );
}

static void cancel ( struct igmp_group *group ) {
	group->repeats = 0;
	group->old_format = 0;
	group->answer = 0;
	if ( group->state == IGMP_LEAVING )
		group->state = IGMP_FREE;
}

/* What we speak now; a change of it cancels all that was to be sent (RFC 3376 section 7.2.1). */
static void settle_version ( struct igmp *igmp, uint32_t now, int heard ) {
	enum igmp_version version = igmp->version;
	unsigned int i;

	if ( igmp->v1 && due ( now, igmp->v1_until ) )
		igmp->v1 = 0;
	if ( igmp->v2 && due ( now, igmp->v2_until ) )
		igmp->v2 = 0;
	if ( igmp->v1 ) {
		version = IGMP_V1;
	} else if ( igmp->v2 ) {
		version = IGMP_V2;
	} else if ( heard || ( version != IGMP_UNHEARD ) ) {
		version = IGMP_V3;
	}
	if ( version == igmp->version )
		return;
	/* The first querier is no change: what was begun in both formats goes on in its format. */
	if ( igmp->version != IGMP_UNHEARD ) {
		igmp->answer = 0;
		for ( i = 0 ; i < IGMP_GROUPS ; i++ )
			cancel ( &igmp->groups[i] );
	}
	igmp->version = version;
}

/* Membership -------------------------------------------------------------------------------- */

void igmp_init ( struct igmp *igmp, enum igmp_family family,
		 const uint8_t *source, uint32_t seed ) {
	clear ( ( uint8_t * ) igmp, sizeof ( *igmp ) );
	igmp->family = family;
	copy ( igmp->source, source, address_len ( family ) );
	/* xorshift32 stays at 0 for ever. */
	igmp->random = ( seed ? seed : 0x2545f491 );
	igmp->robustness = ROBUSTNESS;
	igmp->query_interval = QUERY_INTERVAL_S;
}

enum igmp_result igmp_join ( struct igmp *igmp, uint32_t now,
			     const uint8_t *address ) {
	struct igmp_group *group;
	unsigned int i;

	if ( ! is_multicast ( igmp->family, address ) )
		return IGMP_NOT_GROUP;
	group = find ( igmp, address );
	if ( group && ( group->state == IGMP_MEMBER ) )
		return IGMP_OK;
	for ( i = 0 ; ( ! group ) && ( i < IGMP_GROUPS ) ; i++ ) {
		if ( igmp->groups[i].state == IGMP_FREE )
			group = &igmp->groups[i];
	}
	if ( ! group )
		return IGMP_FULL;
	settle_version ( igmp, now, 0 );
	clear ( ( uint8_t * ) group, sizeof ( *group ) );
	copy ( group->address, address, address_len ( igmp->family ) );
	group->state = IGMP_MEMBER;
	if ( ! is_silent ( igmp->family, address ) ) {
		group->repeats = igmp->robustness;
		group->repeat_at = now;
	}
	return IGMP_OK;
}

enum igmp_result igmp_leave ( struct igmp *igmp, uint32_t now,
			      const uint8_t *address ) {
	struct igmp_group *group = find ( igmp, address );
	int say;

	if ( ( ! group ) || ( group->state != IGMP_MEMBER ) )
		return IGMP_NOT_GROUP;
	settle_version ( igmp, now, 0 );
	say = ( ! is_silent ( igmp->family, address ) );
	/* IGMPv1 knows no leave; in v2 the last to report does it (RFC 2236 section 3). */
	if ( igmp->version == IGMP_V1 )
		say = 0;
	if ( igmp->version == IGMP_V2 )
		say = ( say && group->last_reporter );
	cancel ( group );
	if ( ! say ) {
		group->state = IGMP_FREE;
		return IGMP_OK;
	}
	group->state = IGMP_LEAVING;
	group->repeats = ( ( igmp->version == IGMP_V2 ) ? 1 :
			   igmp->robustness );
	group->repeat_at = now;
	return IGMP_OK;
}

int igmp_idle ( const struct igmp *igmp ) {
	unsigned int i;

	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		if ( igmp->groups[i].state != IGMP_FREE )
			return 0;
	}
	return 1;
}

/* Input ------------------------------------------------------------------------------------- */

/* A message out of a packet that passed all checks of its IP header */
struct message {
	const uint8_t *source;
	const uint8_t *destination;
	const uint8_t *data;
	size_t len;
	int alert;
};

/* Option types: RFC 791 section 3.1; Router Alert: RFC 2113 section 2.1 */
static enum igmp_result options4 ( const uint8_t *option, size_t len,
				   int *alert ) {
	while ( len ) {
		if ( option[0] == 0 )
			break;
		if ( option[0] == 1 ) {
			option++;
			len--;
			continue;
		}
		if ( ( len < 2 ) || ( option[1] < 2 ) || ( option[1] > len ) )
			return IGMP_MALFORMED;
		if ( ( option[0] == 0x94 ) && ( option[1] == 4 ) &&
		     ( get16 ( &option[2] ) == 0 ) )
			*alert = 1;
		len -= option[1];
		option += option[1];
	}
	return IGMP_OK;
}

/* Option types: RFC 8200 section 4.2; Router Alert, 0 for MLD: RFC 2711 section 2.1 */
static enum igmp_result options6 ( const uint8_t *option, size_t len,
				   int *alert ) {
	while ( len ) {
		if ( option[0] == 0 ) {
			option++;
			len--;
			continue;
		}
		if ( ( len < 2 ) || ( option[1] + 2U > len ) )
			return IGMP_MALFORMED;
		if ( ( option[0] == 5 ) && ( option[1] == 2 ) &&
		     ( get16 ( &option[2] ) == 0 ) )
			*alert = 1;
		len -= ( option[1] + 2U );
		option += ( option[1] + 2U );
	}
	return IGMP_OK;
}

static enum igmp_result parse4 ( const uint8_t *packet, size_t len,
				 struct message *message ) {
	size_t header;
	size_t total;
	enum igmp_result rc;

	if ( len < IPV4_HEADER )
		return IGMP_TRUNCATED;
	header = ( ( packet[0] & 0x0f ) * 4U );
	total = get16 ( &packet[2] );
	if ( ( ( packet[0] >> 4 ) != 4 ) || ( header < IPV4_HEADER ) )
		return IGMP_MALFORMED;
	if ( ( header > len ) || ( total > len ) )
		return IGMP_TRUNCATED;
	/* No fragment: neither an offset nor More Fragments */
	if ( ( total < header ) || ( get16 ( &packet[6] ) & 0x3fff ) )
		return IGMP_MALFORMED;
	if ( checksum ( sum ( 0, packet, header ) ) != 0 )
		return IGMP_CHECKSUM;
	if ( packet[9] != IPV4_PROTOCOL_IGMP )
		return IGMP_IGNORED;
	if ( packet[8] != 1 )
		return IGMP_NOT_LOCAL;
	message->alert = 0;
	rc = options4 ( &packet[IPV4_HEADER], ( header - IPV4_HEADER ),
			&message->alert );
	if ( rc != IGMP_OK )
		return rc;
	message->source = &packet[12];
	message->destination = &packet[16];
	message->data = &packet[header];
	message->len = ( total - header );
	if ( message->len < 8 )
		return IGMP_TRUNCATED;
	if ( checksum ( sum ( 0, message->data, message->len ) ) != 0 )
		return IGMP_CHECKSUM;
	return IGMP_OK;
}

static enum igmp_result parse6 ( const uint8_t *packet, size_t len,
				 struct message *message ) {
	size_t extension;
	size_t payload;
	enum igmp_result rc;

	if ( len < IPV6_HEADER )
		return IGMP_TRUNCATED;
	if ( ( packet[0] >> 4 ) != 6 )
		return IGMP_MALFORMED;
	payload = get16 ( &packet[4] );
	if ( payload > ( len - IPV6_HEADER ) )
		return IGMP_TRUNCATED;
	message->source = &packet[8];
	message->destination = &packet[24];
	message->data = &packet[IPV6_HEADER];
	message->len = payload;
	message->alert = 0;
	if ( packet[6] == IPV6_HOP_BY_HOP ) {
		if ( payload < 8 )
			return IGMP_TRUNCATED;
		extension = ( 8 + ( message->data[1] * 8U ) );
		if ( extension > payload )
			return IGMP_TRUNCATED;
		rc = options6 ( &message->data[2], ( extension - 2 ),
				&message->alert );
		if ( rc != IGMP_OK )
			return rc;
		if ( message->data[0] != IPV6_ICMP )
			return IGMP_IGNORED;
		message->data += extension;
		message->len -= extension;
	} else if ( packet[6] != IPV6_ICMP ) {
		return IGMP_IGNORED;
	}
	if ( message->len < 8 )
		return IGMP_TRUNCATED;
	if ( checksum ( sum ( pseudo_sum ( packet, message->len ),
			      message->data, message->len ) ) != 0 )
		return IGMP_CHECKSUM;
	/* Only now: other ICMPv6 messages rightly have other hop limits. */
	if ( ( message->data[0] < MLD_QUERY ) ||
	     ( message->data[0] > MLD_V1_DONE ) )
		return IGMP_IGNORED;
	if ( packet[7] != 1 )
		return IGMP_NOT_LOCAL;
	/* RFC 3810 sections 5.1.14 and 6.2: discard what lacks any of these. */
	if ( ! message->alert )
		return IGMP_NO_ALERT;
	if ( ! is_link_local ( message->source ) )
		return IGMP_ADDRESS;
	if ( message->len < 24 )
		return IGMP_TRUNCATED;
	return IGMP_OK;
}

/* Tenths of a second in IGMPv3: RFC 3376 section 4.1.1; also QQIC, section 4.1.7 */
static uint32_t floating8 ( uint8_t code ) {
	if ( code < 128 )
		return code;
	return ( ( ( code & 0x0fU ) | 0x10U ) << ( ( ( code >> 4 ) & 7 ) + 3 ) );
}

/* Milliseconds in MLDv2: RFC 3810 section 5.1.3 */
static uint32_t floating16 ( unsigned int code ) {
	if ( code < 32768 )
		return code;
	return ( ( ( code & 0x0fffU ) | 0x1000U ) <<
		 ( ( ( code >> 12 ) & 7 ) + 3 ) );
}

/* Takes over what the querier says of itself: v3's QRV and QQIC */
static void querier_variables ( struct igmp *igmp, const uint8_t *qrv ) {
	uint8_t robustness = ( qrv[0] & 0x07 );

	/* RFC 3376 section 8.1: must not be 0, should not be 1 */
	igmp->robustness = ( ( robustness < 2 ) ? ROBUSTNESS : robustness );
	igmp->query_interval = ( qrv[1] ? floating8 ( qrv[1] ) :
				 QUERY_INTERVAL_S );
}

/* RFC 2236 section 3: a running timer only ever gets shorter; so does RFC 3376 section 5.2, 4. */
static void schedule_answer ( struct igmp *igmp, struct igmp_group *group,
			      uint32_t now, uint32_t max ) {
	uint32_t at = ( now + random_delay ( igmp, max ) );

	if ( ( group->state != IGMP_MEMBER ) ||
	     is_silent ( igmp->family, group->address ) )
		return;
	if ( group->answer && due ( at, group->answer_at ) )
		return;
	group->answer = 1;
	group->answer_at = at;
}

static enum igmp_result query ( struct igmp *igmp, uint32_t now,
				const struct message *message ) {
	int ipv4 = ( igmp->family == IGMP_IPV4 );
	/* Length of the old query, and offset of the group in all */
	size_t old_len = ( ipv4 ? 8 : 24 );
	size_t group_at = ( ipv4 ? 4 : 8 );
	size_t addr = address_len ( igmp->family );
	const uint8_t *target = &message->data[group_at];
	int general = zero ( target, addr );
	enum igmp_version version;
	struct igmp_group *group;
	uint32_t max;
	uint32_t at;
	size_t sources;
	unsigned int i;

	/* Which version: RFC 3376 section 7.1, RFC 3810 section 8.1 */
	if ( message->len == old_len ) {
		version = IGMP_V2;
		max = ( ipv4 ? ( message->data[1] * 100U ) :
			get16 ( &message->data[4] ) );
		if ( ipv4 && ( max == 0 ) ) {
			version = IGMP_V1;
			max = V1_RESPONSE_MS;
		}
	} else if ( message->len >= ( old_len + 4 ) ) {
		version = IGMP_V3;
		max = ( ipv4 ? ( floating8 ( message->data[1] ) * 100U ) :
			floating16 ( get16 ( &message->data[4] ) ) );
		sources = get16 ( &message->data[ old_len + 2 ] );
		if ( ( sources * addr ) > ( message->len - old_len - 4 ) )
			return IGMP_TRUNCATED;
	} else {
		return IGMP_MALFORMED;
	}

	/*
	 * RFC 3376 section 9.1: no general query for any other group than all systems'.  The same
	 * section's advice to ignore v2 and v3 queries without Router Alert is against queries that
	 * make hosts keep long lists of sources; we keep none, and there are switches that leave it
	 * out.  Not so for MLD, where parse6() has to insist.
	 */
	if ( general ) {
		if ( is_multicast ( igmp->family, message->destination ) &&
		     ! same ( message->destination,
			      ( ipv4 ? all_systems : all_nodes6 ), addr ) )
			return IGMP_ADDRESS;
	} else if ( ( ! is_multicast ( igmp->family, target ) ) ||
		    ( version == IGMP_V1 ) ) {
		/* IGMPv1 knows general queries only (RFC 1112 appendix I). */
		return IGMP_ADDRESS;
	}

	/* Older Version Querier Present Timeout: RFC 3376 section 8.12, RFC 3810 section 9.12 */
	at = ( now + ( igmp->robustness * igmp->query_interval * 1000U ) + max );
	if ( version == IGMP_V1 ) {
		igmp->v1 = 1;
		igmp->v1_until = at;
	} else if ( version == IGMP_V2 ) {
		igmp->v2 = 1;
		igmp->v2_until = at;
	} else {
		querier_variables ( igmp, &message->data[old_len] );
	}
	settle_version ( igmp, now, 1 );

	if ( ! general ) {
		group = find ( igmp, target );
		if ( ! group )
			return IGMP_IGNORED;
		schedule_answer ( igmp, group, now, max );
		return IGMP_OK;
	}
	if ( igmp->version == IGMP_V3 ) {
		/* RFC 3376 section 5.2: one answer for all groups; an earlier one stands. */
		at = ( now + random_delay ( igmp, max ) );
		if ( ! ( igmp->answer && due ( at, igmp->answer_at ) ) ) {
			igmp->answer = 1;
			igmp->answer_at = at;
		}
		return IGMP_OK;
	}
	for ( i = 0 ; i < IGMP_GROUPS ; i++ )
		schedule_answer ( igmp, &igmp->groups[i], now, max );
	return IGMP_OK;
}

/* Another host's report: in v1 and v2, one speaks for all (RFC 2236 section 3). */
static enum igmp_result report ( struct igmp *igmp, uint32_t now,
				 const struct message *message ) {
	size_t addr = address_len ( igmp->family );
	const uint8_t *target =
		&message->data[ ( igmp->family == IGMP_IPV4 ) ? 4 : 8 ];
	struct igmp_group *group;

	if ( same ( message->source, igmp->source, addr ) )
		return IGMP_IGNORED;
	if ( ! same ( message->destination, target, addr ) )
		return IGMP_ADDRESS;
	settle_version ( igmp, now, 0 );
	if ( ( igmp->version != IGMP_V1 ) && ( igmp->version != IGMP_V2 ) )
		return IGMP_IGNORED;
	group = find ( igmp, target );
	if ( ( ! group ) || ( group->state != IGMP_MEMBER ) )
		return IGMP_IGNORED;
	/*
	 * Our own first report is not suppressed: it was not for the others' ears alone, and a
	 * switch must hear it at this port.
	 */
	if ( group->repeats == igmp->robustness )
		return IGMP_IGNORED;
	cancel ( group );
	group->last_reporter = 0;
	return IGMP_OK;
}

enum igmp_result igmp_input ( struct igmp *igmp, uint32_t now,
			      const uint8_t *packet, size_t len ) {
	struct message message;
	enum igmp_result rc;

	rc = ( ( igmp->family == IGMP_IPV4 ) ?
	       parse4 ( packet, len, &message ) :
	       parse6 ( packet, len, &message ) );
	if ( rc != IGMP_OK )
		return rc;
	/* The families number their messages each for itself. */
	if ( message.data[0] ==
	     ( ( igmp->family == IGMP_IPV4 ) ? IGMP_QUERY : MLD_QUERY ) )
		return query ( igmp, now, &message );
	if ( ( igmp->family == IGMP_IPV4 ) ?
	     ( ( message.data[0] == IGMP_V1_REPORT ) ||
	       ( message.data[0] == IGMP_V2_REPORT ) ) :
	     ( message.data[0] == MLD_V1_REPORT ) )
		return report ( igmp, now, &message );
	return IGMP_IGNORED;
}

size_t igmp_header_before ( enum igmp_family family, const uint8_t *payload,
			    size_t len, size_t before ) {
	size_t header;

	if ( family == IGMP_IPV4 ) {
		for ( header = IPV4_HEADER ;
		      ( header <= 60 ) && ( header <= before ) ; header += 4 ) {
			const uint8_t *ip = ( payload - header );

			if ( ( ip[0] == ( 0x40 | ( header / 4 ) ) ) &&
			     ( get16 ( &ip[2] ) == ( header + len ) ) &&
			     ( ip[9] == IPV4_PROTOCOL_IGMP ) &&
			     ( checksum ( sum ( 0, ip, header ) ) == 0 ) )
				return header;
		}
		return 0;
	}
	/* Hop-by-hop options have a length of one byte, in units of eight. */
	for ( header = IPV6_HEADER ; ( header <= ( IPV6_HEADER + 2048 ) ) &&
	      ( header <= before ) ; header += 8 ) {
		const uint8_t *ip = ( payload - header );
		size_t extension = ( header - IPV6_HEADER );

		if ( ( ( ip[0] >> 4 ) == 6 ) &&
		     ( get16 ( &ip[4] ) == ( extension + len ) ) &&
		     ( extension ?
		       ( ( ip[6] == IPV6_HOP_BY_HOP ) &&
			 ( ip[40] == IPV6_ICMP ) &&
			 ( ( ip[41] * 8U ) + 8 == extension ) ) :
		       ( ip[6] == IPV6_ICMP ) ) )
			return header;
	}
	return 0;
}

/* Output ------------------------------------------------------------------------------------ */

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
static size_t old_message ( const struct igmp *igmp, uint8_t *packet,
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
static size_t new_message ( const struct igmp *igmp, uint8_t *packet,
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

/* After an unsolicited message was sent in all its formats: when to repeat it */
static void repeated ( struct igmp *igmp, struct igmp_group *group,
		       uint32_t now ) {
	int old = ( ( igmp->version == IGMP_V1 ) ||
		    ( igmp->version == IGMP_V2 ) );

	if ( group->repeats ) {
		group->repeat_at =
			( now + random_delay ( igmp, ( old ? UNSOLICITED_OLD_MS :
						       UNSOLICITED_MS ) ) );
	} else if ( group->state == IGMP_LEAVING ) {
		group->state = IGMP_FREE;
	}
}

static size_t poll_group ( struct igmp *igmp, uint32_t now, uint8_t *packet,
			   struct igmp_group *group ) {
	int new = ( ( igmp->version == IGMP_V3 ) ||
		    ( igmp->version == IGMP_UNHEARD ) );
	size_t len;

	if ( group->old_format ) {
		group->old_format = 0;
		len = old_message ( igmp, packet, group );
		repeated ( igmp, group, now );
		return len;
	}
	if ( group->repeats && due ( now, group->repeat_at ) ) {
		group->repeats--;
		group->last_reporter = 1;
		if ( ! new ) {
			len = old_message ( igmp, packet, group );
			repeated ( igmp, group, now );
			return len;
		}
		len = new_message ( igmp, packet, group,
				    ( ( group->state == IGMP_LEAVING ) ?
				      CHANGE_TO_INCLUDE : CHANGE_TO_EXCLUDE ) );
		if ( igmp->version == IGMP_UNHEARD ) {
			group->old_format = 1;
		} else {
			repeated ( igmp, group, now );
		}
		return len;
	}
	if ( group->answer && due ( now, group->answer_at ) ) {
		group->answer = 0;
		group->last_reporter = 1;
		return ( new ? new_message ( igmp, packet, group,
					     MODE_IS_EXCLUDE ) :
			 old_message ( igmp, packet, group ) );
	}
	return 0;
}

size_t igmp_poll ( struct igmp *igmp, uint32_t now, uint8_t *packet ) {
	unsigned int i;
	size_t len;

	settle_version ( igmp, now, 0 );
	if ( igmp->answer && due ( now, igmp->answer_at ) ) {
		igmp->answer = 0;
		len = new_message ( igmp, packet, NULL, MODE_IS_EXCLUDE );
		if ( len )
			return len;
	}
	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		if ( igmp->groups[i].state == IGMP_FREE )
			continue;
		len = poll_group ( igmp, now, packet, &igmp->groups[i] );
		if ( len )
			return len;
	}
	return 0;
}

/* Takes `at` into account for the earliest time of all. */
static int earliest ( int any, uint32_t now, uint32_t at, uint32_t *delay ) {
	uint32_t left = ( due ( now, at ) ? 0 : ( at - now ) );

	if ( ( ! any ) || ( left < *delay ) )
		*delay = left;
	return 1;
}

int igmp_timeout ( const struct igmp *igmp, uint32_t now, uint32_t *delay ) {
	int any = 0;
	unsigned int i;

	if ( igmp->answer )
		any = earliest ( any, now, igmp->answer_at, delay );
	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		const struct igmp_group *group = &igmp->groups[i];

		if ( group->state == IGMP_FREE )
			continue;
		if ( group->old_format ) {
			any = earliest ( any, now, now, delay );
		} else if ( group->repeats ) {
			any = earliest ( any, now, group->repeat_at, delay );
		}
		if ( group->answer )
			any = earliest ( any, now, group->answer_at, delay );
	}
	return any;
}
