/* fwsync/table.c - install the table.
 *
 * rule.c says what the rules are; here is how they, the sets and the chains get into the kernel.
 */
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/membarrier.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/log.h"

#include "element.h"
#include "rule.h"

/* nft's numbers of data types (src/datatype.h there): a concatenation has six bits a field. */
enum {
	TYPE_IPADDR = 7,
	TYPE_IP6ADDR = 8,
	TYPE_INET_PROTOCOL = 12,
	TYPE_INET_SERVICE = 13,
	TYPE_IFNAME = 41
};
#define CONCAT2(a, b) ((uint32_t)(a) << 6 | (b))
#define CONCAT3(a, b, c) (CONCAT2(a, b) << 6 | (c))
#define CONCAT4(a, b, c, d) (CONCAT3(a, b, c) << 6 | (d))

#define ELEMENTS_PER_MESSAGE 400 /* a nested attribute holds 64 KiB */
#define MESSAGE_MAX 4096u
#define NFT_BYTEORDER_HOST 1u /* nft's own number (enum byteorder there) */

static const struct set_spec {
	const char *name;
	uint32_t type, key_len, flags;
} set_specs[] = {
	{ "pinhole4", CONCAT4(TYPE_IPADDR, TYPE_IPADDR, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 16,
	  NFT_SET_TIMEOUT },
	{ "pinhole4_proto", CONCAT3(TYPE_IPADDR, TYPE_IPADDR, TYPE_INET_PROTOCOL), 12,
	  NFT_SET_TIMEOUT },
	{ "pinhole4_any", CONCAT2(TYPE_IPADDR, TYPE_IPADDR), 8, NFT_SET_TIMEOUT },
	{ "pinhole6", CONCAT4(TYPE_IP6ADDR, TYPE_IP6ADDR, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE),
	  40, NFT_SET_TIMEOUT },
	{ "pinhole6_proto", CONCAT3(TYPE_IP6ADDR, TYPE_IP6ADDR, TYPE_INET_PROTOCOL), 36,
	  NFT_SET_TIMEOUT },
	{ "pinhole6_any", CONCAT2(TYPE_IP6ADDR, TYPE_IP6ADDR), 32, NFT_SET_TIMEOUT },
	{ "guarded4", TYPE_IPADDR, 4, NFT_SET_INTERVAL },
	{ "guarded6", TYPE_IP6ADDR, 16, NFT_SET_INTERVAL },
	{ "guarded_if", TYPE_IFNAME, 16, 0 },
	{ "observed4", TYPE_IPADDR, 4, NFT_SET_INTERVAL },
	{ "observed6", TYPE_IP6ADDR, 16, NFT_SET_INTERVAL },
	{ "inbound4", CONCAT2(TYPE_IPADDR, TYPE_INET_SERVICE), 8, 0 },
	{ "inbound6", CONCAT2(TYPE_IP6ADDR, TYPE_INET_SERVICE), 20, 0 },
	{ "dns4", CONCAT3(TYPE_IPADDR, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 12, 0 },
	{ "dns6", CONCAT3(TYPE_IP6ADDR, TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 24, 0 },
	{ "dns4_any", CONCAT2(TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 8, 0 },
	{ "dns6_any", CONCAT2(TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 8, 0 },
	{ "services", CONCAT2(TYPE_INET_PROTOCOL, TYPE_INET_SERVICE), 8, 0 },
};

static struct nlmsghdr *message(struct nl *nl, uint16_t type, uint16_t flags)
{
	return nl_message(nl, type, flags, NFPROTO_INET, MESSAGE_MAX);
}

static void put_table(struct nl *nl, uint16_t type, uint16_t flags, const char *name,
                      uint32_t table_flags)
{
	struct nlmsghdr *msg = message(nl, type, flags);

	if (!msg)
		return;
	mnl_attr_put_strz(msg, NFTA_TABLE_NAME, name);
	if (type == NFT_MSG_NEWTABLE)
		mnl_attr_put_u32(msg, NFTA_TABLE_FLAGS, htonl(table_flags));
	nl_message_end(nl, msg);
}

static int put_chain(struct nl *nl, const struct rule_chain *chain)
{
	struct nlmsghdr *msg = message(nl, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!msg || !c) {
		nftnl_chain_free(c);
		return ERR_NOMEM;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, nl->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, chain->name);
	if (chain->hook >= 0) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, (uint32_t)chain->hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, chain->priority);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	}
	nftnl_chain_nlmsg_build_payload(msg, c);
	nftnl_chain_free(c);
	nl_message_end(nl, msg);
	return ERR_OK;
}

static int put_set(struct nl *nl, const struct set_spec *spec, uint32_t id, uint32_t size)
{
	struct nlmsghdr *msg = message(nl, NFT_MSG_NEWSET, NLM_F_CREATE);
	struct nftnl_set *s = nftnl_set_alloc();

	if (!msg || !s) {
		nftnl_set_free(s);
		return ERR_NOMEM;
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, nl->table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, spec->name);
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, spec->flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, spec->type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, spec->key_len);
	if (spec->flags & NFT_SET_TIMEOUT)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, size);
	if (spec->type == TYPE_IFNAME) { /* or nft prints names backwards */
		struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

		if (!udata) {
			nftnl_set_free(s);
			return ERR_NOMEM;
		}
		nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_KEYBYTEORDER, NFT_BYTEORDER_HOST);
		nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(udata),
		                   nftnl_udata_buf_len(udata));
		nftnl_udata_buf_free(udata);
	}
	nftnl_set_nlmsg_build_payload(msg, s);
	nftnl_set_free(s);
	nl_message_end(nl, msg);
	return ERR_OK;
}

