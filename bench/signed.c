/* signed ADDRESS PORT NAMES ZONES FILE - an upstream whose answers are signed before they are asked
 * for.
 *
 * ".", "bench.", "names.bench." and "zones.bench." are zones with one P-256 key each.
 * n<i>.names.bench has an A record; n<i>.zones.bench is a zone of its own with one at its apex, so
 * that a validator needs its DS, its DNSKEY and the A. Of NAMES names and ZONES zones these are
 * signed before FILE, the root's DNSKEY in presentation form, is written; whatever else is asked,
 * signed or denied, when it is first asked for. Nothing in it is random but the keys. Reads in
 * batches; ends by a signal.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ROOM 2048
#define SLOTS (1u << 20) /* of the table of answers */
#define TTL 3600
#define DNSKEY_LEN 68

enum { T_A = 1, T_NS = 2, T_SOA = 6, T_DS = 43, T_RRSIG = 46, T_NSEC = 47, T_DNSKEY = 48 };

struct zone {
	const char *text;
	uint8_t apex[64];
	size_t apex_len;
	EVP_PKEY *key;
	uint8_t dnskey[DNSKEY_LEN];
	uint16_t tag;
};

enum { ROOT, BENCH, NAMES, ZONES, CHILD, N_ZONES }; /* CHILD: each n<i>.zones.bench */
static struct zone zones[N_ZONES] = {
	{ .text = "" },  { .text = "bench" }, { .text = "names.bench" }, { .text = "zones.bench" },
	{ .text = "-" },
};

struct answer {        /* what follows the question */
	uint64_t hash; /* 0: free */
	uint16_t len, n_answer, n_authority;
	uint8_t *octets;
};
static struct answer *answers;
static uint32_t inception, expiration;
static uint8_t in[BATCH][ROOM], out[BATCH][ROOM];

static uint8_t *put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

static uint8_t *put(uint8_t *p, const void *octets, size_t len)
{
	memcpy(p, octets, len);
	return p + len;
}

static size_t to_wire(const char *text, uint8_t *name)
{
	size_t pos = 0;

	for (const char *s = text; *s; s += *s == '.') {
		size_t n = strcspn(s, ".");

		name[pos++] = (uint8_t)n;
		memcpy(name + pos, s, n);
		pos += n;
		s += n;
	}
	name[pos++] = 0;
	return pos;
}

static void zone_make(struct zone *zone)
{
	uint8_t point[65];
	size_t len;
	uint32_t sum = 0;

	zone->apex_len = to_wire(zone->text, zone->apex);
	zone->key = EVP_EC_gen("P-256");
	if (!zone->key ||
	    EVP_PKEY_get_octet_string_param(zone->key, "encoded-pub-key", point, sizeof(point),
	                                    &len) != 1 ||
	    len != 65)
		exit(2);
	put(put(zone->dnskey, "\x01\x01\x03\x0d", 4), point + 1, 64);
	for (size_t i = 0; i < DNSKEY_LEN; i++)
		sum += i & 1 ? zone->dnskey[i] : (uint32_t)zone->dnskey[i] << 8;
	zone->tag = (uint16_t)(sum + (sum >> 16));
}

/* r | s of a signature over @octets. */
static void sign(const struct zone *zone, const uint8_t *octets, size_t len, uint8_t *ret_rs)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[128];
	const uint8_t *at = der;
	size_t der_len = sizeof(der);
	ECDSA_SIG *sig;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, zone->key) != 1 ||
	    EVP_DigestSign(ctx, der, &der_len, octets, len) != 1)
		exit(2);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_rs, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_rs + 32, 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
}

struct record { /* and its signature, by @zone */
	const struct zone *zone;
	const uint8_t *signer; /* apex of it */
	size_t signer_len;
	const uint8_t *owner;
	size_t owner_len;
	unsigned int at; /* where the owner stands in the message: it is compressed */
	unsigned int type;
	const uint8_t *rdata;
	size_t len;
};

static unsigned int labels_of(const uint8_t *name)
{
	unsigned int n = 0;

	for (; *name; name += 1 + *name)
		n++;
	return n;
}

static uint8_t *put_signed(uint8_t *p, const struct record *r)
{
	uint8_t octets[1024], *head = octets, *at;

	p = put32(put16(put16(put16(p, 0xc000 | r->at), r->type), 1), TTL);
	p = put(put16(p, (unsigned int)r->len), r->rdata, r->len);

	at = put16(head, r->type);
	*at++ = 13;
	*at++ = (uint8_t)labels_of(r->owner);
	at = put16(put32(put32(put32(at, TTL), expiration), inception), r->zone->tag);
	at = put(at, r->signer, r->signer_len);
	p = put32(put16(put16(put16(p, 0xc000 | r->at), T_RRSIG), 1), TTL);
	p = put16(p, (unsigned int)(at - head) + 64);
	p = put(p, head, (size_t)(at - head));
	at = put32(put16(put16(put(at, r->owner, r->owner_len), r->type), 1), TTL);
	at = put(put16(at, (unsigned int)r->len), r->rdata, r->len);
	sign(r->zone, head, (size_t)(at - head), p);
	return p + 64;
}

