// tests/chaos/rules.cpp - the promises, as what may and must be seen from outside.
#include "rules.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <time.h>
#include <unistd.h>

namespace
{
constexpr Ns S = 1000000000, MS = 1000000;
constexpr Ns LAG = S;              // what is judged is so old
constexpr Ns ROUND = 800 * MS;     // each watched hole is asked for so often
constexpr Ns AGAIN = 80 * MS;      // but not sooner, however many answers promise it
constexpr Ns HINDSIGHT = 700 * MS; // what was there is judged with what was seen so long after
constexpr Ns CROSSING = 500 * MS;  // a packet is through by then
constexpr Ns CLOSING = S;          // P5: within a second
constexpr Ns FLOW = 125 * S;       // conntrack forgets a flow after 120
// The history may be so far behind: a writer that stands still is replaced after 5 s, a disk is full
// for 4 at most, and then what has gathered is written.
constexpr Ns BEHIND = 12 * S;
constexpr Ns SETTLING = 20 * S;    // the history is complete by then
constexpr size_t TOLD = 8;         // of each promise's breaches

Ns now()
{
	timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return static_cast<Ns>(ts.tv_sec) * S + ts.tv_nsec;
}

const char *type_text(uint16_t type)
{
	return type == 1 ? "A" : type == 28 ? "AAAA" : "?";
}
} // namespace

Rules::Rules(const std::vector<std::string> &inner, const std::string &outer, std::string history,
             const std::vector<std::string> &mine)
    : links(inner, outer, names), folder(std::move(history)), start(now())
{
	for (const auto &address : mine)
		own.insert(address_of(address));
}

void Rules::broken(const char *promise, Ns at, const std::string &what, std::source_location from)
{
	bool first = ++found[promise] == 1;

	if (told[from.line()]++ >= TOLD)
		return;
	printf("broken %s at %.4f: %s\n", promise, static_cast<double>(at - start) / 1e9,
	       what.c_str());
	if (first)
		for (const auto &deed : last_deeds)
			printf("    after %s\n", deed.c_str());
}

uint64_t Rules::flow(const Address &a, const Address &b, uint16_t ap, uint16_t bp,
                     uint8_t proto) const
{
	return KeyHash()(Key{ a, b, bp, proto }) * 31 + ap;
}

// --- what is seen -------------------------------------------------------------------------------

void Rules::deed(const std::string &line)
{
	Event e{};

	e.kind = Event::DEED;
	e.at = std::stoll(line);
	e.deed = line;
	if (line.find(" begin ") != std::string::npos) {
		std::istringstream in(line);
		std::string skip;

		in >> skip >> skip;
		told_of.begin(in);
	}
	if (line.find(" workload ") != std::string::npos) {
		std::istringstream in(line);
		std::string skip, name, list, address;

		in >> skip >> skip >> name >> list;
		for (std::istringstream each(list); std::getline(each, address, ',');)
			workload_of[address_of(address)] = name;
	}
	waiting.push_back(std::move(e));
}

// An answer has just been seen: what it promises is asked for at once, and from now on.
void Rules::watch(const Packet &p)
{
	for (const auto &[to, ttl] : p.given) {
		for (const auto &from : told_of.opened_for(p.dst, to)) {
			for (const auto &[proto, port] : told_of.ports()) {
				Key key{ from, to, port, proto };
				Hole &hole = holes[key];

				hole.watched_until = p.at + static_cast<Ns>(ttl) * S + 10 * S;
				if (!hole.queued)
					round.push_back(key);
				hole.queued = true;
				if (p.at - hole.asked_at > AGAIN) {
					hole.asked_at = p.at;
					urgent.push_back(key);
				}
			}
		}
	}
}