static int put_counter(struct nl *nl, const char *name)
{
	struct nlmsghdr *msg = message(nl, NFT_MSG_NEWOBJ, NLM_F_CREATE);
	struct nftnl_obj *obj = nftnl_obj_alloc();

	if (!msg || !obj) {
		nftnl_obj_free(obj);
		return ERR_NOMEM;
	}
	nftnl_obj_set_str(obj, NFTNL_OBJ_TABLE, nl->table);
	nftnl_obj_set_str(obj, NFTNL_OBJ_NAME, name);
	nftnl_obj_set_u32(obj, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
	nftnl_obj_set_u64(obj, NFTNL_OBJ_CTR_PKTS, 0);
	nftnl_obj_set_u64(obj, NFTNL_OBJ_CTR_BYTES, 0);
	nftnl_obj_nlmsg_build_payload(msg, obj);
	nftnl_obj_free(obj);
	nl_message_end(nl, msg);
	return ERR_OK;
}

/* Set elements, many to a message. */

struct filler {
	struct nl *nl;
	const char *set;
	uint16_t type; /* 0: NFT_MSG_NEWSETELEM */
	struct nlmsghdr *msg;
	struct nlattr *list;
	unsigned int n;
};

static struct nlmsghdr *elements_begin(struct nl *nl, uint16_t type, const char *set, size_t max)
{
	struct nlmsghdr *msg =
	    nl_message(nl, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, NFPROTO_INET, max);

	if (!msg)
		return NULL;
	mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_TABLE, nl->table);
	mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_SET, set);
	return msg;
}

static void filler_end(struct filler *f)
{
	if (!f->msg)
		return;
	mnl_attr_nest_end(f->msg, f->list);
	nl_message_end(f->nl, f->msg);
	f->msg = NULL;
}

