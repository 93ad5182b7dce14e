// tests/chaos/policies.h - which policies may be in force at a moment, and what they allow.
//
// A policy is told before it is applied and again when apply has returned. From the first word on
// it may be in force; from the second on, if it says yes, nothing older may.
#pragma once

#include "packets.h"

#include <deque>
#include <set>
#include <sstream>
#include <string>
#include <vector>

struct Allow {
	std::vector<Address> sources;
	std::string zone; // with its dot: the name itself and all below
	std::set<std::pair<uint8_t, uint16_t>> ports;
	Ns grace;
};

class Policies
{
      public:
	// "ID allow SOURCE,... ZONE PROTO/PORT,... GRACE_S allow ..." from now on possible.
	void begin(std::istringstream &line);
	// ID is in force: those before it are not any more.
	void end(uint32_t id);
	bool certain() const
	{
		return possible.size() == 1;
	}

	// By any policy that may be in force; @source NULL: for anyone, @port 0: any port.
	bool may(const Address *source, const std::string &name, uint8_t proto,
	         uint16_t port) const;
	// By each of them. @ret_grace: the shortest.
	bool must(const Address &source, const std::string &name, uint8_t proto, uint16_t port,
	          Ns &ret_grace) const;
	bool newest_allows(const Address &source, const std::string &name, uint8_t proto,
	                   uint16_t port) const;
	// Those that some policy has ever named, for the sets to be asked about.
	const std::set<std::pair<uint8_t, uint16_t>> &ports() const
	{
		return all_ports;
	}
	// Whom an answer to @client opens @to for: itself, or its workload's other family.
	std::vector<Address> opened_for(const Address &client, const Address &to) const;

      private:
	struct Policy {
		uint32_t id;
		std::vector<Allow> allows;
		const Allow *find(const Address *source, const std::string &name, uint8_t proto,
		                  uint16_t port) const;
	};
	std::deque<Policy> possible; // oldest first
	std::set<std::pair<uint8_t, uint16_t>> all_ports;
	std::vector<std::vector<Address>> workloads;
};
