/* keeper/guarded.c - one small file, replaced whole. */
#include "guarded.h"

#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "sallyport/guard_table.h"
#include "sallyport/shm.h"
#include "whole_file.h"

#define BYTES_MAX (64 << 20) /* three million prefixes */

int guarded_save(const struct config *config, const void *table)
{
	const struct guard_table *from = table;
	const uint8_t *base = table;
	size_t prefixes = from->guarded.count * sizeof(struct guard_prefix);
	size_t interfaces = (size_t)from->interfaces.count * GUARD_IFNAME_LEN;
	size_t len = sizeof(*from) + prefixes + interfaces;
	CLEANUP(free) struct guard_table *to = NULL;
	uint8_t *out;

	if (len > BYTES_MAX) /* it would not be read; the older one names most of them */
		return ERR_LIMIT;
	to = calloc(1, len);
	if (!to)
		return ERR_NOMEM;
	out = (uint8_t *)(to + 1);
	*to = (struct guard_table){ .magic = GUARD_MAGIC,
		                    .version = GUARD_VERSION,
		                    .len = (uint32_t)len,
		                    .guarded = { sizeof(*to), from->guarded.count },
		                    .interfaces = { (uint32_t)(sizeof(*to) + prefixes),
		                                    from->interfaces.count } };
	if (prefixes)
		memcpy(out, base + from->guarded.offset, prefixes);
	if (interfaces)
		memcpy(out + prefixes, base + from->interfaces.offset, interfaces);
	return whole_file_write(config->state_dir, "guarded", to, len);
}

int guarded_last(const struct config *config)
{
	CLEANUP(free) void *data = NULL;
	size_t len;
	int r = whole_file_read(config->state_dir, "guarded", BYTES_MAX, &data, &len);

	if (r == 0)
		r = guard_table_check(data, len);
	if (r == 0 && ((const struct guard_table *)data)->policy_version != 0)
		r = ERR_DAMAGED;
	return r < 0 ? r : shm_create_sealed("sallyport-guard", data, len);
}

int guarded_load(const struct config *config)
{
	if (config->fwsync.n_prefixes > 0 || config->fwsync.n_interfaces > 0)
		return ERR_NOENT;
	return guarded_last(config);
}
