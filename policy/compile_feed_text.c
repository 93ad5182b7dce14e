/* policy/compile_feed_text.c - reading the three formats of feeds. */
#include <string.h>
#include <strings.h>

#include "compile_feed.h"
#include "sallyport/diag.h"
#include "sallyport/err.h"

#define BAD_LINES_SHOWN 5
#define TOKENS_MAX 64

struct token {
	const char *text;
	size_t len;
};

struct feed_reader {
	struct feed_table *table;
	uint32_t feed;
	const struct policy_source *source;
	struct diag *diag;
	unsigned int line;
	size_t n_good, n_bad, n_passed_over;
	/* rpz: the zone's own name, and the present $ORIGIN */
	uint8_t apex[NAME_MAX_WIRE], origin[NAME_MAX_WIRE];
	uint16_t apex_len, origin_len; /* 0: unknown */
};

static void bad_line(struct feed_reader *r, const char *why)
{
	r->n_bad++;
	if (r->n_bad <= BAD_LINES_SHOWN)
		diag_add(r->diag, DIAG_WARNING, r->source->file, r->line, 1,
		         "%s; the line is left out", why);
}

static bool token_is(const struct token *token, const char *word)
{
	size_t len = strlen(word);

	return token->len == len && strncasecmp(token->text, word, len) == 0;
}

static size_t read_odd_name(const struct token *token, uint8_t out[static NAME_MAX_WIRE + 9])
{
	struct pattern pattern;
	char why[PATTERN_WHY_LEN];
	bool odd = false;

	/* Without an escape or a letter beyond ASCII it is no name, but another format. */
	for (size_t i = 0; i < token->len; i++)
		odd = odd || token->text[i] == '\\' || (unsigned char)token->text[i] >= 0x80;
	if (!odd && !token_is(token, "."))
		return 0;
	if (pattern_parse(token->text, token->len, PATTERN_HOST, &pattern, why) < 0)
		return 0;
	memcpy(out, pattern.suffix, NAME_MAX_WIRE + 9);
	return pattern.suffix_len;
}

/* Most names are letters, digits, '-', '_' and dots; others take the long way. Returns the wire
 * length, or 0. @out is padded for hashing. */
static size_t read_name(const struct token *token, uint8_t out[static NAME_MAX_WIRE + 9])
{
	size_t len = token->len, label = 0, at = 1;

	if (len > 0 && token->text[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_MAX_WIRE - 2)
		return read_odd_name(token, out);
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = i < len ? (unsigned char)token->text[i] : '.';

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c == '.') {
			if (at - label - 1 == 0 || at - label - 1 > 63)
				return 0;
			out[label] = (uint8_t)(at - label - 1);
			label = at++;
		} else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		           c == '_') {
			out[at++] = c;
		} else {
			return read_odd_name(token, out);
		}
	}
	memset(out + label, 0, 9); /* the root's octet, and the padding */
	return label + 1;
}

static int add(struct feed_reader *r, const uint8_t *name, size_t len, enum feed_act act)
{
	return feed_table_add(r->table, r->feed, name, len, act);
}

/* Blanks divide; @comment and what follows is left out. */
static size_t split(const char *line, size_t len, char comment, struct token *tokens)
{
	size_t n = 0, i = 0;

	while (i < len && n < TOKENS_MAX) {
		size_t start;

		while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
			i++;
		start = i;
		while (i < len && line[i] != ' ' && line[i] != '\t' && line[i] != '\r' &&
		       line[i] != comment)
			i++;
		if (i > start)
			tokens[n++] = (struct token){ line + start, i - start };
		if (i < len && line[i] == comment)
			break;
	}
	return n;
}

static bool strip_star(struct token *token)
{
	if (token->len <= 2 || token->text[0] != '*' || token->text[1] != '.')
		return false;
	token->text += 2;
	token->len -= 2;
	return true;
}