static void filler_add(struct filler *f, const void *key, size_t len, uint32_t flags)
{
	struct nlattr *item, *nest;

	if (f->msg && f->n == ELEMENTS_PER_MESSAGE)
		filler_end(f);
	if (!f->msg) {
		f->msg = elements_begin(f->nl, f->type ? f->type : NFT_MSG_NEWSETELEM, f->set,
		                        ELEMENTS_PER_MESSAGE * 64 + 128);
		if (!f->msg)
			return; /* nl_commit() reports it */
		f->list = mnl_attr_nest_start(f->msg, NFTA_SET_ELEM_LIST_ELEMENTS);
		f->n = 0;
	}
	item = mnl_attr_nest_start(f->msg, NFTA_LIST_ELEM);
	nest = mnl_attr_nest_start(f->msg, NFTA_SET_ELEM_KEY);
	mnl_attr_put(f->msg, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(f->msg, nest);
	if (flags)
		mnl_attr_put_u32(f->msg, NFTA_SET_ELEM_FLAGS, htonl(flags));
	mnl_attr_nest_end(f->msg, item);
	f->n++;
}

/* Removing without naming an element empties the set. */
static void put_flush(struct nl *nl, const char *set)
{
	struct nlmsghdr *msg = elements_begin(nl, NFT_MSG_DELSETELEM, set, MESSAGE_MAX);

	if (msg)
		nl_message_end(nl, msg);
}

static bool add_one(uint8_t *addr, size_t len)
{
	while (len-- > 0)
		if (++addr[len] != 0)
			return true;
	return false; /* there is no address behind the last */
}

static void put_range(struct filler *f, const struct range *range, bool v4)
{
	size_t skip = v4 ? 12 : 0, len = ADDR_LEN - skip;
	uint8_t end[ADDR_LEN];

	if (addr_is_v4(range->first) != v4)
		return;
	filler_add(f, range->first + skip, len, 0);
	memcpy(end, range->last + skip, len);
	if (add_one(end, len))
		filler_add(f, end, len, NFT_SET_ELEM_INTERVAL_END);
}

static void put_ranges(struct nl *nl, const char *set, const struct ranges *ranges, bool v4)
{
	struct filler f = { .nl = nl, .set = set };

	for (size_t i = 0; i < ranges->n; i++)
		put_range(&f, &ranges->items[i], v4);
	filler_end(&f);
}

/* Those of @ranges that @others does not have; both are sorted. */
static void put_difference(struct nl *nl, uint16_t type, const char *set,
                           const struct ranges *ranges, const struct ranges *others, bool v4)
{
	struct filler f = { .nl = nl, .set = set, .type = type };
	size_t o = 0;

	for (size_t i = 0; i < ranges->n; i++) {
		const struct range *range = &ranges->items[i];

		while (o < others->n && memcmp(&others->items[o], range, sizeof(*range)) < 0)
			o++;
		if (o == others->n || memcmp(&others->items[o], range, sizeof(*range)) != 0)
			put_range(&f, range, v4);
	}
	filler_end(&f);
}

static void put_change(struct nl *nl, const char *set, const struct ranges *old,
                       const struct ranges *new, bool v4)
{
	put_difference(nl, NFT_MSG_DELSETELEM, set, old, new, v4);
	put_difference(nl, NFT_MSG_NEWSETELEM, set, new, old, v4);
}

static void put_inbound_of(struct nl *nl, const struct inbound *inbound, bool v4, const char *set)
{
	struct filler f = { .nl = nl, .set = set };
	size_t skip = v4 ? 12 : 0, len = ADDR_LEN - skip;

	put_flush(nl, set);
	for (size_t i = 0; i < inbound->n; i++) {
		const struct inbound_port *item = &inbound->items[i];
		uint8_t key[ADDR_LEN + 4] = { 0 };

		if (addr_is_v4(item->addr) != v4)
			continue;
		memcpy(key, item->addr + skip, len);
		memcpy(key + len, item->port, sizeof(item->port));
		filler_add(&f, key, len + 4, 0);
	}
	filler_end(&f);
}

static void put_inbound(struct nl *nl, const struct inbound *inbound)
{
	put_inbound_of(nl, inbound, true, "inbound4");
	put_inbound_of(nl, inbound, false, "inbound6");
}

static void put_interfaces(struct nl *nl, const struct table_guarded *guarded)
{
	struct filler f = { .nl = nl, .set = "guarded_if" };

	put_flush(nl, "guarded_if");
	for (size_t i = 0; i < guarded->n_interfaces; i++)
		filler_add(&f, guarded->interfaces[i], GUARD_IFNAME_LEN, 0);
	filler_end(&f);
}

static void put_guarded(struct nl *nl, const struct table_guarded *guarded)
{
	put_flush(nl, "guarded4");
	put_flush(nl, "guarded6");
	put_flush(nl, "observed4");
	put_flush(nl, "observed6");
	put_ranges(nl, "guarded4", &guarded->guarded, true);
	put_ranges(nl, "guarded6", &guarded->guarded, false);
	put_ranges(nl, "observed4", &guarded->observed, true);
	put_ranges(nl, "observed6", &guarded->observed, false);
	put_inbound(nl, &guarded->inbound);
	put_interfaces(nl, guarded);
}

static void put_service(struct filler *f, const uint8_t *addr, size_t addr_len, uint8_t proto,
                        uint16_t port)
{
	uint8_t key[ADDR_LEN + 8] = { 0 };

	if (addr_len > 0)
		memcpy(key, addr, addr_len);
	key[addr_len] = proto;
	key[addr_len + 4] = (uint8_t)(port >> 8);
	key[addr_len + 5] = (uint8_t)port;
	filler_add(f, key, addr_len + 8, 0);
}

static void put_dns(struct nl *nl, const struct fwsync_conf *conf, bool v4, bool wildcard,
                    const char *set)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP };
	uint32_t n = MIN(conf->n_dns, (uint32_t)LIMIT_LISTENERS);
	struct filler f = { .nl = nl, .set = set };
	size_t skip = v4 ? 12 : 0, len = wildcard ? 0 : ADDR_LEN - skip;

	put_flush(nl, set);
	for (uint32_t i = 0; i < n; i++) {
		const struct conf_listener *l = &conf->dns[i];

		if (!l->wildcard == wildcard || addr_is_v4(l->addr) != v4)
			continue;
		for (size_t p = 0; p < ARRAY_LEN(protos); p++)
			put_service(&f, l->addr + skip, len, protos[p], l->port);
	}
	filler_end(&f);
}

