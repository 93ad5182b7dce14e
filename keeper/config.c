/* keeper/config.c - the configuration as a whole: defaults, checks across keys, files and names. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_dnssec.h"
#include "config_read.h"
#include "sallyport/err.h"
#include "upkeep.h"
#include "sallyport/log.h"
#include "sallyport/name.h"

#define MARK_EGRESS (UINT32_C(1) << 28)
#define MARK_INBOUND (UINT32_C(1) << 29)

/* --- the system's names ---------------------------------------------------------------------- */

static int system_user(const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const struct passwd *pw = getpwnam(name);

	if (!pw)
		return ERR_NOENT;
	*ret_uid = pw->pw_uid;
	*ret_gid = pw->pw_gid;
	return ERR_OK;
}

static int system_group(const char *name, uint32_t *ret_gid)
{
	const struct group *gr = getgrnam(name);

	if (!gr)
		return ERR_NOENT;
	*ret_gid = gr->gr_gid;
	return ERR_OK;
}

static int system_file(const char *path, size_t max, char **ret_text)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(free) char *text = malloc(max + 1);
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (!text)
		return ERR_NOMEM;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return ERR_INVAL;
	while ((n = read(fd, text + len, max + 1 - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
		if (len > max)
			return ERR_LIMIT;
	}
	text[len] = '\0';
	*ret_text = TAKE(text);
	return ERR_OK;
}

const struct config_names *config_system_names(void)
{
	static struct config_names names = { system_user, system_group, system_file, 1 };
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		names.cores = (uint32_t)CPU_COUNT(&cpus);
	return &names;
}

/* --- defaults -------------------------------------------------------------------------------- */

static struct config *config_new(const char *file)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	snprintf(config->file, sizeof(config->file), "%s", file);
	strcpy(config->state_dir, "/var/lib/sallyport");
	strcpy(config->run_dir, "/run/sallyport");
	for (size_t i = 0; i < CONFIG_PROCESS_N; i++)
		config->users[i] = (struct config_user){ UINT32_MAX, UINT32_MAX };
	config->admin_gid = config->analyst_gid = UINT32_MAX;
	config->log_form = LOG_FORM_KEYVALUE;
	config->log_level = LOG_LEVEL_INFO;
	config->rfc5011 = 1;
	config->hold_down_s = (uint32_t)upkeep_times_default.add_s;
	config->refresh_s = (uint32_t)upkeep_times_default.least_s;

	config->resolver = (struct resolver_conf){
		.magic = RESOLVER_CONF_MAGIC,
		.size = sizeof(struct resolver_conf),
		.firewall = FIREWALL_LOCAL,
		.ack_timeout_ms = 250,
		.in_flight = LIMIT_IN_FLIGHT,
		.tcp_connections = LIMIT_TCP_CONNECTIONS,
		.tcp_idle_ms = LIMIT_TCP_IDLE_MS,
		.tcp_read_ms = LIMIT_TCP_READ_MS,
		.query_ms = LIMIT_QUERY_MS,
		.udp_bytes = LIMIT_EDNS_UDP_BYTES,
		.cache_bytes = UINT64_C(64) << 20,
		.cache_max_ttl_s = 86400,
		.cache_negative_max_ttl_s = 900,
		.cache_serve_stale_s = 3600,
		.prefetch = 1,
		.dnssec = DNSSEC_MODE_VALIDATE,
		.nsec3_iterations = 50,
		.nsec3_iterations_hard = 150,
		.dnssec_skew_min_s = 3600,
		.dnssec_skew_max_s = 86400,
		.dnssec_aggressive = 1,
		.dnssec_sentinel = 1,
	};
	config->fwsync = (struct fwsync_conf){
		.magic = FWSYNC_CONF_MAGIC,
		.size = sizeof(struct fwsync_conf),
		.hook = HOOK_FORWARD,
		.mark_egress = MARK_EGRESS,
		.mark_inbound = MARK_INBOUND,
		.set_size = 262144,
		.owner = 1,
	};
	config->historian = (struct historian_conf){
		.magic = HISTORIAN_CONF_MAGIC,
		.size = sizeof(struct historian_conf),
		.allow_days_s = 90 * 86400,
		.deny_days_s = 365 * 86400,
	};
	return config;
}

void config_free(struct config *config)
{
	free(config);
}

/* --- checks across keys ---------------------------------------------------------------------- */

static void check_loops(struct config_reader *r, struct fy_node *root)
{
	const struct resolver_conf *conf = &r->config->resolver;

	for (size_t i = 0; i < conf->n_zones; i++) {
		for (size_t j = 0; j < conf->zones[i].n_servers; j++) {
			const struct conf_server *server = &conf->zones[i].servers[j];

			for (size_t k = 0; k < conf->n_listeners; k++) {
				const struct conf_listener *l = &conf->listeners[k];
				char addr[ADDR_TEXT_LEN];

				if (l->port != server->port ||
				    memcmp(l->addr, server->addr, ADDR_LEN) != 0)
					continue;
				addr_text(l->addr, addr);
				yaml_fault(&r->yaml, root,
				           "upstreams.servers: %s port %u is our own "
				           "listener; name another server",
				           addr, l->port);
			}
		}
	}
}

