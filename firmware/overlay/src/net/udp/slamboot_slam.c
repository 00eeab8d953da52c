// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The SLAM client, in the place of upstream's slam.c.
 *
 * slam_core.c decides; here are its sockets, its timer, its buffer and its words.
 */

FILE_LICENCE ( GPL2_OR_LATER );

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <byteswap.h>

/* Upstream's list ends far below */
#define ERRFILE_slamboot_slam ( ERRFILE_NET | 0x00e00000 )
#include <errno.h>

#include <ipxe/errortab.h>
#include <ipxe/features.h>
#include <ipxe/in.h>
#include <ipxe/interface.h>
#include <ipxe/iobuf.h>
#include <ipxe/job.h>
#include <ipxe/netdevice.h>
#include <ipxe/open.h>
#include <ipxe/refcnt.h>
#include <ipxe/retry.h>
#include <ipxe/tcpip.h>
#include <ipxe/timer.h>
#include <ipxe/uri.h>
#include <ipxe/xfer.h>
#include <ipxe/xferbuf.h>
#include "slam_core.h"

FEATURE ( FEATURE_PROTOCOL, "SLAM", DHCP_EB_FEATURE_SLAM, 1 );

/** Port of the server and of the group unless the URI says otherwise */
#define SLAMBOOT_PORT 10000

/** Group unless the URI says otherwise */
#define SLAMBOOT_GROUP "239.255.1.1"

/** How long to wait for a name to be resolved before looking again, in ticks */
#define SLAMBOOT_RESOLVING ( 10 * TICKS_PER_MS )

#define EINVAL_GROUP __einfo_error ( EINFO_EINVAL_GROUP )
#define EINFO_EINVAL_GROUP __einfo_uniqify \
	( EINFO_EINVAL, 0x01, "Not a multicast group" )
#define ETIMEDOUT_NO_SERVER __einfo_error ( EINFO_ETIMEDOUT_NO_SERVER )
#define EINFO_ETIMEDOUT_NO_SERVER __einfo_uniqify \
	( EINFO_ETIMEDOUT, 0x01, "No SLAM server answered" )
#define ETIMEDOUT_NO_DATA __einfo_error ( EINFO_ETIMEDOUT_NO_DATA )
#define EINFO_ETIMEDOUT_NO_DATA __einfo_uniqify \
	( EINFO_ETIMEDOUT, 0x02, "No multicast data arrived" )
#define ETIMEDOUT_SILENT __einfo_error ( EINFO_ETIMEDOUT_SILENT )
#define EINFO_ETIMEDOUT_SILENT __einfo_uniqify \
	( EINFO_ETIMEDOUT, 0x03, "SLAM server fell silent" )
#define EPROTO_REFUSED __einfo_error ( EINFO_EPROTO_REFUSED )
#define EINFO_EPROTO_REFUSED __einfo_uniqify \
	( EINFO_EPROTO, 0x01, "Nothing acceptable was received" )
#define EPROTO_UNSTABLE __einfo_error ( EINFO_EPROTO_UNSTABLE )
#define EINFO_EPROTO_UNSTABLE __einfo_uniqify \
	( EINFO_EPROTO, 0x02, "Transfer keeps changing" )
#define ECONNABORTED_SLOW __einfo_error ( EINFO_ECONNABORTED_SLOW )
#define EINFO_ECONNABORTED_SLOW __einfo_uniqify \
	( EINFO_ECONNABORTED, 0x01, "Dropped by the server as too slow" )
#define ENOMEM_IMAGE __einfo_error ( EINFO_ENOMEM_IMAGE )
#define EINFO_ENOMEM_IMAGE __einfo_uniqify \
	( EINFO_ENOMEM, 0x01, "No memory for the image" )

/** Human-readable error messages */
struct errortab slamboot_slam_errors[] __errortab = {
	__einfo_errortab ( EINFO_EINVAL_GROUP ),
	__einfo_errortab ( EINFO_ETIMEDOUT_NO_SERVER ),
	__einfo_errortab ( EINFO_ETIMEDOUT_NO_DATA ),
	__einfo_errortab ( EINFO_ETIMEDOUT_SILENT ),
	__einfo_errortab ( EINFO_EPROTO_REFUSED ),
	__einfo_errortab ( EINFO_EPROTO_UNSTABLE ),
	__einfo_errortab ( EINFO_ECONNABORTED_SLOW ),
	__einfo_errortab ( EINFO_ENOMEM_IMAGE ),
};