static bool ends_in(const uint8_t *name, size_t len, const struct zone *zone, unsigned int above)
{
	return labels_of(name) == labels_of(zone->apex) + above && len >= zone->apex_len &&
	       memcmp(name + len - zone->apex_len, zone->apex, zone->apex_len) == 0;
}

static uint32_t number_of(const uint8_t *name)
{
	uint32_t number = 0;

	for (unsigned int i = 1; i <= name[0]; i++)
		number = name[i] >= '0' && name[i] <= '9' ? number * 10 + name[i] - '0' : number;
	return number;
}

/* The zone that a name lies in; of a DS the parent. */
static const struct zone *zone_of(const uint8_t *name, size_t len, unsigned int type,
                                  bool *ret_apex)
{
	const struct zone *zone = &zones[ROOT];

	*ret_apex = false;
	for (unsigned int i = ROOT; i <= ZONES; i++) {
		const struct zone *z = &zones[i];

		if (len < z->apex_len ||
		    memcmp(name + len - z->apex_len, z->apex, z->apex_len) != 0 ||
		    (type == T_DS && len == z->apex_len && i != ROOT))
			continue;
		zone = z;
		*ret_apex = len == z->apex_len;
	}
	if (ends_in(name, len, &zones[ZONES], 1) && type != T_DS) {
		*ret_apex = true;
		return &zones[CHILD];
	}
	return zone;
}

static uint8_t *put_negative(uint8_t *p, const struct record *like, bool apex, bool host)
{
	static const uint8_t bits_apex[] = { 0, 7, 0x22, 0, 0, 0, 0, 0x03, 0x80 };
	static const uint8_t bits_host[] = { 0, 6, 0x40, 0, 0, 0, 0, 0x03 };
	uint8_t soa[512], nsec[512], *at = soa;
	struct record r = *like;

	at = put(put(at, "\2ns", 3), r.signer, r.signer_len);
	at = put(put(at, "\1h", 2), r.signer, r.signer_len);
	for (int i = 0; i < 5; i++)
		at = put32(at, TTL);
	r.owner = r.signer;
	r.owner_len = r.signer_len;
	r.at = like->at + (unsigned int)(like->owner_len - like->signer_len);
	r.type = T_SOA;
	r.rdata = soa;
	r.len = (size_t)(at - soa);
	p = put_signed(p, &r);

	r = *like;
	at = put(put(nsec, "\1\0", 2), r.owner, r.owner_len);
	at = apex ? put(at, bits_apex, sizeof(bits_apex)) : put(at, bits_host, sizeof(bits_host));
	if (!apex && !host)
		at[-6] &= 0; /* nothing but RRSIG and NSEC */
	r.type = T_NSEC;
	r.rdata = nsec;
	r.len = (size_t)(at - nsec);
	return put_signed(p, &r);
}

static void make(struct answer *a, const uint8_t *name, size_t len, unsigned int type)
{
	uint8_t octets[1500], rdata[512], digest[32], text[512], *p = octets;
	bool apex, cut = ends_in(name, len, &zones[ZONES], 1);
	const struct zone *zone = zone_of(name, len, type, &apex), *child = NULL;
	bool host = (ends_in(name, len, &zones[NAMES], 1) || cut) && name[1] == 'n';
	struct record r = { .zone = zone,
		            .signer = zone == &zones[CHILD] ? name : zone->apex,
		            .signer_len = zone == &zones[CHILD] ? len : zone->apex_len,
		            .owner = name,
		            .owner_len = len,
		            .at = 12,
		            .type = type,
		            .rdata = rdata };

	if (type == T_A && host) {
		put32(rdata, 0x2c800000u + number_of(name)); /* 44.128.0.0 and on */
		r.len = 4;
	} else if (type == T_DNSKEY && apex) {
		put(rdata, zone->dnskey, DNSKEY_LEN);
		r.len = DNSKEY_LEN;
	} else if (type == T_NS && apex) {
		r.len = (size_t)(put(put(rdata, "\2ns", 3), r.signer, r.signer_len) - rdata);
	} else if (type == T_DS) {
		for (unsigned int i = BENCH; i <= ZONES; i++) {
			if (len == zones[i].apex_len && memcmp(name, zones[i].apex, len) == 0)
				child = &zones[i];
		}
		if (cut)
			child = &zones[CHILD];
	}
	if (child) {
		put(put(text, name, len), child->dnskey, DNSKEY_LEN);
		SHA256(text, len + DNSKEY_LEN, digest);
		put(put(put16(rdata, child->tag), "\x0d\x02", 2), digest, 32);
		r.len = 36;
	}
	if (r.len > 0)
		p = put_signed(p, &r);
	else
		p = put_negative(p, &r, apex, host && !cut);
	a->n_answer = r.len > 0 ? 2 : 0;
	a->n_authority = r.len > 0 ? 0 : 4;
	a->len = (uint16_t)(p - octets);
	a->octets = malloc(a->len);
	if (!a->octets)
		exit(2);
	memcpy(a->octets, octets, a->len);
}

