/* policy/match.c - finding the rules that match a name, strongest first. */
#include "match.h"

#include <string.h>

/* ASCII letters of eight octets at once to lower case (RFC 4343): an octet gets its bit 5 set when
 * it lies in 'A'..'Z'. The sums cannot carry, for the top bit of each octet is masked first. */
static inline uint64_t lower8(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low7 = word & (0x7f * ones);
	uint64_t from_a = low7 + (0x80 - 'A') * ones;
	uint64_t past_z = low7 + (0x80 - 'Z' - 1) * ones;
	uint64_t upper = from_a & ~past_z & ~word & (0x80 * ones);

	return word | (upper >> 2);
}

/* Length octets are below 'A', so that the whole name can be lowered in one sweep. */
static bool take_apart(struct probe *probe, const uint8_t *qname)
{
	unsigned int n = 0, pos = 0;

	while (qname[pos] != 0) {
		if (qname[pos] > 63 || n == NAME_MAX_LABELS)
			return false;
		probe->at[n++] = (uint8_t)pos;
		pos += 1u + qname[pos];
		if (pos >= NAME_MAX_WIRE)
			return false;
	}
	probe->at[n] = (uint8_t)pos;
	probe->n_labels = n;
	probe->len = (uint8_t)(pos + 1);
	memcpy(probe->name, qname, probe->len);
	memset(probe->name + probe->len, 0, 8);
	for (unsigned int i = 0; i < probe->len; i += 8) {
		uint64_t word;

		memcpy(&word, probe->name + i, 8);
		word = lower8(word);
		memcpy(probe->name + i, &word, 8);
	}
	return true;
}

/* hash[0..depth] */
static void hash_to(struct probe *probe, unsigned int depth)
{
	while (probe->n_hashed < depth) {
		unsigned int d = ++probe->n_hashed;

		probe->hash[d] = img_hash_label(probe->hash[d - 1],
		                                probe->name + probe->at[probe->n_labels - d]);
	}
}

static const struct img_node *find_node(const struct probe *probe, const uint32_t *slots,
                                        unsigned int depth)
{
	const struct policy_image *image = probe->image;
	const uint8_t *suffix = probe->name + probe->at[probe->n_labels - depth];
	unsigned int len = probe->len - probe->at[probe->n_labels - depth];
	uint32_t n = probe->profile->n_slots;
	uint64_t slot = img_slot(probe->hash[depth], n);

	for (unsigned int i = 0; i < IMG_PROBES_MAX && slots[slot] != 0; i++) {
		const struct img_node *node =
		    IMG_AT(image, SEC_NODES, slots[slot] - 1, struct img_node);
		const uint8_t *name =
		    node ? IMG_RANGE(image, SEC_NAMES, node->name, node->name_len, uint8_t) : NULL;

		if (name && node->name_len == len && memcmp(name, suffix, len) == 0)
			return node;
		if (++slot == n)
			slot = 0;
	}
	return NULL;
}

bool probe_start(struct probe *probe, const struct policy_image *image,
                 const struct img_profile *profile, const uint8_t *qname, uint64_t now_s)
{
	const uint32_t *slots =
	    IMG_RANGE(image, SEC_SLOTS, profile->slots, profile->n_slots, uint32_t);

	probe->image = image;
	probe->profile = profile;
	probe->now_s = now_s;
	probe->n_known = 0;
	probe->n_hashed = 0;
	probe->hash[0] = img_head(image)->seed;
	if (!take_apart(probe, qname))
		return false;
	if (!slots || profile->n_slots == 0)
		return true;
	for (unsigned int d = 0; d <= probe->n_labels; d++) {
		hash_to(probe, d);
		probe->node[d] = find_node(probe, slots, d);
		if (!probe->node[d])
			break; /* every ancestor of a node is a node: nothing longer is there */
		probe->n_known = d + 1;
	}
	return true;
}

