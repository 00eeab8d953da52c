// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Multicast group membership: igmp_core.c, on iPXE's network devices, routes and timers.
 */

FILE_LICENCE ( GPL2_OR_LATER );

#define ERRFILE_mcast ( ERRFILE_NET | 0x00e10000 )

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <byteswap.h>
#include <ipxe/icmpv6.h>
#include <ipxe/in.h>
#include <ipxe/init.h>
#include <ipxe/iobuf.h>
#include <ipxe/ip.h>
#include <ipxe/ipv6.h>
#include <ipxe/list.h>
#include <ipxe/netdevice.h>
#include <ipxe/retry.h>
#include <ipxe/socket.h>
#include <ipxe/tcpip.h>
#include <ipxe/timer.h>
#include <config/general.h>
#include <slamboot/mcast.h>
#include "igmp_core.h"

/** IGMP's protocol number */
#define MCAST_IP_IGMP 2

/** Multicast listener query and report (RFC 2710) */
#define MCAST_MLD_QUERY 130
#define MCAST_MLD_REPORT 131

/** One address family on one network device */
struct mcast_interface {
	/** List of interfaces */
	struct list_head list;
	/** Network device */
	struct net_device *netdev;
	/** Timer */
	struct retry_timer timer;
	/** Membership */
	struct igmp igmp;
	/** How often each of its groups was joined */
	unsigned int joins[IGMP_GROUPS];
};

/** Interfaces on which a group was ever joined: they remember which querier they heard */
static LIST_HEAD ( mcast_interfaces );

/**
 * Get current time
 *
 * @ret now		Time in milliseconds
 *
 * iPXE's second has 1024 ticks, and a tick stands for a millisecond.
 */
static uint32_t mcast_now ( void ) {
	return ( currticks() / TICKS_PER_MS );
}

/**
 * Choose between network devices
 *
 * @v netdev		Network device that has an address
 * @v only		Network device, or NULL for any that is open
 * @v found		Network device that was chosen so far, or NULL
 * @ret better		Choose this one
 *
 * ipv4_route() wants a scope ID for multicast, and is not there in
 * older releases: so look for ourselves, and take the device that
 * was opened last where several would do.
 */
static int mcast_better ( struct net_device *netdev, struct net_device *only,
			  struct net_device *found ) {
	struct net_device *last = last_opened_netdev();

	return ( netdev_is_open ( netdev ) &&
		 ( ( ! only ) || ( netdev == only ) ) &&
		 ( ( ! found ) || ( ( netdev == last ) &&
				    ( found != last ) ) ) );
}

/**
 * Look up source address
 *
 * @v family		Address family
 * @v only		Network device, or NULL for any that is open
 * @v source		Source address to fill in
 * @ret netdev		Network device that has it, or NULL
 */
static struct net_device * mcast_source ( enum igmp_family family,
					  struct net_device *only,
					  uint8_t *source ) {
	struct net_device *found = NULL;

	if ( family == IGMP_IPV4 ) {
		struct ipv4_miniroute *route;

		list_for_each_entry ( route, &ipv4_miniroutes, list ) {
			if ( ! mcast_better ( route->netdev, only, found ) )
				continue;
			memcpy ( source, &route->address,
				 sizeof ( route->address ) );
			found = route->netdev;
		}
	}
#ifdef NET_PROTO_IPV6
	if ( family == IGMP_IPV6 ) {
		struct ipv6_miniroute *route;

		list_for_each_entry ( route, &ipv6_miniroutes, list ) {
			/* Reports come from link-local addresses
			 * (RFC 3810 section 5.2.13).
			 */
			if ( ! ( ( route->flags & IPV6_HAS_ADDRESS ) &&
				 IN6_IS_ADDR_LINKLOCAL ( &route->address ) ) )
				continue;
			if ( ! mcast_better ( route->netdev, only, found ) )
				continue;
			memcpy ( source, &route->address,
				 sizeof ( route->address ) );
			found = route->netdev;
		}
	}
#endif
	return found;
}