/** A download */
struct slamboot_slam {
	/** Reference counter */
	struct refcnt refcnt;
	/** Where the file goes */
	struct interface xfer;
	/** Towards the server */
	struct interface socket;
	/** From the group */
	struct interface group;
	/** The next moment that the core asked for */
	struct retry_timer timer;
	/** What decides */
	struct slam_core core;
	/** Room for one block, where parity is taken */
	uint8_t *scratch;
	/** The group's address and port */
	struct sockaddr_tcpip address;
	/** Those that the URI has: a slow room may be sent elsewhere for a while */
	struct sockaddr_tcpip home;
	/** The server's address, where the URI has it in numbers; else no family */
	struct sockaddr_tcpip server;
	/** Ticks since the download began */
	uint64_t elapsed;
	/** When they were last counted */
	unsigned long counted;
	/** Moment that the timer runs to */
	uint64_t wake;
	/** The group has been joined */
	int joined;
	/** All interfaces are shut, or about to be */
	int closed;
};

/****************************************************************************
 *
 * Group membership
 *
 * Overridden by the object that speaks IGMP and MLD, where that is linked in.  Weak definitions
 * rather than weak references: a position-independent EFI image has no address that is NULL.
 *
 */

extern int mcast_join ( struct sockaddr *group, const char *why );
extern void mcast_leave ( struct sockaddr *group );

__weak int mcast_join ( struct sockaddr *group __unused,
			const char *why __unused ) {
	return 0;
}

__weak void mcast_leave ( struct sockaddr *group __unused ) {
	/* Nothing to leave */
}

/****************************************************************************
 *
 * What the core needs
 *
 */

static void * slamboot_alloc ( void *context __unused, size_t len ) {
	return malloc ( len );
}

static void slamboot_unalloc ( void *context __unused, void *data,
			       size_t len __unused ) {
	free ( data );
}

/** Milliseconds since the download began; survives a wrap of the tick counter */
static uint64_t slamboot_now ( struct slamboot_slam *slam ) {
	unsigned long ticks = currticks();

	slam->elapsed += ( ticks - slam->counted );
	slam->counted = ticks;
	return slam->elapsed;
}

/** Something that differs between the machines of a room that was switched on at one moment */
static uint64_t slamboot_seed ( void ) {
	struct net_device *netdev;
	uint64_t seed = ( ( ( ( uint64_t ) random() ) << 32 ) ^ currticks() );
	unsigned int i;

	for_each_netdev ( netdev ) {
		for ( i = 0 ; i < netdev->ll_protocol->hw_addr_len ; i++ )
			seed = ( ( seed * 0x100000001b3ULL ) ^
				 netdev->hw_addr[i] );
	}
	return seed;
}

/****************************************************************************
 *
 * Ends
 *
 */

static void slamboot_free ( struct refcnt *refcnt ) {
	struct slamboot_slam *slam =
		container_of ( refcnt, struct slamboot_slam, refcnt );

	slam_core_free ( &slam->core );
	free ( slam->scratch );
	free ( slam );
}

static void slamboot_send ( struct slamboot_slam *slam,
			    struct slam_core_actions *actions ) {
	/* A datagram that cannot be sent is a datagram lost: the core will send another */
	if ( actions->send_len ) {
		xfer_deliver_raw ( &slam->socket, actions->send,
				   actions->send_len );
	}
}

/**
 * Close everything
 *
 * @v slam		Download
 * @v rc		Reason
 */
static void slamboot_close ( struct slamboot_slam *slam, int rc ) {
	struct slam_core_actions actions;

	/* Closing one interface may ask for the close of another */
	if ( slam->closed )
		return;
	slam->closed = 1;

	/* The server need not wait for us */
	slam_core_input ( &slam->core, SLAM_CORE_STOP, NULL, 0,
			  slamboot_now ( slam ), &actions );
	slamboot_send ( slam, &actions );

	stop_timer ( &slam->timer );
	if ( slam->joined )
		mcast_leave ( ( struct sockaddr * ) &slam->address );
	intf_shutdown ( &slam->socket, rc );
	intf_shutdown ( &slam->group, rc );
	intf_shutdown ( &slam->xfer, rc );
}

