/* keeper/config.h - the server's configuration: read from YAML, every key checked.
 *
 * docs/configuration.md is the reference for people; the table in config_keys.c is what is true. A
 * key of work that is not done yet is a fault ("not built in yet"), never silently accepted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "nta.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"
#include "sallyport/limits.h"
#include "sallyport/role.h"

#define CONFIG_FILE_DEFAULT "/etc/sallyport/sallyport.yaml"
#define CONFIG_PATH_MAX 512

/* Who a process runs as. The compiler is the short-lived one that reads policy text. */
enum config_process {
	CONFIG_RESOLVER = ROLE_RESOLVER,
	CONFIG_HISTORIAN = ROLE_HISTORIAN,
	CONFIG_FWSYNC = ROLE_FWSYNC,
	CONFIG_COMPILER = ROLE_N,
	CONFIG_PROCESS_N,
};
struct config_user {
	uint32_t uid, gid; /* UINT32_MAX: stay as the keeper is */
};

struct config {
	char file[CONFIG_PATH_MAX];
	char state_dir[CONFIG_PATH_MAX], run_dir[CONFIG_PATH_MAX];
	struct config_user users[CONFIG_PROCESS_N];
	uint32_t admin_gid, analyst_gid; /* UINT32_MAX: no such group, only root */
	uint32_t log_form, log_level;    /* enum log_form, enum log_level */
	uint32_t workers;                /* also in the confs below */
	struct ntas ntas;                /* dnssec.negative_trust_anchors */
	bool vouched[LIMIT_ZONES]; /* upstreams[].dnssec is "validate", in the order of zones */
	uint32_t rfc5011;          /* 1: anchors keep themselves up */
	uint32_t hold_down_s, refresh_s; /* RFC 5011's, or less in tests */

	/* Filled but for what only a running keeper knows (secrets, id_base). */
	struct resolver_conf resolver;
	struct fwsync_conf fwsync;
	struct historian_conf historian;
};

/* Names of the system's users and groups. Tests and fuzzers bring their own. */
struct config_names {
	/* Return 0, or ERR_NOENT. */
	int (*user)(const char *name, uint32_t *ret_uid, uint32_t *ret_gid);
	int (*group)(const char *name, uint32_t *ret_gid);
	/* The content of a file, terminated, at most @max octets; the caller frees it. Returns 0 or
	 * an error. NULL: what a file would say is not needed, and whether there is one not asked.
	 */
	int (*file)(const char *path, size_t max, char **ret_text);
	uint32_t cores; /* for `workers: auto` */
};
/* The real ones. */
const struct config_names *config_system_names(void);

/* Parse @len octets at @text. All faults and warnings go into @diag. On success *ret_config is the
 * caller's, to be released with config_free(). Returns 0, ERR_CONFIG or ERR_NOMEM. */
int config_parse(const char *file, const char *text, size_t len, const struct config_names *names,
                 struct config **ret_config, struct diag *diag) MUST_CHECK;
/* The same from a file, at most LIMIT_CONFIG_BYTES. */
int config_load(const char *file, const struct config_names *names, struct config **ret_config,
                struct diag *diag) MUST_CHECK;
/* What can be read of one that has faults, for closing the table at boot and nothing else: what is
 * faulty or cannot be read has its default. Returns 0 or ERR_NOMEM. */
int config_salvage(const char *file, const struct config_names *names,
                   struct config **ret_config) MUST_CHECK;
void config_free(struct config *config); /* NULL is fine */
DEFINE_CLEANUP(struct config *, config_free)

/* Call @cb with the full path of every key that is known ("cache.size", "listen[].port"), for the
 * test that holds the documentation to the table. */
typedef void config_key_cb(const char *path, void *arg);
void config_each_key(config_key_cb *cb, void *arg);

/* "64MiB", "1GiB", "512KiB", "4096" into octets. Returns 0 or ERR_INVAL. */
int config_parse_size(const char *text, uint64_t *ret_bytes);
