#include "trail.h"

#include <sys/param.h>

#include "sallyport/clock.h"
#include "sallyport/limits.h"

bool trail_take(struct trail *trail, uint64_t now_ns, uint64_t *ret_left_out)
{
	uint64_t row_ns = (uint64_t)LIMIT_AUDIT_ROW_MS * NS_PER_MS;
	uint64_t paid_ns = MAX(trail->paid_ns, now_ns) + row_ns;

	if (paid_ns - now_ns > LIMIT_AUDIT_ROWS * row_ns) {
		trail->n_left_out++;
		return false;
	}
	trail->paid_ns = paid_ns;
	*ret_left_out = trail->n_left_out;
	trail->n_left_out = 0;
	return true;
}