void Rules::look()
{
	std::vector<Key> keys;
	Ns t = now();
	// As many of the round as are due since the last turn.
	size_t n = std::min(round.size(),
	                    static_cast<size_t>(static_cast<double>(round.size()) *
	                                        static_cast<double>(t - last_round) / ROUND));

	for (const auto &[key, when] : sets.news()) {
		auto it = holes.find(key);

		if (it != holes.end())
			it->second.news.push_back(when);
	}
	count["news_lost"] = sets.news_lost;
	if (n > 0 || round.empty())
		last_round = t;
	keys.swap(urgent);
	std::sort(keys.begin(), keys.end(), [](const Key &a, const Key &b) {
		return std::tie(a.src, a.dst, a.port, a.proto) <
		       std::tie(b.src, b.dst, b.port, b.proto);
	});
	keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
	for (size_t i = 0; i < n; i++) {
		Key key = round.front();
		Hole &hole = holes[key];

		round.pop_front();
		if (hole.watched_until < t) {
			hole.queued = false;
			continue;
		}
		round.push_back(key);
		keys.push_back(key);
	}
	sets.ask(keys, [&](const Key &key, const Seen &seen) {
		Event e{};
		e.kind = Event::SEEN;
		e.at = seen.from;
		e.key = key;
		e.seen = seen;
		waiting.push_back(std::move(e));
	});
	count["elements_asked"] += keys.size();
}

void Rules::list_sets()
{
	static const char *const all[] = { "pinhole4",       "pinhole6",     "pinhole4_proto",
		                           "pinhole6_proto", "pinhole4_any", "pinhole6_any" };

	for (const char *set : all) {
		size_t first = waiting.size();
		bool is = sets.list(set, [&](const Key &key) {
			Event e{};
			e.kind = Event::LISTED;
			e.key = key;
			waiting.push_back(std::move(e));
		});
		Ns t = now();

		for (; first < waiting.size(); first++)
			waiting[first].at = t;
		if (!is)
			broken("P7", t, std::string("the kernel has no set ") + set);
	}
	count["lists"]++;
}

void Rules::turn()
{
	Ns t = now();

	links.take(fresh);
	for (auto &p : fresh) {
		if (p.kind == Packet::ANSWER && !p.given.empty())
			watch(p);
		if (p.kind == Packet::QUERY && workload_of.count(p.src) && own.count(p.dst) &&
		    !p.broken)
			count["asked"]++;
		Event e{};
		e.kind = Event::PACKET;
		e.at = p.at;
		e.packet = std::move(p);
		waiting.push_back(std::move(e));
	}
	fresh.clear();
	look();
	if (t - last_list > 2 * S) {
		list_sets();
		last_list = t;
	}
	judge(t - LAG);
	overdue(t - LAG);
	history_is_read();
	if (t - last_tidy > 5 * S) {
		tidy(t);
		last_tidy = t;
	}
}

// --- judging, in order --------------------------------------------------------------------------

void Rules::judge(Ns until)
{
	auto ready = std::partition(waiting.begin(), waiting.end(),
	                            [&](const Event &e) { return e.at <= until; });
	std::vector<Event> batch(std::make_move_iterator(waiting.begin()),
	                         std::make_move_iterator(ready));

	waiting.erase(waiting.begin(), ready);
	std::stable_sort(batch.begin(), batch.end(),
	                 [](const Event &a, const Event &b) { return a.at < b.at; });
	for (auto &e : batch) {
		if (e.at < judged - 100 * MS && e.kind == Event::PACKET)
			count["late"]++; // seen later than LAG after it passed
		judged = std::max(judged, e.at);
		for (; !later.empty() && later.front().at < judged - HINDSIGHT; later.pop_front())
			with_hindsight(later.front());
		switch (e.kind) {
		case Event::PACKET:
			on_packet(e.packet);
			break;
		case Event::SEEN:
			on_seen(e.key, e.seen);
			break;
		case Event::LISTED:
			on_listed(e.key, e.at);
			break;
		case Event::DEED:
			on_deed(e.deed);
			break;
		}
	}
}

