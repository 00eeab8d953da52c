// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Multicast group membership: what switches with IGMP or MLD snooping have to hear.
 *
 * Receiving needs no membership in iPXE, whose network cards take in all multicast.
 */

#ifndef _SLAMBOOT_MCAST_H
#define _SLAMBOOT_MCAST_H

FILE_LICENCE ( GPL2_OR_LATER );

struct sockaddr;

/**
 * Join multicast group
 *
 * @v group		Group; its scope ID chooses the network device, where there is one
 * @v why		Who wants it, for debug messages
 * @ret rc		Return status code
 *
 * The report is on its way when this returns.  Joins are counted: each needs its mcast_leave().
 *
 * A caller that is to link without this object declares both functions weak.
 */
extern int mcast_join ( struct sockaddr *group, const char *why );

/**
 * Leave multicast group
 *
 * @v group		Group, as it was joined
 *
 * Leaving what was not joined does nothing.
 */
extern void mcast_leave ( struct sockaddr *group );

#endif /* _SLAMBOOT_MCAST_H */
