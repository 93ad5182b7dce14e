/* What a predecessor proved about the kernel counts on that kernel, and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "book_maker.h"
#include "proof.h"
#include "sallyport/cleanup.h"
#include "selftest.h"

#define PROVEN_NS 1000
#define AGE_NS 5000

static const struct boot here = { .id = { 1, 2, 3 }, .kernel = "6.1.0-42 #1 SMP x86_64" };
static const struct proof found = { RENEW_DESTROY_ADD, true };

static void *proven(struct ledger *ledger)
{
	void *memory = ledger_memory(ledger, 4);

	proof_keep(ledger->head, &here, PROVEN_NS, &found);
	return memory;
}

static void what_was_proven_here_is_known_again(void **state)
{
	struct ledger ledger;
	struct proof got = { 0 };
	void *memory = proven(&ledger);

	(void)state;
	assert_true(proof_recall(ledger.head, &here, AGE_NS, &got));
	assert_int_equal(got.way, RENEW_DESTROY_ADD);
	assert_true(got.owned_tables);
	free(memory);
}

static void what_did_not_stand_is_forgotten(void **state)
{
	struct ledger ledger;
	struct proof got = { 0 };
	void *memory = proven(&ledger);

	(void)state;
	proof_forget(ledger.head);
	assert_false(proof_recall(ledger.head, &here, AGE_NS, &got));
	proof_keep(ledger.head, &here, PROVEN_NS, &found);
	assert_true(proof_recall(ledger.head, &here, AGE_NS, &got));
	free(memory);
}

static void a_ledger_in_which_nothing_was_proven_says_so(void **state)
{
	struct ledger ledger;
	struct proof got = { 0 };
	void *memory = ledger_memory(&ledger, 4);

	(void)state;
	assert_false(proof_recall(ledger.head, &here, AGE_NS, &got));
	free(memory);
}

static void a_larger_ledger_takes_it_along(void **state)
{
	struct ledger small, large;
	struct proof got = { 0 };
	void *a = proven(&small), *b = ledger_memory(&large, 40);

	(void)state;
	assert_int_equal(ledger_copy(&large, &small), 0);
	assert_true(proof_recall(large.head, &here, AGE_NS, &got));
	free(a);
	free(b);
}

static void another_id(struct ledger_proof *p)
{
	p->boot.id[15] ^= 1;
}

static void no_id(struct ledger_proof *p)
{
	memset(p->boot.id, 0, sizeof(p->boot.id));
}

static void another_release(struct ledger_proof *p)
{
	p->boot.kernel[0] = '5';
}

static void behind_the_release(struct ledger_proof *p)
{
	p->boot.kernel[BOOT_KERNEL_MAX - 1] = 'x';
}

static void torn(struct ledger_proof *p)
{
	atomic_fetch_add(&p->version, 1);
}

static void no_time(struct ledger_proof *p)
{
	p->proven_ns = 0;
}

static void future(struct ledger_proof *p)
{
	p->proven_ns = AGE_NS + 1;
}

static void no_such_way(struct ledger_proof *p)
{
	p->way = RENEW_N;
}

static void no_such_answer(struct ledger_proof *p)
{
	p->owned_tables = 2;
}

static void unknown_field(struct ledger_proof *p)
{
	p->reserved = 1;
}

static const struct {
	const char *title;
	void (*spoil)(struct ledger_proof *p);
} faults[] = {
	{ "another start of the kernel", another_id },
	{ "a start that was not known", no_id },
	{ "another kernel", another_release },
	{ "something behind the kernel's name", behind_the_release },
	{ "its writer died in the middle", torn },
	{ "nothing proven", no_time },
	{ "proven later than now", future },
	{ "a way that there is not", no_such_way },
	{ "neither yes nor no", no_such_answer },
	{ "a later version's field", unknown_field },
};

static void nothing_else_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct ledger ledger;
		struct proof got = { RENEW_N, false };
		void *memory = proven(&ledger);

		faults[i].spoil(&ledger.head->proof);
		if (proof_recall(ledger.head, &here, AGE_NS, &got) || got.way != RENEW_N)
			fail_msg("%s: believed", faults[i].title);
		free(memory);
	}
}

static void a_kernel_without_a_name_is_never_the_same(void **state)
{
	const struct boot nameless = { .id = { 1 } };
	struct ledger ledger;
	struct proof got;
	void *memory = ledger_memory(&ledger, 4);

	(void)state;
	proof_keep(ledger.head, &nameless, PROVEN_NS, &found);
	assert_false(proof_recall(ledger.head, &nameless, AGE_NS, &got));
	free(memory);
}

/* Made by 1000 for 30 s; made again after 1030. */
static const struct {
	const char *title;
	struct selftest_try try;
	enum selftest_word want;
} judge_cases[] = {
	{ "renewed", { 1000, 1030, 1030, 1030, 30000, 30000 }, SELFTEST_YES },
	{ "renewed, by a slow tick", { 1000, 1030, 1030, 1030, 30000, 29990 }, SELFTEST_YES },
	{ "not renewed", { 1000, 1030, 1030, 1030, 30000, 29970 }, SELFTEST_NO },
	{ "not renewed, by a slow tick", { 1000, 1030, 1030, 1030, 30000, 29980 }, SELFTEST_NO },
	{ "held up before the question, renewed",
	  { 1000, 1030, 1530, 1530, 30000, 29500 },
	  SELFTEST_YES },
	{ "held up before the question, not renewed",
	  { 1000, 1030, 1530, 1530, 30000, 29470 },
	  SELFTEST_UNCLEAR },
	{ "held up in the question, perhaps renewed",
	  { 1000, 1030, 1030, 1530, 30000, 29900 },
	  SELFTEST_UNCLEAR },
	{ "held up in the wait, renewed", { 1000, 2530, 2530, 2530, 30000, 30000 }, SELFTEST_YES },
	{ "held up in the wait, not renewed",
	  { 1000, 2530, 2530, 2530, 30000, 28470 },
	  SELFTEST_NO },
};

static void a_delay_is_nobodys_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(judge_cases); i++) {
		enum selftest_word word = selftest_judge(&judge_cases[i].try);

		if (word != judge_cases[i].want)
			fail_msg("%s: said %d", judge_cases[i].title, (int)word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_proven_here_is_known_again),
		cmocka_unit_test(what_did_not_stand_is_forgotten),
		cmocka_unit_test(a_ledger_in_which_nothing_was_proven_says_so),
		cmocka_unit_test(a_larger_ledger_takes_it_along),
		cmocka_unit_test(nothing_else_counts),
		cmocka_unit_test(a_kernel_without_a_name_is_never_the_same),
		cmocka_unit_test(a_delay_is_nobodys_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
