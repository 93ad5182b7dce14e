/* keeper/unfiltered.c - the kernel's count of forwarded packets, across a loss of the table. */
#include "unfiltered.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/err.h"
#include "sallyport/log.h"

#define TAG "unfiltered"
#define TEXT_MAX 16384

/* The number at column @column of @line; columns are parted by single blanks. */
static bool column(const char *line, size_t column, uint64_t *ret)
{
	char *end;

	for (; column > 0; column--) {
		line += strcspn(line, " \n");
		if (*line != ' ')
			return false;
		line++;
	}
	if (*line < '0' || *line > '9')
		return false;
	*ret = strtoull(line, &end, 10);
	return *end == ' ' || *end == '\n';
}

/* "Ip: Forwarding ... ForwDatagrams ..." and below it "Ip: 1 ... 4711 ..." */
static bool forwarded4(const char *text, uint64_t *ret)
{
	const char *heads = strncmp(text, "Ip: ", 4) == 0 ? text : strstr(text, "\nIp: ");
	const char *values = heads ? strstr(heads + 1, "\nIp: ") : NULL;
	const char *name = heads ? strstr(heads, " ForwDatagrams") : NULL;
	size_t n = 0;

	if (!name || !values || name > values)
		return false;
	heads += *heads == '\n';
	for (const char *c = heads; c <= name; c++)
		n += *c == ' ';
	return column(values + 1, n, ret);
}

/* "Ip6OutForwDatagrams             \t4711" */
static bool forwarded6(const char *text, uint64_t *ret)
{
	static const char name[] = "Ip6OutForwDatagrams";
	const char *at = strstr(text, name);

	if (!at)
		return false;
	at += sizeof(name) - 1;
	at += strspn(at, " \t");
	return column(at, 0, ret);
}

int unfiltered_parse(const char *snmp, const char *snmp6, uint64_t *ret_packets)
{
	uint64_t v4, v6;

	if (!forwarded4(snmp, &v4) || !forwarded6(snmp6, &v6))
		return ERR_MALFORMED;
	*ret_packets = v4 + v6;
	return ERR_OK;
}

static bool read_text(const char *path, char text[static TEXT_MAX])
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	while (fd >= 0 && n < TEXT_MAX - 1) {
		ssize_t got = read(fd, text + n, TEXT_MAX - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	text[n] = '\0';
	return n > 0;
}

static bool count_forwarded(uint64_t *ret)
{
	char snmp[TEXT_MAX], snmp6[TEXT_MAX];

	if (!read_text("/proc/self/net/snmp", snmp))
		return false;
	if (!read_text("/proc/self/net/snmp6", snmp6)) /* a kernel without IPv6 */
		memcpy(snmp6, "Ip6OutForwDatagrams 0\n", 23);
	return unfiltered_parse(snmp, snmp6, ret) == 0;
}

static void tell(const struct unfiltered_sample *good, const struct unfiltered_sample *now,
                 struct stats_page *page)
{
	uint64_t passed = now->packets - good->packets;

	count_add(&page->lanes[0], COUNT_FW_UNFILTERED, passed);
	log_warning(TAG,
	            "the firewall's table was missing or another for at most %" PRIu64
	            " ms: at most %" PRIu64 " packets, of all hosts, were forwarded unfiltered",
	            (now->at_ns - good->at_ns) / NS_PER_MS, passed);
}

static void prove(struct unfiltered *u, const struct unfiltered_sample *now, uint64_t beat_ns)
{
	if (u->next.at_ns == 0) {
		u->next = *now;
		u->turn_ns = 0;
	} else if (u->turn_ns == 0) {
		u->turn_ns = beat_ns > u->next.at_ns ? beat_ns : 0;
	} else if (beat_ns > u->turn_ns) {
		u->good = u->next;
		u->next = *now;
		u->turn_ns = 0;
	}
}

void unfiltered_step(struct unfiltered *u, const struct unfiltered_sample *now,
                     struct stats_page *page)
{
	uint64_t beat_ns = atomic_load(&page->lanes[0].heartbeat_ns);
	uint64_t tables = stats_sum(page, COUNT_FW_TABLE_LOST);

	if (u->good.at_ns == 0) {
		u->good = *now;
	} else if (tables != u->tables) {
		tell(&u->good, now, page);
		u->good = *now;
		u->next.at_ns = 0;
	} else {
		prove(u, now, beat_ns);
	}
	u->tables = tables;
}

void unfiltered_look(struct unfiltered *u, struct stats_page *page, uint64_t now_ns)
{
	struct unfiltered_sample now = { .at_ns = now_ns };

	if (count_forwarded(&now.packets)) {
		unfiltered_step(u, &now, page);
		return;
	}
	if (u->good.at_ns)
		log_warning(TAG, "/proc/self/net/snmp cannot be read: a loss of the table will not "
		                 "be measured");
	u->good.at_ns = 0;
}
