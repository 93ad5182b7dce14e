/* tests/fuzz/validator/val_mutants.c - what the validator calls secure, told line by line.
 *
 * usage: val_mutants COUNT SEED [swaps | signs]
 *
 * Plays each swap of one answer for another, each signature of the attacker's over his own names
 * (or one of these alone), and COUNT inputs drawn by SEED. Each verdict `secure` is one line of
 * JSON on stdout: the question, the claim, the answer, and all that was asked on the way.
 * reference.py reads it.
 */
#include "val_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STEP_OCTETS = 5,
	STEPS_RANDOM = 6,
	/* Of the attacker's questions, the last of all; of rows; of zones; of labels. */
	EVIL = 6,
	GONE = 4,
	ZONES = 5,
	LABELS = 4,
};

static void print_hex(const uint8_t *octets, size_t len)
{
	putchar('"');
	for (size_t i = 0; i < len; i++)
		printf("%02x", octets[i]);
	putchar('"');
}

static void print_name(const uint8_t *name)
{
	size_t len = 1;

	for (const uint8_t *p = name; *p; p += 1u + *p)
		len += 1u + *p;
	print_hex(name, len);
}

static void print_rows(const struct answer *answer)
{
	printf("\"rcode\":%u,\"rows\":[", answer->rcode);
	for (unsigned int i = 0; i < answer->n; i++) {
		const struct val_row *row = &answer->rows[i];

		printf("%s[%u,", i > 0 ? "," : "", row->section);
		print_name(row->owner);
		printf(",%u,%" PRIu32 ",", row->type, row->ttl);
		print_hex(row->rdata, row->rdata_len);
		putchar(']');
	}
	putchar(']');
}

void val_answer_tell(const struct val_answer_told *told)
{
	static const char *const kinds[] = { [VAL_DATA] = "data",
		                             [VAL_ALIAS] = "alias",
		                             [VAL_NODATA] = "nodata",
		                             [VAL_NXDOMAIN] = "nxdomain" };

	printf("{\"now\":%" PRIu64 ",\"anchor\":", told->now_s);
	print_hex(told->anchor, told->anchor_len);
	printf(",\"name\":");
	print_name(told->name);
	printf(",\"type\":%u,\"kind\":\"%s\",\"target\":", told->type, kinds[told->kind]);
	if (told->kind == VAL_ALIAS)
		print_name(told->target);
	else
		printf("null");
	putchar(',');
	print_rows(told->answer);
	printf(",\"asked\":[");
	for (unsigned int i = 0; i < told->n_asked; i++) {
		printf("%s{\"name\":", i > 0 ? "," : "");
		print_name(told->needs[i].name);
		printf(",\"type\":%u,", told->needs[i].type);
		print_rows(told->asked[i]);
		putchar('}');
	}
	puts("]}");
}

/* All of another answer instead, under the subject's name. */
static void swap(unsigned int subject, unsigned int other)
{
	const uint8_t input[1 + STEP_OCTETS] = { (uint8_t)subject, 0x41, 0, 0, (uint8_t)other, 1 };

	val_answer_play(input, sizeof(input), true);
}

/* One row goes, the rest of the attacker's proofs comes in, and the attacker signs what is first:
 * with which of his keys, in whose name, and under how many Labels. */
static void sign(unsigned int subject, unsigned int gone, unsigned int key, unsigned int zone,
                 unsigned int labels)
{
	const uint8_t input[1 + 3 * STEP_OCTETS] = {
		(uint8_t)subject,
		/* steps */
		3, 0, (uint8_t)gone, 0, 0,                                   /* drop */
		0x21, 0, 0, 0, 0,                                            /* merge */
		15, 0, 0, (uint8_t)(2 | key), (uint8_t)(zone | labels << 3), /* sign */
	};

	val_answer_play(input, sizeof(input), true);
}

static uint64_t draw(uint64_t *seed) /* xorshift64* */
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (*seed * UINT64_C(2685821657736338717)) >> 32;
}

static void play_random(uint64_t *seed)
{
	uint8_t input[1 + STEPS_RANDOM * STEP_OCTETS];
	size_t len = 1 + (1 + draw(seed) % STEPS_RANDOM) * STEP_OCTETS;

	for (size_t i = 0; i < len; i++)
		input[i] = (uint8_t)draw(seed);
	val_answer_play(input, len, true);
}

int main(int argc, char **argv)
{
	const unsigned int n = val_answer_questions();
	uint64_t seed = argc >= 3 ? strtoull(argv[2], NULL, 10) : 0;
	const char *only = argc > 3 ? argv[3] : "";

	if (seed == 0) {
		fprintf(stderr, "usage: val_mutants COUNT SEED [swaps | signs]\n");
		return 2;
	}
	for (unsigned int i = 0; strcmp(only, "signs") != 0 && i < n * n; i++)
		swap(i / n, i % n);
	for (unsigned int i = 0; strcmp(only, "swaps") != 0 && i < EVIL * GONE * 2 * ZONES * LABELS;
	     i++)
		sign(n - 1 - i % EVIL, i / EVIL % GONE, i / EVIL / GONE % 2,
		     i / EVIL / GONE / 2 % ZONES, i / EVIL / GONE / 2 / ZONES);
	for (unsigned long i = strtoul(argv[1], NULL, 10); i > 0; i--)
		play_random(&seed);
	return ferror(stdout) ? 1 : 0;
}
