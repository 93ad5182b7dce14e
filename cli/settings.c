#include "settings.h"

#include <errno.h>
#include <string.h>

#include "file.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "yaml.h"

void settings_fini(struct settings *settings)
{
	free(settings->state_dir);
	free(settings->run_dir);
	settings->state_dir = NULL;
	settings->run_dir = NULL;
}

/* Put the directory under @key into *ret_dir, or @fallback when the file does not name it. */
static int read_dir(struct fy_node *root, const char *file, const char *key, const char *fallback,
                    char **ret_dir, struct diag *diag)
{
	struct fy_node *node = root ? fy_node_mapping_lookup_by_string(root, key, FY_NT) : NULL;
	const char *dir = fallback;
	size_t len = strlen(fallback);

	if (node) {
		dir = fy_node_get_scalar(node, &len);
		if (!dir || len == 0 || dir[0] != '/' || memchr(dir, 0, len)) {
			diag_add(diag, DIAG_ERROR, file, 0, 0,
			         "%s is not an absolute path; write it as %s", key, fallback);
			return ERR_CONFIG;
		}
	}
	*ret_dir = strndup(dir, len);
	return *ret_dir ? ERR_OK : ERR_NOMEM;
}

static int read_doc(struct settings *settings, const char *file, const struct file_text *text,
                    struct diag *diag)
{
	CLEANUP(fy_document_destroy)
	struct fy_document *doc = yaml_parse(text->data, text->len);
	struct fy_node *root = doc ? fy_document_root(doc) : NULL;
	int r;

	if (text->len > 0 && (!root || !fy_node_is_mapping(root))) {
		diag_add(diag, DIAG_ERROR, file, 0, 0,
		         "not a YAML mapping; `sallyport check -c FILE` says where it breaks");
		return ERR_CONFIG;
	}
	r = read_dir(root, file, "state_dir", SETTINGS_STATE_DIR, &settings->state_dir, diag);
	if (r < 0)
		return r;
	return read_dir(root, file, "run_dir", SETTINGS_RUN_DIR, &settings->run_dir, diag);
}

static int use_defaults(struct settings *settings)
{
	settings->defaulted = true;
	settings->state_dir = strdup(SETTINGS_STATE_DIR);
	settings->run_dir = strdup(SETTINGS_RUN_DIR);
	return settings->state_dir && settings->run_dir ? ERR_OK : ERR_NOMEM;
}

int settings_read(struct settings *settings, const char *file, bool named, struct diag *diag)
{
	CLEANUP(file_text_fini) struct file_text text = { 0 };
	int r = file_read(file, LIMIT_CONFIG_BYTES, &text);

	if (r < 0) {
		if (!named && (r == -ENOENT || r == -EACCES))
			return use_defaults(settings);
		diag_add(diag, DIAG_ERROR, file, 0, 0, "cannot be read: %s", err_str(r));
		return r;
	}
	r = read_doc(settings, file, &text, diag);
	if (r < 0)
		settings_fini(settings);
	return r;
}
