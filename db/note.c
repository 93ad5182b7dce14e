/* db/note.c - the file that says what a historian held and no history file has. */
#include "note.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/err.h"

#define NOTE_MAGIC UINT64_C(0x3145544f4e505331)
#define CHECKSUM_LEN 32
#define PATH_LEN 4096

struct note_head {
	uint64_t magic;
	uint64_t number;
	uint8_t checksum[CHECKSUM_LEN]; /* BLAKE2b of number and content */
};
_Static_assert(sizeof(struct note_head) + sizeof(struct note) <= NOTE_BYTES, "a copy has room");

static void checksum(uint64_t number, const uint8_t *content, uint8_t ret_sum[static CHECKSUM_LEN])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, CHECKSUM_LEN);
	crypto_generichash_update(&state, (const uint8_t *)&number, sizeof(number));
	crypto_generichash_update(&state, content, sizeof(struct note));
	crypto_generichash_final(&state, ret_sum, CHECKSUM_LEN);
}

static bool gap_is_sound(const struct agg_gap *gap)
{
	uint64_t sum = gap->kernel_drops;

	if (gap->until_us > INT64_MAX || gap->from_us > gap->until_us ||
	    gap->kernel_drops > AGG_GAP_MAX)
		return false;
	for (int v = 0; v < VERDICT_N; v++) {
		if (gap->lost[v] > AGG_GAP_MAX)
			return false;
		sum += gap->lost[v];
	}
	if (gap->until_us == 0 && sum > 0)
		return false;
	for (size_t i = 0; i < sizeof(gap->note); i++) {
		if (gap->note[i] == '\0')
			return true;
		if (gap->note[i] < ' ' || gap->note[i] > '~')
			return false;
	}
	return false;
}

static bool part_is_sound(const struct note_part *part)
{
	return part->area_id != 0 && part->day <= DAY_MAX && part->kind < DAY_KINDS &&
	       part->cause < HISTORY_GAP_N && gap_is_sound(&part->gap);
}

static bool note_is_sound(const struct note *note)
{
	if (note->n_parts > NOTE_PARTS_MAX || note->debt_day > DAY_MAX)
		return false;
	for (int i = 0; i < HISTORY_GAP_N; i++) {
		if (!gap_is_sound(&note->debt[i]))
			return false;
	}
	for (uint32_t i = 0; i < note->n_parts; i++) {
		if (!part_is_sound(&note->parts[i]))
			return false;
	}
	return true;
}

int note_read(const uint8_t *copy, size_t len, struct note *ret_note, uint64_t *ret_number)
{
	struct note_head head;
	struct note note;
	uint8_t sum[CHECKSUM_LEN];

	if (len < sizeof(head) + sizeof(note))
		return ERR_DAMAGED;
	memcpy(&head, copy, sizeof(head));
	memcpy(&note, copy + sizeof(head), sizeof(note));
	if (head.magic == 0 && sodium_is_zero(copy, len))
		return ERR_NOENT;
	checksum(head.number, copy + sizeof(head), sum);
	if (head.magic != NOTE_MAGIC || memcmp(sum, head.checksum, sizeof(sum)) != 0 ||
	    !note_is_sound(&note))
		return ERR_DAMAGED;
	*ret_note = note;
	*ret_number = head.number;
	return ERR_OK;
}

static int write_at(int fd, const uint8_t *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : ERR_NOSPC;
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return ERR_OK;
}

static bool read_at(int fd, uint8_t *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pread(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return true;
}

/* Octets that were written once have their place on the disk. What is there already stays: somebody
 * may have cut the file. */
static int take_room(int fd, off_t size)
{
	static const uint8_t zeros[2 * NOTE_BYTES];
	int r = write_at(fd, zeros, sizeof(zeros) - (size_t)size, size);

	return r == 0 && fdatasync(fd) != 0 ? -errno : r;
}

static int read_newest(struct note_file *file, struct note *ret_note)
{
	uint8_t copy[NOTE_BYTES];
	bool whole = false, damaged = false;

	for (int i = 0; i < 2; i++) {
		struct note note;
		uint64_t number;
		int r;

		if (!read_at(file->fd, copy, sizeof(copy), i * NOTE_BYTES))
			return -EIO;
		r = note_read(copy, sizeof(copy), &note, &number);
		damaged |= r == ERR_DAMAGED;
		if (r < 0 || (whole && number < file->number))
			continue;
		whole = true;
		file->number = number;
		*ret_note = note;
	}
	/* The first write may have been torn: then the other copy has never been written, and what
	 * was to be said is lost. */
	return whole || !damaged ? ERR_OK : ERR_DAMAGED;
}

int note_file_open(const char *dir, struct note_file *ret_file, struct note *ret_note)
{
	CLEANUP(fd_close) int fd = -1;
	struct note_file file = { 0 };
	char path[PATH_LEN];
	struct stat st;
	int r = ERR_OK;

	memset(ret_note, 0, sizeof(*ret_note));
	ret_file->fd = -1;
	if (snprintf(path, sizeof(path), "%s/" NOTE_NAME, dir) >= (int)sizeof(path))
		return ERR_LIMIT;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	/* Shorter: it is new, or there was no room to make it, or it was cut. */
	if (st.st_size < 2 * NOTE_BYTES)
		r = take_room(fd, st.st_size);
	file.fd = fd;
	if (r == 0)
		r = read_newest(&file, ret_note);
	if (r < 0 && r != ERR_DAMAGED)
		return r;
	file.fd = fd_take(&fd);
	*ret_file = file;
	return r;
}

int note_file_write(struct note_file *file, const struct note *note)
{
	struct note_head head = { .magic = NOTE_MAGIC, .number = file->number + 1 };
	uint8_t copy[NOTE_BYTES] = { 0 };
	int r;

	if (file->fd < 0)
		return -EBADF;
	checksum(head.number, (const uint8_t *)note, head.checksum);
	memcpy(copy, &head, sizeof(head));
	memcpy(copy + sizeof(head), note, sizeof(*note));
	r = write_at(file->fd, copy, sizeof(copy), (off_t)(head.number % 2) * NOTE_BYTES);
	if (r == 0 && fdatasync(file->fd) != 0)
		r = -errno;
	if (r == 0)
		file->number = head.number; /* else the next try writes the same copy */
	return r;
}

void note_file_close(struct note_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

struct note_part *note_part(struct note *note, const struct note_part *key, uint32_t most)
{
	struct note_part *part;

	/* The last one first: entries of one file come in a row. */
	for (uint32_t i = note->n_parts; i-- > 0;) {
		part = &note->parts[i];
		if (part->area_id == key->area_id && part->token == key->token &&
		    part->day == key->day && part->kind == key->kind && part->cause == key->cause)
			return part;
	}
	if (note->n_parts >= most)
		return NULL;
	part = &note->parts[note->n_parts++];
	*part = *key;
	return part;
}
