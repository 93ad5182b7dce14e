/* sallyport - the operator's and the analyst's command. Everything happens in cli_run(). */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

int main(int argc, char **argv)
{
	/* `sallyport history | head` ends quietly, even where a parent has ignored the signal. */
	signal(SIGPIPE, SIG_DFL);
	return cli_run(argc - (argc > 0), argv + (argc > 0), stdout, stderr, isatty(STDOUT_FILENO));
}
