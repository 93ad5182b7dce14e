#include "yaml.h"

#include "sallyport/document.h"

DEFINE_CLEANUP(struct fy_diag *, fy_diag_destroy)

struct fy_document *yaml_parse(const char *text, size_t len)
{
	const struct fy_diag_cfg diag_cfg = { .level = FYET_ERROR, .module_mask = ~0u };
	/* Collected, faults are not printed; the document keeps a reference of its own. */
	CLEANUP(fy_diag_destroy) struct fy_diag *diag = fy_diag_create(&diag_cfg);
	const struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET, .diag = diag };

	if (!diag || document_check("", text, len, NULL) < 0)
		return NULL;
	fy_diag_set_collect_errors(diag, true);
	return fy_document_build_from_string(&cfg, text, len);
}
