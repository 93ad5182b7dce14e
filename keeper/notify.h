/* keeper/notify.h - tell the supervisor how we are (sd_notify(3)'s datagram, written here). */
#pragma once

#include <stdint.h>

/* Send @state ("READY=1", "STOPPING=1\nSTATUS=...") to NOTIFY_SOCKET; nothing without one. */
void notify_send(const char *state);
/* "RELOADING=1" with the monotonic time that Type=notify-reload wants. */
void notify_reloading(void);
/* How often the supervisor wants to hear WATCHDOG=1, in ns; 0: never. */
uint64_t notify_watchdog_ns(void);