void Rules::on_packet(Packet &p)
{
	switch (p.kind) {
	case Packet::QUERY:
		if (own.count(p.dst))
			on_query(p);
		else
			on_out(p);
		break;
	case Packet::ANSWER:
		if (own.count(p.src))
			on_answer(p);
		else
			on_inward(p);
		break;
	case Packet::UP_QUERY:
		if (!own.count(p.src)) {
			on_crossed(p);
		} else if (p.broken || !policies.may(nullptr, names.text(p.name), 0, 0)) {
			broken("P2", p.at, "upstream is asked for " + names.text(p.name));
		}
		count["upstream_queries"]++;
		break;
	case Packet::UP_ANSWER:
		for (const auto &[address, ttl] : p.given) {
			auto &list = said[address];
			if (std::find(list.begin(), list.end(), p.name) == list.end())
				list.push_back(p.name);
		}
		break;
	case Packet::OUT:
		on_out(p);
		break;
	case Packet::CROSSED:
		on_crossed(p);
		break;
	case Packet::INWARD:
		on_inward(p);
		break;
	}
}

void Rules::on_query(const Packet &p)
{
	auto who = workload_of.find(p.src);

	if (who == workload_of.end() || p.broken)
		return;
	asked[{ who->second, p.name, p.type }].asked++;
	auto &entry = open[flow(p.src, p.dst, p.sport, p.id, 17) * 31 + p.name * 7u + p.type];
	entry.first++;
	entry.second = p.at;
}

void Rules::on_answer(const Packet &p)
{
	auto who = workload_of.find(p.dst);

	if (who == workload_of.end())
		return;
	const std::string &name = names.text(p.name);
	auto question =
	    open.find(flow(p.dst, p.src, p.dport, p.id, 17) * 31 + p.name * 7u + p.type);
	Ns grace;
	bool possible = policies.may(&p.dst, name, 0, 0);

	if (p.broken || question == open.end() || question->second.first == 0) {
		broken("P4", p.at, "an answer for " + name + " that nobody waits for");
		return;
	}
	question->second.first--;
	asked[{ who->second, p.name, p.type }].answered++;
	count["answered"]++;
	if (answered_at.empty() || p.at - answered_at.back().first > 100 * MS)
		answered_at.emplace_back(p.at, count["answered"]);
	answered_at.back().second = count["answered"];
	count[p.rcode == 0   ? "noerror"
	      : p.rcode == 2 ? "servfail"
	      : p.rcode == 3 ? "nxdomain"
	                     : "other"]++;
	if (!p.given.empty() && !possible)
		broken("P5", p.at,
		       who->second + " is given addresses of " + name +
		           ", which no policy in force allows");
	if (p.rcode != 2 && p.rcode != (policies.must(p.dst, name, 0, 0, grace) ? 0
	                                : possible                              ? p.rcode
	                                                                        : 3))
		broken("P5", p.at,
		       who->second + " gets RCODE " + std::to_string(p.rcode) + " for " + name);
	for (const auto &[to, ttl] : p.given) {
		auto &list = said[to];

		if (std::find(list.begin(), list.end(), p.name) == list.end())
			broken("P5", p.at,
			       name + " was given " + text_of(to) + ", which upstream never said");
		for (const auto &from : policies.opened_for(p.dst, to)) {
			for (const auto &[proto, port] : policies.ports()) {
				Key key{ from, to, port, proto };

				if (!policies.may(&p.dst, name, proto, port))
					continue;
				Hole &hole = holes[key];
				Ns until = p.at + static_cast<Ns>(ttl) * S;

				hole.ever = std::max(hole.ever, until);
				hole.denied_since = 0;
				pairs.insert(flow(key.src, key.dst, 0, 0, 0));
				if (!policies.must(p.dst, name, proto, port, grace))
					continue;
				promise(hole, { p.at, until + grace, p.name });
				later.push_back({ p.at, key, p.name, true });
			}
		}
	}
}

void Rules::promise(Hole &hole, const Promise &p)
{
	for (auto &old : hole.promises) {
		if (old.name != p.name)
			continue;
		if (old.until < p.from)
			old.from = p.from;
		old.until = std::max(old.until, p.until);
		return;
	}
	hole.promises.push_back(p);
}

// --- P1 -----------------------------------------------------------------------------------------