static const char * slamboot_rejection ( enum slam_core_rejection rejection ) {
	switch ( rejection ) {
	case SLAM_CORE_TOO_LARGE:	return "file too large";
	case SLAM_CORE_NO_MEMORY:	return "no memory for so many blocks";
	case SLAM_CORE_EMPTY_TRANSFER:	return "empty file";
	case SLAM_CORE_BLOCK_SIZE:	return "impossible block size";
	case SLAM_CORE_BLOCK_NUMBER:	return "block past the end";
	case SLAM_CORE_BLOCK_LENGTH:	return "block of wrong length";
	case SLAM_CORE_SOLICIT_TO_GROUP: return "question sent to the group";
	case SLAM_CORE_DATA_TO_CLIENT:	return "block not sent to the group";
	case SLAM_CORE_FOREIGN:		return "not from the server";
	case SLAM_CORE_GROUP:		return "no group to move to";
	default:			return "no SLAM";
	}
}

/** Say why nothing came of it; the status to fail with is returned */
static int slamboot_failure ( struct slam_core *core ) {

	switch ( core->end ) {
	case SLAM_CORE_NO_SERVER:
		printf ( "\nSLAM: no server answered %ld request(s)\n",
			 ( ( unsigned long ) core->nacks ) );
		return -ETIMEDOUT_NO_SERVER;
	case SLAM_CORE_NO_DATA:
		printf ( "\nSLAM: the server answers, but no multicast arrives:"
			 " look for a switch that snoops IGMP, a firewall, or "
			 "another group\n" );
		return -ETIMEDOUT_NO_DATA;
	case SLAM_CORE_SILENT:
		printf ( "\nSLAM: the server fell silent with %ld of %ld "
			 "blocks received\n", ( ( unsigned long ) core->held ),
			 ( ( unsigned long ) core->count ) );
		return -ETIMEDOUT_SILENT;
	case SLAM_CORE_DISMISSED:
		printf ( "\nSLAM: the server dropped this machine as too slow "
			 "for its room\n" );
		return -ECONNABORTED_SLOW;
	case SLAM_CORE_REFUSED:
		printf ( "\nSLAM: refused all %ld datagram(s); the last: %s\n",
			 ( ( unsigned long ) core->rejected ),
			 slamboot_rejection ( core->last_rejection ) );
		if ( core->refused_bytes ) {
			printf ( "SLAM: a file of %ld MiB was offered\n",
				 ( ( unsigned long )
				   ( core->refused_bytes >> 20 ) ) );
		}
		return -EPROTO_REFUSED;
	default:
		printf ( "\nSLAM: the transfer changed %ld times: more than "
			 "one server on this group and port?\n",
			 ( ( unsigned long ) core->restarts ) );
		return -EPROTO_UNSTABLE;
	}
}

/****************************************************************************
 *
 * Actions
 *
 */

/**
 * Make room for the file
 *
 * @v slam		Download
 * @v restarted		Another file was there before
 * @ret rc		Return status code
 */
static int slamboot_prepare ( struct slamboot_slam *slam, int restarted ) {
	unsigned long len = slam->core.header.total_bytes;
	struct xfer_buffer *buffer = xfer_buffer ( &slam->xfer );
	int rc;

	if ( restarted ) {
		printf ( "\nSLAM: the server sends another file now: starting "
			 "anew\n" );
	}

	/* The tail of a longer file must not stay behind a shorter one; and whoever is told to make
	 * room and cannot ends the download for a reason of its own ("No space left on device"), so
	 * ask its buffer first.
	 */
	if ( restarted && ! buffer )
		return -ENOTSUP;
	if ( buffer && ( len != buffer->len ) ) {
		if ( ( rc = buffer->op->realloc ( buffer, len ) ) != 0 ) {
			/* A buffer of fixed size, which EFI knows by this error, is no lack of memory */
			if ( ( ( ( unsigned int ) ( ( -rc ) ^ ERANGE ) ) >> 24 ) == 0 )
				return rc;
			goto no_memory;
		}
		buffer->len = len;
	}
	if ( xfer_seek ( &slam->xfer, len ) != 0 )
		goto no_memory;

	/* Parity is of use only where stored blocks can be read back */
	free ( slam->scratch );
	slam->scratch = malloc ( slam->core.header.block_size );
	if ( ! ( buffer && slam->scratch ) )
		slam->core.config.max_parity = 0;
	return 0;

 no_memory:
	printf ( "\nSLAM: no memory for an image of %ld MiB\n",
		 ( ( len >> 20 ) + 1 ) );
	return -ENOMEM_IMAGE;
}

