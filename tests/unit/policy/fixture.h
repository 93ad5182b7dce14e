/* tests/unit/policy/fixture.h - policies as text, compiled for a test; verdicts as text. */
#pragma once

#include "policy/compile.h"
#include "policy/explain.h"
#include "policy/judge.h"

#define FIXTURE_NOW UINT64_C(1800000000) /* 2027-01-15 */
#define FIXTURE_TEXT_LEN 2400

struct fixture {
	struct policy_image image;
	void *data;
	struct diag diag;
};

/* Compile @policy with feeds given as pairs of name and text, ended by NULL. Returns
 * policy_compile()'s result; the fixture must be finished in any case. */
int fixture_compile(struct fixture *f, const char *policy, const char *const *feeds);
/* The same; anything but success fails the test and prints the faults. */
void fixture_open(struct fixture *f, const char *policy, const char *const *feeds);
void fixture_close(struct fixture *f);

/* "allow rule allow db.test", "nxdomain no rule", "nodata feed malware", "observe no rule" ... */
void fixture_verdict(const struct fixture *f, const struct verdict *v,
                     char out[static FIXTURE_TEXT_LEN]);
/* Judge a name in presentation form for workload 0. */
void fixture_judge(const struct fixture *f, const char *name, const char *type,
                   struct verdict *ret_verdict);
void fixture_name(const char *text, uint8_t wire[static NAME_MAX_WIRE]);
uint16_t fixture_type(const char *text);

/* All items of a diag as "line:col severity text", a line each; free() it. */
char *fixture_faults(const struct diag *diag);