// Was the element in its set at @at?
Rules::Answer Rules::there(const Hole &hole, Ns at) const
{
	const Seen *before = nullptr, *after = nullptr;

	for (const auto &seen : hole.seen) {
		if (seen.to <= at)
			before = &seen;
		else if (!after && seen.from >= at)
			after = &seen;
		if (seen.present && seen.to >= at && seen.added - TICK <= at)
			return YES;
	}
	if (before && before->present && before->expires + TICK >= at && (!after || after->present))
		return YES;
	if (!after)
		return UNKNOWN;
	if (before && before->present && before->expires + TICK >= at)
		return UNKNOWN; // it was closed since; if it was promised, on_seen() says so
	// Made or renewed between the two: if it was made only once, it was not there before.
	Ns since = before ? before->to : at - S;
	auto heard = std::count_if(hole.news.begin(), hole.news.end(),
	                           [&](Ns t) { return t > since && t <= after->to; });
	auto sooner = std::count_if(hole.news.begin(), hole.news.end(),
	                            [&](Ns t) { return t > since && t <= at; });
	if (!after->present)
		return heard == 0 && (before || after->from - at < 100 * MS) ? NO : UNKNOWN;
	return sooner ? YES : heard == 1 ? NO : UNKNOWN;
}

void Rules::with_hindsight(const Later &what)
{
	Answer answer = there(holes[what.key], what.at);

	if (answer == YES) {
		count[what.answered ? "pinholes_first" : "flows_first"]++;
	} else if (answer == UNKNOWN) {
		count[what.answered ? "pinholes_unproven" : "flows_unproven"]++;
	} else if (what.answered) {
		broken("P1", what.at,
		       names.text(what.name) + " was answered before " + text_of(what.key) +
		           " was open");
	} else {
		broken("P7", what.at, "a flow began through no pinhole: " + text_of(what.key));
	}
}

void Rules::on_seen(const Key &key, const Seen &seen)
{
	Hole &hole = holes[key];

	for (const auto &p : hole.promises) {
		if (seen.from <= p.from || seen.to >= p.until)
			continue;
		count["promises_seen"]++;
		if (!seen.present)
			broken("P1", seen.from,
			       text_of(key) + " is not open, promised by " + names.text(p.name) +
			           " for " + std::to_string((p.until - seen.to) / MS) + " ms more");
		else if (seen.expires + TICK < p.until)
			broken("P1", seen.from,
			       text_of(key) + " closes " +
			           std::to_string((p.until - seen.expires) / MS) +
			           " ms before the TTL of " + names.text(p.name) +
			           " and the grace are over");
	}
	if (seen.present && hole.denied_since && seen.from > hole.denied_since + CLOSING &&
	    !may(key))
		broken("P5", seen.from,
		       text_of(key) + " is still open " +
		           std::to_string((seen.from - hole.denied_since) / MS) +
		           " ms after its revocation");
	hole.seen.push_back(seen);
	while (hole.seen.size() > 2 && hole.seen[1].from < seen.from - 3 * S)
		hole.seen.pop_front();
	while (!hole.news.empty() && hole.news.front() < seen.from - 4 * S)
		hole.news.pop_front();
}

// --- P5, P7 -------------------------------------------------------------------------------------

bool Rules::may(const Key &key) const
{
	auto it = said.find(key.dst);

	return it != said.end() &&
	       std::any_of(it->second.begin(), it->second.end(), [&](uint32_t name) {
		       return policies.may(&key.src, names.text(name), key.proto, key.port);
	       });
}

bool Rules::must(const Key &key) const
{
	auto it = said.find(key.dst);
	Ns grace;

	return it != said.end() &&
	       std::any_of(it->second.begin(), it->second.end(), [&](uint32_t name) {
		       return policies.must(key.src, names.text(name), key.proto, key.port, grace);
	       });
}

