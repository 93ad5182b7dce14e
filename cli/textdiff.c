#include "textdiff.h"

#include <stdint.h>
#include <string.h>

#include "sallyport/err.h"
#include "table.h"
#include "text.h"

enum { CONTEXT = 3 };

struct line {
	const char *data;
	size_t len; /* its end of line left out */
	uint64_t hash;
};

struct lines {
	struct line *line;
	size_t n;
	bool unended; /* the last one has no newline */
};

/* What becomes of each line: gone[i] of the old text, come[i] of the new one. The others are common
 * to both, in the same order. */
struct script {
	struct lines old, new;
	bool *gone, *come;
};

static uint64_t hash_line(const char *data, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a: only saves comparisons */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static int split(const struct textdiff_text *text, struct lines *ret)
{
	size_t n = 0;
	const char *at = text->data;
	const char *end = text->data + text->len;

	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	ret->unended = text->len > 0 && end[-1] != '\n';
	n += ret->unended;
	ret->line = calloc(n + 1, sizeof(*ret->line));
	if (!ret->line)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		if (!stop)
			stop = end;
		ret->line[i].data = at;
		ret->line[i].len = (size_t)(stop - at);
		/* A last line without its newline differs from the same line with it. */
		ret->line[i].hash = hash_line(at, ret->line[i].len) + (stop == end);
		at = stop + 1;
	}
	ret->n = n;
	return ERR_OK;
}

