/* keeper/main.c - sallyportd -c FILE [--check|--guard] */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "keeper.h"
#include "sallyport/log.h"
#include "takeover.h"
#include "world.h"

static const char usage[] =
    "usage: sallyportd [-c FILE] [--check | --guard]\n"
    "\n"
    "  -c, --config FILE  the configuration (default: " CONFIG_FILE_DEFAULT ")\n"
    "      --check        check it, print every fault, and end: 0 fine, 1 faults\n"
    "      --guard        install the closed firewall table and end: 0 closed, 1 closed by what\n"
    "                     can be read of a faulty configuration, 2 not closed\n"
    "      --version      print the version\n"
    "  -h, --help         print this\n";

enum mode { MODE_RUN, MODE_CHECK, MODE_GUARD };

/* A program that was started without standard descriptors would give their numbers to sockets. */
static void fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int check(const struct config *config, const char *file, const struct takeover *takeover,
                 struct diag *diag)
{
	if (takeover && takeover_fits(takeover, config, diag) < 0)
		log_debug("check", "the fault is in the list"); /* told below with the others */
	world_check(config, diag);
	diag_print(diag, STDERR_FILENO);
	if (diag->n_errors)
		return 1;
	printf("%s: fine\n", file);
	return 0;
}

/* A machine must not stand open for a fault in some other part of its configuration. */
static int guard(const char *file, struct diag *diag)
{
	CLEANUP(config_free) struct config *config = NULL;
	struct config_names names = *config_system_names();
	bool is_faulty;

	names.file = NULL; /* nor for a lost file of trust anchors */
	is_faulty = config_load(file, &names, &config, diag) < 0;
	if (is_faulty) {
		diag_print(diag, STDERR_FILENO);
		if (config_salvage(file, &names, &config) < 0)
			return 2;
	}
	log_init("keeper", (enum log_form)config->log_form, (enum log_level)config->log_level);
	return keeper_guard(config, is_faulty);
}

static int open_record(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return *text && !*end && number > STDERR_FILENO && number < INT32_MAX ? (int)number : -1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "guard", no_argument, NULL, 'g' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ "takeover", required_argument, NULL, 't' },
		{ 0 },
	};
	const char *file = CONFIG_FILE_DEFAULT;
	enum mode mode = MODE_RUN;
	struct config *config = NULL;
	CLEANUP(diag_fini) struct diag diag = { 0 };
	CLEANUP(takeover_free) struct takeover *takeover = NULL;
	CLEANUP(fd_close) int record = -1;
	int option, status;

	fill_standard();
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case 'k':
			mode = MODE_CHECK;
			break;
		case 'g':
			mode = MODE_GUARD;
			break;
		case 't': /* only sallyportd itself says this, to its successor */
			record = open_record(optarg);
			if (record < 0) {
				fputs(usage, stderr);
				return 2;
			}
			break;
		case 'V':
			printf("sallyportd " SALLYPORT_VERSION "\n");
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	log_init("keeper", LOG_FORM_KEYVALUE, LOG_LEVEL_INFO);
	if (sodium_init() < 0)
		return 2;
	diag_init(&diag);
	if (record >= 0 && takeover_read(record, &takeover, &diag) < 0) {
		diag_print(&diag, STDERR_FILENO);
		return 2;
	}
	if (mode == MODE_GUARD)
		return guard(file, &diag);
	if (config_load(file, config_system_names(), &config, &diag) < 0) {
		diag_print(&diag, STDERR_FILENO);
		return mode == MODE_CHECK ? 1 : 2;
	}
	if (mode == MODE_CHECK) {
		status = check(config, file, takeover, &diag);
		config_free(config);
		return status;
	}
	log_init("keeper", (enum log_form)config->log_form, (enum log_level)config->log_level);
	return keeper_run(config, TAKE(takeover), &diag); /* takes both */
}