/* 0.0.0.0 and an address of the same family and port cannot both be bound safely: which socket gets
 * a query would depend on the order of binding. */
static void check_listeners(struct config_reader *r, struct fy_node *root)
{
	const struct resolver_conf *conf = &r->config->resolver;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *wild = &conf->listeners[i];

		for (size_t j = 0; wild->wildcard && j < conf->n_listeners; j++) {
			const struct conf_listener *l = &conf->listeners[j];

			if (j != i && !l->wildcard && l->port == wild->port &&
			    addr_is_v4(l->addr) == addr_is_v4(wild->addr)) {
				yaml_fault(&r->yaml, root,
				           "listen: an address beside the wildcard of its "
				           "family on port %u; keep one of them",
				           l->port);
				return;
			}
		}
	}
}

static void check_across(struct config_reader *r, struct fy_node *root)
{
	struct config *config = r->config;
	const struct resolver_conf *res = &config->resolver;
	bool has_root = false;

	for (size_t i = 0; i < res->n_zones; i++)
		has_root |= res->zones[i].name[0] == 0;
	if (r->yaml.diag->n_errors == 0 && !has_root)
		yaml_warn(&r->yaml, root,
		          "upstreams has no zone \".\": names outside the listed zones "
		          "are answered SERVFAIL");
	config_dnssec_check(r, root);
	check_loops(r, root);
	check_listeners(r, root);
	if (config->fwsync.mark_egress == config->fwsync.mark_inbound)
		yaml_fault(&r->yaml, root,
		           "firewall.mark: egress and inbound are the same bit; use two");
	if (res->in_flight_workload > res->in_flight)
		yaml_fault(&r->yaml, root,
		           "limits.in_flight_workload is more than limits.in_flight (%u); "
		           "lower it",
		           res->in_flight);
	if (res->in_flight_client > res->in_flight)
		yaml_fault(&r->yaml, root,
		           "limits.in_flight_client is more than limits.in_flight (%u); "
		           "lower it",
		           res->in_flight);
	if (res->tcp_connections_client > res->tcp_connections)
		yaml_fault(&r->yaml, root,
		           "limits.tcp_connections_client is more than "
		           "limits.tcp_connections (%u); lower it",
		           res->tcp_connections);
	if (res->ack_timeout_ms >= res->query_ms)
		yaml_fault(&r->yaml, root,
		           "firewall.ack_timeout is not less than limits.query_time (%ums); "
		           "lower it",
		           res->query_ms);
	if (res->firewall == FIREWALL_NONE)
		yaml_warn(&r->yaml, root,
		          "firewall.mode is none: answers are released without pinholes and "
		          "nothing is filtered");
	if (config->admin_gid != UINT32_MAX && config->admin_gid == config->analyst_gid)
		yaml_warn(&r->yaml, root,
		          "access: both groups are the same: every analyst may change the "
		          "policy");
}

/* A part of a limit that nobody set follows the whole down. */
static void fill_parts(struct resolver_conf *conf)
{
	if (conf->in_flight_workload == 0)
		conf->in_flight_workload = MIN((uint32_t)LIMIT_IN_FLIGHT_WORKLOAD, conf->in_flight);
	if (conf->in_flight_client == 0)
		conf->in_flight_client = MIN((uint32_t)LIMIT_IN_FLIGHT_CLIENT, conf->in_flight);
	if (conf->tcp_connections_client == 0)
		conf->tcp_connections_client =
		    MIN((uint32_t)LIMIT_TCP_CONNECTIONS_CLIENT, conf->tcp_connections);
}

/* What several confs share. */
static void spread(struct config *config, const struct config_names *names)
{
	struct conf_common *common[ROLE_N] = {
		[ROLE_RESOLVER] = &config->resolver.common,
		[ROLE_HISTORIAN] = &config->historian.common,
		[ROLE_FWSYNC] = &config->fwsync.common,
	};

	if (config->workers == 0)
		config->workers = MIN(MAX(names->cores, 1u), (uint32_t)LIMIT_WORKERS);
	config->resolver.workers = config->fwsync.workers = config->historian.workers =
	    config->workers;
	for (size_t i = 0; i < ROLE_N; i++)
		*common[i] = (struct conf_common){ config->users[i].uid, config->users[i].gid,
			                           config->log_form, config->log_level };
	config->historian.group_gid = config->analyst_gid;
	config->fwsync.n_dns = config->resolver.n_listeners;
	memcpy(config->fwsync.dns, config->resolver.listeners, sizeof(config->fwsync.dns));
}

/* What the text says, into reader->config. */
static int read_all(struct config_reader *reader, const char *file, const char *text, size_t len,
                    struct diag *diag)
{
	struct config *config = reader->config;
	size_t before = diag->n_errors;
	struct fy_node *root;
	int r = yaml_open(&reader->yaml, file, text, len, diag);