/**
 * Transmit packet
 *
 * @v mcast		Interface
 * @v packet		Packet, from its IP header on
 * @v len		Length of packet
 * @ret rc		Return status code
 */
static int mcast_tx ( struct mcast_interface *mcast, const uint8_t *packet,
		      size_t len ) {
	struct net_device *netdev = mcast->netdev;
	enum igmp_family family = mcast->igmp.family;
	struct net_protocol *protocol = &ipv4_protocol;
	unsigned int af = AF_INET;
	uint8_t ll_dest[MAX_LL_ADDR_LEN];
	struct io_buffer *iobuf;
	int rc;

#ifdef NET_PROTO_IPV6
	if ( family == IGMP_IPV6 ) {
		protocol = &ipv6_protocol;
		af = AF_INET6;
	}
#endif
	if ( ! netdev_is_open ( netdev ) )
		return -ENETUNREACH;
	if ( ( rc = netdev->ll_protocol->mc_hash ( af,
			&packet[ igmp_destination ( family ) ],
			ll_dest ) ) != 0 )
		return rc;
	iobuf = alloc_iob ( MAX_LL_HEADER_LEN + len );
	if ( ! iobuf )
		return -ENOMEM;
	iob_reserve ( iobuf, MAX_LL_HEADER_LEN );
	memcpy ( iob_put ( iobuf, len ), packet, len );
	return net_tx ( iobuf, netdev, protocol, ll_dest, netdev->ll_addr );
}

/**
 * Send what is due, and set the timer for the rest
 *
 * @v mcast		Interface
 */
static void mcast_poll ( struct mcast_interface *mcast ) {
	uint8_t packet[IGMP_PACKET_MAX];
	uint32_t delay;
	size_t len;
	int rc;

	/* An address may change while groups stay */
	mcast_source ( mcast->igmp.family, mcast->netdev,
		       mcast->igmp.source );

	while ( ( len = igmp_poll ( &mcast->igmp, mcast_now(),
				    packet ) ) != 0 ) {
		if ( ( rc = mcast_tx ( mcast, packet, len ) ) != 0 ) {
			/* Reports are repeated anyway */
			DBGC ( mcast, "MCAST %s could not transmit: %s\n",
			       mcast->netdev->name, strerror ( rc ) );
		}
	}
	if ( igmp_timeout ( &mcast->igmp, mcast_now(), &delay ) ) {
		start_timer_fixed ( &mcast->timer,
				    ( delay * TICKS_PER_MS ) );
	} else {
		stop_timer ( &mcast->timer );
	}
}

/**
 * Handle timer expiry
 *
 * @v timer		Timer
 * @v over		Failure indicator
 */
static void mcast_expired ( struct retry_timer *timer, int over __unused ) {
	struct mcast_interface *mcast =
		container_of ( timer, struct mcast_interface, timer );

	mcast_poll ( mcast );
}

/**
 * Find interface
 *
 * @v family		Address family
 * @v netdev		Network device
 * @ret mcast		Interface, or NULL
 */
static struct mcast_interface * mcast_find ( enum igmp_family family,
					     struct net_device *netdev ) {
	struct mcast_interface *mcast;

	list_for_each_entry ( mcast, &mcast_interfaces, list ) {
		if ( ( mcast->netdev == netdev ) &&
		     ( mcast->igmp.family == family ) )
			return mcast;
	}
	return NULL;
}

/**
 * Find joined group
 *
 * @v mcast		Interface
 * @v address		Address of group
 * @ret index		Index of group, or negative if not joined
 */
static int mcast_group ( struct mcast_interface *mcast,
			 const void *address ) {
	size_t len = ( ( mcast->igmp.family == IGMP_IPV4 ) ?
		       sizeof ( struct in_addr ) :
		       sizeof ( struct in6_addr ) );
	int i;

	for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
		if ( ( mcast->igmp.groups[i].state == IGMP_MEMBER ) &&
		     ( memcmp ( mcast->igmp.groups[i].address, address,
				len ) == 0 ) )
			return i;
	}
	return -ENOENT;
}

