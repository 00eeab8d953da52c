/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef SLAMBOOT_SLAM_CORE_H
#define SLAMBOOT_SLAM_CORE_H

/*
 * The deciding half of a SLAM client: datagrams and the time go in; blocks to store, a datagram to
 * send and the next moment come out.  No clock, no socket, no memory but what its hooks give.
 *
 * The same file is compiled into the firmware and, for its tests, for the host.  The wire format is
 * written down in docs/slam-wire.md; slam-client/src/receiver.rs decides alike, in Rust.
 */

#include <stddef.h>
#include <stdint.h>
#include "slam_parity.h"

/** Longest Int, in bytes: its length has 3 bits */
#define SLAM_CORE_MAX_INT 7

/** Largest value of an Int */
#define SLAM_CORE_INT_MAX ( ( ( ( uint64_t ) 1 ) << 53 ) - 1 )

/** The byte that ends a NACK, that alone is a disconnect, and that begins what a solicit may end with */
#define SLAM_CORE_NUL 0

/* Not every C library of a firmware has it */
#define SLAM_CORE_U32_MAX ( ~( ( uint32_t ) 0 ) )

/** A group on the wire: its address, IPv4 or IPv6, and its port */
#define SLAM_CORE_GROUP_IPV4 ( 4 + 2 )
#define SLAM_CORE_GROUP_IPV6 ( 16 + 2 )

/** Longest datagram that is sent: what an MTU of 1,500 carries unfragmented, over IPv6 as well */
#define SLAM_CORE_MAX_PACKET 1452

/** Largest block: what UDP over IPv4 carries (RFC 768, RFC 791) */
#define SLAM_CORE_MAX_BLOCK 65507

/** What happened */
enum slam_core_kind {
	/** A datagram came to the group */
	SLAM_CORE_MULTICAST = 0,
	/** A datagram came from the server to this client alone */
	SLAM_CORE_UNICAST,
	/** The moment asked for has come, or the client has just begun */
	SLAM_CORE_TIMEOUT,
	/** Nobody wants the file any more */
	SLAM_CORE_STOP,
};

/** Why a datagram was ignored */
enum slam_core_rejection {
	/** It was not */
	SLAM_CORE_ACCEPTED = 0,
	/** It ends inside an Int, or before one that must be there */
	SLAM_CORE_TRUNCATED,
	/** The length bits of an Int are zero */
	SLAM_CORE_INT_LENGTH,
	/** A block size that no datagram can carry */
	SLAM_CORE_BLOCK_SIZE,
	/** A transfer of no bytes */
	SLAM_CORE_EMPTY_TRANSFER,
	/** A block number beyond the transfer */
	SLAM_CORE_BLOCK_NUMBER,
	/** A block that is shorter or longer than it must be */
	SLAM_CORE_BLOCK_LENGTH,
	/** The file is larger than this client takes */
	SLAM_CORE_TOO_LARGE,
	/** No memory to note which of so many blocks came */
	SLAM_CORE_NO_MEMORY,
	/** A solicit to the group instead of to one client */
	SLAM_CORE_SOLICIT_TO_GROUP,
	/** A block to one client instead of to the group */
	SLAM_CORE_DATA_TO_CLIENT,
	/** It came from elsewhere, and the server was heard */
	SLAM_CORE_FOREIGN,
	/** A group to move to that is none, or that this client cannot join */
	SLAM_CORE_GROUP,
};

/** How it ended */
enum slam_core_end {
	/** It has not */
	SLAM_CORE_RUNNING = 0,
	/** Every block has been handed out */
	SLAM_CORE_COMPLETE,
	/** It was told to stop */
	SLAM_CORE_STOPPED,
	/** Nothing at all was heard */
	SLAM_CORE_NO_SERVER,
	/** The server asks, but what it sends to the group does not arrive */
	SLAM_CORE_NO_DATA,
	/** Data came, then no more */
	SLAM_CORE_SILENT,
	/** Something was heard, and none of it was acceptable */
	SLAM_CORE_REFUSED,
	/** The transfer changed again and again */
	SLAM_CORE_UNSTABLE,
	/** The server no longer waits for this client */
	SLAM_CORE_DISMISSED,
};