static bool same(const struct script *script, size_t o, size_t n)
{
	const struct line *a = &script->old.line[o];
	const struct line *b = &script->new.line[n];

	return a->hash == b->hash && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Is diagonal @k of step @d reached by adding a line (down) or by removing one? @before is the
 * front of step d - 1. The way back must choose as the way there did. */
static bool comes_down(const int32_t *before, ptrdiff_t k, ptrdiff_t d)
{
	return k == -d || (k != d && before[k - 1] < before[k + 1]);
}

/* Walk back over the kept fronts; mark what the script removes and adds. @trace[d] + d is
 * the front of step d, for diagonals -d..d. */
static void mark(struct script *script, int32_t *const *trace, ptrdiff_t depth, size_t first,
                 size_t n_old, size_t n_new)
{
	ptrdiff_t x = (ptrdiff_t)n_old, y = (ptrdiff_t)n_new;

	for (ptrdiff_t d = depth; d > 0; d--) {
		const int32_t *front = trace[d - 1] + (d - 1); /* front[k], k in -(d-1)..(d-1) */
		ptrdiff_t k = x - y;
		bool down = comes_down(front, k, d);
		ptrdiff_t from_k = down ? k + 1 : k - 1;
		ptrdiff_t from_x = front[from_k];

		if (down)
			script->come[first + (size_t)(from_x - from_k)] = true;
		else
			script->gone[first + (size_t)from_x] = true;
		x = from_x;
		y = from_x - from_k;
	}
}

/* Myers' greedy algorithm over the part that is left between the common ends. Returns false when it
 * gave up (too many edits, or no memory for the fronts): then everything is replaced. */
static bool search(struct script *script, size_t first, size_t n_old, size_t n_new)
{
	int32_t **trace = calloc(TEXTDIFF_EDITS_MAX + 1, sizeof(*trace));
	ptrdiff_t done = -1, d;

	if (!trace || n_old > INT32_MAX || n_new > INT32_MAX) {
		free(trace);
		return false;
	}
	for (d = 0; d <= TEXTDIFF_EDITS_MAX && done < 0; d++) {
		int32_t *front;

		trace[d] = calloc((size_t)(2 * d + 1), sizeof(**trace));
		if (!trace[d])
			break;
		front = trace[d] + d;
		for (ptrdiff_t k = -d; k <= d; k += 2) {
			const int32_t *before = d > 0 ? trace[d - 1] + (d - 1) : NULL;
			ptrdiff_t x = 0, y;

			if (before)
				x = comes_down(before, k, d) ? before[k + 1] : before[k - 1] + 1;
			y = x - k;
			while (x < (ptrdiff_t)n_old && y >= 0 && y < (ptrdiff_t)n_new &&
			       same(script, first + (size_t)x, first + (size_t)y)) {
				x++;
				y++;
			}
			front[k] = (int32_t)x;
			if (x >= (ptrdiff_t)n_old && y >= (ptrdiff_t)n_new) {
				done = d;
				break;
			}
		}
	}
	if (done >= 0)
		mark(script, trace, done, first, n_old, n_new);
	for (ptrdiff_t i = 0; i <= TEXTDIFF_EDITS_MAX; i++)
		free(trace[i]);
	free(trace);
	return done >= 0;
}

static void compare(struct script *script)
{
	size_t n_old = script->old.n, n_new = script->new.n;
	size_t first = 0;

	while (first < n_old && first < n_new && same(script, first, first))
		first++;
	while (n_old > first && n_new > first && same(script, n_old - 1, n_new - 1)) {
		n_old--;
		n_new--;
	}
	if (search(script, first, n_old - first, n_new - first))
		return;
	memset(script->gone + first, true, n_old - first);
	memset(script->come + first, true, n_new - first);
}

static void put_line(FILE *out, bool color, char sign, const struct line *line, bool unended)
{
	enum color c = sign == '-' ? COLOR_RED : sign == '+' ? COLOR_GREEN : COLOR_NONE;

	if (color && c != COLOR_NONE)
		fputs(color_code(c), out);
	putc(sign, out);
	text_put_lines(out, line->data, line->len);
	if (color && c != COLOR_NONE)
		fputs(color_code(COLOR_NONE), out);
	putc('\n', out);
	if (unended)
		fputs("\\ No newline at end of file\n", out);
}

/* One line of the script at (@o, @n): moves them. Returns whether it is a change. */
static bool step(const struct script *script, size_t *o, size_t *n, FILE *out, bool color)
{
	char sign = ' ';

	if (*o < script->old.n && script->gone[*o])
		sign = '-';
	else if (*n < script->new.n && script->come[*n])
		sign = '+';
	if (out && sign != '+')
		put_line(out, color, sign, &script->old.line[*o],
		         script->old.unended && *o + 1 == script->old.n);
	else if (out)
		put_line(out, color, sign, &script->new.line[*n],
		         script->new.unended &&*n + 1 == script->new.n);
	*o += sign != '+';
	*n += sign != '-';
	return sign != ' ';
}

/* Print the hunk that begins with the change at (@o, @n): context before it, changes no more than
 * twice the context apart, context after. Moves both behind it. */
static void put_hunk(const struct script *script, size_t *o, size_t *n, size_t floor, FILE *out,
                     bool color)
{
	size_t back = MIN((size_t)CONTEXT, MIN(*o - MIN(*o, floor), *n));
	size_t o_from = *o - back, n_from = *n - back;
	size_t o_end = *o, n_end = *n, o_at = *o, n_at = *n;
	size_t calm = 0;

	while ((o_at < script->old.n || n_at < script->new.n) && calm <= (size_t)2 * CONTEXT) {
		if (step(script, &o_at, &n_at, NULL, false)) {
			calm = 0;
			o_end = o_at;
			n_end = n_at;
		} else {
			calm++;
		}
	}
	calm = MIN((size_t)CONTEXT, MIN(script->old.n - o_end, script->new.n - n_end));
	o_end += calm;
	n_end += calm;
	if (color)
		fputs(color_code(COLOR_CYAN), out);
	fprintf(out, "@@ -%zu,%zu +%zu,%zu @@", o_from + (o_end > o_from), o_end - o_from,
	        n_from + (n_end > n_from), n_end - n_from);
	if (color)
		fputs(color_code(COLOR_NONE), out);
	putc('\n', out);
	for (*o = o_from, *n = n_from; *o < o_end || *n < n_end;)
		step(script, o, n, out, color);
}

static bool put_script(const struct script *script, FILE *out, bool color, const char *old_label,
                       const char *new_label)
{
	size_t o = 0, n = 0, floor = 0;
	bool differs = false;

	while (o < script->old.n || n < script->new.n) {
		size_t o_at = o, n_at = n;

		if (!step(script, &o_at, &n_at, NULL, false)) {
			o = o_at;
			n = n_at;
			continue;
		}
		if (!differs) {
			fputs("--- ", out);
			text_put(out, TEXT_PROSE, old_label);
			fputs("\n+++ ", out);
			text_put(out, TEXT_PROSE, new_label);
			putc('\n', out);
		}
		differs = true;
		put_hunk(script, &o, &n, floor, out, color);
		floor = o;
	}
	return differs;
}

int textdiff_write(FILE *out, bool color, const struct textdiff_text *old,
                   const struct textdiff_text *new)
{
	struct script script = { 0 };
	int r = split(old, &script.old);

	if (r == 0)
		r = split(new, &script.new);
	script.gone = calloc(script.old.n + 1, sizeof(*script.gone));
	script.come = calloc(script.new.n + 1, sizeof(*script.come));
	if (r < 0 || !script.gone || !script.come) {
		r = ERR_NOMEM;
	} else {
		compare(&script);
		r = put_script(&script, out, color, old->label, new->label);
	}
	free(script.old.line);
	free(script.new.line);
	free(script.gone);
	free(script.come);
	return r;
}
