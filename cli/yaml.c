#include "yaml.h"

#include "text.h"

DEFINE_CLEANUP(struct fy_diag *, fy_diag_destroy)

struct fy_document *yaml_parse(const char *text, size_t len)
{
	const struct fy_diag_cfg diag_cfg = { .level = FYET_ERROR, .module_mask = ~0u };
	/* Collected, faults are not printed; the document keeps a reference of its own. */
	CLEANUP(fy_diag_destroy) struct fy_diag *diag = fy_diag_create(&diag_cfg);
	const struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET, .diag = diag };

	/* libfyaml 0.7.12 does not come back from a directive with such an octet. */
	if (!diag || text_utf8_end(text, len) < len)
		return NULL;
	fy_diag_set_collect_errors(diag, true);
	return fy_document_build_from_string(&cfg, text, len);
}