/** A wait of random length, in milliseconds */
struct slam_core_wait {
	/** It is never shorter */
	uint32_t shortest;
	/** It is never longer, but for doublings */
	uint32_t longest;
};

/** Limits and waits */
struct slam_core_config {
	/** Before the first NACK, when nothing is heard */
	struct slam_core_wait first_nack;
	/** Before making oneself known to a server that is heard already */
	struct slam_core_wait introduce;
	/** How long a silence lasts before a NACK */
	struct slam_core_wait silence;
	/** How long known blocks alone may come before a NACK */
	struct slam_core_wait stall;
	/** How often waits double while NACKs bring nothing */
	uint32_t max_doublings;
	/** How often the transfer may change */
	uint32_t max_restarts;
	/** Most parity blocks to keep, a block of memory each.  0: none is taken; so it must be where
	 * stored blocks cannot be read back.
	 */
	uint32_t max_parity;
	/** Length on the wire of a group that it can be moved to.  0: it stays where it is. */
	uint32_t group_len;
	/** How long to go on without data, in milliseconds */
	uint64_t give_up;
	/** Largest file, in bytes */
	uint64_t max_bytes;
};

/** Memory */
struct slam_core_hooks {
	/** Give @c len bytes, or NULL */
	void * ( * alloc ) ( void *context, size_t len );
	/** Take back what @c alloc gave for @c len */
	void ( * free ) ( void *context, void *data, size_t len );
	/** Handed to both */
	void *context;
};

/** What every datagram from the server begins with */
struct slam_core_header {
	/** Which content it is; opaque */
	uint64_t transaction;
	/** Length of the file, in bytes */
	uint64_t total_bytes;
	/** Bytes in every block but the last */
	uint32_t block_size;
};

/** A datagram from the server, taken apart */
struct slam_core_packet {
	/** Its transfer */
	struct slam_core_header header;
	/** Whether a block is in it; else it is a solicit */
	int is_data;
	/** Whether the server no longer waits for this client */
	int is_dismissal;
	/** The group that its blocks are sent to from now on, within the datagram, or NULL */
	const uint8_t *group;
	/** Length of that group */
	size_t group_len;
	/** Whether that block is a sum of blocks */
	int is_parity;
	/** Number of the block, or of the window that is summed up */
	uint64_t block;
	/** Which sum over the window */
	uint8_t row;
	/** The block, within the datagram */
	const uint8_t *payload;
	/** Length of the block */
	size_t payload_len;
};

/** A client */
struct slam_core {
	struct slam_core_config config;
	struct slam_core_hooks hooks;

	/** The transfer; block size 0 before one is known */
	struct slam_core_header header;
	/** The group that it was moved to, if it was */
	uint8_t group[SLAM_CORE_GROUP_IPV6];
	/** Whether it was */
	int moved;
	/** Blocks in the transfer */
	uint64_t count;
	/** Blocks that were handed out */
	uint64_t held;
	/** No block before this one is missing */
	uint64_t first_gap;
	/** One bit for each block; set: handed out */
	uint8_t *map;
	size_t map_len;

	/** Parity blocks that wait for their window */
	struct slam_parity_block *parity;
	/** How many they are */
	uint32_t kept;
	/** The window that was completed last */
	struct slam_parity_solution solution;
	/** First block of that window */
	uint64_t solved;

	/** How it ended */
	enum slam_core_end end;

	/** Random state */
	uint64_t random;
	/** NACKs since the last one that helped */
	uint32_t fruitless;
	/** Wait drawn for the present round */
	uint64_t silence;
	/** When silence ends */
	uint64_t silent_until;
	/** When to speak although known blocks keep coming */
	uint64_t stalled_until;
	/** When to give up */
	uint64_t dead_at;

