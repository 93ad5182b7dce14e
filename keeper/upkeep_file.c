#include "upkeep_file.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/err.h"
#include "whole_file.h"

#define FILE_NAME "anchors"
#define UPKEEP_MAGIC UINT32_C(0x31505553)

enum { VERSION = 1 };

struct head {
	uint32_t magic, version;
	uint32_t zone_size, n_zones;
};

static size_t size_of(uint32_t n_zones)
{
	return sizeof(struct head) + n_zones * sizeof(struct upkeep_zone) +
	       crypto_generichash_BYTES;
}

static void hash(const uint8_t *data, size_t len, uint8_t *out)
{
	crypto_generichash(out, crypto_generichash_BYTES, data, len, NULL, 0);
}

int upkeep_save(const char *state_dir, const struct upkeeps *upkeeps)
{
	const struct head head = { UPKEEP_MAGIC, VERSION, sizeof(struct upkeep_zone),
		                   upkeeps->n_zones };
	size_t len = size_of(upkeeps->n_zones), body = len - crypto_generichash_BYTES;
	CLEANUP(free) uint8_t *data = malloc(len);

	if (!data)
		return ERR_NOMEM;
	memcpy(data, &head, sizeof(head));
	memcpy(data + sizeof(head), upkeeps->zones, body - sizeof(head));
	hash(data, body, data + body);
	return whole_file_write(state_dir, FILE_NAME, data, len);
}

static int read_zones(const uint8_t *data, size_t len, struct upkeeps *ret)
{
	uint8_t sum[crypto_generichash_BYTES];
	struct head head;

	if (len < size_of(0))
		return ERR_DAMAGED;
	memcpy(&head, data, sizeof(head));
	if (head.magic != UPKEEP_MAGIC || head.version != VERSION ||
	    head.zone_size != sizeof(struct upkeep_zone) || head.n_zones > LIMIT_UPKEEP_ZONES ||
	    len != size_of(head.n_zones))
		return ERR_DAMAGED;
	hash(data, len - sizeof(sum), sum);
	if (memcmp(sum, data + len - sizeof(sum), sizeof(sum)) != 0)
		return ERR_DAMAGED;
	memcpy(ret->zones, data + sizeof(head), head.n_zones * sizeof(ret->zones[0]));
	for (uint32_t i = 0; i < head.n_zones; i++) {
		if (!upkeep_sound(&ret->zones[i]))
			return ERR_DAMAGED;
	}
	ret->n_zones = head.n_zones;
	return ERR_OK;
}

int upkeep_load(const char *state_dir, uint64_t now_s, struct upkeeps *ret)
{
	CLEANUP(free) void *data = NULL;
	size_t len;
	int r = whole_file_read(state_dir, FILE_NAME, size_of(LIMIT_UPKEEP_ZONES), &data, &len),
	    err;

	memset(ret, 0, sizeof(*ret));
	if (r == ERR_NOENT)
		return ERR_OK;
	if (r == 0)
		r = read_zones(data, len, ret);
	if (r != ERR_DAMAGED)
		return r;
	memset(ret, 0, sizeof(*ret));
	err = whole_file_set_aside(state_dir, FILE_NAME, now_s);
	return err < 0 ? err : ERR_DAMAGED;
}