/** Compute the missing blocks of a window from parity, and store them */
static int slamboot_rebuild ( struct slamboot_slam *slam ) {
	struct xfer_buffer *buffer = xfer_buffer ( &slam->xfer );
	const uint8_t *block;
	uint64_t offset;
	unsigned int column;
	size_t len;
	int rc;

	if ( ! ( buffer && slam->scratch ) )
		return -ENOTSUP;
	for ( column = 0 ; column < SLAM_PARITY_WINDOW ; column++ ) {
		len = slam_core_rebuild_read ( &slam->core, column, &offset );
		if ( ! len )
			continue;
		if ( ( rc = xferbuf_read ( buffer, offset, slam->scratch,
					   len ) ) != 0 )
			return rc;
		slam_core_rebuild_add ( &slam->core, column, slam->scratch,
					len );
	}
	while ( ( block = slam_core_rebuild_block ( &slam->core, &offset,
						    &len ) ) != NULL ) {
		if ( ( rc = xferbuf_write ( buffer, offset, block, len ) ) != 0 )
			return rc;
	}
	return 0;
}

/**
 * Listen to the group at @c address, and join it
 *
 * @v slam		Download
 * @ret rc		Return status code
 */
static int slamboot_listen ( struct slamboot_slam *slam ) {
	struct sockaddr *address = ( ( struct sockaddr * ) &slam->address );
	int rc;

	if ( ( rc = xfer_open_socket ( &slam->group, SOCK_DGRAM, address,
				       address ) ) != 0 )
		return rc;
	rc = mcast_join ( address, "slam" );
	slam->joined = ( rc == 0 );
	if ( rc != 0 ) {
		/* A switch that does not snoop forwards the group anyway */
		printf ( "\nSLAM: cannot join the group: %s\n",
			 strerror ( rc ) );
	}
	return 0;
}

/** Leave the group for the one that the core was told, or for that of the URI */
static int slamboot_regroup ( struct slamboot_slam *slam ) {
	struct sockaddr_tcpip *address = &slam->address;
	struct slam_core *core = &slam->core;
	const uint8_t *port;

	/* One socket for each port */
	intf_restart ( &slam->group, 0 );
	if ( slam->joined )
		mcast_leave ( ( struct sockaddr * ) address );
	slam->joined = 0;
	memcpy ( address, &slam->home, sizeof ( *address ) );
	if ( core->moved ) {
		if ( address->st_family == AF_INET ) {
			memcpy ( &( ( struct sockaddr_in * ) address )->sin_addr,
				 core->group, sizeof ( struct in_addr ) );
		} else {
			memcpy ( &( ( struct sockaddr_in6 * ) address )->sin6_addr,
				 core->group, sizeof ( struct in6_addr ) );
		}
		port = &core->group[ core->config.group_len -
				     sizeof ( address->st_port ) ];
		memcpy ( &address->st_port, port, sizeof ( address->st_port ) );
	}
	return slamboot_listen ( slam );
}

/** Run the timer to the moment that the core asks for */
static void slamboot_arm ( struct slamboot_slam *slam, uint64_t wake ) {
	uint64_t wait;

	/* While blocks arrive, that moment moves on with each: a timer that fires early asks the
	 * core, and is set anew.
	 */
	if ( timer_running ( &slam->timer ) && ( slam->wake <= wake ) )
		return;
	slam->wake = wake;
	wait = ( ( wake > slam->elapsed ) ? ( wake - slam->elapsed ) : 0 );
	start_timer_fixed ( &slam->timer,
			    ( ( unsigned long ) wait * TICKS_PER_MS ) );
}