	if (r < 0)
		return r;
	root = yaml_root(&reader->yaml);
	if (!root) {
		diag_add(diag, DIAG_ERROR, file, 1, 1,
		         "the configuration is empty; listen and upstreams "
		         "are needed at least");
		return ERR_CONFIG;
	}
	config_read_mapping(reader, NULL, root, "", config_keys, config);
	if (yaml_is_mapping(root))
		check_across(reader, root);
	return diag->n_errors != before ? ERR_CONFIG : ERR_OK;
}

int config_parse(const char *file, const char *text, size_t len, const struct config_names *names,
                 struct config **ret_config, struct diag *diag)
{
	CLEANUP(config_free) struct config *config = config_new(file);
	struct config_reader reader = { .config = config, .names = names };
	int r;

	if (!config)
		return ERR_NOMEM;
	r = read_all(&reader, file, text, len, diag);
	yaml_close(&reader.yaml);
	if (r < 0)
		return r;
	fill_parts(&config->resolver);
	spread(config, names);
	*ret_config = TAKE(config);
	return ERR_OK;
}

/* All of it, terminated. Returns 0, ERR_NOMEM, or ERR_CONFIG with the fault in @diag. */
static int read_text(const char *file, char **ret_text, size_t *ret_len, struct diag *diag)
{
	CLEANUP(fd_close) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(free) char *text = NULL;
	struct stat st;
	size_t len = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		diag_add(diag, DIAG_ERROR, file, 0, 0, "cannot be read: %s", strerror(errno));
		return ERR_CONFIG;
	}
	if (!S_ISREG(st.st_mode)) {
		diag_add(diag, DIAG_ERROR, file, 0, 0,
		         "is not a file; name the configuration file");
		return ERR_CONFIG;
	}
	if (strlen(file) >= CONFIG_PATH_MAX) {
		diag_add(diag, DIAG_ERROR, file, 0, 0,
		         "the path is longer than %d octets; use a shorter "
		         "one",
		         CONFIG_PATH_MAX - 1);
		return ERR_CONFIG;
	}
	text = malloc(LIMIT_CONFIG_BYTES + 1);
	if (!text)
		return ERR_NOMEM;
	for (;;) {
		ssize_t n = read(fd, text + len, LIMIT_CONFIG_BYTES + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			diag_add(diag, DIAG_ERROR, file, 0, 0, "cannot be read: %s",
			         strerror(errno));
			return ERR_CONFIG;
		}
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > LIMIT_CONFIG_BYTES) {
			diag_add(diag, DIAG_ERROR, file, 0, 0,
			         "is larger than %d octets; is it the "
			         "right file?",
			         LIMIT_CONFIG_BYTES);
			return ERR_CONFIG;
		}
	}
	text[len] = '\0';
	*ret_text = TAKE(text);
	*ret_len = len;
	return ERR_OK;
}

int config_load(const char *file, const struct config_names *names, struct config **ret_config,
                struct diag *diag)
{
	CLEANUP(free) char *text = NULL;
	size_t len;
	int r = read_text(file, &text, &len, diag);

	return r < 0 ? r : config_parse(file, text, len, names, ret_config, diag);
}

/* --- what is left of a faulty one ------------------------------------------------------------ */

/* In a text that is no YAML: the line that says where the state lies, if it is as plain as people
 * write it. */
static void find_state_dir(const char *text, char ret_path[static CONFIG_PATH_MAX])
{
	static const char key[] = "state_dir:";

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *path = line + sizeof(key) - 1;
		size_t len;

		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		path += strspn(path, " \t\"'");
		len = strcspn(path, " \t\r\n\"'#");
		if (path[0] != '/' || len >= CONFIG_PATH_MAX)
			return;
		memcpy(ret_path, path, len);
		ret_path[len] = '\0';
		return;
	}
}

int config_salvage(const char *file, const struct config_names *names, struct config **ret_config)
{
	CLEANUP(config_free) struct config *config = config_new(file);
	struct config_reader reader = { .config = config, .names = names };
	CLEANUP(diag_fini) struct diag diag = { 0 };
	CLEANUP(free) char *text = NULL;
	size_t len;
	int r;

	diag_init(&diag);
	if (!config)
		return ERR_NOMEM;
	r = read_text(file, &text, &len, &diag);
	if (r == 0)
		r = read_all(&reader, file, text, len, &diag);
	if (r == ERR_CONFIG && text && !reader.yaml.doc)
		find_state_dir(text, config->state_dir);
	yaml_close(&reader.yaml);
	if (r < 0 && r != ERR_CONFIG)
		return r;
	if (config->fwsync.mark_egress == config->fwsync.mark_inbound) {
		config->fwsync.mark_egress = MARK_EGRESS;
		config->fwsync.mark_inbound = MARK_INBOUND;
	}
	fill_parts(&config->resolver);
	spread(config, names);
	*ret_config = TAKE(config);
	return ERR_OK;
}