void Rules::on_listed(const Key &key, Ns at)
{
	auto it = holes.find(key);

	count["elements_listed"]++;
	if (may(key))
		return;
	if (it == holes.end() || it->second.ever == 0)
		broken("P7", at, text_of(key) + " is open, and no answer ever opened it");
	else if (it->second.denied_since && at > it->second.denied_since + CLOSING)
		broken("P5", at, text_of(key) + " is still open after its revocation");
}

// A workload sends something: through an open pinhole it must pass.
void Rules::on_out(const Packet &p)
{
	auto it = holes.find(Key{ p.src, p.dst, p.dport, p.proto });

	count["sent"]++;
	if (it == holes.end() || p.proto != 17)
		return;
	for (const auto &promise : it->second.promises) {
		if (p.at <= promise.from || p.at >= promise.until)
			continue;
		uint64_t hash = flow(p.src, p.dst, p.sport, p.dport, p.proto) ^ p.content;
		expected.emplace_back(p.at, std::make_pair(hash, it->first));
		expected_count[hash]++;
		count["must_pass"]++;
		return;
	}
}

// Packets that ought to have passed and have not, up to @t.
void Rules::overdue(Ns t)
{
	while (!expected.empty() && expected.front().first < std::min(t, judged) - CROSSING) {
		auto [at, what] = expected.front();
		auto it = expected_count.find(what.first);

		expected.pop_front();
		if (it == expected_count.end())
			continue;
		if (--it->second < 0) { // it has crossed
			if (++it->second == 0)
				expected_count.erase(it);
			continue;
		}
		if (it->second == 0)
			expected_count.erase(it);
		for (const auto &promise : holes[what.second].promises) {
			if (at <= promise.from || at >= promise.until)
				continue;
			broken("P1", at,
			       "a packet did not pass, " + text_of(what.second) + ", " +
			           std::to_string((at - promise.from) / 1000) + " us after " +
			           names.text(promise.name) + " was answered");
			break;
		}
	}
}

void Rules::on_crossed(const Packet &p)
{
	if (own.count(p.src))
		return;
	count["crossed"]++;
	if (p.icmp_error) {
		if (!pairs.count(flow(p.src, p.dst, 0, 0, 0)))
			broken("P7", p.at,
			       "an ICMP error passed, " + text_of(p.src) + " -> " + text_of(p.dst));
		return;
	}
	Key key{ p.src, p.dst, p.dport, p.proto };
	auto it = holes.find(key);
	uint64_t f = flow(p.src, p.dst, p.sport, p.dport, p.proto);
	auto hit = expected_count.find(f ^ p.content);

	if (hit != expected_count.end() && --hit->second == 0)
		expected_count.erase(hit);
	if (it == holes.end() || it->second.ever == 0) {
		broken("P7", p.at,
		       "a packet passed that no answer opened a way for: " + text_of(key));
		return;
	}
	Hole &hole = it->second;
	if (hole.denied_since && p.at > hole.denied_since) {
		Ns late = p.at - hole.denied_since;
		count["latest_after_apply_ms"] =
		    std::max(count["latest_after_apply_ms"], static_cast<uint64_t>(late / MS));
		if (late > CLOSING)
			broken("P5", p.at,
			       "a packet passed " + std::to_string(late / MS) +
			           " ms after its revocation: " + text_of(key));
	}
	auto [known, first] = flows.try_emplace(f, p.at);
	bool going = !first && p.at - known->second < FLOW;
	known->second = p.at;
	if (going)
		return;
	if (must(key))
		later.push_back({ p.at, key, 0, false });
	else
		count["flows_closing"]++; // it is being revoked: P5 says until when
}

void Rules::on_inward(const Packet &p)
{
	if (own.count(p.src))
		return;
	count["inward"]++;
	if (p.icmp_error) {
		if (!pairs.count(flow(p.dst, p.src, 0, 0, 0)))
			broken("P7", p.at,
			       "an ICMP error came in, " + text_of(p.src) + " -> " +
			           text_of(p.dst));
		return;
	}
	Key key{ p.dst, p.src, p.sport, p.proto };
	auto it = holes.find(key);
	auto known = flows.find(flow(p.dst, p.src, p.dport, p.sport, p.proto));

	if (it == holes.end() || known == flows.end())
		broken("P7", p.at,
		       "a packet came in that belongs to nothing: from " + text_of(p.src) + " to " +
		           text_of(p.dst));
	else if (it->second.denied_since && p.at > it->second.denied_since + CLOSING)
		broken("P5", p.at,
		       "a packet came in " + std::to_string((p.at - it->second.denied_since) / MS) +
		           " ms after its revocation: " + text_of(key));
}