/**
 * Tell the core what happened, and do what follows
 *
 * @v slam		Download
 * @v kind		What happened
 * @v iobuf		Datagram, or NULL; taken
 * @ret rc		Return status code
 */
static int slamboot_input ( struct slamboot_slam *slam,
			    enum slam_core_kind kind,
			    struct io_buffer *iobuf ) {
	struct slam_core_actions actions;
	struct xfer_metadata meta;
	const uint8_t *data = ( iobuf ? iobuf->data : NULL );
	size_t len = ( iobuf ? iob_len ( iobuf ) : 0 );
	int rc;

	if ( slam->closed ) {
		free_iob ( iobuf );
		return -ENOTCONN;
	}
	slam_core_input ( &slam->core, kind, data, len, slamboot_now ( slam ),
			  &actions );

	if ( ( actions.started || actions.restarted ) &&
	     ( actions.end != SLAM_CORE_UNSTABLE ) &&
	     ( ( rc = slamboot_prepare ( slam, actions.restarted ) ) != 0 ) )
		goto err;

	if ( actions.payload ) {
		memset ( &meta, 0, sizeof ( meta ) );
		meta.flags = XFER_FL_ABS_OFFSET;
		meta.offset = actions.offset;
		iob_pull ( iobuf, ( actions.payload - data ) );
		if ( ( rc = xfer_deliver ( &slam->xfer, iob_disown ( iobuf ),
					   &meta ) ) != 0 )
			goto err;
	}
	if ( actions.rebuild && ( ( rc = slamboot_rebuild ( slam ) ) != 0 ) )
		goto err;
	if ( actions.regroup && ( ( rc = slamboot_regroup ( slam ) ) != 0 ) )
		goto err;
	free_iob ( iobuf );

	slamboot_send ( slam, &actions );
	if ( actions.end == SLAM_CORE_RUNNING ) {
		slamboot_arm ( slam, actions.wake );
		return 0;
	}
	rc = ( ( actions.end == SLAM_CORE_COMPLETE ) ?
	       0 : slamboot_failure ( &slam->core ) );
	slamboot_close ( slam, rc );
	return rc;

 err:
	free_iob ( iobuf );
	slamboot_close ( slam, rc );
	return rc;
}

static void slamboot_expired ( struct retry_timer *timer, int fail __unused ) {
	struct slamboot_slam *slam =
		container_of ( timer, struct slamboot_slam, timer );

	/* What is sent before the server's name is resolved is lost; the resolver has its own end */
	if ( ! xfer_window ( &slam->socket ) ) {
		slam->wake = ( slamboot_now ( slam ) + SLAMBOOT_RESOLVING );
		start_timer_fixed ( timer, SLAMBOOT_RESOLVING );
		return;
	}
	slamboot_input ( slam, SLAM_CORE_TIMEOUT, NULL );
}

/****************************************************************************
 *
 * Interfaces
 *
 */

/** Whether a datagram came from the address that the server is asked at */
static int slamboot_from_server ( struct slamboot_slam *slam,
				  struct xfer_metadata *meta ) {
	struct sockaddr_tcpip *server = &slam->server;
	struct sockaddr_tcpip *source = ( ( struct sockaddr_tcpip * ) meta->src );

	if ( ( ! source ) || ( source->st_family != server->st_family ) )
		return 0;
	switch ( server->st_family ) {
	case AF_INET:
		return ( ( ( struct sockaddr_in * ) source )->sin_addr.s_addr ==
			 ( ( struct sockaddr_in * ) server )->sin_addr.s_addr );
	case AF_INET6:
		return ( memcmp ( &( ( struct sockaddr_in6 * ) source )->sin6_addr,
				  &( ( struct sockaddr_in6 * ) server )->sin6_addr,
				  sizeof ( struct in6_addr ) ) == 0 );
	default:
		return 0;
	}
}

