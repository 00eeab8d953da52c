// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Multicast group membership of a host; see igmp_core.h.
 *
 * We ask for groups from any source, never for chosen sources: in v3's terms, every group is in
 * EXCLUDE mode with an empty list.  So a query for a group and sources is answered like one for the
 * group: the answer, MODE_IS_EXCLUDE ( {} ), says all that is true of us, and nothing has to be
 * kept of the sources.
 */

#include "igmp_parts.h"

struct igmp_group * igmp_find ( struct igmp *igmp, const uint8_t *address ) {
	unsigned int i;

	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		if ( ( igmp->groups[i].state != IGMP_FREE ) &&
		     same ( igmp->groups[i].address, address,
			    address_len ( igmp->family ) ) )
			return &igmp->groups[i];
	}
	return NULL;
}

/* Marsaglia's xorshift32: spreads answers, keeps no secrets. */
static uint32_t random_below ( struct igmp *igmp, uint32_t limit ) {
	igmp->random ^= ( igmp->random << 13 );
	igmp->random ^= ( igmp->random >> 17 );
	igmp->random ^= ( igmp->random << 5 );
	return ( limit ? ( igmp->random % limit ) : 0 );
}

/* In ( 0, max ], as the RFCs ask; at once for 0. */
uint32_t igmp_random_delay ( struct igmp *igmp, uint32_t max ) {
	return ( max ? ( 1 + random_below ( igmp, max ) ) : 0 );
}

void igmp_cancel ( struct igmp_group *group ) {
	group->repeats = 0;
	group->old_format = 0;
	group->answer = 0;
	if ( group->state == IGMP_LEAVING )
		group->state = IGMP_FREE;
}

/* What we speak now; a change of it cancels all that was to be sent (RFC 3376 section 7.2.1). */
void igmp_settle_version ( struct igmp *igmp, uint32_t now, int heard ) {
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
			igmp_cancel ( &igmp->groups[i] );
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
	group = igmp_find ( igmp, address );
	if ( group && ( group->state == IGMP_MEMBER ) )
		return IGMP_OK;
	for ( i = 0 ; ( ! group ) && ( i < IGMP_GROUPS ) ; i++ ) {
		if ( igmp->groups[i].state == IGMP_FREE )
			group = &igmp->groups[i];
	}
	if ( ! group )
		return IGMP_FULL;
	igmp_settle_version ( igmp, now, 0 );
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
	struct igmp_group *group = igmp_find ( igmp, address );
	int say;

	if ( ( ! group ) || ( group->state != IGMP_MEMBER ) )
		return IGMP_NOT_GROUP;
	igmp_settle_version ( igmp, now, 0 );
	say = ( ! is_silent ( igmp->family, address ) );
	/* IGMPv1 knows no leave; in v2 the last to report does it (RFC 2236 section 3). */
	if ( igmp->version == IGMP_V1 )
		say = 0;
	if ( igmp->version == IGMP_V2 )
		say = ( say && group->last_reporter );
	igmp_cancel ( group );
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

/* Timers ------------------------------------------------------------------------------------ */

/* After an unsolicited message was sent in all its formats: when to repeat it */
static void repeated ( struct igmp *igmp, struct igmp_group *group,
		       uint32_t now ) {
	int old = ( ( igmp->version == IGMP_V1 ) ||
		    ( igmp->version == IGMP_V2 ) );

	if ( group->repeats ) {
		group->repeat_at =
			( now + igmp_random_delay ( igmp, ( old ? UNSOLICITED_OLD_MS :
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
		len = igmp_old_message ( igmp, packet, group );
		repeated ( igmp, group, now );
		return len;
	}
	if ( group->repeats && due ( now, group->repeat_at ) ) {
		group->repeats--;
		group->last_reporter = 1;
		if ( ! new ) {
			len = igmp_old_message ( igmp, packet, group );
			repeated ( igmp, group, now );
			return len;
		}
		len = igmp_new_message ( igmp, packet, group,
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
		return ( new ? igmp_new_message ( igmp, packet, group,
					     MODE_IS_EXCLUDE ) :
			 igmp_old_message ( igmp, packet, group ) );
	}
	return 0;
}

size_t igmp_poll ( struct igmp *igmp, uint32_t now, uint8_t *packet ) {
	unsigned int i;
	size_t len;

	igmp_settle_version ( igmp, now, 0 );
	if ( igmp->answer && due ( now, igmp->answer_at ) ) {
		igmp->answer = 0;
		len = igmp_new_message ( igmp, packet, NULL, MODE_IS_EXCLUDE );
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
