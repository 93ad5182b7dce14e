/* The messages between a worker and fwsync: whole or refused. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sallyport/err.h"
#include "sallyport/pinhole.h"

struct message {
	alignas(8) uint8_t octets[4096];
	size_t len;
};

static const uint8_t src[2][ADDR_LEN] = { { 0xfd, [15] = 2 }, { [10] = 0xff, 0xff, 10, 1, 0, 2 } };
static const uint8_t dst[2][ADDR_LEN] = { { 0x20, 1, [15] = 7 },
	                                  { [10] = 0xff, 0xff, 44, 1, 2, 3 } };
static const struct pinhole_port ports[3] = { { PINHOLE_KIND_PORT, 6, 443 },
	                                      { PINHOLE_KIND_PROTO, 17, 0 },
	                                      { PINHOLE_KIND_ANY, 0, 0 } };
static const uint8_t names[] = { 2, 0, 'a', 'b', 1, 0, 'c' };

/* Two good requests; the first is not a multiple of eight before padding. */
static void build(struct message *m)
{
	struct pinhole_request req = { .policy_version = 3,
		                       .life_s = 60,
		                       .n_src = 2,
		                       .n_dst = 2,
		                       .n_ports = 3,
		                       .names_len = sizeof(names) };
	struct pinhole_view view = { &req, src, dst, ports, names };
	struct pinhole_batch head = {
		.magic = PINHOLE_MAGIC, .version = PINHOLE_VERSION, .n_requests = 2, .seq = 9
	};
	int n;

	memset(m, 0, sizeof(*m));
	n = pinhole_batch_append(m->octets, sizeof(head), sizeof(m->octets), &view);
	assert_true(n > 0);
	req.n_src = req.n_dst = req.n_ports = 1;
	req.names_len = 0;
	n = pinhole_batch_append(m->octets, (size_t)n, sizeof(m->octets), &view);
	assert_true(n > 0);
	m->len = (size_t)n;
	head.len = (uint32_t)n;
	memcpy(m->octets, &head, sizeof(head));
}

/* In memory of exactly that size, so that a sanitizer sees one octet too many. */
static int read_exact(const uint8_t *octets, size_t len)
{
	struct pinhole_view *views = calloc(LIMIT_PINHOLE_REQUESTS, sizeof(*views));
	uint8_t *exact = malloc(len ? len : 1);
	uint16_t n;
	int r;

	assert_non_null(views);
	assert_non_null(exact);
	memcpy(exact, octets, len);
	r = pinhole_batch_read(exact, len, views, &n);
	free(exact);
	free(views);
	return r;
}

static void what_was_appended_is_read(void **state)
{
	struct pinhole_view views[LIMIT_PINHOLE_REQUESTS];
	struct message m;
	uint16_t n;

	(void)state;
	build(&m);
	assert_int_equal(pinhole_batch_read(m.octets, m.len, views, &n), ERR_OK);
	assert_int_equal(n, 2);
	assert_int_equal(views[0].request->n_src, 2);
	assert_memory_equal(views[0].src[1], src[1], ADDR_LEN);
	assert_memory_equal(views[0].dst[1], dst[1], ADDR_LEN);
	assert_int_equal(views[0].ports[1].proto, 17);
	assert_memory_equal(views[0].names, names, sizeof(names));
	assert_memory_equal(views[1].dst[0], dst[0], ADDR_LEN);
}

static void a_batch_cut_anywhere_is_refused(void **state)
{
	struct message m;

	(void)state;
	build(&m);
	for (size_t len = 0; len < m.len; len++) {
		if (read_exact(m.octets, len) != ERR_MALFORMED)
			fail_msg("cut at %zu was taken", len);
		/* And with a head that agrees with the shorter length. */
		if (len >= sizeof(struct pinhole_batch)) {
			struct message cut = m;

			((struct pinhole_batch *)(void *)cut.octets)->len = (uint32_t)len;
			if (read_exact(cut.octets, len) != ERR_MALFORMED)
				fail_msg("cut at %zu with its length was taken", len);
		}
	}
}

static void octets_behind_the_last_request_are_refused(void **state)
{
	struct message m;

	(void)state;
	build(&m);
	((struct pinhole_batch *)(void *)m.octets)->len = (uint32_t)m.len + 8;
	assert_int_equal(read_exact(m.octets, m.len + 8), ERR_MALFORMED);
}

#define HEAD(field)                                                                                \
	offsetof(struct pinhole_batch, field), sizeof(((struct pinhole_batch *)0)->field)
#define REQ(field)                                                                                 \
	sizeof(struct pinhole_batch) + offsetof(struct pinhole_request, field),                    \
	    sizeof(((struct pinhole_request *)0)->field)
#define AT_PORTS (sizeof(struct pinhole_batch) + sizeof(struct pinhole_request) + 4 * ADDR_LEN)
#define AT_NAMES (AT_PORTS + sizeof(ports))