/* What guarded sources may reach on the gateway itself. */
static void put_services(struct nl *nl, const struct fwsync_conf *conf)
{
	uint32_t n = MIN(conf->n_gateway_ports, (uint32_t)ARRAY_LEN(conf->gateway_ports));
	struct filler services = { .nl = nl, .set = "services" };

	put_dns(nl, conf, true, false, "dns4");
	put_dns(nl, conf, false, false, "dns6");
	put_dns(nl, conf, true, true, "dns4_any");
	put_dns(nl, conf, false, true, "dns6_any");
	put_flush(nl, services.set);
	for (uint32_t i = 0; i < n; i++)
		put_service(&services, NULL, 0, conf->gateway_ports[i].proto,
		            conf->gateway_ports[i].port);
	filler_end(&services);
}

/* Empty the table of rules. */
static void put_flush_rules(struct nl *nl)
{
	struct nlmsghdr *msg = message(nl, NFT_MSG_DELRULE, 0);

	if (!msg)
		return;
	mnl_attr_put_strz(msg, NFTA_RULE_TABLE, nl->table);
	nl_message_end(nl, msg);
}

/* Make room for the table, and have it. */
static void put_beginning(struct nl *nl, enum table_way way, uint32_t flags)
{
	if (way == TABLE_RENEW) /* so that there is one to delete */
		put_table(nl, NFT_MSG_NEWTABLE, NLM_F_CREATE, nl->table, flags);
	if (way == TABLE_RENEW || way == TABLE_REBUILD)
		put_table(nl, NFT_MSG_DELTABLE, 0, nl->table, 0);
	put_table(nl, NFT_MSG_NEWTABLE,
	          way == TABLE_BUILD ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE, nl->table, flags);
}

static int try_install(struct nl *nl, const char *table, const struct table_want *want,
                       enum table_way way, unsigned int kernel)
{
	const struct fwsync_conf *conf = want->conf;
	int r = ERR_OK;

	nl_begin(nl);
	nl->table = table;
	put_beginning(nl, way, want->flags);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(set_specs); i++)
		r = put_set(nl, &set_specs[i], (uint32_t)i + 1, conf->set_size);
	for (size_t i = 0; r == 0 && i < rule_n_counters; i++)
		r = put_counter(nl, rule_counters[i]);
	for (size_t i = 0; r == 0 && i < rule_n_chains; i++)
		r = put_chain(nl, &rule_chains[i]);
	if (r < 0)
		return r;
	if (way == TABLE_ADOPT)
		put_flush_rules(nl);
	if (want->guarded)
		put_guarded(nl, want->guarded);
	else /* who is filtered stays so; what a policy had open is not in force without one */
		put_inbound(nl, &(struct inbound){ 0 });
	put_services(nl, conf);
	r = rule_put_all(nl, conf, kernel);
	if (r < 0)
		return r;
	elements_put_new(nl, want->pinholes, want->n_pinholes);
	return nl_commit(nl);
}

/* As much of it as this kernel can. */
static int install_at(struct nl *nl, const char *table, const struct table_want *want,
                      enum table_way way, unsigned int *ret_kernel)
{
	/* What a kernel may lack, the dearest last: filtering matters more than its log. */
	static const unsigned int kernels[] = { RULE_LOG | RULE_FIB, RULE_FIB, RULE_LOG, 0 };
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		r = try_install(nl, table, want, way, kernels[i]);
		*ret_kernel = kernels[i];
		if (r != -ENOENT && r != -EOPNOTSUPP && r != -EINVAL)
			break;
	}
	return r;
}

