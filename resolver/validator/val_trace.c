/* val_trace.c - the rules that reasons stand on, and their names. */
#include "val_trace.h"

/* No default: the compiler names a reason that has no rule. */
const char *val_why_rule(enum val_why why)
{
	switch (why) {
	case VAL_WHY_NONE:
	case VAL_WHY_N:
		return "";
	case VAL_WHY_NO_ANCHOR:
		return "RFC 4035, section 4.3";
	case VAL_WHY_NTA:
		return "RFC 7646, section 2";
	case VAL_WHY_NO_DS:
	case VAL_WHY_DS_ALGORITHM:
	case VAL_WHY_NO_SEP:
	case VAL_WHY_DNSKEY_MISSING:
		return "RFC 4035, section 5.2";
	case VAL_WHY_DS_DIGEST:
		return "RFC 6840, section 5.2";
	case VAL_WHY_OPT_OUT:
		return "RFC 5155, sections 6 and 9.2";
	case VAL_WHY_ITERATIONS:
		return "RFC 9276, section 3.2";
	case VAL_WHY_RRSIG_MISSING:
	case VAL_WHY_SIGNATURE:
		return "RFC 4035, section 5.3";
	case VAL_WHY_SIGNER:
	case VAL_WHY_NO_KEY:
		return "RFC 4035, section 5.3.1";
	case VAL_WHY_LABELS:
		return "RFC 4035, sections 5.3.1 and 5.3.2";
	case VAL_WHY_EXPIRED:
	case VAL_WHY_NOT_YET:
	case VAL_WHY_PERIOD:
		return "RFC 4034, section 3.1.5";
	case VAL_WHY_NO_ZONE_KEY:
		return "RFC 4034, section 2.1.1";
	case VAL_WHY_NSEC_MISSING:
		return "RFC 4035, section 5.4; RFC 5155, section 8";
	case VAL_WHY_WILDCARD:
		return "RFC 4035, section 5.3.4; RFC 5155, section 8.8";
	case VAL_WHY_DNAME:
		return "RFC 6672, section 5.3.1";
	case VAL_WHY_DS_UNPROVEN:
		return "RFC 4035, section 5.2; RFC 6840, section 4.4";
	case VAL_WHY_UNREACHABLE:
		return "RFC 4035, section 5";
	case VAL_WHY_MALFORMED:
		return "RFC 4034, section 6.2";
	case VAL_WHY_LIMIT:
		return "RFC 9520, section 2.6";
	}
	return "";
}

const char *val_why_name(enum val_why why)
{
#define WHY_NAME(sym, ede, text) #sym,
	static const char *const names[] = { VAL_WHYS(WHY_NAME) };

	return (unsigned int)why < VAL_WHY_N ? names[why] : "?";
}
