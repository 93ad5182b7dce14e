/* tests/fuzz/keeper/hear_child.c - keeper/child.c, and a way into what it does with a message. */
#define log_msg say_nothing
/* NOLINTNEXTLINE(bugprone-suspicious-include): to reach what is static in it */
#include "child.c"
#undef log_msg

#include "hear.h"

void hear_child(struct child *child, struct role_msg *msg)
{
	on_message(child, msg);
}