// --- deeds --------------------------------------------------------------------------------------

void Rules::on_deed(const std::string &line)
{
	std::istringstream in(line);
	std::string word;
	Ns at;

	in >> at >> word;
	char when[32];
	snprintf(when, sizeof(when), "%.4f ", static_cast<double>(at - start) / 1e9);
	last_deeds.push_back(when + line.substr(line.find(' ') + 1, 60));
	if (last_deeds.size() > 8)
		last_deeds.pop_front();
	count["deeds"]++;
	if (word == "begin") {
		policies.begin(in);
		on_policy(at, false);
	} else if (word == "end") {
		uint32_t id;
		in >> id;
		policies.end(id);
		on_policy(at, true);
	} else if (word == "count") {
		on_count(at);
	} else if (word == "done") {
		on_done();
	}
}

void Rules::on_policy(Ns at, bool ended)
{
	if (ended)
		count["switches"]++;
	for (auto &[key, hole] : holes) {
		auto &all = hole.promises;

		// What the new policy does not allow is promised no more.
		all.erase(std::remove_if(all.begin(), all.end(),
		                         [&](const Promise &p) {
						 return p.until < at ||
			                                !policies.newest_allows(
							    key.src, names.text(p.name), key.proto,
							    key.port);
					 }),
		          all.end());
		if (hole.ever && !hole.denied_since && ended && !may(key))
			hole.denied_since = at;
		else if (hole.denied_since && may(key))
			hole.denied_since = 0;
	}
}

// --- P4 -----------------------------------------------------------------------------------------

void Rules::on_count(Ns at)
{
	if (reading.valid())
		return;
	reading_least = 0;
	for (const auto &[t, n] : answered_at)
		if (t <= at - BEHIND)
			reading_least = n;
	reading_at = at;
	reading = std::async(std::launch::async, read_history, folder, true);
}

