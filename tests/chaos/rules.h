// tests/chaos/rules.h - the promises, as what may and must be seen from outside.
//
// Everything that is seen (packets, elements, deeds) waits a second and is then judged in the order
// of its time, so that what came to be known late is known, too.
#pragma once

#include "history.h"
#include "policies.h"
#include "sets.h"

#include <deque>
#include <future>
#include <map>
#include <memory>
#include <queue>
#include <source_location>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

class Rules
{
      public:
	Rules(const std::vector<std::string> &inner, const std::string &outer, std::string history,
	      const std::vector<std::string> &own);
	void deed(const std::string &line);
	void turn();
	bool done() const
	{
		return finished;
	}
	bool report(); // true: nothing is wrong

      private:
	struct Promise {
		Ns from, until; // given at; TTL and grace are over
		uint32_t name;
	};
	// One pinhole, as far as answers and the kernel have told.
	struct Hole {
		std::vector<Promise> promises;
		std::deque<Seen> seen;
		std::deque<Ns> news; // when we heard that it was made or renewed
		Ns ever = 0;         // the end of all promises that were ever made
		Ns denied_since = 0; // no policy that may be in force allows it; 0: one does
		Ns watched_until = 0, asked_at = 0;
		bool queued = false;
	};
	// Was there a pinhole when this was answered, or this flow began?
	struct Later {
		Ns at;
		Key key;
		uint32_t name;
		bool answered;
	};
	struct AddressHash {
		size_t operator()(const Address &a) const
		{
			return KeyHash()(Key{ a, a, 0, 0 });
		}
	};
	struct Asked {
		uint64_t asked = 0, answered = 0;
	};
	struct Event {
		Ns at;
		enum { PACKET, SEEN, LISTED, DEED } kind;
		Packet packet;
		Key key;
		Seen seen;
		std::string deed;
	};

	void watch(const Packet &answer);
	void look();
	void list_sets();
	void judge(Ns until);
	void on_packet(Packet &p);
	void on_answer(const Packet &p);
	void on_query(const Packet &p);
	void on_out(const Packet &p);
	void on_crossed(const Packet &p);
	void on_inward(const Packet &p);
	void on_seen(const Key &key, const Seen &seen);
	void on_listed(const Key &key, Ns at);
	void on_deed(const std::string &line);
	void on_policy(Ns at, bool ended);
	void on_count(Ns at);
	void on_done();
	void promise(Hole &hole, const Promise &p);
	void with_hindsight(const Later &what);
	enum Answer { NO, YES, UNKNOWN };
	Answer there(const Hole &hole, Ns at) const;
	bool may(const Key &key) const;  // does a policy that may be in force allow it, by any name
	bool must(const Key &key) const; // do all of them
	void overdue(Ns now);
	void history_is_read();
	void tidy(Ns now);
	// Told a few times for each line that calls it; counted always.
	void broken(const char *promise, Ns at, const std::string &what,
	            std::source_location from = std::source_location::current());
	uint64_t flow(const Address &a, const Address &b, uint16_t ap, uint16_t bp,
	              uint8_t proto) const;

	Names names;
	Links links;
	Sets sets;
	Policies policies, told_of; // in their time; all, as soon as we hear of them
	std::string folder;
	std::unordered_set<Address, AddressHash> own;
	std::map<Address, std::string> workload_of;

	std::vector<Event> waiting;
	std::vector<Packet> fresh;
	std::deque<Later> later;
	std::unordered_map<Key, Hole, KeyHash> holes;
	std::deque<Key> round; // holes that are watched, in turn
	std::vector<Key> urgent;
	std::unordered_map<Address, std::vector<uint32_t>, AddressHash> said; // by upstream
	std::unordered_map<uint64_t, Ns> flows;                               // last crossed
	std::unordered_map<uint64_t, std::pair<int, Ns>> open;                // queries unanswered
	std::deque<std::pair<Ns, std::pair<uint64_t, Key>>> expected;         // must cross
	std::unordered_map<uint64_t, int> expected_count;
	std::unordered_set<uint64_t> pairs; // source and destination that ever had a pinhole
	std::map<std::tuple<std::string, uint32_t, uint16_t>, Asked> asked;
	std::deque<std::pair<Ns, uint64_t>> answered_at; // in all, up to then
	std::future<History> reading;
	uint64_t reading_least = 0;
	Ns reading_at = 0, read_at = 0;
	std::deque<std::string> last_deeds;

	Ns start = 0, last_round = 0, last_list = 0, last_tidy = 0, judged = 0;
	bool finished = false, quiet = false;
	std::map<std::string, uint64_t> count;
	std::map<std::string, uint64_t> found; // broken, by promise
	std::map<unsigned int, size_t> told;   // by line
};
