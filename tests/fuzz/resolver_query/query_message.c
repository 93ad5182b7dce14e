/* tests/fuzz/resolver_query/query_message.c - any octets from a client: answered or dropped once,
 * recorded once, and nothing leaves but names that the policy allows.
 *
 * First octet of the input: bit 0 TCP, bit 1 another workload, bit 2 a stranger.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "sallyport/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char policy[] = "version: 1\n"
			     "profiles:\n"
			     "  web:\n"
			     "    allow:\n"
			     "      - {zone: example.org}\n"
			     "    deny:\n"
			     "      - {zone: evil.test}\n"
			     "  watch:\n"
			     "    mode: observe\n"
			     "    denied: refused\n"
			     "workloads:\n"
			     "  app01: {source: 10.1.0.2, profile: web}\n"
			     "  app02: {source: \"fd00:1::2\", profile: watch}\n";

static struct rig *start(void)
{
	struct rig *rig = rig_new(NULL);

	rig_policy(rig, policy);
	rig_upstream(rig, "www.example.org", "A", 0, "www.example.org. 300 IN A 8.8.100.1");
	rig_upstream(rig, "www.example.org", "HTTPS", 0,
	             "www.example.org. 300 IN HTTPS 1 x.test. ipv4hint=8.8.100.1\n"
	             "www.example.org. 300 IN HTTPS 2 x.evil.test. ipv4hint=8.8.100.2");
	return rig;
}

/* Of the one zone that is allowed; or where it leads; or DS and DNSKEY above it, which carry no
 * label of the asker's. */
static bool may_leave(const char *line)
{
	static const char *const others[] = { ". DS",        ". DNSKEY",  "org. DS",
		                              "org. DNSKEY", "x.test. A", "x.test. AAAA" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(line, others[i]) == 0)
			return true;
	}
	return strstr(line, "example.org. ") != NULL;
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct rig *rig;
	struct rig_answer *answer;
	struct record_query record;
	char name[NAME_TEXT_LEN];
	unsigned int told;
	const char *client;

	if (len == 0 || len > LIMIT_MSG_BYTES)
		return 0;
	if (!rig)
		rig = start();
	client = data[0] & 4 ? "10.9.9.9" : data[0] & 2 ? "fd00:1::2" : "10.1.0.2";
	answer = rig_send(rig, client, NULL, data[0] & 1, data + 1, len - 1);
	rig_turn(rig);
	check(answer->times == 1, "not answered exactly once");
	check(answer->dropped || answer->len >= 12, "an answer without a header");
	check(answer->dropped || answer->msg[2] & 0x80, "a query instead of an answer");
	check(answer->dropped || data[0] & 1 || answer->len <= LIMIT_EDNS_UDP_BYTES,
	      "an answer over the limit by UDP");
	check(rig_record(rig, &record, name, sizeof(name), &told, NULL, 0), "not recorded");
	check(!rig_record(rig, &record, name, sizeof(name), &told, NULL, 0), "recorded twice");
	if (!(data[0] & 2)) {
		for (char *line = strtok(rig->sent, "\n"); line; line = strtok(NULL, "\n"))
			check(may_leave(line), "a denied name has left");
	}
	rig->sent[0] = rig->opened[0] = '\0';
	rig->n_answers = 0;
	ring_release(&rig->ring, rig->ring_pos);
	rig_advance_ms(rig, 100);
	return 0;
}
