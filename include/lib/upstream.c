/* include/lib/upstream.c - the words in which fitness is kept. */
#include "sallyport/upstream.h"

#include "sallyport/role.h"

#define SUSPECTED UINT64_C(0x100)
#define STATE_MASK UINT64_C(0xff)
#define TAG_MASK (~UINT64_C(0xffff))

#define UPSTREAM_TEXT_(sym, text, wrong) [UPSTREAM_##sym] = text,
#define UPSTREAM_WRONG_(sym, text, wrong) [UPSTREAM_##sym] = wrong,
static const char *const texts[UPSTREAM_N] = { UPSTREAM_STATES(UPSTREAM_TEXT_) };
static const char *const wrongs[UPSTREAM_N] = { UPSTREAM_STATES(UPSTREAM_WRONG_) };

const char *upstream_state_str(enum upstream_state state)
{
	return state < UPSTREAM_N ? texts[state] : "?";
}

const char *upstream_wrong_str(enum upstream_state state)
{
	return state < UPSTREAM_N ? wrongs[state] : NULL;
}

/* FNV-1a. Zones and servers come from the configuration: nobody chooses what collides. */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *octets = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ octets[i]) * UINT64_C(1099511628211);
	return hash;
}

static uint64_t tag_of(const struct conf_zone *zone, unsigned int server)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	int len = name_wire_len(zone->name, NAME_MAX_WIRE);

	hash = mix(hash, zone->name, len > 0 ? (size_t)len : 0);
	hash = mix(hash, zone->servers[server].addr, ADDR_LEN);
	hash = mix(hash, &zone->servers[server].port, sizeof(zone->servers[server].port));
	return hash & TAG_MASK;
}

enum upstream_state upstream_state(const struct upstream_words *words, unsigned int z,
                                   const struct conf_zone *zone, unsigned int server)
{
	uint64_t word = atomic_load_explicit(&words->words[z][server], memory_order_relaxed);

	if ((word & TAG_MASK) != tag_of(zone, server) || (word & STATE_MASK) >= UPSTREAM_N)
		return UPSTREAM_UNKNOWN;
	return (enum upstream_state)(word & STATE_MASK);
}

void upstream_set_state(struct upstream_words *words, unsigned int z, const struct conf_zone *zone,
                        unsigned int server, enum upstream_state state)
{
	atomic_store_explicit(&words->words[z][server], tag_of(zone, server) | (uint64_t)state,
	                      memory_order_relaxed);
}

void upstream_suspect(struct upstream_words *words, unsigned int z, const struct conf_zone *zone,
                      unsigned int server)
{
	uint64_t word = atomic_load_explicit(&words->words[z][server], memory_order_relaxed);

	/* Lost against a new state: that is as new as the suspicion. */
	if ((word & TAG_MASK) == tag_of(zone, server))
		atomic_compare_exchange_strong_explicit(&words->words[z][server], &word,
		                                        word | SUSPECTED, memory_order_relaxed,
		                                        memory_order_relaxed);
}

bool upstream_take_suspicion(struct upstream_words *words, unsigned int z,
                             const struct conf_zone *zone, unsigned int server)
{
	uint64_t word = atomic_load_explicit(&words->words[z][server], memory_order_relaxed);

	if ((word & TAG_MASK) != tag_of(zone, server) || !(word & SUSPECTED))
		return false;
	return atomic_compare_exchange_strong_explicit(&words->words[z][server], &word,
	                                               word & ~SUSPECTED, memory_order_relaxed,
	                                               memory_order_relaxed);
}
