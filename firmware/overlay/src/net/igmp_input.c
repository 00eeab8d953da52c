// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What a host hears: queries, and the reports of others; see igmp_core.h.
 */

#include "igmp_parts.h"

static int is_link_local ( const uint8_t *address ) {
	return ( ( address[0] == 0xfe ) && ( ( address[1] & 0xc0 ) == 0x80 ) );
}

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
	uint32_t at = ( now + igmp_random_delay ( igmp, max ) );

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
		     ! is_all_hosts ( igmp->family, message->destination ) )
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
	igmp_settle_version ( igmp, now, 1 );

	if ( ! general ) {
		group = igmp_find ( igmp, target );
		if ( ! group )
			return IGMP_IGNORED;
		schedule_answer ( igmp, group, now, max );
		return IGMP_OK;
	}
	if ( igmp->version == IGMP_V3 ) {
		/* RFC 3376 section 5.2: one answer for all groups; an earlier one stands. */
		at = ( now + igmp_random_delay ( igmp, max ) );
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
	igmp_settle_version ( igmp, now, 0 );
	if ( ( igmp->version != IGMP_V1 ) && ( igmp->version != IGMP_V2 ) )
		return IGMP_IGNORED;
	group = igmp_find ( igmp, target );
	if ( ( ! group ) || ( group->state != IGMP_MEMBER ) )
		return IGMP_IGNORED;
	/*
	 * Our own first report is not suppressed: it was not for the others' ears alone, and a
	 * switch must hear it at this port.
	 */
	if ( group->repeats == igmp->robustness )
		return IGMP_IGNORED;
	igmp_cancel ( group );
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