static const struct {
	const char *title;
	size_t offset, size;
	uint64_t value;
} hostile[] = {
	{ "another magic", HEAD(magic), 1 },
	{ "another version", HEAD(version), 2 },
	{ "no requests", HEAD(n_requests), 0 },
	{ "fewer requests than there are", HEAD(n_requests), 1 },
	{ "more requests than there are", HEAD(n_requests), 3 },
	{ "too many requests", HEAD(n_requests), 0xffff },
	{ "a length beyond the message", HEAD(len), UINT32_MAX },
	{ "a reserved field of the head", HEAD(reserved), 1 },
	{ "a request of no length", REQ(len), 0 },
	{ "a request longer than the message", REQ(len), UINT32_MAX },
	{ "a request whose length is not a multiple of 8", REQ(len), 189 },
	{ "a request shorter than its fields", REQ(len), 48 },
	{ "no life", REQ(life_s), 0 },
	{ "no source", REQ(n_src), 0 },
	{ "no destination", REQ(n_dst), 0 },
	{ "no port", REQ(n_ports), 0 },
	{ "many sources", REQ(n_src), 0xffff },
	{ "many destinations", REQ(n_dst), 0xffff },
	{ "many ports", REQ(n_ports), 0xffff },
	{ "names over their limit", REQ(names_len), LIMIT_PINHOLE_NAMES + 1 },
	{ "an unknown flag", REQ(flags), 2 },
	{ "a reserved field of a request", REQ(reserved), 1 },
	{ "an unknown kind of port", AT_PORTS, 1, 9 },
	{ "kind 0", AT_PORTS, 1, 0 },
	{ "a port without a protocol", AT_PORTS + 1, 1, 0 },
	{ "a protocol with a port", AT_PORTS + 4 + 2, 2, 80 },
	{ "any with a protocol", AT_PORTS + 8 + 1, 1, 6 },
	{ "a name longer than all names", AT_NAMES, 2, 6 },
	{ "a name without octets", AT_NAMES, 2, 0 },
	{ "a name of 64 KiB", AT_NAMES, 2, 0xffff },
};

static void hostile_fields_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct message m;

		build(&m);
		memcpy(m.octets + hostile[i].offset, &hostile[i].value, hostile[i].size);
		if (read_exact(m.octets, m.len) != ERR_MALFORMED)
			fail_msg("%s: was taken", hostile[i].title);
	}
}

static void a_request_that_does_not_fit_is_not_appended(void **state)
{
	struct pinhole_request req = { .life_s = 1, .n_src = 1, .n_dst = 1, .n_ports = 1 };
	struct pinhole_view view = { &req, src, dst, ports, names };
	struct message m = { .len = 0 };

	(void)state;
	/* 32 of head and 88 of request (84, padded). */
	assert_int_equal(pinhole_batch_append(m.octets, 32, 119, &view), ERR_LIMIT);
	assert_int_equal(pinhole_batch_append(m.octets, 32, 120, &view), 120);
	assert_int_equal(pinhole_batch_append(m.octets, 31, 4096, &view), ERR_LIMIT);
	assert_int_equal(pinhole_batch_append(m.octets, LIMIT_PINHOLE_MESSAGE, SIZE_MAX, &view),
	                 ERR_LIMIT);
}

static void results_are_as_many_as_they_say_and_known(void **state)
{
	struct {
		struct pinhole_results head;
		struct pinhole_result results[3];
	} m = { .head = { PINHOLE_MAGIC, PINHOLE_VERSION, 3, 77 },
		.results = {
		    { PINHOLE_OPEN, 0, 4 }, { PINHOLE_FULL, 0, 0 }, { PINHOLE_LATE, 0, 0 } } };
	const struct pinhole_results *head;
	const struct pinhole_result *results;

	(void)state;
	assert_int_equal(pinhole_results_read(&m, sizeof(m), &head, &results), ERR_OK);
	assert_int_equal(head->seq, 77);
	assert_int_equal(results[0].status, PINHOLE_OPEN);
	for (size_t len = 0; len < sizeof(m); len++)
		if (pinhole_results_read(&m, len, &head, &results) != ERR_MALFORMED)
			fail_msg("cut at %zu was taken", len);
	m.results[1].status = PINHOLE_MALFORMED + 1;
	assert_int_equal(pinhole_results_read(&m, sizeof(m), &head, &results), ERR_MALFORMED);
	m.results[1].status = 0;
	m.head.n_results = 0;
	assert_int_equal(pinhole_results_read(&m, sizeof(m.head), &head, &results), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_appended_is_read),
		cmocka_unit_test(a_batch_cut_anywhere_is_refused),
		cmocka_unit_test(octets_behind_the_last_request_are_refused),
		cmocka_unit_test(hostile_fields_are_refused),
		cmocka_unit_test(a_request_that_does_not_fit_is_not_appended),
		cmocka_unit_test(results_are_as_many_as_they_say_and_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
