/* tests/unit/keeper/compiled.h - a policy text compiled for a test of what is derived from it. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/image.h"
#include "policy/judge.h"
#include "sallyport/diag.h"
#include "sallyport/name.h"
#include "sallyport/prefix.h"

static inline void compile_text(const char *text, uint32_t version, struct policy_image *ret_image)
{
	const struct policy_source source = { "test.yaml", text, strlen(text) };
	struct diag diag;
	void *data;
	size_t len;
	int r;

	diag_init(&diag);
	r = policy_compile(&source, NULL, 0, 1700000000, &data, &len, &diag);
	if (r < 0)
		diag_print(&diag, 2);
	diag_fini(&diag);
	assert_int_equal(r, 0);
	assert_int_equal(policy_image_open(data, len, version, ret_image), 0);
}

static inline void compiled_free(struct policy_image *image)
{
	free((void *)(uintptr_t)image->data);
	image->data = NULL;
}

/* One internal zone, corp.test, beside the root. */
static inline void fill_zones(struct resolver_conf *conf)
{
	static const uint8_t corp[] = "\4corp\4test";

	memset(conf, 0, sizeof(*conf));
	conf->n_zones = 2;
	memcpy(conf->zones[1].name, corp, sizeof(corp));
	conf->zones[1].internal = 1;
}
