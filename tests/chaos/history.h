// tests/chaos/history.h - what the history files say, read as an analyst would, with SQL.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

struct History {
	uint64_t rows = 0; // queries that rows stand for
	uint64_t gap_deny = 0, gap_allow = 0, gap_local = 0,
		 gaps = 0; // in gap rows; how many of these
	std::map<std::tuple<std::string, std::string, std::string>, uint64_t>
	    each;          // workload, name, type
	std::string fault; // what could not be read

	uint64_t missing() const
	{
		return gap_deny + gap_allow + gap_local;
	}
};

// Read every history file in @folder; with @by_name also each name's count.
History read_history(const std::string &folder, bool by_name);
