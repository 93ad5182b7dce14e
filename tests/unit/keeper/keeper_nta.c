/* tests/unit/keeper/keeper_nta.c - negative trust anchors that end while the store cannot be
 * written: they count no longer, and it is not tried and told four times a second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "sallyport/clock.h"
#include "sallyport/err.h"

/* In place of the policy store's: what it says, and how often it was asked. */
static int verdict;
static unsigned int n_removed;

int store_nta_put(struct store *store, const struct store_nta *nta, const struct store_audit *audit,
                  struct diag *diag)
{
	(void)store, (void)nta, (void)audit, (void)diag;
	return ERR_NOSPC;
}

int store_nta_remove(struct store *store, const char *name, const struct store_audit *audit,
                     struct diag *diag)
{
	(void)store, (void)name, (void)audit, (void)diag;
	n_removed++;
	return verdict;
}

int store_nta_list(struct store *store, store_nta_cb *cb, void *arg)
{
	(void)store, (void)cb, (void)arg;
	return ERR_OK;
}

static void a_full_disk_is_not_asked_at_every_turn(void **state)
{
	CLEANUP(free) struct keeper *k = calloc(1, sizeof(*k));
	struct nta nta = { .name = "\4test", .since_ns = 1, .until_ns = 2 };
	CLEANUP(free) struct resolver_conf *conf = calloc(1, sizeof(*conf));

	(void)state;
	assert_non_null(k);
	assert_non_null(conf);
	assert_int_equal(ntas_put(&k->ntas, &nta), ERR_OK);
	memcpy(nta.name, "\1a", 3);
	assert_int_equal(ntas_put(&k->ntas, &nta), ERR_OK);
	verdict = ERR_NOSPC;
	for (int i = 0; i < 100; i++)
		request_nta_pulse(k);
	assert_int_equal(n_removed, 1);
	ntas_tell(&k->ntas, clock_wall_ns(), conf);
	assert_int_equal(conf->n_ntas, 0); /* they have ended all the same */
	k->nta_retry_ns = 0;
	verdict = ERR_OK;
	request_nta_pulse(k);
	assert_int_equal(n_removed, 3);
	assert_int_equal(k->ntas.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_disk_is_not_asked_at_every_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