void Rules::history_is_read()
{
	if (!reading.valid() ||
	    reading.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
		return;
	if (read_at == 0)
		read_at = now(); // what it has was asked before this; that must be known first
	if (judged < read_at)
		return;
	History h = reading.get();
	read_at = 0;
	count["counted"]++;
	for (const auto &[key, n] : h.each) {
		const auto &[who, name, type] = key;
		auto it = asked.find({ who, names.id(name),
		                       type == "A"      ? 1
		                       : type == "AAAA" ? 28
		                                        : 0 });
		uint64_t most = it == asked.end() ? 0 : it->second.asked;

		if (n > most)
			broken("P4", reading_at,
			       who + " has asked " + std::to_string(most) + " times for " + name +
			           " " + type + ", recorded are " + std::to_string(n));
	}
	if (!h.fault.empty())
		broken("P4", reading_at, "the history cannot be read: " + h.fault);
	if (h.rows + h.missing() < reading_least)
		broken("P4", reading_at,
		       std::to_string(h.rows) + " in rows and " + std::to_string(h.missing()) +
		           " in gaps, but " + std::to_string(reading_least) +
		           " had been answered twelve seconds ago");
	if (h.rows + h.missing() > count["asked"])
		broken("P4", reading_at,
		       std::to_string(h.rows) + " in rows and " + std::to_string(h.missing()) +
		           " in gaps, but only " + std::to_string(count["asked"]) +
		           " had been asked");
}

void Rules::on_done()
{
	History h;
	uint64_t total_asked = 0, total_answered = 0, short_all = 0, short_deny = 0;
	Ns t = now();

	// A writer that was slow or away may still be writing.
	do {
		h = read_history(folder, true);
	} while (h.rows + h.missing() < count["answered"] && now() - t < SETTLING &&
	         usleep(500000) == 0);
	count["settled_ms"] = static_cast<uint64_t>((now() - t) / MS);

	finished = true;
	if (!h.fault.empty())
		broken("P4", t, "the history cannot be read: " + h.fault);
	for (const auto &[key, n] : asked) {
		const auto &[who, name, type] = key;
		uint64_t rows = 0;
		auto it = h.each.find({ who, names.text(name), type_text(type) });

		if (it != h.each.end()) {
			rows = it->second;
			h.each.erase(it);
		}
		total_asked += n.asked;
		total_answered += n.answered;
		if (rows > n.asked)
			broken("P4", t,
			       who + " asked " + std::to_string(n.asked) + " times for " +
			           names.text(name) + " " + type_text(type) + ", recorded are " +
			           std::to_string(rows));
		if (rows < n.answered) {
			short_all += n.answered - rows;
			if (!policies.may(nullptr, names.text(name), 0, 0))
				short_deny += n.answered - rows;
			if (count["names_short"]++ < 5)
				printf("short: %s %s %s: %llu answered, %llu recorded\n",
				       who.c_str(), names.text(name).c_str(), type_text(type),
				       static_cast<unsigned long long>(n.answered),
				       static_cast<unsigned long long>(rows));
		}
	}
	for (const auto &[key, n] : h.each)
		broken("P4", t,
		       std::to_string(n) + " recorded of " + std::get<1>(key) +
		           ", which nobody asked");
	if (short_all > h.missing())
		broken("P4", t,
		       std::to_string(short_all) + " answered queries are in no row, " +
		           std::to_string(h.missing()) + " in gaps");
	if (short_deny > h.gap_deny)
		broken("P4", t,
		       std::to_string(short_deny) + " denials are in no row, " +
		           std::to_string(h.gap_deny) + " in gaps");
	if (h.rows + h.missing() > total_asked)
		broken("P4", t,
		       std::to_string(h.rows) + " in rows and " + std::to_string(h.missing()) +
		           " in gaps, but " + std::to_string(total_asked) + " were asked");
	if (h.rows + h.missing() < total_answered)
		broken("P4", t,
		       std::to_string(h.rows) + " in rows and " + std::to_string(h.missing()) +
		           " in gaps, but " + std::to_string(total_answered) + " were answered");
	count["rows"] = h.rows;
	count["in_gaps"] = h.missing();
	count["gap_rows"] = h.gaps;
	count["short"] = short_all;
}

// --- the rest -----------------------------------------------------------------------------------

void Rules::tidy(Ns t)
{
	auto old = [&](auto &map, auto when, Ns age) {
		for (auto it = map.begin(); it != map.end();)
			it = when(it->second) < t - age ? map.erase(it) : std::next(it);
	};

	old(
	    flows, [](Ns last) { return last; }, FLOW);
	old(
	    open, [](const std::pair<int, Ns> &q) { return q.second; }, 20 * S);
	while (answered_at.size() > 2 && answered_at[1].first < t - 60 * S)
		answered_at.pop_front();
	count["lost"] = links.lost();
}

bool Rules::report()
{
	uint64_t wrong = 0;

	count["lost"] = links.lost();
	count["names"] = names.size();
	count["holes"] = holes.size();
	if (count["lost"] || count["late"])
		broken("checker", now(),
		       std::to_string(count["lost"]) + " packets escaped it, " +
		           std::to_string(count["late"]) + " came too late");
	printf("summary {");
	for (const auto &[what, n] : count)
		printf("\"%s\": %llu, ", what.c_str(), static_cast<unsigned long long>(n));
	printf("\"broken\": {");
	const char *comma = "";
	for (const auto &[what, n] : found) {
		printf("%s\"%s\": %llu", comma, what.c_str(), static_cast<unsigned long long>(n));
		comma = ", ";
		wrong += n;
	}
	puts("}}");
	return wrong == 0;
}
