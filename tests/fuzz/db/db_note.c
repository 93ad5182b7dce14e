/* tests/fuzz/db/db_note.c - any octets as the note of what is unwritten.
 *
 * Input: the beginning of struct note; the rest is zero. The checksum is made right, so that
 * everything behind it is reached; the same octets without it are read, too. What was read is
 * written and must read again, the same.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "note.h"
#include "sallyport/err.h"
#include "sallyport/shm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As in note.c: magic, number, checksum, content. */
static void make_copy(uint8_t copy[static NOTE_BYTES], const uint8_t *content, size_t len)
{
	const uint64_t head[2] = { UINT64_C(0x3145544f4e505331), 7 };
	crypto_generichash_state state;

	memset(copy, 0, NOTE_BYTES);
	memcpy(copy, head, sizeof(head));
	memcpy(copy + 48, content, len);
	crypto_generichash_init(&state, NULL, 0, 32);
	crypto_generichash_update(&state, copy + 8, 8);
	crypto_generichash_update(&state, copy + 48, sizeof(struct note));
	crypto_generichash_final(&state, copy + 16, 32);
}

static void write_and_read(const struct note *note)
{
	static struct note_file file = { .fd = -1 };
	uint8_t copy[NOTE_BYTES];
	struct note again;
	uint64_t number;

	if (file.fd < 0)
		file.fd = shm_create("note", 2 * NOTE_BYTES);
	if (file.fd < 0 || note_file_write(&file, note) < 0)
		abort();
	if (pread(file.fd, copy, sizeof(copy), (off_t)(file.number % 2) * NOTE_BYTES) !=
	    (ssize_t)sizeof(copy))
		abort();
	if (note_read(copy, sizeof(copy), &again, &number) < 0 || number != file.number ||
	    memcmp(&again, note, sizeof(again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[NOTE_BYTES];
	struct note note;
	uint64_t number;

	if (sodium_init() < 0)
		abort();
	if (note_read(data, size, &note, &number) == 0)
		write_and_read(&note);
	if (size > sizeof(note))
		return 0;
	make_copy(copy, data, size);
	if (note_read(copy, sizeof(copy), &note, &number) == 0)
		write_and_read(&note);
	return 0;
}
