/* resolver/scan.c - one bounded pass over a message of foreign bytes. */
#include "scan.h"

#include <stdbool.h>

#include "rdata.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/name.h"
#include "wire.h"

struct scan {
	const uint8_t *msg;
	size_t len;
	unsigned int hops; /* compression pointers followed so far, all names together */
};

/* Check the name at *@pos, whose own octets must lie before @end, and step behind it. Every pointer
 * leads to before the labels that it continues, so a walk ends; the budget bounds the sum of walks.
 */
static int scan_name(struct scan *s, size_t *pos, size_t end)
{
	size_t at = *pos, start = *pos, limit = end;
	unsigned int hops = 0, octets = 1;
	bool jumped = false;

	for (;;) {
		unsigned int n;

		if (at >= limit)
			return ERR_MALFORMED;
		n = s->msg[at];
		if (n == 0)
			break;
		if (n <= 63) {
			octets += 1 + n;
			if (octets > NAME_MAX_WIRE)
				return ERR_MALFORMED;
			at += 1 + n;
			continue;
		}
		if (n < 0xc0 || limit - at < 2)
			return ERR_MALFORMED;
		n = wire_u16(s->msg + at) & WIRE_POINTER_MAX;
		if (n < WIRE_HEADER || n >= start)
			return ERR_MALFORMED;
		if (++hops > LIMIT_MSG_HOPS_NAME || ++s->hops > LIMIT_MSG_HOPS)
			return ERR_LIMIT;
		if (!jumped)
			*pos = at + 2;
		jumped = true;
		at = start = n;
		limit = s->len;
	}
	if (!jumped)
		*pos = at + 1;
	return ERR_OK;
}

/* The RDATA from @pos to @end: names checked, fields within it, nothing left over. */
static int scan_rdata(struct scan *s, uint16_t type, size_t pos, size_t end)
{
	const uint8_t *field = rdata_layout(type);

	while (*field != RDATA_END) {
		size_t left = end - pos;
		int r = ERR_OK;

		switch (*field) {
		case RDATA_NAMES:
			if (left == 0)
				return ERR_OK;
			r = scan_name(s, &pos, end);
			field--; /* stays for the next one */
			break;
		case RDATA_NAME_1035:
		case RDATA_NAME:
			r = scan_name(s, &pos, end);
			break;
		case RDATA_STRINGS:
			if (left < 1 || left - 1 < s->msg[pos])
				return ERR_MALFORMED;
			pos += 1u + s->msg[pos];
			if (pos != end)
				field--;
			break;
		case RDATA_STRING:
			if (left < 1 || left - 1 < s->msg[pos])
				return ERR_MALFORMED;
			pos += 1u + s->msg[pos];
			break;
		case RDATA_HIP:
			if (left < 4 || left - 4 < s->msg[pos] + (size_t)wire_u16(s->msg + pos + 2))
				return ERR_MALFORMED;
			pos += 4u + s->msg[pos] + wire_u16(s->msg + pos + 2);
			break;
		case RDATA_REST:
			pos = end;
			break;
		default: /* so many octets */
			if (left < *field)
				return ERR_MALFORMED;
			pos += *field;
			break;
		}
		if (r < 0)
			return r;
		field++;
	}
	return pos == end ? ERR_OK : ERR_MALFORMED;
}

/* Records of one type in a row, before the additional section. An RRset or its signatures beyond
 * what is kept would be refused all the same, but only after ldns had taken it apart. */
struct run {
	uint16_t type;
	unsigned int n;
};

static bool is_too_long(struct run *run, uint16_t type)
{
	run->n = run->n > 0 && run->type == type ? run->n + 1 : 1;
	run->type = type;
	return run->n > LIMIT_RRSET_RECORDS;
}

static int scan_record(struct scan *s, size_t *pos, struct run *run, unsigned int *n_opt)
{
	size_t owner = *pos, end;
	uint16_t type;
	int r;

	r = scan_name(s, pos, s->len);
	if (r < 0)
		return r;
	if (s->len - *pos < WIRE_RR_FIXED)
		return ERR_MALFORMED;
	type = wire_u16(s->msg + *pos);
	end = wire_u16(s->msg + *pos + 8);
	*pos += WIRE_RR_FIXED;
	if (s->len - *pos < end)
		return ERR_MALFORMED;
	end += *pos;
	/* RFC 6891, section 6.1.1: one OPT, in the additional section, owned by the root. */
	if (type == TYPE_OPT && (run || s->msg[owner] != 0 || ++*n_opt > 1))
		return ERR_MALFORMED;
	if (run && is_too_long(run, type))
		return ERR_LIMIT;
	r = scan_rdata(s, type, *pos, end);
	*pos = end;
	return r;
}

int scan_message(const uint8_t *msg, size_t len)
{
	struct scan s = { msg, len, 0 };
	struct run run = { 0 };
	size_t pos = WIRE_HEADER;
	unsigned int n_questions, n_main, n_records, n_opt = 0;

	if (len < WIRE_HEADER || len > LIMIT_MSG_BYTES)
		return ERR_MALFORMED;
	n_questions = wire_u16(msg + 4);
	n_main = (unsigned int)wire_u16(msg + 6) + wire_u16(msg + 8);
	n_records = n_main + wire_u16(msg + 10);
	if (n_questions > 1)
		return ERR_MALFORMED;
	if (n_records > LIMIT_MSG_RECORDS)
		return ERR_LIMIT;

	if (n_questions == 1) {
		int r = scan_name(&s, &pos, len);

		if (r < 0)
			return r;
		if (len - pos < 4)
			return ERR_MALFORMED;
		pos += 4;
	}
	for (unsigned int i = 0; i < n_records; i++) {
		int r = scan_record(&s, &pos, i < n_main ? &run : NULL, &n_opt);

		if (r < 0)
			return r;
	}
	return pos == len ? ERR_OK : ERR_MALFORMED;
}
