/* tests/fuzz/keeper/hear_compile.c - keeper/compile.c, and what sallyport-compile has said to it.
 */
/* NOLINTNEXTLINE(bugprone-suspicious-include): to reach what is static in it */
#include "compile.c"

#include "hear.h"

struct compile *hear_compile_new(void)
{
	struct compile *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->image_fd = -1;
	return c;
}

void hear_compile(struct compile *c, struct role_msg *msg)
{
	on_message(c, msg);
}

void hear_compile_end(struct compile *c)
{
	if (c->n_lines > COMPILE_LINES_MAX)
		abort();
	for (size_t i = 0; i < c->n_lines; i++) {
		for (const char *p = c->lines[i]; *p; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				abort();
		free(c->lines[i]);
	}
	free(c->lines);
	if (c->image_fd >= 0 && close(c->image_fd) < 0)
		abort();
	free(c);
}