/* The interim table. */

static int interim_exists(struct nl *nl)
{
	uint8_t buf[512] __attribute__((aligned(8)));
	struct nlmsghdr *msg = nl_question(nl, buf, NFT_MSG_GETTABLE, 0, NFPROTO_INET);
	int r;

	mnl_attr_put_strz(msg, NFTA_TABLE_NAME, NL_INTERIM);
	r = nl_ask(nl, msg, NULL, NULL);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

static int interim_remove(struct nl *nl)
{
	int r;

	nl_begin(nl);
	put_table(nl, NFT_MSG_DELTABLE, 0, NL_INTERIM, 0);
	r = nl_commit(nl);
	return r == -ENOENT ? 0 : r; /* somebody was faster */
}

/* Until no packet is under way that read the list of hooks before: it would meet neither of two
 * tables of which one came and the other went since. A packet passes its hooks within one read side
 * of RCU, and membarrier(2) waits for those; it does not where a processor has no ticks. */
static void let_packets_pass(void)
{
	static const struct timespec long_enough = { .tv_nsec = 100000000 };

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		nanosleep(&long_enough, NULL);
}

static int interim_install(struct nl *nl, const struct table_want *want)
{
	unsigned int kernel;
	int r = interim_exists(nl); /* a dead role's */

	if (r < 0)
		return r;
	r = install_at(nl, NL_INTERIM, want, r > 0 ? TABLE_REBUILD : TABLE_BUILD, &kernel);
	if (r == 0)
		let_packets_pass();
	return r;
}

/* The table stands. */
static int interim_end(struct nl *nl)
{
	int r = interim_exists(nl);

	if (r <= 0)
		return r;
	let_packets_pass();
	return interim_remove(nl);
}

int table_install(struct nl *nl, const struct table_want *want, enum table_way way)
{
	bool replaces = way == TABLE_REBUILD || way == TABLE_RENEW;
	unsigned int kernel;
	int r = replaces ? interim_install(nl, want) : 0;

	if (r < 0)
		return r;
	r = install_at(nl, NL_TABLE, want, way, &kernel);
	if (r < 0) {
		/* The old one filters on, unless it is not there: then what does is kept. */
		if (replaces && r != -ENOENT && interim_remove(nl) < 0)
			log_warning("firewall", "the table " NL_INTERIM " cannot be removed");
		return r;
	}
	if (!(kernel & RULE_FIB))
		log_warning("firewall",
		            "this kernel cannot look up a packet's source (CONFIG_NFT_FIB_INET): "
		            "workloads on different interfaces can send in each other's name, and "
		            "DNS takes room in connection tracking");
	return interim_end(nl);
}

void table_guarded_fini(struct table_guarded *guarded)
{
	ranges_fini(&guarded->guarded);
	ranges_fini(&guarded->observed);
	inbound_fini(&guarded->inbound);
}

int table_swap_guarded(struct nl *nl, const struct table_guarded *old,
                       const struct table_guarded *new)
{
	nl_begin(nl);
	put_change(nl, "guarded4", &old->guarded, &new->guarded, true);
	put_change(nl, "guarded6", &old->guarded, &new->guarded, false);
	put_change(nl, "observed4", &old->observed, &new->observed, true);
	put_change(nl, "observed6", &old->observed, &new->observed, false);
	if (!inbound_equal(&old->inbound, &new->inbound))
		put_inbound(nl, &new->inbound);
	put_interfaces(nl, new);
	return nl_commit(nl);
}

int table_replace_guarded(struct nl *nl, const struct table_guarded *guarded)
{
	nl_begin(nl);
	put_guarded(nl, guarded);
	return nl_commit(nl);
}

/* Looking. */

struct probe {
	uint32_t flags, set_size;
	unsigned int n_sets, n_chains;
	bool exists, foreign;
};

static int on_table(const struct nlmsghdr *msg, void *data)
{
	struct probe *probe = data;
	const struct nlattr *attr;

	nl_for_each_attr(attr, msg,
	                 sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) == NFTA_TABLE_FLAGS &&
	                                              mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
	    probe->flags = ntohl(mnl_attr_get_u32(attr));
	probe->exists = true;
	return 0;
}

static int on_set(const struct nlmsghdr *msg, void *data)
{
	struct probe *probe = data;
	struct nftnl_set *s = nftnl_set_alloc();
	const char *table, *name;
	bool ours = false;

	if (!s)
		return ERR_NOMEM;
	if (nftnl_set_nlmsg_parse(msg, s) < 0) {
		nftnl_set_free(s);
		return ERR_MALFORMED;
	}
	table = nftnl_set_get_str(s, NFTNL_SET_TABLE);
	name = nftnl_set_get_str(s, NFTNL_SET_NAME);
	if (table && name && strcmp(table, NL_TABLE) == 0) {
		for (size_t i = 0; i < ARRAY_LEN(set_specs); i++) {
			const struct set_spec *spec = &set_specs[i];

			if (strcmp(spec->name, name) == 0)
				ours =
				    nftnl_set_get_u32(s, NFTNL_SET_FLAGS) == spec->flags &&
				    nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN) == spec->key_len &&
				    nftnl_set_get_u32(s, NFTNL_SET_KEY_TYPE) == spec->type &&
				    (!(spec->flags & NFT_SET_TIMEOUT) ||
				     nftnl_set_get_u32(s, NFTNL_SET_DESC_SIZE) == probe->set_size);
		}
		probe->n_sets += ours;
		probe->foreign |= !ours;
	}
	nftnl_set_free(s);
	return 0;
}

