/* tests/fuzz/keeper/keeper_config.c - the configuration file: any bytes. What is taken must keep
 * its own promises: counts within their arrays, numbers within their ranges.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "config.h"
#include "sallyport/err.h"

#include "../fyaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fake_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	if (strncmp(name, "sally", 5) != 0)
		return ERR_NOENT;
	*ret_uid = *ret_gid = 900;
	return ERR_OK;
}

static int fake_group(const char *name, uint32_t *ret_gid)
{
	uint32_t uid;

	return fake_user(name, &uid, ret_gid);
}

static int fake_file(const char *path, size_t max, char **ret_text)
{
	/* The path is the text, so that a fuzzer reaches what reads anchors, too. */
	*ret_text = strndup(path, max);
	for (char *p = *ret_text; p && *p; p++)
		*p = *p == '|' ? '\n' : *p;
	return *ret_text ? 0 : ERR_NOMEM;
}

static void check(const struct config *c)
{
	assert(c->resolver.n_listeners >= 1 && c->resolver.n_listeners <= LIMIT_LISTENERS);
	assert(c->resolver.n_zones >= 1 && c->resolver.n_zones <= LIMIT_ZONES);
	for (uint32_t i = 0; i < c->resolver.n_zones; i++)
		assert(c->resolver.zones[i].n_servers >= 1 &&
		       c->resolver.zones[i].n_servers <= LIMIT_ZONE_SERVERS);
	assert(c->workers >= 1 && c->workers <= LIMIT_WORKERS);
	assert(c->fwsync.n_prefixes <= ARRAY_LEN(c->fwsync.prefixes));
	assert(c->fwsync.n_interfaces <= ARRAY_LEN(c->fwsync.interfaces));
	assert(c->fwsync.n_gateway_ports <= ARRAY_LEN(c->fwsync.gateway_ports));
	assert(c->fwsync.mark_egress && c->fwsync.mark_inbound);
	assert((c->fwsync.mark_egress & c->fwsync.mark_inbound) == 0);
	assert(c->resolver.in_flight_client <= c->resolver.in_flight);
	assert(c->resolver.ack_timeout_ms < c->resolver.query_ms);
	assert(memchr(c->state_dir, '\0', sizeof(c->state_dir)) && c->state_dir[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct config_names names = { fake_user, fake_group, fake_file, 4 };
	CLEANUP(config_free) struct config *config = NULL;
	CLEANUP(diag_fini) struct diag diag;
	int r;

	diag_init(&diag);
	r = config_parse("fuzz", (const char *)data, size, &names, &config, &diag);
	assert((r == 0) == (config != NULL));
	assert(r == 0 || r == ERR_NOMEM || diag.n_errors > 0); /* refused: it is told why */
	if (config)
		check(config);
	return 0;
}
