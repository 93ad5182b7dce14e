/* tests/fuzz/keeper/hear_verify.c - keeper/verify.c, and what sallyport-anchor has said to it. */
/* NOLINTNEXTLINE(bugprone-suspicious-include): to reach what is static in it */
#include "verify.c"

#include "hear.h"

struct verify *hear_verify_new(void)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v)
		abort();
	return v;
}

void hear_verify(struct verify *v, struct role_msg *msg)
{
	on_message(v, msg);
}

void hear_verify_end(struct verify *v)
{
	if (v->seen.n_keys > KEYS_SEEN_MAX)
		abort();
	for (size_t i = 0; i < v->seen.n_keys; i++)
		if (v->seen.keys[i].id.len < 5 ||
		    v->seen.keys[i].id.len > sizeof(v->seen.keys[i].id.rdata))
			abort();
	free(v);
}
