/* policy/compiler_wire.h - how the keeper talks to sallyport-compile, the short-lived process that
 * turns policy text into an image.
 *
 * The keeper starts it with ROLE_FD (sallyport/role.h), a SOCK_SEQPACKET channel, and sends
 *
 *   ROLE_MSG_CONFIG  a: COMPILER_POLICY  [text]  payload: the file's name, for faults
 *   ROLE_MSG_CONFIG  a: COMPILER_FEED    [text]  payload: feed NUL file     (one for each feed)
 *   ROLE_MSG_END     a: wall clock, seconds since 1970
 *                    b: 0, or uid | gid << 32 to run as (the keeper has the right, not the text)
 *
 * A text is any descriptor that pread(2) and fstat(2) understand: a file or a memfd. Names carry no
 * terminator of their own. After END the compiler reads all texts, closes their descriptors, limits
 * its memory and time, confines itself (no file, no socket, no capability) and answers
 *
 *   ROLE_MSG_READY   payload: one warning, "file:line:col: warning: ..."   (any number)
 *   ROLE_MSG_FAILED  payload: one fault, "file:line:col: error: ..."       (any number)
 *   ROLE_MSG_IMAGE   [image]  a: 0; a memfd sealed against every change    (only without a fault)
 *
 * and exits: 0 after IMAGE, 1 after faults. Death without IMAGE (a limit was reached, a signal)
 * means that there is no image; the keeper says so. Warnings and faults come in the order of the
 * text.
 */
#pragma once

#define COMPILER_POLICY 1
#define COMPILER_FEED 2

#define COMPILER_MEMORY_BYTES (UINT64_C(4) << 30) /* RLIMIT_AS */
#define COMPILER_CPU_S 120                        /* RLIMIT_CPU */
