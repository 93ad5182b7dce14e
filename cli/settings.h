/* settings.h - where the daemon keeps its things, and what a policy must fit: a few keys of
 * sallyport.yaml.
 *
 * The whole configuration is the keeper's to judge; the command only wants to find the control
 * socket and the history, and to check a policy before there is a daemon. Whoever may read the
 * history need not be able to read the configuration, so the default file may be missing or closed
 * to us: then the defaults count.
 */
#pragma once

#include <stdbool.h>

#include "policy/site.h"
#include "sallyport/cleanup.h"
#include "sallyport/diag.h"

#define SETTINGS_FILE "/etc/sallyport/sallyport.yaml"
#define SETTINGS_STATE_DIR "/var/lib/sallyport"
#define SETTINGS_RUN_DIR "/run/sallyport"

struct settings {
	char *state_dir, *run_dir; /* absolute */
	bool defaulted;            /* the file was not read */
	struct policy_site site;   /* owns its listeners; none: the file does not say */
};

void settings_fini(struct settings *settings);

/* Read @file; @named: a person named it, so it must be readable. Returns 0, ERR_CONFIG (faults in
 * @diag), ERR_NOMEM or -errno (with a fault in @diag). */
int settings_read(struct settings *settings, const char *file, bool named,
                  struct diag *diag) MUST_CHECK;