static int slamboot_deliver ( struct slamboot_slam *slam,
			      enum slam_core_kind kind,
			      struct io_buffer *iobuf,
			      struct xfer_metadata *meta ) {
	if ( ! slam_core_heed ( &slam->core,
				slamboot_from_server ( slam, meta ) ) ) {
		free_iob ( iobuf );
		return 0;
	}
	return slamboot_input ( slam, kind, iobuf );
}

static int slamboot_group_deliver ( struct slamboot_slam *slam,
				    struct io_buffer *iobuf,
				    struct xfer_metadata *meta ) {
	return slamboot_deliver ( slam, SLAM_CORE_MULTICAST, iobuf, meta );
}

static int slamboot_socket_deliver ( struct slamboot_slam *slam,
				     struct io_buffer *iobuf,
				     struct xfer_metadata *meta ) {
	return slamboot_deliver ( slam, SLAM_CORE_UNICAST, iobuf, meta );
}

static int slamboot_progress ( struct slamboot_slam *slam,
			       struct job_progress *progress ) {
	struct slam_core *core = &slam->core;

	progress->completed = ( core->held * core->header.block_size );
	progress->total = core->header.total_bytes;
	if ( ! progress->total ) {
		snprintf ( progress->message, sizeof ( progress->message ),
			   "asking the server" );
	}
	return 0;
}

static struct interface_operation slamboot_group_operations[] = {
	INTF_OP ( xfer_deliver, struct slamboot_slam *, slamboot_group_deliver ),
	INTF_OP ( intf_close, struct slamboot_slam *, slamboot_close ),
};

static struct interface_descriptor slamboot_group_desc =
	INTF_DESC ( struct slamboot_slam, group, slamboot_group_operations );

static struct interface_operation slamboot_socket_operations[] = {
	INTF_OP ( xfer_deliver, struct slamboot_slam *,
		  slamboot_socket_deliver ),
	INTF_OP ( intf_close, struct slamboot_slam *, slamboot_close ),
};

static struct interface_descriptor slamboot_socket_desc =
	INTF_DESC ( struct slamboot_slam, socket, slamboot_socket_operations );

static struct interface_operation slamboot_xfer_operations[] = {
	INTF_OP ( job_progress, struct slamboot_slam *, slamboot_progress ),
	INTF_OP ( intf_close, struct slamboot_slam *, slamboot_close ),
};

static struct interface_descriptor slamboot_xfer_desc =
	INTF_DESC ( struct slamboot_slam, xfer, slamboot_xfer_operations );

/****************************************************************************
 *
 * URI
 *
 */

static int slamboot_is_multicast ( struct sockaddr_tcpip *address ) {
	struct sockaddr_in *sin = ( ( struct sockaddr_in * ) address );
	struct sockaddr_in6 *sin6 = ( ( struct sockaddr_in6 * ) address );

	switch ( address->st_family ) {
	case AF_INET:
		return ( ( ntohl ( sin->sin_addr.s_addr ) >> 28 ) == 0xe );
	case AF_INET6:
		return ( sin6->sin6_addr.s6_addr[0] == 0xff );
	default:
		return 0;
	}
}

/**
 * Parse a group
 *
 * @v path		Path of the URI, or NULL: GROUP, GROUP:PORT, [GROUP]:PORT, :PORT
 * @v address		Address to fill in
 * @ret rc		Return status code
 */
