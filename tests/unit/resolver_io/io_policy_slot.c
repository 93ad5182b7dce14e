/* tests/unit/resolver_io/io_policy_slot.c - images are swapped whole, while threads judge by them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/compile.h"
#include "policy/judge.h"
#include "policy_slot.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/shm.h"

#define N_READERS 4
#define N_SWAPS 2000

/* Even versions allow the name, odd ones do not. */
static const char *const texts[] = {
	"version: 1\n"
	"profiles: {p: {allow: [{name: db.corp.test}]}}\n"
	"workloads: {w: {source: 192.0.2.1, profile: p}}\n",
	"version: 1\n"
	"profiles: {p: {allow: [{name: www.corp.test}]}}\n"
	"workloads: {w: {source: 192.0.2.1, profile: p}}\n",
};

static int image_fd(size_t which)
{
	struct policy_source source = { "test.yaml", texts[which], strlen(texts[which]) };
	struct diag diag;
	void *image = NULL;
	size_t len = 0;
	int r, fd;

	diag_init(&diag);
	r = policy_compile(&source, NULL, 0, 1700000000, &image, &len, &diag);
	diag_print(&diag, STDERR_FILENO);
	diag_fini(&diag);
	assert_int_equal(r, 0);
	fd = shm_create_sealed("test-image", image, len);
	assert_true(fd >= 0);
	free(image);
	return fd;
}

static enum verdict_kind judge(const struct policy_image *image)
{
	struct verdict verdict;

	policy_judge(image, 0, (const uint8_t *)"\2db\4corp\4test", 1, 1700000000, &verdict);
	return verdict.kind;
}

struct reader {
	pthread_t id;
	struct policy_slot *slot;
	_Atomic bool *stop;
	unsigned int n_taken, n_wrong, n_back;
};

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	struct policy_map *map = NULL;
	bool last = false;

	while (!last) {
		struct policy_map *newer;

		last = atomic_load(reader->stop); /* one more look after the last swap */
		newer = policy_slot_newer(reader->slot, map);
		if (newer) {
			if (map && newer->image.version < map->image.version)
				reader->n_back++;
			policy_map_unref(map);
			map = newer;
			reader->n_taken++;
		}
		if (map) {
			enum verdict_kind want =
			    map->image.version % 2 ? VERDICT_DENY : VERDICT_ALLOW;

			reader->n_wrong += judge(&map->image) != want;
		}
	}
	reader->n_wrong += !map || map->image.version != N_SWAPS;
	policy_map_unref(map);
	return NULL;
}

static void readers_see_whole_images_in_order_and_the_last_one(void **state)
{
	int fds[2] = { image_fd(0), image_fd(1) };
	struct reader readers[N_READERS] = { 0 };
	_Atomic bool stop = false;
	struct policy_slot *slot = policy_slot_new();

	(void)state;
	assert_non_null(slot);
	for (size_t i = 0; i < N_READERS; i++) {
		readers[i].slot = slot;
		readers[i].stop = &stop;
		assert_int_equal(pthread_create(&readers[i].id, NULL, read_on, &readers[i]), 0);
	}
	for (uint32_t version = 1; version <= N_SWAPS; version++)
		assert_int_equal(policy_slot_load(slot, fds[version % 2], version), 0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < N_READERS; i++) {
		pthread_join(readers[i].id, NULL);
		assert_int_equal(readers[i].n_wrong, 0);
		assert_int_equal(readers[i].n_back, 0);
		assert_true(readers[i].n_taken >= 1);
	}
	policy_slot_free(slot);
	close(fds[0]);
	close(fds[1]);
}

static void an_image_outlives_the_slot_while_somebody_has_it(void **state)
{
	int fds[2] = { image_fd(0), image_fd(1) };
	struct policy_slot *slot = policy_slot_new();
	struct policy_map *map;

	(void)state;
	assert_null(policy_slot_newer(slot, NULL)); /* none yet */
	assert_int_equal(policy_slot_load(slot, fds[0], 2), 0);
	map = policy_slot_newer(slot, NULL);
	assert_non_null(map);
	assert_null(policy_slot_newer(slot, map));
	assert_int_equal(policy_slot_load(slot, fds[1], 3), 0);
	policy_slot_free(slot);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(judge(&map->image), VERDICT_ALLOW);
	policy_map_unref(map);
	policy_map_unref(NULL);
}

static void a_bad_image_leaves_the_old_one_in_force(void **state)
{
	int good = image_fd(0), unsealed, noise, huge, pipes[2];
	struct policy_slot *slot = policy_slot_new();
	struct policy_map *map;
	uint8_t junk[4096];

	(void)state;
	memset(junk, 0x5a, sizeof(junk));
	assert_int_equal(policy_slot_load(slot, good, 8), 0);
	map = policy_slot_newer(slot, NULL);

	/* Writable by somebody: it could change under the judge. */
	unsealed = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(unsealed, junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(policy_slot_load(slot, unsealed, 9), ERR_DAMAGED);
	noise = shm_create_sealed("noise", junk, sizeof(junk));
	assert_true(policy_slot_load(slot, noise, 9) < 0);
	assert_int_equal(pipe(pipes), 0);
	assert_true(policy_slot_load(slot, pipes[0], 9) < 0);
	/* Larger than any image may be; nothing of it is looked at. */
	huge = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(huge, LIMIT_IMAGE_BYTES + 4096L), 0);
	assert_int_equal(shm_seal(huge), 0);
	assert_int_equal(policy_slot_load(slot, huge, 9), ERR_LIMIT);
	assert_null(policy_slot_newer(slot, map));

	policy_map_unref(map);
	policy_slot_free(slot);
	close(huge);
	close(good);
	close(unsealed);
	close(noise);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_whole_images_in_order_and_the_last_one),
		cmocka_unit_test(an_image_outlives_the_slot_while_somebody_has_it),
		cmocka_unit_test(a_bad_image_leaves_the_old_one_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
