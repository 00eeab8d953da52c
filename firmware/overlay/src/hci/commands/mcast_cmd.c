// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Commands "mcjoin" and "mcleave".
 */

FILE_LICENCE ( GPL2_OR_LATER );

#define ERRFILE_mcast_cmd ( ERRFILE_OTHER | 0x00e10000 )

#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <getopt.h>
#include <ipxe/command.h>
#include <ipxe/parseopt.h>
#include <ipxe/socket.h>
#include <slamboot/mcast.h>

/** Options: none */
struct mcast_options {};

/** Option list */
static struct option_descriptor mcast_opts[] = {};

/** Command descriptor */
static struct command_descriptor mcast_cmd =
	COMMAND_DESC ( struct mcast_options, mcast_opts, 1, 1, "<group>" );

/**
 * Parse command line
 *
 * @v argc		Argument count
 * @v argv		Argument list
 * @v group		Socket address to fill in
 * @ret rc		Return status code
 */
static int mcast_parse ( int argc, char **argv, struct sockaddr *group ) {
	struct mcast_options opts;
	const char *text;
	int rc;

	if ( ( rc = parse_options ( argc, argv, &mcast_cmd, &opts ) ) != 0 )
		return rc;
	text = argv[optind];

	/* Success was non-zero before commit 0a7432191, and is zero
	 * since; the family is set on success only.
	 */
	memset ( group, 0, sizeof ( *group ) );
	sock_aton ( text, group );
	if ( ! group->sa_family ) {
		printf ( "\"%s\": not an address\n", text );
		return -EINVAL;
	}
	return 0;
}

/**
 * The "mcjoin" command
 *
 * @v argc		Argument count
 * @v argv		Argument list
 * @ret rc		Return status code
 */
static int mcjoin_exec ( int argc, char **argv ) {
	struct sockaddr group;
	int rc;

	if ( ( rc = mcast_parse ( argc, argv, &group ) ) != 0 )
		return rc;
	if ( ( rc = mcast_join ( &group, argv[0] ) ) != 0 ) {
		printf ( "Could not join %s: %s\n",
			 argv[optind], strerror ( rc ) );
		return rc;
	}
	return 0;
}

/**
 * The "mcleave" command
 *
 * @v argc		Argument count
 * @v argv		Argument list
 * @ret rc		Return status code
 */
static int mcleave_exec ( int argc, char **argv ) {
	struct sockaddr group;
	int rc;

	if ( ( rc = mcast_parse ( argc, argv, &group ) ) != 0 )
		return rc;
	mcast_leave ( &group );
	return 0;
}

/* Later releases sort commands by name, in the linker. */
#ifdef COMMAND
COMMAND ( mcjoin, mcjoin_exec );
COMMAND ( mcleave, mcleave_exec );
#else
struct command mcast_commands[] __command = {
	{
		.name = "mcjoin",
		.exec = mcjoin_exec,
	},
	{
		.name = "mcleave",
		.exec = mcleave_exec,
	},
};
#endif
