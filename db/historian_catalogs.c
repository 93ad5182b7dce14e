/* db/historian_catalogs.c - the names of policy versions, in memory and in the folder.
 *
 * A catalog arrives when its version is applied, and at every start those of the versions before:
 * records of theirs may lie in rings and backlog. For a start under another keeper the last few are
 * kept as files. One that rows in memory still need stays in memory, however old.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "historian_core.h"
#include "sallyport/log.h"
#include "sallyport/shm.h"

#define PREFIX "catalog-"
#define PATH_LEN 4096

static struct catalog *in_memory(struct historian *h, uint32_t version)
{
	for (size_t i = 0; i < h->n_catalogs; i++) {
		if (h->catalogs[i].catalog->version == version)
			return h->catalogs[i].catalog;
	}
	return NULL;
}

static bool has_rows_of(const struct agg *agg, uint32_t version)
{
	for (size_t i = 0; i < agg->n; i++) {
		if (agg->entries[i].key.policy_version == version)
			return true;
	}
	return false;
}

static void let_go(struct historian_catalog *known)
{
	catalog_free(known->catalog);
	if (known->fd >= 0)
		close(known->fd);
}

/* The place of the oldest version that no row in memory needs; n_catalogs: all are needed. */
static size_t oldest_idle(const struct historian *h)
{
	size_t oldest = h->n_catalogs;

	for (size_t i = 0; i < h->n_catalogs; i++) {
		uint32_t version = h->catalogs[i].catalog->version;

		if ((oldest == h->n_catalogs || version < h->catalogs[oldest].catalog->version) &&
		    !has_rows_of(&h->agg, version) && !has_rows_of(&h->next, version))
			oldest = i;
	}
	return oldest;
}

/* Give the catalog, and the text that is not in the folder yet, to the historian. The oldest
 * version makes room, as far as it can be spared. */
static void keep(struct historian *h, struct catalog *catalog, int fd)
{
	size_t place = h->n_catalogs < HISTORIAN_CATALOGS ? h->n_catalogs : oldest_idle(h);

	if (place == HISTORIAN_CATALOGS_MAX) {
		place = 0;
		for (size_t i = 1; i < h->n_catalogs; i++) {
			if (h->catalogs[i].catalog->version < h->catalogs[place].catalog->version)
				place = i;
		}
	}
	if (place < h->n_catalogs)
		let_go(&h->catalogs[place]);
	else
		h->n_catalogs++;
	h->catalogs[place] = (struct historian_catalog){ catalog, fd };
}

void historian_free_catalogs(struct historian *h)
{
	for (size_t i = 0; i < h->n_catalogs; i++)
		let_go(&h->catalogs[i]);
	h->n_catalogs = 0;
}

static bool path_of(const struct historian *h, uint32_t version, const char *suffix,
                    char out[static PATH_LEN])
{
	return snprintf(out, PATH_LEN, "%s/" PREFIX "%" PRIu32 "%s", h->dir, version, suffix) <
	       PATH_LEN;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : ERR_NOSPC;
		data += n;
		len -= (size_t)n;
	}
	return ERR_OK;
}

static int write_file(const struct historian *h, uint32_t version, const char *text, size_t len)
{
	CLEANUP(fd_close) int fd = -1;
	char path[PATH_LEN], part[PATH_LEN];
	int r;

	if (!path_of(h, version, "", path) || !path_of(h, version, ".part", part))
		return ERR_LIMIT;
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	if (r == 0 && rename(part, path) != 0)
		r = -errno;
	if (r < 0)
		unlink(part);
	return r;
}

/* "catalog-7" is of version 7. */
static bool version_of(const char *name, uint32_t *ret_version)
{
	const char *digits = name + sizeof(PREFIX) - 1;
	unsigned long long version;
	char *end;

	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0 || *digits < '0' || *digits > '9')
		return false;
	version = strtoull(digits, &end, 10);
	if (*end || version > UINT32_MAX)
		return false;
	*ret_version = (uint32_t)version;
	return true;
}

/* Delete the oldest versions' files beyond HISTORIAN_CATALOG_FILES. */
static void prune(const struct historian *h)
{
	uint32_t newest[HISTORIAN_CATALOG_FILES] = { 0 };
	char path[PATH_LEN];
	DIR *folder = opendir(h->dir);
	struct dirent *found;

	if (!folder)
		return;
	while ((found = readdir(folder))) {
		uint32_t version, drop;

		if (!version_of(found->d_name, &version))
			continue;
		drop = version;
		for (size_t i = 0; i < ARRAY_LEN(newest) && drop; i++) {
			uint32_t swap = newest[i];

			if (drop <= newest[i])
				continue;
			newest[i] = drop;
			drop = swap;
		}
		if (drop && path_of(h, drop, "", path))
			unlink(path);
	}
	closedir(folder);
}

static struct catalog *read_file(const struct historian *h, uint32_t version)
{
	CLEANUP(fd_close) int fd = -1;
	CLEANUP(free) char *text = NULL;
	struct catalog *catalog;
	char path[PATH_LEN];
	struct stat st;
	size_t len = 0;

	if (!path_of(h, version, "", path))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > CATALOG_BYTES_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	while (text && len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + len, (size_t)st.st_size - len);

		if (n <= 0)
			return NULL;
		len += (size_t)n;
	}
	if (!text || catalog_parse(text, len, &catalog) < 0)
		return NULL;
	if (catalog->version != version) {
		catalog_free(catalog);
		return NULL;
	}
	return catalog;
}

static int store(const struct historian *h, uint32_t version, int fd)
{
	void *text;
	size_t len;
	int r = shm_map(fd, SHM_READ, 1, &text, &len);

	if (r < 0)
		return r;
	r = write_file(h, version, text, len);
	munmap(text, len);
	return r;
}

void historian_store_catalogs(struct historian *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_catalogs; i++) {
		struct historian_catalog *known = &h->catalogs[i];

		if (known->fd < 0 || store(h, known->catalog->version, known->fd) < 0)
			continue;
		close(known->fd);
		known->fd = -1;
		n++;
	}
	if (n > 0)
		prune(h);
}

static int parse(int fd, struct catalog **ret_catalog)
{
	void *text;
	size_t len;
	int r = shm_map(fd, SHM_READ, 1, &text, &len);

	if (r < 0)
		return r;
	r = catalog_parse(text, len, ret_catalog);
	munmap(text, len);
	return r;
}

int historian_add_catalog(struct historian *h, int fd)
{
	CLEANUP(catalog_free) struct catalog *catalog = NULL;
	int r, kept = -1;

	r = parse(fd, &catalog);
	if (r < 0)
		return r;
	h->unknown_version = 0;
	if (in_memory(h, catalog->version))
		return ERR_OK;
	r = store(h, catalog->version, fd);
	if (r < 0) {
		log_warning(HISTORY_TAG, "the catalog of version %u is in memory only: %s",
		            catalog->version, err_str(r));
		kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	prune(h);
	keep(h, TAKE(catalog), kept);
	return ERR_OK;
}

const struct catalog *historian_catalog(struct historian *h, uint32_t version)
{
	struct catalog *catalog = in_memory(h, version);

	if (catalog || version == 0 || version == h->unknown_version)
		return catalog;
	catalog = read_file(h, version);
	if (catalog)
		keep(h, catalog, -1);
	else
		h->unknown_version = version;
	return catalog;
}
