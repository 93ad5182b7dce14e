/* fwsync/elements.c - messages about set elements, written straight with libmnl: libnftnl would
 * allocate for each of them.
 */
#include "elements.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "sallyport/err.h"

#ifndef NFT_MSG_DESTROYSETELEM
#define NFT_MSG_DESTROYSETELEM 30 /* Linux 6.3; Debian 12's headers lack it */
#endif

#define COMMENT_MAX 48u  /* "q" and 20 digits, " v" and 10, " r" and 10, NUL */
#define PER_MESSAGE 448u /* the list is one attribute, and those hold 64 KiB */
#define ELEMENT_MAX 136u /* octets of one element in a message */

const char *renew_way_str(enum renew_way way)
{
	static const char *const texts[RENEW_N] = { "explicit expiration", "destroy and add",
		                                    "add, delete and add" };

	return way < RENEW_N ? texts[way] : "?";
}

/* As nft writes and reads it: a list of typed strings. */
static void put_comment(struct nlmsghdr *msg, const struct element_ids *ids)
{
	struct {
		uint8_t type, len; /* of the text, its NUL included */
		char text[COMMENT_MAX];
	} comment = { .type = NFTNL_UDATA_SET_ELEM_COMMENT };
	int n = snprintf(comment.text, sizeof(comment.text), "q%" PRIu64 " v%" PRIu32 " r%" PRIu32,
	                 ids->query_id, ids->policy_version, ids->rule);

	comment.len = (uint8_t)(n + 1);
	mnl_attr_put(msg, NFTA_SET_ELEM_USERDATA, 2 + (size_t)comment.len, &comment);
}

static void put_element(struct nlmsghdr *msg, const struct ledger_element *element,
                        uint64_t life_ms, uint64_t expiration_ms, const struct element_ids *ids)
{
	uint8_t key[ELEMENT_KEY_MAX];
	size_t len = element_key(element, key);
	struct nlattr *item = mnl_attr_nest_start(msg, NFTA_LIST_ELEM);
	struct nlattr *nest = mnl_attr_nest_start(msg, NFTA_SET_ELEM_KEY);

	mnl_attr_put(msg, NFTA_DATA_VALUE, len, key);
	mnl_attr_nest_end(msg, nest);
	if (life_ms)
		mnl_attr_put_u64(msg, NFTA_SET_ELEM_TIMEOUT, htobe64(life_ms));
	if (expiration_ms)
		mnl_attr_put_u64(msg, NFTA_SET_ELEM_EXPIRATION, htobe64(expiration_ms));
	if (ids && ids->query_id)
		put_comment(msg, ids);
	mnl_attr_nest_end(msg, item);
}

/* One step of a transaction over all @n wishes, set by set. */
enum step { STEP_ADD, STEP_ADD_EXPIRING, STEP_DELETE, STEP_DESTROY };

static void put_step(struct nl *nl, const struct elements_place *place, enum step step,
                     const struct element_wish *wishes, size_t n)
{
	uint16_t type = step == STEP_DELETE    ? NFT_MSG_DELSETELEM
	                : step == STEP_DESTROY ? NFT_MSG_DESTROYSETELEM
	                                       : NFT_MSG_NEWSETELEM;
	uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;

	for (unsigned int set = 0; set < SET_N; set++) {
		struct nlmsghdr *msg = NULL;
		struct nlattr *list = NULL;
		size_t in_message = 0;

		for (size_t i = 0; i < n; i++) {
			const struct element_wish *wish = &wishes[i];

			if (!place->set && element_set(&wish->element) != set)
				continue;
			if (!msg) {
				msg = nl_message(nl, type, flags, NFPROTO_INET,
				                 MIN(n, PER_MESSAGE) * ELEMENT_MAX + 256);
				if (!msg)
					return; /* nl_commit() reports it */
				mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_TABLE, place->table);
				mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_SET,
				                  place->set
				                      ? place->set
				                      : element_set_name((enum pinhole_set)set));
				list = mnl_attr_nest_start(msg, NFTA_SET_ELEM_LIST_ELEMENTS);
				in_message = 0;
			}
			put_element(msg, &wish->element,
			            type == NFT_MSG_NEWSETELEM ? wish->life_ms : 0,
			            step == STEP_ADD_EXPIRING ? wish->life_ms : 0,
			            type == NFT_MSG_NEWSETELEM ? &wish->ids : NULL);
			if (++in_message == PER_MESSAGE) {
				mnl_attr_nest_end(msg, list);
				nl_message_end(nl, msg);
				msg = NULL;
			}
		}
		if (msg) {
			mnl_attr_nest_end(msg, list);
			nl_message_end(nl, msg);
		}
		if (place->set)
			break;
	}
}