/* Match one label against its pieces at *@p; moves *@p past them. */
static bool label_matches(const uint8_t **p, const uint8_t *end, const uint8_t *label)
{
	const uint8_t *text = label + 1;
	size_t len = label[0], pos = 0;
	unsigned int n;
	bool fits = true;

	if (*p == end)
		return false;
	n = *(*p)++;
	for (unsigned int i = 0; i < n; i++) {
		size_t piece_len;
		const uint8_t *piece;

		if (*p == end || (size_t)(end - *p) < 1 + (size_t) * *p)
			return false;
		piece_len = **p;
		piece = *p + 1;
		*p += 1 + piece_len;
		if (!fits)
			continue; /* the pieces that follow belong to this label still */
		if (i == 0) {
			fits = piece_len <= len && memcmp(text, piece, piece_len) == 0;
			pos = piece_len;
			if (n == 1)
				fits = fits && piece_len == len;
			continue;
		}
		pos++; /* a star stands for one octet at least */
		if (i == n - 1) {
			fits = pos + piece_len <= len &&
			       memcmp(text + len - piece_len, piece, piece_len) == 0;
			continue;
		}
		/* The leftmost place is the best one: it leaves the most for what follows. */
		while (pos + piece_len <= len && memcmp(text + pos, piece, piece_len) != 0)
			pos++;
		fits = pos + piece_len <= len;
		pos += piece_len;
	}
	return fits && n > 0;
}

/* Do the @n given labels next to the suffix match those of the name? */
static bool labels_match(const struct probe *probe, const struct img_candidate *c,
                         unsigned int depth, unsigned int n)
{
	const uint8_t *p = IMG_RANGE(probe->image, SEC_PATTERNS, c->labels, c->labels_len, uint8_t);
	const uint8_t *end;

	if (!p)
		return false;
	end = p + c->labels_len;
	for (unsigned int i = 0; i < n; i++) {
		if (!label_matches(&p, end,
		                   probe->name + probe->at[probe->n_labels - depth - 1 - i]))
			return false;
	}
	return true;
}

bool candidate_matches(const struct probe *probe, const struct img_candidate *c, unsigned int depth)
{
	unsigned int more = probe->n_labels - depth;

	switch (c->kind) {
	case IMG_EXACT:
		return more == 0;
	case IMG_ZONE:
		return true;
	case IMG_STAR:
		return more > 0 && more == c->n_labels && labels_match(probe, c, depth, more);
	case IMG_BELOW:
		return more > c->n_labels && labels_match(probe, c, depth, c->n_labels);
	default:
		return false; /* a damaged image */
	}
}

/* Can the pattern match some name strictly below this one? */
static bool candidate_reaches_below(const struct probe *probe, const struct img_candidate *c,
                                    unsigned int depth)
{
	unsigned int more = probe->n_labels - depth;

	switch (c->kind) {
	case IMG_ZONE:
		return true;
	case IMG_STAR:
		return c->n_labels > more && labels_match(probe, c, depth, more);
	case IMG_BELOW:
		return labels_match(probe, c, depth, MIN(more, (unsigned int)c->n_labels));
	case IMG_EXACT: /* the name alone */
	default:        /* a damaged image */
		return false;
	}
}

const struct img_rule *candidate_rule(const struct probe *probe, const struct img_candidate *c)
{
	return IMG_AT(probe->image, SEC_RULES, c->rule, struct img_rule);
}

const struct img_candidate *node_candidates(const struct probe *probe, const struct img_node *node,
                                            size_t *ret_n)
{
	const struct img_candidate *c = IMG_RANGE(probe->image, SEC_CANDIDATES, node->candidates,
	                                          node->n_candidates, struct img_candidate);

	*ret_n = c ? node->n_candidates : 0;
	return c;
}

/* What an allow covers that names no types (design, section 4). */
static bool type_is_default(uint16_t type)
{
	switch (type) {
	case 1:   /* A */
	case 2:   /* NS */
	case 5:   /* CNAME */
	case 6:   /* SOA */
	case 12:  /* PTR */
	case 15:  /* MX */
	case 28:  /* AAAA */
	case 33:  /* SRV */
	case 35:  /* NAPTR */
	case 43:  /* DS */
	case 48:  /* DNSKEY */
	case 64:  /* SVCB */
	case 65:  /* HTTPS */
	case 257: /* CAA */
		return true;
	default:
		return false;
	}
}

