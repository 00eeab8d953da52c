// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the compiler saw of the site's settings, as text in the finished file: consoles, time-outs and
 * raw lines leave no other trace that could be looked for.
 */

FILE_LICENCE ( GPL2_OR_LATER );

/** A macro's value as text, which may be empty */
#define SLAMBOOT_TEXT_( ... ) #__VA_ARGS__
#define SLAMBOOT_TEXT( ... ) SLAMBOOT_TEXT_ ( __VA_ARGS__ )

/* In a table's section: nothing refers to it, and others would not be kept. */
#define SLAMBOOT_RECORD							\
	static const char slamboot_record[]				\
	__attribute__ (( section ( ".tbl.slamboot_record.00" ), used ))

#include <config/local/slamboot_record.h>