int elements_upsert_at(struct nl *nl, const struct elements_place *place, enum renew_way way,
                       const struct element_wish *wishes, size_t n)
{
	nl_begin(nl);
	switch (way) {
	case RENEW_EXPIRATION:
		put_step(nl, place, STEP_ADD_EXPIRING, wishes, n);
		break;
	case RENEW_DESTROY_ADD:
		put_step(nl, place, STEP_DESTROY, wishes, n);
		put_step(nl, place, STEP_ADD, wishes, n);
		break;
	case RENEW_ADD_DELETE:
	case RENEW_N:
		put_step(nl, place, STEP_ADD, wishes, n);
		put_step(nl, place, STEP_DELETE, wishes, n);
		put_step(nl, place, STEP_ADD, wishes, n);
		break;
	}
	return nl_commit(nl);
}

static const struct elements_place home = { .table = NL_TABLE };

int elements_upsert(struct nl *nl, enum renew_way way, const struct element_wish *wishes, size_t n)
{
	return elements_upsert_at(nl, &home, way, wishes, n);
}

void elements_put_new(struct nl *nl, const struct element_wish *wishes, size_t n)
{
	const struct elements_place place = { .table = nl->table };

	put_step(nl, &place, STEP_ADD, wishes, n);
}

int elements_remove(struct nl *nl, enum renew_way way, const struct ledger_element *elements,
                    size_t n)
{
	nl_begin(nl);
	/* One at a time into the steps; they are few and revocation is rare. */
	for (size_t i = 0; i < n; i++) {
		struct element_wish wish = { .element = elements[i], .life_ms = 60000 };

		/* A delete fails when the element has just expired: so it is added first where the
		 * kernel knows no destroy. */
		if (way == RENEW_ADD_DELETE) {
			put_step(nl, &home, STEP_ADD, &wish, 1);
			put_step(nl, &home, STEP_DELETE, &wish, 1);
		} else {
			put_step(nl, &home, STEP_DESTROY, &wish, 1);
		}
	}
	return nl_commit(nl);
}

int elements_flush(struct nl *nl)
{
	nl_begin(nl);
	for (unsigned int set = 0; set < SET_N; set++) {
		struct nlmsghdr *msg = nl_message(nl, NFT_MSG_DELSETELEM, 0, NFPROTO_INET, 256);

		if (!msg)
			break;
		mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_TABLE, NL_TABLE);
		mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_SET,
		                  element_set_name((enum pinhole_set)set));
		nl_message_end(nl, msg);
	}
	return nl_commit(nl);
}

struct answer {
	uint64_t left_ms;
	bool found;
};

static int on_element(const struct nlmsghdr *msg, void *data)
{
	struct answer *answer = data;
	const struct nlattr *list, *item, *attr;

	nl_for_each_attr(list, msg, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(list) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nl_for_each_nested(item, list)
		{
			answer->found = true;
			nl_for_each_nested(attr, item)
			{
				if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_EXPIRATION &&
				    mnl_attr_validate(attr, MNL_TYPE_U64) >= 0)
					answer->left_ms = be64toh(mnl_attr_get_u64(attr));
			}
		}
	}
	return 0;
}

int elements_get_at(struct nl *nl, const struct elements_place *place,
                    const struct ledger_element *element, uint64_t *ret_left_ms)
{
	uint8_t buf[1024] __attribute__((aligned(8)));
	struct answer answer = { 0 };
	struct nlmsghdr *msg = nl_question(nl, buf, NFT_MSG_GETSETELEM, 0, NFPROTO_INET);
	struct nlattr *list;
	int r;

	mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_TABLE, place->table);
	mnl_attr_put_strz(msg, NFTA_SET_ELEM_LIST_SET,
	                  place->set ? place->set : element_set_name(element_set(element)));
	list = mnl_attr_nest_start(msg, NFTA_SET_ELEM_LIST_ELEMENTS);
	put_element(msg, element, 0, 0, NULL);
	mnl_attr_nest_end(msg, list);
	r = nl_ask(nl, msg, on_element, &answer);
	if (r < 0)
		return r;
	if (!answer.found)
		return ERR_NOENT;
	*ret_left_ms = answer.left_ms;
	return ERR_OK;
}

int elements_get(struct nl *nl, const struct ledger_element *element, uint64_t *ret_left_ms)
{
	return elements_get_at(nl, &home, element, ret_left_ms);
}