bool rule_has_type(const struct policy_image *image, const struct img_rule *rule, uint16_t type)
{
	const uint16_t *types;

	if (rule->n_types == 0)
		return !rule_is_allow(rule) || type_is_default(type);
	types = IMG_RANGE(image, SEC_TYPES, rule->types, rule->n_types, uint16_t);
	for (unsigned int i = 0; types && i < rule->n_types; i++) {
		if (types[i] == type)
			return true;
	}
	/* A damaged list must not weaken a deny. */
	return !types && !rule_is_allow(rule);
}

static void weigh(const struct probe *probe, const struct img_candidate *c, unsigned int depth,
                  uint16_t qtype, struct opinion *opinion)
{
	const struct img_rule *rule;

	if (!candidate_matches(probe, c, depth))
		return;
	rule = candidate_rule(probe, c);
	if (!rule)
		return;
	if (rule_expired(rule, probe->now_s)) {
		if (rule_is_allow(rule) && opinion->expired_id == POLICY_NONE)
			opinion->expired_id = c->rule;
		return;
	}
	/* A deny of some types says nothing of the others; an allow that wins decides for all. */
	if (!rule_is_allow(rule) && !rule_has_type(probe->image, rule, qtype))
		return;
	if (!opinion->winner) {
		opinion->winner = rule;
		opinion->winner_id = c->rule;
		opinion->winner_exact = c->kind == IMG_EXACT;
	}
	if (!opinion->final && !rule_is_allow(rule) && (rule->flags & IMG_FINAL)) {
		opinion->final = rule;
		opinion->final_id = c->rule;
	}
}

void opinion_form(const struct probe *probe, uint16_t qtype, struct opinion *ret_opinion)
{
	*ret_opinion = (struct opinion){
		.winner_id = POLICY_NONE,
		.final_id = POLICY_NONE,
		.expired_id = POLICY_NONE,
	};
	for (unsigned int d = probe->n_known; d-- > 0;) {
		const struct img_node *node = probe->node[d];
		bool finals = node->flags & IMG_NODE_FINAL;
		const struct img_candidate *c;
		size_t n;

		if (ret_opinion->winner && !probe->profile->has_final)
			return;
		if (ret_opinion->winner && !finals)
			continue;
		c = node_candidates(probe, node, &n);
		for (size_t i = 0; i < n; i++) {
			if (ret_opinion->winner && !finals)
				break;
			if (!ret_opinion->winner || c[i].is_final)
				weigh(probe, &c[i], d, qtype, ret_opinion);
		}
	}
}

/* What the feeds say of the name that is the last @depth labels. */
static const struct img_combination *find_combination(const struct probe *probe, unsigned int depth)
{
	const struct policy_image *image = probe->image;
	const uint8_t *suffix = probe->name + probe->at[probe->n_labels - depth];
	unsigned int len = probe->len - probe->at[probe->n_labels - depth];
	uint64_t n = MIN(img_count(image, SEC_FEED_SLOTS), img_count(image, SEC_FEED_TAGS));
	const uint32_t *slots = img_all(image, SEC_FEED_SLOTS);
	const uint8_t *tags = img_all(image, SEC_FEED_TAGS);
	uint64_t hash = probe->hash[depth];
	uint64_t slot = img_slot(hash, n);

	if (n == 0)
		return NULL;
	for (unsigned int i = 0; i < IMG_PROBES_MAX && slots[slot] != 0; i++) {
		const uint8_t *entry = NULL;

		if (tags[slot] == img_tag(hash))
			entry = IMG_RANGE(image, SEC_FEED_NAMES, slots[slot] - 1, 2 + (uint64_t)len,
			                  uint8_t);
		if (entry && memcmp(entry + 2, suffix, len) == 0) {
			uint16_t id;

			memcpy(&id, entry, sizeof(id));
			return IMG_AT(image, SEC_COMBINATIONS, id, struct img_combination);
		}
		if (++slot == n)
			slot = 0;
	}
	return NULL;
}

