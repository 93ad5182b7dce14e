/* tests/unit/keeper/fake_role.h - how the fake role behaves. */
#pragma once

enum fake_mode {
	FAKE_WORK,
	FAKE_DIE_AT_ONCE,
	FAKE_NEVER_READY,
	FAKE_NEVER_DRAIN,
	FAKE_NONSENSE, /* bytes that are no message, after READY */
};
