/* keeper/edition.c - a policy version, ready to hand out. */
#include "edition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "catalog.h"
#include "guard.h"
#include "guarded.h"
#include "policy/site.h"
#include "sallyport/err.h"
#include "sallyport/limits.h"
#include "sallyport/log.h"
#include "sallyport/shm.h"

int edition_map(int fd, uint32_t version, struct policy_image *ret_image)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS), r;
	struct stat st;
	void *data;
	size_t len;

	/* The compiler read foreign text: what it made may be anything. */
	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) < 0)
		return ERR_DAMAGED;
	if (st.st_size > LIMIT_IMAGE_BYTES)
		return ERR_LIMIT;
	r = shm_map(fd, SHM_READ, 1, &data, &len);
	if (r < 0)
		return r;
	r = policy_image_open(data, len, version, ret_image);
	if (r < 0)
		munmap(data, len);
	return r;
}

static int seal_guard(const struct policy_image *image, const struct config *config)
{
	CLEANUP(free) void *data = NULL;
	size_t len;
	int r = guard_build(image, &config->fwsync, &config->resolver, &data, &len);

	return r < 0 ? r : shm_create_sealed("sallyport-guard", data, len);
}

/* Before there is a policy: whom the last one guarded. A file that cannot be read is told, and
 * leaves the configuration alone to say it. */
static int seal_none(const struct config *config)
{
	int fd = guarded_load(config);

	if (fd >= 0)
		return fd;
	if (fd != ERR_NOENT)
		log_error("policy", "%s/guarded: whom the last policy guarded is not known: %s",
		          config->state_dir, err_str(fd));
	return seal_guard(NULL, config);
}

static int seal_catalog(const struct policy_image *image, const char *file)
{
	CLEANUP(free) char *text = NULL;
	size_t len;
	int r = catalog_build(image, file, &text, &len);

	return r < 0 ? r : shm_create_sealed("sallyport-catalog", text, len);
}

int edition_new(int image_fd, uint32_t version, const char *file, const struct config *config,
                struct edition **ret_edition)
{
	CLEANUP(edition_unref) struct edition *e = calloc(1, sizeof(*e));
	int r;

	if (!e) {
		close(image_fd);
		return ERR_NOMEM;
	}
	*e = (struct edition){ .refs = 1,
		               .version = version,
		               .image_fd = image_fd,
		               .guard_fd = -1,
		               .catalog_fd = -1 };
	r = edition_map(image_fd, version, &e->image);
	if (r < 0)
		return r;
	e->guard_fd = seal_guard(&e->image, config);
	if (e->guard_fd < 0)
		return e->guard_fd;
	e->catalog_fd = seal_catalog(&e->image, file);
	if (e->catalog_fd < 0)
		return e->catalog_fd;
	*ret_edition = TAKE(e);
	return ERR_OK;
}

int edition_none(const struct config *config, struct edition **ret_edition)
{
	CLEANUP(edition_unref) struct edition *e = calloc(1, sizeof(*e));

	if (!e)
		return ERR_NOMEM;
	*e = (struct edition){ .refs = 1, .image_fd = -1, .catalog_fd = -1 };
	e->guard_fd = seal_none(config);
	if (e->guard_fd < 0)
		return e->guard_fd;
	*ret_edition = TAKE(e);
	return ERR_OK;
}

int edition_renew_guard(struct edition *e, const struct config *config)
{
	int fd = e->image.data ? seal_guard(&e->image, config) : seal_none(config);

	if (fd < 0)
		return fd;
	close(e->guard_fd);
	e->guard_fd = fd;
	return ERR_OK;
}

void edition_keep_guarded(const struct edition *e, const struct config *config)
{
	size_t len;
	void *data;
	int r;

	if (e->version == 0 || config->resolver.firewall == FIREWALL_NONE)
		return;
	r = shm_map(e->guard_fd, SHM_READ, sizeof(struct guard_table), &data, &len);
	if (r == 0) {
		r = guarded_save(config, data);
		munmap(data, len);
	}
	if (r < 0)
		log_error("policy",
		          "%s/guarded cannot be written, so the next start does not know whom to "
		          "guard before it has a policy: %s",
		          config->state_dir, err_str(r));
}

void edition_warn(const struct edition *e, const struct config *config, const char *file,
                  struct diag *diag)
{
	const struct resolver_conf *conf = &config->resolver;
	uint8_t listeners[LIMIT_LISTENERS][ADDR_LEN];
	const struct policy_site site = {
		.listeners = (const uint8_t(*)[ADDR_LEN])listeners,
		.n_listeners = MIN(conf->n_listeners, (uint32_t)LIMIT_LISTENERS),
		.guards_sources = conf->firewall != FIREWALL_NONE &&
		                  config->fwsync.n_prefixes == 0 &&
		                  config->fwsync.n_interfaces == 0,
	};

	if (!e->image.data)
		return;
	for (size_t i = 0; i < site.n_listeners; i++)
		memcpy(listeners[i], conf->listeners[i].addr, ADDR_LEN);
	policy_site_warn(&e->image, &site, file, diag);
}

struct edition *edition_ref(struct edition *e)
{
	e->refs++;
	return e;
}

void edition_unref(struct edition *e)
{
	if (!e || --e->refs > 0)
		return;
	if (e->image.data)
		munmap((void *)(uintptr_t)e->image.data, e->image.len);
	if (e->image_fd >= 0)
		close(e->image_fd);
	if (e->guard_fd >= 0)
		close(e->guard_fd);
	if (e->catalog_fd >= 0)
		close(e->catalog_fd);
	free(e);
}
