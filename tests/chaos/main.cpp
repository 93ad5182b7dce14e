// tests/chaos/main.cpp - chaos-checker NAMESPACE HISTORY-FOLDER INNER-LINK,... OUTER-LINK OWN,...
//
// Watches a gateway while it is ill-treated. Standard input says what is done to it, a line a deed,
// each with the moment (nanoseconds since 1970, taken before what it says may take effect):
//
//     T workload NAME ADDRESS,...       who is who
//     T begin ID allow ...              a policy is about to be applied (policies.h)
//     T end ID                          it has been: apply returned with success
//     T count                           the history should be complete up to twelve seconds ago
//     T done                            the end: everything is quiet, compare all
//     T anything else                   kept for the report
//
// Prints "ready", one line for each promise found broken, and a summary; exit status 0: none was
// broken and nothing escaped the checker's eye.
#include "rules.h"

#include <cstdio>
#include <fcntl.h>
#include <iostream>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sstream>
#include <unistd.h>

namespace
{
std::vector<std::string> split(const std::string &text)
{
	std::vector<std::string> out;
	std::istringstream in(text);

	for (std::string part; std::getline(in, part, ',');)
		out.push_back(part);
	return out;
}

// Lines of standard input, as far as they have come.
bool deeds(Rules &rules)
{
	static std::string buffer;
	char text[65536];
	pollfd pfd = { STDIN_FILENO, POLLIN, 0 };

	while (poll(&pfd, 1, 0) > 0) {
		ssize_t n = read(STDIN_FILENO, text, sizeof(text));

		if (n <= 0)
			return false;
		buffer.append(text, static_cast<size_t>(n));
	}
	for (size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1))
		rules.deed(buffer.substr(0, end));
	return true;
}
} // namespace

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "usage: chaos-checker NAMESPACE FOLDER LINK,... LINK OWN,...\n");
		return 2;
	}
	int ns = open((std::string("/run/netns/") + argv[1]).c_str(), O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
		perror(argv[1]);
		return 2;
	}
	setpriority(PRIO_PROCESS, 0, -15); // whoever looks on must not be late
	setvbuf(stdout, nullptr, _IOLBF, 0);
	try {
		Rules rules(split(argv[3]), argv[4], argv[2], split(argv[5]));

		puts("ready");
		while (!rules.done()) {
			if (!deeds(rules))
				return 2; // whoever told us of the deeds has gone
			rules.turn();
			usleep(2000);
		}
		return rules.report() ? 0 : 1;
	} catch (const std::exception &e) {
		fprintf(stderr, "chaos-checker: %s\n", e.what());
		return 2;
	}
}
