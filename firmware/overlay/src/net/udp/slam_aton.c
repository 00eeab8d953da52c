// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Explicit SLAM groups.
 *
 * Since commit 0a7432191 sock_aton() returns a status code, zero for success, where its
 * predecessor inet_aton() returned non-zero.  slam_parse_multicast_address() still takes zero for
 * failure, and so refuses every group that it can parse.
 *
 * slam.c alone is compiled with -Dsock_aton=slam_sock_aton, and calls this instead.
 */

FILE_LICENCE ( GPL2_OR_LATER );

#include <ipxe/socket.h>

extern int slam_sock_aton ( const char *string, struct sockaddr *sa );

/**
 * Parse socket address
 *
 * @v string		Socket address string
 * @v sa		Socket address to fill in
 * @ret ok		Non-zero if the address was parsed
 */
int slam_sock_aton ( const char *string, struct sockaddr *sa ) {
	return ( sock_aton ( string, sa ) == 0 );
}