static int read_domains_line(struct feed_reader *r, const char *line, size_t len)
{
	struct token tokens[TOKENS_MAX];
	size_t n = split(line, len, '#', tokens), name_len;
	uint8_t name[NAME_MAX_WIRE + 9];
	bool star;
	int err;

	if (n == 0)
		return ERR_OK;
	star = strip_star(&tokens[0]);
	name_len = n == 1 ? read_name(&tokens[0], name) : 0;
	if (name_len <= 1) {
		bad_line(r, "not one domain name");
		return ERR_OK;
	}
	err = star ? ERR_OK : add(r, name, name_len, FEED_BLOCK_EXACT);
	if (err == ERR_OK)
		err = add(r, name, name_len, FEED_BLOCK_BELOW);
	r->n_good++;
	return err;
}

/* Names that every hosts file gives to the machine itself. */
static bool is_own_name(const struct token *token)
{
	static const char *const names[] = {
		"localhost",     "localhost.localdomain", "local",        "broadcasthost",
		"ip6-localhost", "ip6-loopback",          "ip6-localnet", "ip6-mcastprefix",
		"ip6-allnodes",  "ip6-allrouters",        "ip6-allhosts", "0.0.0.0"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (token_is(token, names[i]))
			return true;
	}
	return false;
}

static int read_hosts_line(struct feed_reader *r, const char *line, size_t len)
{
	struct token tokens[TOKENS_MAX];
	size_t n = split(line, len, '#', tokens);
	char addr_text_buf[ADDR_TEXT_LEN];
	uint8_t addr[ADDR_LEN];

	if (n == 0)
		return ERR_OK;
	if (tokens[0].len >= sizeof(addr_text_buf)) {
		bad_line(r, "no address at the beginning");
		return ERR_OK;
	}
	memcpy(addr_text_buf, tokens[0].text, tokens[0].len);
	addr_text_buf[tokens[0].len] = '\0';
	addr_text_buf[strcspn(addr_text_buf, "%")] = '\0'; /* fe80::1%lo0 */
	if (addr_parse(addr_text_buf, addr) < 0 || n < 2) {
		bad_line(r, "not an address and a name");
		return ERR_OK;
	}
	for (size_t i = 1; i < n; i++) {
		uint8_t name[NAME_MAX_WIRE + 9];
		size_t name_len = read_name(&tokens[i], name);
		int err;

		if (is_own_name(&tokens[i]))
			continue;
		if (name_len <= 1) {
			bad_line(r, "not an address and a name");
			continue;
		}
		err = add(r, name, name_len, FEED_BLOCK_EXACT);
		if (err < 0)
			return err;
		r->n_good++;
	}
	return ERR_OK;
}

/* rpz */

static bool all_digits(const struct token *token)
{
	for (size_t i = 0; i < token->len; i++) {
		if (token->text[i] < '0' || token->text[i] > '9')
			return false;
	}
	return token->len > 0;
}

/* A TTL: digits and perhaps units ("2h30m"). */
static bool is_ttl(const struct token *token)
{
	for (size_t i = 0; i < token->len; i++) {
		if (!strchr("0123456789smhdwSMHDW", token->text[i]))
			return false;
	}
	return token->len > 0 && token->text[0] >= '0' && token->text[0] <= '9';
}

/* The trigger: @name less the zone's own name. Returns its length with the zero octet, 0 when the
 * name lies outside the zone. */
static size_t strip_apex(const struct feed_reader *r, uint8_t name[static NAME_MAX_WIRE + 9],
                         size_t len)
{
	size_t at = 0;

	if (r->apex_len <= 1)
		return len;
	while (at < len && len - at > r->apex_len)
		at += 1 + (size_t)name[at];
	if (at >= len || len - at != r->apex_len || memcmp(name + at, r->apex, r->apex_len) != 0)
		return 0;
	memset(name + at, 0, NAME_MAX_WIRE + 9 - at);
	return at + 1;
}

/* An owner as written to the trigger's name. Returns its length, 0 after a fault. */
static size_t read_owner(struct feed_reader *r, const struct token *owner,
                         uint8_t name[static NAME_MAX_WIRE + 9])
{
	bool absolute = owner->len > 0 && owner->text[owner->len - 1] == '.';
	size_t len;

	memset(name, 0, NAME_MAX_WIRE + 9);
	if (token_is(owner, "@"))
		len = 1;
	else
		len = read_name(owner, name);
	if (len == 0)
		return 0;
	if (!absolute && r->origin_len > 0) {
		if (len - 1 + r->origin_len > NAME_MAX_WIRE)
			return 0;
		memcpy(name + len - 1, r->origin, r->origin_len);
		len += r->origin_len - 1u;
		return strip_apex(r, name, len);
	}
	return absolute ? strip_apex(r, name, len) : len;
}

