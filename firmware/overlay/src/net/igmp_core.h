// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Multicast group membership of a host: IGMPv1, v2 and v3 (RFC 1112, RFC 2236, RFC 3376), MLDv1
 * and v2 (RFC 2710, RFC 3810).
 *
 * One `struct igmp` is one address family on one interface.  It takes packets and the time, and
 * gives packets and the time at which it wants to be asked again; it has no clock, no memory of
 * its own, and knows no network stack.  All packets are whole, from the IP header on.
 *
 * Times are milliseconds on any clock that wraps at 2^32; delays stay below 2^31.
 */

#ifndef SLAMBOOT_IGMP_CORE_H
#define SLAMBOOT_IGMP_CORE_H

#include <stddef.h>
#include <stdint.h>

/** Groups of one interface */
#define IGMP_GROUPS 8

/** Longest address */
#define IGMP_ADDRESS_MAX 16

/** Longest packet given out: IPv6 header, router alert, MLDv2 header, a record of each group */
#define IGMP_PACKET_MAX ( 40 + 8 + 8 + ( IGMP_GROUPS * 20 ) )

/** Address family */
enum igmp_family {
	/** IPv4: IGMP, addresses of 4 bytes */
	IGMP_IPV4,
	/** IPv6: MLD, addresses of 16 bytes */
	IGMP_IPV6,
};

/**
 * What an interface speaks (RFC 3376 section 7.2.1, RFC 3810 section 8.2.1)
 *
 * MLDv1 is IGMPv2 in other clothes, MLDv2 is IGMPv3; they go by IGMP's numbers here.
 */
enum igmp_version {
	/** No querier was heard yet: both v3 and v2, see igmp_join() */
	IGMP_UNHEARD = 0,
	/** IGMPv1 */
	IGMP_V1 = 1,
	/** IGMPv2, MLDv1 */
	IGMP_V2 = 2,
	/** IGMPv3, MLDv2 */
	IGMP_V3 = 3,
};

/** What became of a packet, or of a call */
enum igmp_result {
	/** It was acted upon */
	IGMP_OK = 0,
	/** A sound packet that is none of our business */
	IGMP_IGNORED,
	/** Too short for what it claims to be */
	IGMP_TRUNCATED,
	/** A header field that cannot be: version, lengths, fragment, options */
	IGMP_MALFORMED,
	/** The IP header's or the message's checksum is wrong */
	IGMP_CHECKSUM,
	/** TTL or hop limit is not 1: it may come from beyond this link */
	IGMP_NOT_LOCAL,
	/** No Router Alert where there must be one */
	IGMP_NO_ALERT,
	/** Source or destination address is not allowed for this message */
	IGMP_ADDRESS,
	/** Not a multicast group that can be joined */
	IGMP_NOT_GROUP,
	/** All IGMP_GROUPS groups are taken */
	IGMP_FULL,
};

/** What a group is to us */
enum igmp_state {
	/** This place is free */
	IGMP_FREE = 0,
	/** We are a member */
	IGMP_MEMBER,
	/** We have left, and still have to say so */
	IGMP_LEAVING,
};

/** A group */
struct igmp_group {
	/** What it is to us */
	enum igmp_state state;
	/** Its address */
	uint8_t address[IGMP_ADDRESS_MAX];
	/** Unsolicited messages still to send, at repeat_at */
	uint8_t repeats;
	/** An unsolicited message in the old format goes out at once */
	uint8_t old_format;
	/** A query is to be answered, at answer_at */
	uint8_t answer;
	/** We were the last to report it, as far as we heard (RFC 2236 section 3) */
	uint8_t last_reporter;
	uint32_t repeat_at;
	uint32_t answer_at;
};

/** Membership on one interface, in one address family */
struct igmp {
	/** Address family */
	enum igmp_family family;
	/** What we speak */
	enum igmp_version version;
	/** Source of what we send: link-local for IPv6 (RFC 3810 section 5.2.13) */
	uint8_t source[IGMP_ADDRESS_MAX];
	/** State of the random number generator */
	uint32_t random;
	/** Robustness Variable */
	uint8_t robustness;
	/** Query Interval, seconds */
	uint32_t query_interval;
	/** An IGMPv1 querier is present, until v1_until */
	uint8_t v1;
	/** An IGMPv2 or MLDv1 querier is present, until v2_until */
	uint8_t v2;
	/** A general query is to be answered in v3, at answer_at */
	uint8_t answer;
	uint32_t v1_until;
	uint32_t v2_until;
	uint32_t answer_at;
	/** The groups */
	struct igmp_group groups[IGMP_GROUPS];
};

/** Begins: no groups, no querier heard.  `seed` spreads hosts' answers: no two should share it. */
extern void igmp_init ( struct igmp *igmp, enum igmp_family family,
			const uint8_t *source, uint32_t seed );

/**
 * Joins a group
 *
 * Reports it at once, and again as often as robustness asks.  Before any querier was heard, each
 * report goes out twice, as v3 and as v2: switches that snoop only v2 do not understand v3, and
 * would be silent until their next query, up to two minutes later.
 */
extern enum igmp_result igmp_join ( struct igmp *igmp, uint32_t now,
				    const uint8_t *group );

/** Leaves a group: says so where the version can. */
extern enum igmp_result igmp_leave ( struct igmp *igmp, uint32_t now,
				     const uint8_t *group );

/** Takes a packet, from its IP header on. */
extern enum igmp_result igmp_input ( struct igmp *igmp, uint32_t now,
				     const uint8_t *packet, size_t len );

/**
 * Writes the next packet that is due
 *
 * Call it until it returns 0.  `packet` has room for IGMP_PACKET_MAX bytes.
 */
extern size_t igmp_poll ( struct igmp *igmp, uint32_t now, uint8_t *packet );

/** Whether igmp_poll() will have something to send, and how many milliseconds from now. */
extern int igmp_timeout ( const struct igmp *igmp, uint32_t now,
			  uint32_t *delay );

/** Whether nothing is joined and nothing is left to be said. */
extern int igmp_idle ( const struct igmp *igmp );

/** Where in a packet that igmp_poll() wrote its destination address is. */
extern size_t igmp_destination ( enum igmp_family family );

/**
 * How long the IP header before a payload is
 *
 * For stacks that hand over the payload only, in the buffer in which it came: `before` bytes in
 * front of it are readable.  0 if what stands there is no such header.
 */
extern size_t igmp_header_before ( enum igmp_family family,
				   const uint8_t *payload, size_t len,
				   size_t before );

#endif /* SLAMBOOT_IGMP_CORE_H */