static int on_chain(const struct nlmsghdr *msg, void *data)
{
	struct probe *probe = data;
	struct nftnl_chain *c = nftnl_chain_alloc();
	const char *table, *name;
	bool ours = false;

	if (!c)
		return ERR_NOMEM;
	if (nftnl_chain_nlmsg_parse(msg, c) < 0) {
		nftnl_chain_free(c);
		return ERR_MALFORMED;
	}
	table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE);
	name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	if (table && name && strcmp(table, NL_TABLE) == 0) {
		for (size_t i = 0; i < rule_n_chains; i++) {
			const struct rule_chain *want = &rule_chains[i];

			if (strcmp(want->name, name) != 0)
				continue;
			ours = want->hook < 0
			           ? !nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM)
			           : nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM) &&
			                 nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) ==
			                     (uint32_t)want->hook &&
			                 nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO) == want->priority;
		}
		probe->n_chains += ours;
		probe->foreign |= !ours;
	}
	nftnl_chain_free(c);
	return 0;
}

int table_probe(struct nl *nl, uint32_t set_size, uint32_t *ret_flags)
{
	uint8_t buf[512] __attribute__((aligned(8)));
	struct probe probe = { .set_size = set_size };
	struct nlmsghdr *msg;
	int r;

	*ret_flags = 0;
	msg = nl_question(nl, buf, NFT_MSG_GETTABLE, 0, NFPROTO_INET);
	mnl_attr_put_strz(msg, NFTA_TABLE_NAME, NL_TABLE);
	r = nl_ask(nl, msg, on_table, &probe);
	if (r == -ENOENT)
		return TABLE_ABSENT;
	if (r < 0)
		return r;
	msg = nl_question(nl, buf, NFT_MSG_GETSET, NLM_F_DUMP, NFPROTO_INET);
	mnl_attr_put_strz(msg, NFTA_SET_TABLE, NL_TABLE);
	r = nl_ask(nl, msg, on_set, &probe);
	if (r < 0)
		return r;
	msg = nl_question(nl, buf, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_INET);
	r = nl_ask(nl, msg, on_chain, &probe);
	if (r < 0)
		return r;
	*ret_flags = probe.flags;
	return probe.foreign || probe.n_sets != ARRAY_LEN(set_specs) ||
	               probe.n_chains != rule_n_chains
	           ? TABLE_FOREIGN
	           : TABLE_OURS;
}

int table_owner_works(struct nl *nl)
{
	int r;

	nl_begin(nl);
	put_table(nl, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, NL_TABLE "_owner",
	          TABLE_FLAG_OWNER | TABLE_FLAG_PERSIST);
	r = nl_commit(nl);
	if (r == -EOPNOTSUPP || r == -EINVAL)
		return 0;
	if (r < 0 && r != -EEXIST)
		return r;
	nl_begin(nl);
	put_table(nl, NFT_MSG_DELTABLE, 0, NL_TABLE "_owner", 0);
	r = nl_commit(nl);
	return r < 0 ? r : 1;
}