/* rpz-ip and its kin: triggers other than the name asked. */
static bool is_other_trigger(const uint8_t *name)
{
	const uint8_t *last = name;

	if (name[0] == 0)
		return false;
	for (const uint8_t *p = name; *p; p += 1 + *p)
		last = p;
	return last[0] > 4 && memcmp(last + 1, "rpz-", 4) == 0;
}

static int read_record(struct feed_reader *r, struct token owner, const struct token *type,
                       const struct token *data)
{
	static const char *const ignored[] = { "SOA", "NS",    "RRSIG",      "DNSKEY", "NSEC",
		                               "DS",  "NSEC3", "NSEC3PARAM", "CDS",    "CDNSKEY" };
	uint8_t name[NAME_MAX_WIRE + 9], target[NAME_MAX_WIRE + 9];
	bool star = token_is(&owner, "*"), pass = false;
	struct token at_apex = { "@", 1 };
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
		if (token_is(type, ignored[i]))
			return ERR_OK;
	}
	star = star || strip_star(&owner);
	len = read_owner(r, token_is(&owner, "*") ? &at_apex : &owner, name);
	if (len == 0) {
		bad_line(r, "an owner that is no name of this zone");
		return ERR_OK;
	}
	if (len == 1 && !star)
		return ERR_OK; /* data of the zone itself */
	if (is_other_trigger(name)) {
		r->n_passed_over++;
		return ERR_OK;
	}
	if (token_is(type, "CNAME")) {
		size_t target_len = data ? read_name(data, target) : 0;

		if (data && token_is(data, "rpz-tcp-only.")) {
			r->n_passed_over++;
			return ERR_OK;
		}
		/* An alias to itself is the old way to write rpz-passthru. */
		pass = data && (token_is(data, "rpz-passthru.") ||
		                (len > 1 && target_len == len && memcmp(target, name, len) == 0));
	}
	r->n_good++;
	if (star)
		return add(r, name, len, pass ? FEED_PASS_BELOW : FEED_BLOCK_BELOW);
	return add(r, name, len, pass ? FEED_PASS_EXACT : FEED_BLOCK_EXACT);
}

static void set_origin(struct feed_reader *r, const struct token *token)
{
	uint8_t name[NAME_MAX_WIRE + 9] = { 0 };
	bool absolute = token->len > 0 && token->text[token->len - 1] == '.';
	size_t len = read_name(token, name);

	if (len == 0 || !absolute) {
		bad_line(r, "$ORIGIN without an absolute name");
		return;
	}
	memcpy(r->origin, name, len);
	r->origin_len = (uint16_t)len;
	if (r->apex_len == 0) {
		memcpy(r->apex, name, len);
		r->apex_len = (uint16_t)len;
	}
}

/* The SOA's owner is the zone's name, if it is absolute and no $ORIGIN said so before. */
static void learn_apex(struct feed_reader *r, const struct token *owner)
{
	if (r->apex_len == 0 && owner->len > 0 && owner->text[owner->len - 1] == '.')
		set_origin(r, owner);
}

/* One logical line; parentheses and what they hold are joined already. */
static int read_rpz_tokens(struct feed_reader *r, bool has_owner, const struct token *tokens,
                           size_t n, struct token *last_owner)
{
	size_t i = 0;

	if (n == 0)
		return ERR_OK;
	if (has_owner && tokens[0].text[0] == '$') {
		if (token_is(&tokens[0], "$ORIGIN") && n > 1)
			set_origin(r, &tokens[1]);
		else if (!token_is(&tokens[0], "$TTL"))
			bad_line(r, "$INCLUDE, $GENERATE and the like are not followed");
		return ERR_OK;
	}
	if (has_owner)
		*last_owner = tokens[i++];
	while (i < n && (is_ttl(&tokens[i]) || token_is(&tokens[i], "IN")))
		i++;
	if (i == n || last_owner->len == 0 || all_digits(&tokens[i])) {
		bad_line(r, "not a resource record");
		return ERR_OK;
	}
	if (token_is(&tokens[i], "SOA"))
		learn_apex(r, last_owner);
	return read_record(r, *last_owner, &tokens[i], i + 1 < n ? &tokens[i + 1] : NULL);
}

