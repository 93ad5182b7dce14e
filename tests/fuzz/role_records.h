/* tests/fuzz/role_records.h - a fuzzer's octets as messages between the keeper and a role.
 *
 *     form | length (2, little endian) | octets         and so on
 *
 * Form, bit 0: the octets are a whole datagram, head and all; else they are type, a (8), b (8) and
 * payload, and the head is made right. Bits 1 to 3: how many descriptors come along, each of a
 * memfd that holds the payload; bit 4: a writable one. Bits 5 to 7: the memfd is as long as sizes[]
 * says, zeros behind the payload (0: no longer).
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sallyport/err.h"
#include "sallyport/role.h"
#include "sallyport/shm.h"

#define RECORD_FDS_MAX 7 /* more than a message may have */

struct record {
	uint8_t form;
	const uint8_t *octets;
	size_t len;
};

static bool record_next(const uint8_t **data, size_t *size, struct record *ret_record)
{
	size_t len;

	if (*size < 3)
		return false;
	len = MIN((size_t)((*data)[1] | (*data)[2] << 8), *size - 3);
	*ret_record = (struct record){ (*data)[0], *data + 3, len };
	*data += 3 + len;
	*size -= 3 + len;
	return true;
}

static int record_memfd(const struct record *record, size_t len, const uint8_t *payload, size_t n)
{
	bool writable = record->form & 0x10;
	uint8_t *copy = calloc(1, len + 1);
	int fd;

	if (!copy)
		abort();
	memcpy(copy, payload, MIN(n, len));
	fd = writable ? shm_create("record", len) : shm_create_sealed("record", copy, len);
	if (writable && fd >= 0 && pwrite(fd, copy, len, 0) != (ssize_t)len)
		abort();
	free(copy);
	return fd;
}

/* Returns false when the socket takes no more for now. */
static bool record_send(int channel, const struct record *record, const size_t sizes[static 8])
{
	struct {
		uint32_t magic;
		uint16_t type, n_fds;
		uint64_t a, b, len;
	} head = { .magic = ROLE_MAGIC };
	const size_t before = 1 + 2 * sizeof(uint64_t);
	bool whole = record->form & 1;
	const uint8_t *payload = record->octets;
	size_t len = record->len, longer = sizes[record->form >> 5];
	unsigned int n_fds = record->form >> 1 & 7;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(RECORD_FDS_MAX * sizeof(int))] = { 0 };
	struct iovec iov[2];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fds[RECORD_FDS_MAX];
	bool sent;

	if (!whole && len >= before) {
		head.type = record->octets[0];
		memcpy(&head.a, record->octets + 1, sizeof(head.a));
		memcpy(&head.b, record->octets + 1 + sizeof(head.a), sizeof(head.b));
		payload += before;
		len -= before;
	}
	head.n_fds = (uint16_t)n_fds;
	head.len = len;
	iov[0] = (struct iovec){ &head, whole ? 0 : sizeof(head) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)payload, len };
	for (unsigned int i = 0; i < n_fds; i++) {
		fds[i] = record_memfd(record, longer ? longer : len, payload, len);
		if (fds[i] < 0)
			abort();
	}
	if (n_fds > 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	sent = sendmsg(channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	for (unsigned int i = 0; i < n_fds; i++)
		close(fds[i]);
	return sent || errno != EAGAIN;
}

/* How many are open: the same before and after. */
static unsigned int record_open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}
