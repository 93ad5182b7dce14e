// tests/chaos/sets.cpp - the kernel's pinhole sets.
#include "sets.h"

#include <cerrno>
#include <cstring>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace
{
constexpr size_t AT_ONCE = 48;

Ns now()
{
	timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return static_cast<Ns>(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

using Bytes = std::vector<uint8_t>;

void put(Bytes &to, uint16_t type, const void *data, size_t len)
{
	nlattr head = { static_cast<uint16_t>(sizeof(nlattr) + len), type };

	to.insert(to.end(), reinterpret_cast<uint8_t *>(&head),
	          reinterpret_cast<uint8_t *>(&head) + sizeof(head));
	to.insert(to.end(), static_cast<const uint8_t *>(data),
	          static_cast<const uint8_t *>(data) + len);
	to.resize((to.size() + 3) & ~size_t{ 3 });
}

void put(Bytes &to, uint16_t type, const Bytes &nested)
{
	put(to, type | NLA_F_NESTED, nested.data(), nested.size());
}

void put(Bytes &to, uint16_t type, const char *text)
{
	put(to, type, text, strlen(text) + 1);
}

// A concatenation's fields each fill whole words.
Bytes octets(const Key &key)
{
	Bytes out;
	const uint8_t tail[8] = { key.proto,
		                  0,
		                  0,
		                  0,
		                  static_cast<uint8_t>(key.port >> 8),
		                  static_cast<uint8_t>(key.port),
		                  0,
		                  0 };
	bool v4 = is_v4(key.dst);

	for (const Address *a : { &key.src, &key.dst })
		out.insert(out.end(), a->begin() + (v4 ? 12 : 0), a->end());
	out.insert(out.end(), tail, tail + 8);
	return out;
}

void message(Bytes &to, uint16_t type, uint16_t flags, uint32_t sequence, const Bytes &body)
{
	nlmsghdr head{};
	nfgenmsg gen = { NFPROTO_INET, NFNETLINK_V0, 0 };

	head.nlmsg_len = static_cast<uint32_t>(sizeof(head) + sizeof(gen) + body.size());
	head.nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
	head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
	head.nlmsg_seq = sequence;
	to.insert(to.end(), reinterpret_cast<uint8_t *>(&head),
	          reinterpret_cast<uint8_t *>(&head) + sizeof(head));
	to.insert(to.end(), reinterpret_cast<uint8_t *>(&gen),
	          reinterpret_cast<uint8_t *>(&gen) + sizeof(gen));
	to.insert(to.end(), body.begin(), body.end());
}

// Call @each with type, data and length of every attribute.
template <typename F> void attributes(const uint8_t *at, size_t len, F each)
{
	while (len >= sizeof(nlattr)) {
		nlattr head;

		memcpy(&head, at, sizeof(head));
		if (head.nla_len < sizeof(head) || head.nla_len > len)
			return;
		each(head.nla_type & NLA_TYPE_MASK, at + sizeof(head), head.nla_len - sizeof(head));
		size_t step = std::min<size_t>(NLA_ALIGN(head.nla_len), len);
		at += step;
		len -= step;
	}
}

struct Element {
	Key key{};
	bool keyed = false;
	uint64_t timeout_ms = 0, expires_ms = 0;
};

Element element(const uint8_t *at, size_t len)
{
	Element e;
	uint64_t ms;

	attributes(at, len, [&](int type, const uint8_t *data, size_t n) {
		if (type == NFTA_SET_ELEM_KEY) {
			attributes(data, n, [&](int kind, const uint8_t *k, size_t size) {
				if (kind != NFTA_DATA_VALUE || (size != 16 && size != 40))
					return;
				size_t a = size == 16 ? 4 : 16;
				e.keyed = true;
				for (int i = 0; i < 2; i++) {
					Address &to = i ? e.key.dst : e.key.src;
					if (a == 4)
						to[10] = to[11] = 0xff;
					memcpy(&to[16 - a], k + a * static_cast<size_t>(i), a);
				}
				e.key.proto = k[2 * a];
				e.key.port =
				    static_cast<uint16_t>(k[2 * a + 4] << 8 | k[2 * a + 5]);
			});
		} else if ((type == NFTA_SET_ELEM_TIMEOUT || type == NFTA_SET_ELEM_EXPIRATION) &&
		           n == 8) {
			memcpy(&ms, data, 8);
			(type == NFTA_SET_ELEM_TIMEOUT ? e.timeout_ms : e.expires_ms) = be64toh(ms);
		}
	});
	return e;
}

// Each element of one message.
template <typename F> void elements(const nlmsghdr *msg, F each)
{
	auto *at = reinterpret_cast<const uint8_t *>(msg) + sizeof(nlmsghdr) + sizeof(nfgenmsg);
	size_t len = msg->nlmsg_len - sizeof(nlmsghdr) - sizeof(nfgenmsg);
	bool ours = false;

	attributes(at, len, [&](int type, const uint8_t *data, size_t n) {
		if (type == NFTA_SET_ELEM_LIST_TABLE)
			ours = n == 10 && memcmp(data, "sallyport", 10) == 0;
		else if (type == NFTA_SET_ELEM_LIST_ELEMENTS && ours)
			attributes(data, n, [&](int, const uint8_t *e, size_t size) {
				each(element(e, size));
			});
	});
}
} // namespace

size_t KeyHash::operator()(const Key &key) const
{
	uint64_t h = key.port * UINT64_C(0x9e3779b97f4a7c15) + key.proto, part;

	for (const Address *a : { &key.src, &key.dst }) {
		for (size_t i = 0; i < 16; i += 8) {
			memcpy(&part, a->data() + i, 8);
			h = (h ^ part) * UINT64_C(0xff51afd7ed558ccd);
			h ^= h >> 32;
		}
	}
	return h;
}

std::string text_of(const Key &key)
{
	return text_of(key.src) + " -> " + text_of(key.dst) +
	       (key.proto == 17 ? " udp/" : " tcp/") + std::to_string(key.port);
}

Sets::Sets()
{
	int room = 64 << 20, group = NFNLGRP_NFTABLES;
	timeval patience = { 5, 0 };

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	monitor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0 || monitor < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    setsockopt(monitor, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
	    setsockopt(monitor, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		throw std::runtime_error("no netlink socket");
	timeval soon = { 0, 200000 };
	setsockopt(monitor, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	listener = std::thread(&Sets::listen, this);
}

Sets::~Sets()
{
	ending = true;
	listener.join();
	close(fd);
	close(monitor);
}

void Sets::ask(const std::vector<Key> &keys,
               const std::function<void(const Key &, const Seen &)> &seen)
{
	std::vector<uint8_t> in(1 << 16);

	for (size_t begin = 0; begin < keys.size(); begin += AT_ONCE) {
		size_t n = std::min(AT_ONCE, keys.size() - begin), got = 0;
		uint32_t first = sequence + 1;
		std::vector<bool> told(n, false);
		Bytes out;

		for (size_t i = 0; i < n; i++) {
			const Key &key = keys[begin + i];
			Bytes value, in_key, in_element, list, body;

			value = octets(key);
			put(in_key, NFTA_DATA_VALUE, value.data(), value.size());
			put(in_element, NFTA_SET_ELEM_KEY, in_key);
			put(list, NFTA_LIST_ELEM, in_element);
			put(body, NFTA_SET_ELEM_LIST_TABLE, "sallyport");
			put(body, NFTA_SET_ELEM_LIST_SET, is_v4(key.dst) ? "pinhole4" : "pinhole6");
			put(body, NFTA_SET_ELEM_LIST_ELEMENTS, list);
			message(out, NFT_MSG_GETSETELEM, 0, ++sequence, body);
		}
		Ns from = now();
		if (send(fd, out.data(), out.size(), 0) < 0)
			throw std::runtime_error("netlink: send");
		while (got < n) {
			ssize_t len = recv(fd, in.data(), in.size(), 0);
			Ns to = now();

			if (len < 0)
				throw std::runtime_error(std::string("netlink: ") +
				                         strerror(errno));
			size_t left = static_cast<size_t>(len);
			for (auto *msg = reinterpret_cast<nlmsghdr *>(in.data());
			     NLMSG_OK(msg, left); msg = NLMSG_NEXT(msg, left)) {
				size_t i = msg->nlmsg_seq - first;
				Seen s{ from, to, false, 0, 0 };

				if (i >= n || told[i])
					continue;
				if (msg->nlmsg_type != NLMSG_ERROR)
					elements(msg, [&](const Element &e) {
						s.present = true;
						s.expires =
						    to + static_cast<Ns>(e.expires_ms) * 1000000;
						s.added = s.expires -
						          static_cast<Ns>(e.timeout_ms) * 1000000;
					});
				told[i] = true;
				got++;
				seen(keys[begin + i], s);
			}
		}
	}
}

bool Sets::list(const char *set, const std::function<void(const Key &)> &each)
{
	std::vector<uint8_t> in(1 << 16);
	Bytes body, out;

	put(body, NFTA_SET_ELEM_LIST_TABLE, "sallyport");
	put(body, NFTA_SET_ELEM_LIST_SET, set);
	message(out, NFT_MSG_GETSETELEM, NLM_F_DUMP, ++sequence, body);
	if (send(fd, out.data(), out.size(), 0) < 0)
		throw std::runtime_error("netlink: send");
	for (;;) {
		ssize_t len = recv(fd, in.data(), in.size(), 0);

		if (len < 0)
			throw std::runtime_error(std::string("netlink: ") + strerror(errno));
		size_t left = static_cast<size_t>(len);
		for (auto *msg = reinterpret_cast<nlmsghdr *>(in.data()); NLMSG_OK(msg, left);
		     msg = NLMSG_NEXT(msg, left)) {
			if (msg->nlmsg_seq != sequence)
				continue;
			if (msg->nlmsg_type == NLMSG_DONE)
				return true;
			if (msg->nlmsg_type == NLMSG_ERROR)
				return false;
			elements(msg, [&](const Element &e) { each(e.key); });
		}
	}
}

// A thread of its own, ahead of everybody: how soon we hear of an element decides whether we can
// say that it was there before the answer.
void Sets::listen()
{
	std::vector<uint8_t> in(1 << 16);
	sched_param first = { 1 };

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	while (!ending) {
		ssize_t len = recv(monitor, in.data(), in.size(), 0);
		Ns t = now();

		if (len < 0) {
			news_lost += errno == ENOBUFS;
			continue;
		}
		size_t left = static_cast<size_t>(len);
		std::lock_guard<std::mutex> guard(lock);
		for (auto *msg = reinterpret_cast<nlmsghdr *>(in.data()); NLMSG_OK(msg, left);
		     msg = NLMSG_NEXT(msg, left))
			if (msg->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM))
				elements(msg, [&](const Element &e) {
					if (e.keyed)
						heard.emplace_back(e.key, t);
				});
	}
}

std::vector<std::pair<Key, Ns>> Sets::news()
{
	std::vector<std::pair<Key, Ns>> out;
	std::lock_guard<std::mutex> guard(lock);

	out.swap(heard);
	return out;
}