/**
 * Dissect socket address
 *
 * @v sa		Socket address
 * @ret family		Address family
 * @ret only		Network device that its scope ID chooses, or NULL
 * @ret address		Address, or NULL if it is of no family that we know
 *
 * Network devices are found through their route: what a scope ID
 * stands for has changed its name between releases.
 */
static const void * mcast_address ( struct sockaddr *sa,
				    enum igmp_family *family,
				    struct net_device **only ) {
	struct sockaddr_tcpip *st = ( ( struct sockaddr_tcpip * ) sa );
	struct sockaddr_in *sin = ( ( struct sockaddr_in * ) sa );

	*only = ( st->st_scope_id ? tcpip_netdev ( st ) : NULL );
	*family = IGMP_IPV4;
	if ( sa->sa_family == AF_INET )
		return &sin->sin_addr;
#ifdef NET_PROTO_IPV6
	if ( sa->sa_family == AF_INET6 ) {
		struct sockaddr_in6 *sin6 = ( ( struct sockaddr_in6 * ) sa );

		*family = IGMP_IPV6;
		return &sin6->sin6_addr;
	}
#endif
	return NULL;
}

/**
 * Join multicast group
 *
 * @v group		Group
 * @v why		Who wants it, for debug messages
 * @ret rc		Return status code
 */
int mcast_join ( struct sockaddr *group, const char *why ) {
	uint8_t source[IGMP_ADDRESS_MAX];
	struct mcast_interface *mcast;
	struct net_device *netdev;
	enum igmp_family family;
	struct net_device *only;
	const void *address;
	uint32_t seed;
	int i;

	/* Find network device */
	address = mcast_address ( group, &family, &only );
	if ( ! address )
		return -ENOTSUP;
	netdev = mcast_source ( family, only, source );
	if ( ! netdev )
		return -ENETUNREACH;

	/* Find or create interface */
	mcast = mcast_find ( family, netdev );
	if ( ! mcast ) {
		mcast = zalloc ( sizeof ( *mcast ) );
		if ( ! mcast )
			return -ENOMEM;
		mcast->netdev = netdev_get ( netdev );
		timer_init ( &mcast->timer, mcast_expired, NULL );
		/* A room that was switched on at once must not answer
		 * at once: what differs is the hardware address, most
		 * of all its end.
		 */
		memcpy ( &seed, &netdev->ll_addr[2], sizeof ( seed ) );
		seed = ( ( seed * 2654435761UL ) ^ random() ^ currticks() );
		igmp_init ( &mcast->igmp, family, source, seed );
		list_add ( &mcast->list, &mcast_interfaces );
	}

	/* Count, if joined already */
	i = mcast_group ( mcast, address );
	if ( i >= 0 ) {
		mcast->joins[i]++;
		return 0;
	}

	/* Join */
	switch ( igmp_join ( &mcast->igmp, mcast_now(), address ) ) {
	case IGMP_OK:
		break;
	case IGMP_FULL:
		return -ENOBUFS;
	default:
		return -EINVAL;
	}
	mcast->joins[ mcast_group ( mcast, address ) ] = 1;
	DBGC ( mcast, "MCAST %s joined %s for %s\n",
	       netdev->name, sock_ntoa ( group ), why );
	( void ) why;
	mcast_poll ( mcast );
	return 0;
}

/**
 * Leave multicast group
 *
 * @v group		Group
 */
void mcast_leave ( struct sockaddr *group ) {
	struct mcast_interface *mcast;
	enum igmp_family family;
	struct net_device *only;
	const void *address;
	int i;

	address = mcast_address ( group, &family, &only );
	if ( ! address )
		return;
	list_for_each_entry ( mcast, &mcast_interfaces, list ) {
		if ( ( mcast->igmp.family != family ) ||
		     ( only && ( mcast->netdev != only ) ) )
			continue;
		i = mcast_group ( mcast, address );
		if ( i < 0 )
			continue;
		if ( --mcast->joins[i] == 0 ) {
			igmp_leave ( &mcast->igmp, mcast_now(), address );
			mcast_poll ( mcast );
		}
		return;
	}
}

