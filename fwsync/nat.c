/* fwsync/nat.c - a look at all base chains. */
#include "nat.h"

#include <netinet/in.h> /* before the kernel's headers, which then leave its structs alone */

#include <libnftnl/chain.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/err.h"

static const char *family_str(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	default: /* NFPROTO_*: the others cannot have such a chain */
		return "?";
	}
}

static int on_chain(const struct nlmsghdr *msg, void *data)
{
	char *name = data;
	struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c)
		return ERR_NOMEM;
	if (nftnl_chain_nlmsg_parse(msg, c) < 0) {
		nftnl_chain_free(c);
		return ERR_MALFORMED;
	}
	if (name[0] == '\0' && nftnl_chain_is_set(c, NFTNL_CHAIN_TYPE) &&
	    strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE), "nat") == 0) {
		uint32_t hook = nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);

		if (hook == NF_INET_PRE_ROUTING || hook == NF_INET_LOCAL_OUT)
			(void)snprintf(name, NAT_NAME_MAX, "%s %s %s", /* cut: for people */
			               family_str(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY)),
			               nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE),
			               nftnl_chain_get_str(c, NFTNL_CHAIN_NAME));
	}
	nftnl_chain_free(c);
	return 0;
}

int nat_find(struct nl *nl, char ret_name[static NAT_NAME_MAX])
{
	uint8_t buf[512] __attribute__((aligned(8)));
	int r;

	ret_name[0] = '\0';
	r = nl_ask(nl, nl_question(nl, buf, NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_UNSPEC), on_chain,
	           ret_name);
	if (r < 0)
		return r;
	return ret_name[0] != '\0';
}