	/** Data datagrams accepted, duplicates included */
	uint64_t data;
	/** Blocks that were held already */
	uint64_t duplicates;
	/** Blocks that were computed from parity */
	uint64_t rebuilt;
	/** Solicits accepted */
	uint64_t solicits;
	/** NACKs sent */
	uint64_t nacks;
	/** Datagrams ignored */
	uint64_t rejected;
	/** Why the last of them was */
	enum slam_core_rejection last_rejection;
	/** Bytes of the last transfer that was too large */
	uint64_t refused_bytes;
	/** How often the transfer changed */
	uint32_t restarts;

	/** Something came from the server's own address */
	int server_heard;
	/** Something that came from elsewhere was taken */
	int foreign_taken;

	/** The datagram to send */
	uint8_t packet[SLAM_CORE_MAX_PACKET];
};

/** What follows from one input, to be done in this order */
struct slam_core_actions {
	/** A transfer has begun: make room for header.total_bytes */
	int started;
	/** Another transfer has begun: what was stored is void; make room anew */
	int restarted;
	/** Store @c payload_len bytes from @c payload at @c offset, unless NULL */
	const uint8_t *payload;
	size_t payload_len;
	uint64_t offset;
	/** Complete a window, unless 0: read what is stored of it (slam_core_rebuild_read), then store
	 * what was missing (slam_core_rebuild_block)
	 */
	int rebuild;
	/** Leave the group; join that in the core, or that of the URI where it is not moved any more */
	int regroup;
	/** Send @c send_len bytes from @c send to the server, unless 0; valid until the next input */
	const uint8_t *send;
	size_t send_len;
	/** Done, one way or the other */
	enum slam_core_end end;
	/** Call again with SLAM_CORE_TIMEOUT at this moment, unless it has ended */
	uint64_t wake;
};

extern void slam_core_defaults ( struct slam_core_config *config );
extern void slam_core_init ( struct slam_core *core,
			     const struct slam_core_config *config,
			     const struct slam_core_hooks *hooks,
			     uint64_t seed, uint64_t now );
extern void slam_core_free ( struct slam_core *core );
extern int slam_core_heed ( struct slam_core *core, int from_server );
extern void slam_core_input ( struct slam_core *core,
			      enum slam_core_kind kind, const uint8_t *data,
			      size_t len, uint64_t now,
			      struct slam_core_actions *actions );

extern size_t slam_core_rebuild_read ( const struct slam_core *core,
				       unsigned int column, uint64_t *offset );
extern void slam_core_rebuild_add ( struct slam_core *core, unsigned int column,
				    const uint8_t *data, size_t len );
extern const uint8_t * slam_core_rebuild_block ( struct slam_core *core,
						 uint64_t *offset,
						 size_t *len );

extern uint64_t slam_core_count ( const struct slam_core_header *header );
extern size_t slam_core_block_len ( const struct slam_core_header *header,
				    uint64_t offset );
extern uint64_t slam_core_windows ( uint64_t count );
extern size_t slam_core_int_len ( uint64_t value );
extern size_t slam_core_put_int ( uint64_t value, uint8_t *out );
extern enum slam_core_rejection slam_core_pull_int ( const uint8_t *data,
						     size_t len, size_t *used,
						     uint64_t *value );
extern enum slam_core_rejection
slam_core_decode ( const uint8_t *data, size_t len,
		   struct slam_core_packet *packet );
extern size_t slam_core_build_nack ( const uint8_t *map, uint64_t first_gap,
				     uint64_t count, uint8_t *out,
				     size_t max_len );
extern uint32_t slam_core_draw ( uint64_t *random, uint32_t span );
extern uint32_t slam_core_draw_late ( uint64_t *random, uint32_t span );

#endif /* SLAMBOOT_SLAM_CORE_H */