uint32_t feed_lookup(struct probe *probe, enum feed_scope scope)
{
	const struct img_head *head = img_head(probe->image);
	uint64_t open = probe->profile->feeds; /* feeds that have not spoken yet */
	unsigned int most = MIN(probe->n_labels, head->feed_labels_max);
	unsigned int least = head->feed_labels_min;

	/* A feed with exceptions may except something below. */
	if (scope == FEED_BELOW)
		open &= ~head->feeds_with_pass;
	if (!open || least > most)
		return POLICY_NONE;
	hash_to(probe, most);
	/* Within one feed the most specific entry decides, and an exception beside a listing wins.
	 */
	for (unsigned int d = most + 1; d-- > least && open;) {
		const struct img_combination *c = find_combination(probe, d);
		bool exact = d == probe->n_labels && scope == FEED_NAME;
		uint64_t block;

		if (!c)
			continue;
		open &= ~(exact ? c->pass_exact : c->pass_below);
		block = open & (exact ? c->block_exact : c->block_below);
		if (block)
			return (uint32_t)__builtin_ctzll(block);
	}
	return POLICY_NONE;
}

/* Two candidates with fixed suffixes of one name: which is more specific? The design's order:
 * longer suffix, stars in labels over the rest, literal octets. */
struct rank {
	unsigned int depth, class, literals;
};

static struct rank rank_of(const struct img_candidate *c, unsigned int depth)
{
	unsigned int class = c->kind == IMG_EXACT ? 2 : c->kind == IMG_STAR ? 1 : 0;

	return (struct rank){ depth, class, c->literals };
}

static bool rank_above(struct rank a, struct rank b)
{
	if (a.depth != b.depth)
		return a.depth > b.depth;
	if (a.class != b.class)
		return a.class > b.class;
	return a.literals > b.literals;
}

/* The strongest deny that covers every name below this one, whatever its type. */
static bool find_cover(const struct probe *probe, struct rank *ret_cover, bool *ret_final)
{
	bool found = false;

	*ret_final = false;
	for (unsigned int d = probe->n_known; d-- > 0;) {
		size_t n;
		const struct img_candidate *c = node_candidates(probe, probe->node[d], &n);

		for (size_t i = 0; i < n; i++) {
			const struct img_rule *rule = candidate_rule(probe, &c[i]);

			if (!rule || rule_is_allow(rule) || rule->n_types != 0 ||
			    rule_expired(rule, probe->now_s))
				continue;
			if (c[i].kind != IMG_ZONE && (c[i].kind != IMG_BELOW || c[i].n_labels > 0))
				continue;
			if (rule->flags & IMG_FINAL)
				*ret_final = true;
			if (!found)
				*ret_cover = rank_of(&c[i], d);
			found = true;
		}
	}
	return found;
}

bool allows_below(struct probe *probe)
{
	const struct img_node *self =
	    probe->n_known == probe->n_labels + 1 ? probe->node[probe->n_labels] : NULL;
	struct rank cover = { 0 };
	bool covered, is_final;

	if (probe->profile->observe == 1 && feed_lookup(probe, FEED_BELOW) == POLICY_NONE)
		return true; /* what no feed lists is answered */
	if (probe->n_known == 0)
		return false;
	covered = find_cover(probe, &cover, &is_final);
	if (covered && is_final)
		return false;
	if (self && self->exact_below_until > probe->now_s)
		return true;
	if (feed_lookup(probe, FEED_BELOW) != POLICY_NONE)
		return false; /* only an exact allow beats a feed */
	if (self && self->below_until > probe->now_s)
		return true;
	for (unsigned int d = probe->n_known; d-- > 0;) {
		size_t n;
		const struct img_candidate *c = node_candidates(probe, probe->node[d], &n);

		for (size_t i = 0; i < n; i++) {
			const struct img_rule *rule = candidate_rule(probe, &c[i]);

			if (covered && !rank_above(rank_of(&c[i], d), cover))
				continue;
			if (rule && rule_is_allow(rule) && !rule_expired(rule, probe->now_s) &&
			    candidate_reaches_below(probe, &c[i], d))
				return true;
		}
	}
	return false;
}

bool is_above_allowed(struct probe *probe)
{
	const struct img_node *node;
	const struct img_candidate *c;
	size_t n;

	if (probe->n_known != probe->n_labels + 1 || !allows_below(probe))
		return false;
	node = probe->node[probe->n_labels];
	if (node->below_until > probe->now_s)
		return true;
	c = node_candidates(probe, node, &n);
	for (size_t i = 0; i < n; i++) {
		const struct img_rule *rule = candidate_rule(probe, &c[i]);

		if (rule && rule_is_allow(rule) && !rule_expired(rule, probe->now_s) &&
		    c[i].kind != IMG_EXACT)
			return true;
	}
	return false;
}