/* Where this physical line ends its parentheses: depth after it, comments and quotes heeded. */
static int depth_after(const char *line, size_t len, int depth)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\\')
			i++;
		else if (line[i] == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		else if (line[i] == ';')
			break;
		else if (line[i] == '(')
			depth++;
		else if (line[i] == ')')
			depth = MAX(depth - 1, 0);
	}
	return depth;
}

/* Only a record's first line matters: owner, type and, of a CNAME, the target stand there. What
 * follows within parentheses is passed over. */
static int read_rpz(struct feed_reader *r, const char *text, size_t len)
{
	struct token last_owner = { "", 0 };
	int depth = 0;

	for (size_t at = 0; at < len; r->line++) {
		const char *line = text + at;
		const char *end = memchr(line, '\n', len - at);
		size_t line_len = end ? (size_t)(end - line) : len - at;
		struct token tokens[TOKENS_MAX];
		int err = ERR_OK;

		if (depth == 0) {
			bool has_owner = line_len > 0 && line[0] != ' ' && line[0] != '\t';

			err = read_rpz_tokens(r, has_owner, tokens,
			                      split(line, line_len, ';', tokens), &last_owner);
		}
		if (err < 0)
			return err;
		depth = depth_after(line, line_len, depth);
		at += line_len + 1;
	}
	return ERR_OK;
}

static int read_lines(struct feed_reader *r, const char *text, size_t len,
                      int (*read)(struct feed_reader *, const char *, size_t))
{
	for (size_t at = 0; at < len; r->line++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line_len = end ? (size_t)(end - (text + at)) : len - at;
		int err = read(r, text + at, line_len);

		if (err < 0)
			return err;
		at += line_len + 1;
	}
	return ERR_OK;
}

int feed_read(struct feed_table *table, uint32_t feed, enum feed_format format,
              const struct policy_source *source, struct diag *diag)
{
	static const char *const format_names[] = { "?", "domains", "hosts", "rpz" };
	struct feed_reader r = {
		.table = table, .feed = feed, .source = source, .diag = diag, .line = 1
	};
	int err = ERR_OK;

	if (source->len > LIMIT_FEED_BYTES) {
		diag_add(diag, DIAG_ERROR, source->file, 0, 0,
		         "%zu octets in one feed; at most %d, split it", source->len,
		         LIMIT_FEED_BYTES);
		return ERR_CONFIG;
	}
	switch (format) {
	case FEED_DOMAINS:
		err = read_lines(&r, source->text, source->len, read_domains_line);
		break;
	case FEED_HOSTS:
		err = read_lines(&r, source->text, source->len, read_hosts_line);
		break;
	case FEED_RPZ:
		err = read_rpz(&r, source->text, source->len);
		break;
	}
	if (err == ERR_LIMIT)
		diag_add(diag, DIAG_ERROR, source->file, r.line, 1,
		         "the feeds together are larger than an image may be; leave some out");
	if (err < 0)
		return err;
	if (r.n_bad > BAD_LINES_SHOWN)
		diag_add(diag, DIAG_WARNING, source->file, 0, 0, "%zu more lines are left out",
		         r.n_bad - BAD_LINES_SHOWN);
	if (r.n_passed_over > 0)
		diag_add(
		    diag, DIAG_WARNING, source->file, 0, 0,
		    "%zu entries of other kinds (rpz-ip, rpz-nsdname, rpz-tcp-only, ...) are left "
		    "out; only names asked are judged",
		    r.n_passed_over);
	if (r.n_bad > r.n_good) {
		diag_add(diag, DIAG_ERROR, source->file, 0, 0,
		         "%zu of %zu entries cannot be read; is this really a feed of format %s?",
		         r.n_bad, r.n_bad + r.n_good, format_names[format]);
		return ERR_CONFIG;
	}
	if (r.n_good == 0)
		diag_add(diag, DIAG_WARNING, source->file, 0, 0, "the feed lists no name");
	table->per_feed[feed] = r.n_good;
	return ERR_OK;
}
