// tests/chaos/sets.h - the kernel's pinhole sets, asked over netlink, element by element.
#pragma once

#include "packets.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

struct Key {
	Address src, dst;
	uint16_t port;
	uint8_t proto;
	bool operator==(const Key &other) const
	{
		return src == other.src && dst == other.dst && port == other.port &&
		       proto == other.proto;
	}
};

struct KeyHash {
	size_t operator()(const Key &key) const;
};

std::string text_of(const Key &key);

// What the kernel said of one element at a moment between @from and @to.
struct Seen {
	Ns from, to;
	bool present;
	Ns added;   // when it was made or last renewed, a tick (TICK) more or less
	Ns expires; // the same
};
constexpr Ns TICK = 10000000; // two and a half of the kernel's, at 250 a second

class Sets
{
      public:
	Sets(); // in the present namespace
	~Sets();
	// Ask for each of @keys; @seen is called once for each.
	void ask(const std::vector<Key> &keys,
	         const std::function<void(const Key &, const Seen &)> &seen);
	// Every element of a set, with its key where it is of pinhole4 or pinhole6; false: no such
	// set.
	bool list(const char *set, const std::function<void(const Key &)> &element);
	// Elements that were made or renewed since, and when we heard of it.
	std::vector<std::pair<Key, Ns>> news();
	std::atomic<uint64_t> news_lost = 0; // times that the kernel had to leave some out

      private:
	void listen();

	int fd = -1, monitor = -1;
	uint32_t sequence = 0;
	std::mutex lock; // of what follows
	std::vector<std::pair<Key, Ns>> heard;
	std::atomic<bool> ending = false;
	std::thread listener;
};