/**
 * Process received message
 *
 * @v iobuf		I/O buffer
 * @v netdev		Network device
 * @v family		Address family
 *
 * The IP header was pulled off, and still stands before the data:
 * it says whether the message is from this link.
 */
static void mcast_input ( struct io_buffer *iobuf, struct net_device *netdev,
			  enum igmp_family family ) {
	struct mcast_interface *mcast = mcast_find ( family, netdev );
	const uint8_t *data = iobuf->data;
	size_t len = iob_len ( iobuf );
	enum igmp_result result;
	size_t header;

	if ( ! mcast )
		return;
	header = igmp_header_before ( family, data, len,
				      iob_headroom ( iobuf ) );
	result = igmp_input ( &mcast->igmp, mcast_now(), ( data - header ),
			      ( header + len ) );
	DBGC2 ( mcast, "MCAST %s received %zd bytes: %d\n",
		netdev->name, len, result );
	if ( result == IGMP_OK )
		mcast_poll ( mcast );
}

/**
 * Process received IGMP packet
 *
 * @v iobuf		I/O buffer
 * @v netdev		Network device
 * @v st_src		Partially-filled source address
 * @v st_dest		Partially-filled destination address
 * @v pshdr_csum	Pseudo-header checksum
 * @ret rc		Return status code
 */
static int mcast_igmp_rx ( struct io_buffer *iobuf, struct net_device *netdev,
			   struct sockaddr_tcpip *st_src __unused,
			   struct sockaddr_tcpip *st_dest __unused,
			   uint16_t pshdr_csum __unused ) {

	mcast_input ( iobuf, netdev, IGMP_IPV4 );
	free_iob ( iobuf );
	return 0;
}

/** IGMP protocol */
struct tcpip_protocol mcast_igmp_protocol __tcpip_protocol = {
	.name = "IGMP",
	.rx = mcast_igmp_rx,
	.tcpip_proto = MCAST_IP_IGMP,
};

#ifdef NET_PROTO_IPV6

/**
 * Process received MLD packet
 *
 * @v iobuf		I/O buffer
 * @v netdev		Network device
 * @v sin6_src		Source socket address
 * @v sin6_dest		Destination socket address
 * @ret rc		Return status code
 */
static int mcast_mld_rx ( struct io_buffer *iobuf, struct net_device *netdev,
			  struct sockaddr_in6 *sin6_src __unused,
			  struct sockaddr_in6 *sin6_dest __unused ) {

	mcast_input ( iobuf, netdev, IGMP_IPV6 );
	free_iob ( iobuf );
	return 0;
}

/** MLD handlers */
struct icmpv6_handler mcast_mld_handlers[] __icmpv6_handler = {
	{
		.type = MCAST_MLD_QUERY,
		.rx = mcast_mld_rx,
	},
	{
		.type = MCAST_MLD_REPORT,
		.rx = mcast_mld_rx,
	},
};

#endif /* NET_PROTO_IPV6 */

/**
 * Leave all groups, before network devices are closed
 *
 * @v booting		System is shutting down for OS boot
 */
static void mcast_shutdown ( int booting __unused ) {
	struct mcast_interface *mcast;
	struct mcast_interface *tmp;
	unsigned int i;

	list_for_each_entry_safe ( mcast, tmp, &mcast_interfaces, list ) {
		for ( i = 0 ; i < IGMP_GROUPS ; i++ ) {
			if ( mcast->igmp.groups[i].state == IGMP_MEMBER )
				igmp_leave ( &mcast->igmp, mcast_now(),
					     mcast->igmp.groups[i].address );
		}
		mcast_poll ( mcast );
		stop_timer ( &mcast->timer );
		list_del ( &mcast->list );
		netdev_put ( mcast->netdev );
		free ( mcast );
	}
}

/** Leave before devices go: shutdown functions are called last first */
struct startup_fn mcast_startup_fn __startup_fn ( STARTUP_LATE ) = {
	.name = "mcast",
	.shutdown = mcast_shutdown,
};
