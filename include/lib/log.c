/* include/lib/log.c - one line an event. */
#include "sallyport/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/limits.h"

#define LINE_MAX_OCTETS 2048
#define LINE_TAIL_OCTETS 128 /* kept for what follows a value that is cut: quotes, keys, a brace */

/* The one global of the tools: what main() said at the start. */
static struct {
	const char *role;
	enum log_form form;
	enum log_level level;
	bool journal;
	_Atomic uint64_t second; /* that is being counted */
	_Atomic uint32_t lines, dropped;
} logger = { .role = "-", .level = LOG_LEVEL_INFO };

static const char *const level_texts[] = { "error", "warning", "info", "debug" };
static const int level_priorities[] = { 3, 4, 6, 7 }; /* syslog's */

struct line {
	char text[LINE_MAX_OCTETS];
	size_t len;
};

static void append(struct line *line, const char *text, size_t n)
{
	n = MIN(n, sizeof(line->text) - 1 - line->len); /* room for the newline */
	memcpy(line->text + line->len, text, n);
	line->len += n;
}

static void append_text(struct line *line, const char *text)
{
	append(line, text, strlen(text));
}

/* In quotes, with \" \\ and \u00XX: valid for both forms. What is too long is cut between two
 * characters, so that the line stays what it is. */
static void append_quoted(struct line *line, const char *text)
{
	append_text(line, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		char escaped[8];

		if (c == '"' || c == '\\')
			snprintf(escaped, sizeof(escaped), "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		else
			snprintf(escaped, sizeof(escaped), "%c", c);
		if (line->len + strlen(escaped) > sizeof(line->text) - LINE_TAIL_OCTETS)
			break;
		append_text(line, escaped);
	}
	append_text(line, "\"");
}

/* @foreign: anything may be in @value. The others, and keys, are words of ours. */
static void append_pair(struct line *line, const char *key, const char *value, bool foreign)
{
	bool json = logger.form == LOG_FORM_JSON;

	if (json) {
		append_text(line, line->text[line->len - 1] == '{' ? "\"" : ",\"");
		append_text(line, key);
		append_text(line, "\":");
	} else {
		append_text(line, line->len && line->text[line->len - 1] != '>' ? " " : "");
		append_text(line, key);
		append_text(line, "=");
	}
	if (foreign) {
		append_quoted(line, value);
		return;
	}
	append_text(line, json ? "\"" : "");
	append_text(line, value);
	append_text(line, json ? "\"" : "");
}

/* May this line be written? At most LIMIT_LOG_PER_SECOND in a second; *ret_dropped: those before.
 */
static bool admitted(uint32_t *ret_dropped)
{
	uint64_t second = clock_mono_coarse_ns() / NS_PER_S;

	*ret_dropped = 0;
	if (atomic_exchange(&logger.second, second) != second)
		atomic_store(&logger.lines, 0);
	if (atomic_fetch_add(&logger.lines, 1) >= LIMIT_LOG_PER_SECOND) {
		atomic_fetch_add(&logger.dropped, 1);
		return false;
	}
	*ret_dropped = atomic_exchange(&logger.dropped, 0);
	return true;
}

void log_init(const char *role, enum log_form form, enum log_level level)
{
	logger.role = role;
	logger.form = form;
	logger.level = level;
	logger.journal = getenv("JOURNAL_STREAM") != NULL;
}

PRINTF_LIKE(5, 0)
static void write_line(enum log_level level, const char *tag, const char *key, const char *value,
                       const char *fmt, va_list args)
{
	struct line line = { .len = 0 };
	char number[32], msg[1024];
	uint32_t dropped;

	if (level > logger.level || !admitted(&dropped))
		return;
	vsnprintf(msg, sizeof(msg), fmt, args);
	if (logger.journal) {
		snprintf(number, sizeof(number), "<%d>", level_priorities[level]);
		append_text(&line, number);
	}
	if (logger.form == LOG_FORM_JSON)
		append_text(&line, "{");
	append_pair(&line, "level", level_texts[level], false);
	append_pair(&line, "role", logger.role, false);
	append_pair(&line, "tag", tag, false);
	append_pair(&line, "msg", msg, true);
	if (key)
		append_pair(&line, key, value, true);
	if (dropped) {
		snprintf(number, sizeof(number), "%u", dropped);
		append_pair(&line, "lines_dropped", number, false);
	}
	if (logger.form == LOG_FORM_JSON)
		append_text(&line, "}");
	line.text[line.len++] = '\n';
	/* Nobody can be told that stderr cannot be written. */
	if (write(STDERR_FILENO, line.text, line.len) < 0)
		return;
}

void log_msg(enum log_level level, const char *tag, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line(level, tag, NULL, NULL, fmt, args);
	va_end(args);
}

void log_kv(enum log_level level, const char *tag, const char *key, const char *value,
            const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	write_line(level, tag, key, value, fmt, args);
	va_end(args);
}