static int slamboot_parse_group ( const char *path,
				  struct sockaddr_tcpip *address ) {
	char buf[64];
	char *group = buf;
	char *port = NULL;
	char *end;
	unsigned long number = SLAMBOOT_PORT;

	if ( ! path )
		path = "";
	if ( *path == '/' )
		path++;
	if ( strlen ( path ) >= sizeof ( buf ) )
		goto invalid;
	strcpy ( buf, path );

	/* An IPv6 address has colons of its own: a port needs brackets there */
	if ( *group == '[' ) {
		end = strchr ( group, ']' );
		if ( ! end )
			goto invalid;
		group++;
		*(end++) = '\0';
		if ( *end == ':' ) {
			port = ( end + 1 );
		} else if ( *end ) {
			goto invalid;
		}
	} else {
		end = strchr ( group, ':' );
		if ( end && ( ! strchr ( ( end + 1 ), ':' ) ) ) {
			*end = '\0';
			port = ( end + 1 );
		}
	}
	if ( port ) {
		number = strtoul ( port, &end, 10 );
		if ( ( end == port ) || *end || ( number < 1 ) ||
		     ( number > 0xffff ) )
			goto invalid;
	}
	if ( ! *group )
		group = SLAMBOOT_GROUP;

	memset ( address, 0, sizeof ( *address ) );
	if ( sock_aton ( group, ( ( struct sockaddr * ) address ) ) != 0 )
		goto invalid;
	address->st_port = htons ( number );
	if ( ! slamboot_is_multicast ( address ) ) {
		printf ( "\nSLAM: %s is not a multicast group (expected "
			 "224.0.0.0 to 239.255.255.255, or ff00::/8)\n", group );
		return -EINVAL_GROUP;
	}
	return 0;

 invalid:
	printf ( "\nSLAM: \"%s\" is not a group (expected GROUP, GROUP:PORT or "
		 "[GROUP]:PORT)\n", path );
	return -EINVAL_GROUP;
}

/**
 * Open a URI
 *
 * @v xfer		Where the file goes
 * @v uri		x-slam://SERVER[:PORT]/[GROUP[:PORT]]
 * @ret rc		Return status code
 */
static int slamboot_open ( struct interface *xfer, struct uri *uri ) {
	static const struct slam_core_hooks hooks = {
		.alloc = slamboot_alloc,
		.free = slamboot_unalloc,
	};
	struct slam_core_config config;
	struct slamboot_slam *slam;
	struct sockaddr_tcpip server;
	int rc;

	if ( ! uri->host )
		return -EINVAL;

	slam = zalloc ( sizeof ( *slam ) );
	if ( ! slam )
		return -ENOMEM;
	ref_init ( &slam->refcnt, slamboot_free );
	intf_init ( &slam->xfer, &slamboot_xfer_desc, &slam->refcnt );
	intf_init ( &slam->socket, &slamboot_socket_desc, &slam->refcnt );
	intf_init ( &slam->group, &slamboot_group_desc, &slam->refcnt );
	timer_init ( &slam->timer, slamboot_expired, &slam->refcnt );
	slam->counted = currticks();
	slam_core_defaults ( &config );
	/* An offset must fit an off_t */
	config.max_bytes = ( ( ~0UL ) >> 1 );
	slam_core_init ( &slam->core, &config, &hooks, slamboot_seed(), 0 );

	if ( ( rc = slamboot_parse_group ( uri->path, &slam->address ) ) != 0 )
		goto err;
	memcpy ( &slam->home, &slam->address, sizeof ( slam->home ) );
	if ( slam->home.st_family == AF_INET6 )
		slam->core.config.group_len = SLAM_CORE_GROUP_IPV6;

	/* Listen and join before asking: the answer may come at once */
	if ( ( rc = slamboot_listen ( slam ) ) != 0 )
		goto err;

	/* A name is resolved while the download runs already: then anybody is believed */
	if ( sock_aton ( uri->host, ( struct sockaddr * ) &slam->server ) != 0 )
		memset ( &slam->server, 0, sizeof ( slam->server ) );

	memset ( &server, 0, sizeof ( server ) );
	server.st_port = htons ( uri_port ( uri, SLAMBOOT_PORT ) );
	if ( ( rc = xfer_open_named_socket ( &slam->socket, SOCK_DGRAM,
					     ( struct sockaddr * ) &server,
					     uri->host, NULL ) ) != 0 )
		goto err;

	/* The first wait is for the timer, so that the caller has its interface before data come */
	slam->wake = slam->core.silent_until;
	start_timer_fixed ( &slam->timer,
			    ( ( unsigned long ) slam->wake * TICKS_PER_MS ) );

	intf_plug_plug ( &slam->xfer, xfer );
	ref_put ( &slam->refcnt );
	return 0;

 err:
	slamboot_close ( slam, rc );
	ref_put ( &slam->refcnt );
	return rc;
}

/** SLAM URI opener */
struct uri_opener slamboot_slam_uri_opener __uri_opener = {
	.scheme = "x-slam",
	.open = slamboot_open,
};
