// tests/chaos/packets.h - what passed the gateway's links, with the kernel's timestamps.
//
// One AF_PACKET socket over all links of a network namespace, so that there is one order. Of the
// product's code nothing is used here, nor of the programs that make the load.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

using Address = std::array<uint8_t, 16>; // IPv4 mapped
using Ns = int64_t;                      // since 1970, CLOCK_REALTIME as packets have it

Address address_of(const std::string &text);
std::string text_of(const Address &address);
bool is_v4(const Address &address);

// Names by number, so that a packet's is four octets.
class Names
{
      public:
	uint32_t id(const std::string &name);
	const std::string &text(uint32_t id) const
	{
		return texts[id];
	}
	size_t size() const
	{
		return texts.size();
	}

      private:
	std::unordered_map<std::string, uint32_t> ids;
	std::vector<std::string> texts;
};

struct Packet {
	enum Kind : uint8_t {
		QUERY,     // a workload asks
		ANSWER,    // and is answered
		UP_QUERY,  // what leaves for the upstream
		UP_ANSWER, // and what it says
		OUT,       // a workload sends anything else
		CROSSED,   // it leaves for the other side
		INWARD,    // the other side's, leaving for a workload
	};
	Kind kind;
	uint8_t proto = 0, rcode = 0;
	bool broken = false, icmp_error = false;
	Ns at = 0;
	Address src{}, dst{};
	uint16_t sport = 0, dport = 0, id = 0, type = 0;
	uint32_t name = 0;
	uint64_t content = 0;                            // of the payload
	std::vector<std::pair<Address, uint32_t>> given; // address, TTL
};

class Links
{
      public:
	// In the present namespace. @inner: the workloads' links; @outer: the upstream's.
	Links(const std::vector<std::string> &inner, const std::string &outer, Names &names);
	~Links();
	void take(std::vector<Packet> &to); // what has come since, at most a few thousand
	uint64_t lost();                    // packets that did not fit into the ring, in all

      private:
	void one(const uint8_t *at, size_t len, Ns when, int link, bool leaving,
	         std::vector<Packet> &to);
	bool dns(const uint8_t *msg, size_t len, Packet &p);

	Names &names;
	std::unordered_map<int, bool> links; // index, is it the outer one
	int fd = -1;
	uint8_t *ring = nullptr;
	unsigned int block = 0;
	uint64_t n_lost = 0;
};
