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
	free((void *)(uintptr_t)settings->site.listeners);
	settings->site = (struct policy_site){ 0 };
}

static struct fy_node *find(struct fy_node *node, const char *key)
{
	return node && fy_node_is_mapping(node) ? fy_node_mapping_lookup_by_string(node, key, FY_NT)
	                                        : NULL;
}

/* What has faults here has them for `sallyportd --check`, too, which tells them. */
static int read_listeners(struct fy_node *list, struct policy_site *site)
{
	int n = list && fy_node_is_sequence(list) ? fy_node_sequence_item_count(list) : 0;
	uint8_t(*addrs)[ADDR_LEN] = n > 0 ? calloc((size_t)n, sizeof(*addrs)) : NULL;

	if (n > 0 && !addrs)
		return ERR_NOMEM;
	site->listeners = (const uint8_t(*)[ADDR_LEN])addrs;
	for (int i = 0; i < n; i++) {
		struct fy_node *node = find(fy_node_sequence_get_by_index(list, i), "address");
		const char *text = node ? fy_node_get_scalar0(node) : NULL;

		if (text && addr_parse(text, addrs[site->n_listeners]) == 0)
			site->n_listeners++;
	}
	return ERR_OK;
}

static int read_site(struct fy_node *root, struct policy_site *site)
{
	struct fy_node *firewall = find(root, "firewall"), *mode = find(firewall, "mode");
	struct fy_node *guard = find(firewall, "guard");
	static const char *const lists[] = { "interfaces", "prefixes" };
	const char *word = mode ? fy_node_get_scalar0(mode) : NULL;

	site->guards_sources = !word || strcmp(word, "none") != 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct fy_node *list = find(guard, lists[i]);

		if (list && fy_node_is_sequence(list) && fy_node_sequence_item_count(list) > 0)
			site->guards_sources = false;
	}
	return read_listeners(find(root, "listen"), site);
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
	r = read_site(root, &settings->site);
	if (r == 0)
		r = read_dir(root, file, "state_dir", SETTINGS_STATE_DIR, &settings->state_dir,
		             diag);
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
