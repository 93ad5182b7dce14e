/* include/lib/verdict.c - texts of verdicts, reasons, DNSSEC states. */
#include "sallyport/verdict.h"

#include <string.h>

#include "sallyport/cleanup.h"
#include "sallyport/err.h"

#define REASON_TEXT_(sym, text, what) [REASON_##sym] = text,
static const char *const reason_texts[REASON_N] = { REASONS(REASON_TEXT_) };
static const char *const kind_texts[VERDICT_N] = {
	[VERDICT_DENY] = "deny",
	[VERDICT_ALLOW] = "allow",
	[VERDICT_LOCAL] = "local",
};
static const char *const dnssec_texts[DNSSEC_N] = {
	[DNSSEC_UNCHECKED] = "unchecked",
	[DNSSEC_BOGUS] = "bogus",
	[DNSSEC_INDETERMINATE] = "indeterminate",
	[DNSSEC_INSECURE] = "insecure",
	[DNSSEC_SECURE] = "secure",
};

const char *verdict_kind_str(unsigned int kind)
{
	return kind < VERDICT_N ? kind_texts[kind] : "?";
}

const char *reason_str(unsigned int reason)
{
	return reason < REASON_N ? reason_texts[reason] : "?";
}

const char *dnssec_state_str(unsigned int state)
{
	return state < DNSSEC_N ? dnssec_texts[state] : "?";
}

int reason_parse(const char *text)
{
	for (int i = 0; i < REASON_N; i++) {
		if (strcmp(text, reason_texts[i]) == 0)
			return i;
	}
	return ERR_INVAL;
}