/* @name in lower case. */
static const struct answer *find(const uint8_t *name, size_t len, unsigned int type)
{
	uint64_t hash = 0xcbf29ce484222325u ^ type;
	struct answer *a;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ name[i]) * 0x100000001b3u;
	hash |= 1;
	for (uint64_t at = hash >> 20;; at++) { /* 64 bits tell a million questions apart */
		a = &answers[at % SLOTS];
		if (a->hash == hash)
			return a;
		if (a->hash == 0)
			break;
	}
	make(a, name, len, type);
	a->hash = hash;
	return a;
}

static size_t answer(const uint8_t *q, size_t len, uint8_t *p)
{
	static const uint8_t opt[11] = { 0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0 };
	uint8_t name[256], *end;
	const struct answer *a;
	size_t n = 0;

	while (12 + n < len && n < 250 && q[12 + n] != 0) {
		size_t label = q[12 + n];

		if (label > 63 || 12 + n + 1 + label >= len)
			return 0;
		name[n] = (uint8_t)label;
		for (size_t i = 1; i <= label; i++) {
			uint8_t c = q[12 + n + i];

			name[n + i] = c >= 'A' && c <= 'Z' ? c | 32 : c;
		}
		n += 1 + label;
	}
	name[n++] = 0;
	if (12 + n + 4 > len)
		return 0;
	a = find(name, n, (unsigned int)q[12 + n] << 8 | q[13 + n]);
	put(p, q, 12 + n + 4);
	put16(put16(put16(put16(put16(p + 2, 0x8180), 1), a->n_answer), a->n_authority), 1);
	end = put(p + 12 + n + 4, a->octets, a->len);
	return (size_t)(put(end, opt, sizeof(opt)) - p);
}

static void prepare(const char *suffix, unsigned long n, unsigned int type)
{
	char text[64];
	uint8_t name[64];

	for (unsigned long i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "n%lu.%s", i, suffix);
		find(name, to_wire(text, name), type);
	}
}

static void write_anchor(const char *path)
{
	unsigned char text[128];
	FILE *f;

	EVP_EncodeBlock(text, zones[ROOT].dnskey + 4, 64);
	f = fopen(path, "w");
	if (!f || fprintf(f, ". 3600 IN DNSKEY 257 3 13 %s\n", text) < 0 || fclose(f) != 0)
		exit(2);
}

/* A batch of questions from one socket. */
static void serve(int fd)
{
	static struct mmsghdr in_msgs[BATCH], out_msgs[BATCH];
	static struct iovec in_iov[BATCH], out_iov[BATCH];
	static struct sockaddr_in from[BATCH];
	int n, m = 0;

	for (int i = 0; i < BATCH; i++) {
		in_iov[i] = (struct iovec){ in[i], ROOM };
		in_msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
			                              .msg_namelen = sizeof(from[i]),
			                              .msg_iov = &in_iov[i],
			                              .msg_iovlen = 1 };
	}
	n = recvmmsg(fd, in_msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		size_t len = answer(in[i], in_msgs[i].msg_len, out[m]);

		if (len == 0)
			continue;
		out_iov[m] = (struct iovec){ out[m], len };
		out_msgs[m].msg_hdr = (struct msghdr){ .msg_name = &from[i],
			                               .msg_namelen = sizeof(from[i]),
			                               .msg_iov = &out_iov[m],
			                               .msg_iovlen = 1 };
		m++;
	}
	for (int done = 0; done < m;) {
		int r = sendmmsg(fd, out_msgs + done, (unsigned int)(m - done), 0);

		done += r > 0 ? r : 1; /* whoever is gone misses his answer */
	}
}

static int open_socket(const char *address, const char *port, const char *namespace)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
	char path[128];
	int ns, fd, room = 8 << 20;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0 ||
	    inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    (fd = socket(AF_INET, SOCK_DGRAM, 0)) < 0 ||
	    bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(namespace);
		exit(2);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	close(ns);
	return fd;
}

int main(int argc, char **argv)
{
	struct pollfd fds[8];
	nfds_t n_fds = 0;
	uint32_t now = (uint32_t)time(NULL);

	if (argc < 7 || argc - 6 > 8)
		return 2;
	for (int i = 6; i < argc; i++)
		fds[n_fds++] = (struct pollfd){ open_socket(argv[1], argv[2], argv[i]), POLLIN, 0 };
	inception = now - 3600;
	expiration = now + 7 * 86400;
	answers = calloc(SLOTS, sizeof(*answers));
	if (!answers)
		return 2;
	for (unsigned int i = 0; i < N_ZONES; i++)
		zone_make(&zones[i]);
	prepare("names.bench", strtoul(argv[3], NULL, 10), T_A);
	prepare("zones.bench", strtoul(argv[4], NULL, 10), T_A);
	prepare("zones.bench", strtoul(argv[4], NULL, 10), T_DNSKEY);
	prepare("zones.bench", strtoul(argv[4], NULL, 10), T_DS);
	write_anchor(argv[5]);
	while (poll(fds, n_fds, -1) >= 0) {
		for (nfds_t i = 0; i < n_fds; i++) {
			if (fds[i].revents)
				serve(fds[i].fd);
		}
	}
}
