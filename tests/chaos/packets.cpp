// tests/chaos/packets.cpp - what passed the gateway's links.
#include "packets.h"

#include <arpa/inet.h>
#include <cstring>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace
{
// A block is handed over when it is full or 10 ms old: room for ten seconds of not looking.
constexpr unsigned int BLOCK_BYTES = 1 << 17, BLOCKS = 1024;

uint16_t get16(const uint8_t *p)
{
	return static_cast<uint16_t>(p[0] << 8 | p[1]);
}

Address mapped(const uint8_t *four)
{
	Address a{};
	a[10] = a[11] = 0xff;
	memcpy(&a[12], four, 4);
	return a;
}

// Read a name, in lower case; false when it is broken. Moves @pos behind it.
bool name_at(const uint8_t *msg, size_t len, size_t &pos, std::string &out)
{
	size_t at = pos, hops = 0;
	bool jumped = false;

	out.clear();
	for (;;) {
		if (at >= len)
			return false;
		uint8_t n = msg[at];
		if (n >= 0xc0) {
			if (at + 2 > len || ++hops > 32)
				return false;
			if (!jumped)
				pos = at + 2;
			jumped = true;
			at = (n & 0x3fu) << 8 | msg[at + 1];
			continue;
		}
		if (n > 63 || at + 1 + n > len || out.size() > 255)
			return false;
		if (n == 0)
			break;
		for (size_t i = 1; i <= n; i++)
			out += static_cast<char>(tolower(msg[at + i]));
		out += '.';
		at += 1u + n;
	}
	if (!jumped)
		pos = at + 1;
	return true;
}
} // namespace

Address address_of(const std::string &text)
{
	uint8_t raw[16];

	if (inet_pton(AF_INET, text.c_str(), raw) == 1)
		return mapped(raw);
	Address a{};
	if (inet_pton(AF_INET6, text.c_str(), a.data()) != 1)
		throw std::runtime_error("not an address: " + text);
	return a;
}

bool is_v4(const Address &a)
{
	static const uint8_t head[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	return memcmp(a.data(), head, 12) == 0;
}

std::string text_of(const Address &a)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(is_v4(a) ? AF_INET : AF_INET6, is_v4(a) ? &a[12] : &a[0], text, sizeof(text));
	return text;
}

uint32_t Names::id(const std::string &name)
{
	auto [it, fresh] = ids.try_emplace(name, static_cast<uint32_t>(texts.size()));

	if (fresh)
		texts.push_back(name);
	return it->second;
}

Links::Links(const std::vector<std::string> &inner, const std::string &outer, Names &n) : names(n)
{
	int version = TPACKET_V3;
	tpacket_req3 req{};

	for (const auto &name : inner)
		links[static_cast<int>(if_nametoindex(name.c_str()))] = false;
	links[static_cast<int>(if_nametoindex(outer.c_str()))] = true;
	if (links.count(0))
		throw std::runtime_error("a link is missing");
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	req.tp_block_size = BLOCK_BYTES;
	req.tp_block_nr = BLOCKS;
	req.tp_frame_size = 2048;
	req.tp_frame_nr = BLOCK_BYTES / 2048 * BLOCKS;
	req.tp_retire_blk_tov = 10;
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
		throw std::runtime_error("no ring for packets");
	void *map = mmap(nullptr, static_cast<size_t>(BLOCK_BYTES) * BLOCKS, PROT_READ | PROT_WRITE,
	                 MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		throw std::runtime_error("the ring cannot be mapped");
	ring = static_cast<uint8_t *>(map);
	sockaddr_ll all{};
	all.sll_family = AF_PACKET;
	all.sll_protocol = htons(ETH_P_ALL);
	if (bind(fd, reinterpret_cast<sockaddr *>(&all), sizeof(all)) < 0)
		throw std::runtime_error("bind");
}

Links::~Links()
{
	munmap(ring, static_cast<size_t>(BLOCK_BYTES) * BLOCKS);
	close(fd);
}

uint64_t Links::lost()
{
	tpacket_stats_v3 stats{};
	socklen_t len = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
		n_lost += stats.tp_drops;
	return n_lost;
}

void Links::take(std::vector<Packet> &to)
{
	for (unsigned int turn = 0; turn < BLOCKS && to.size() < 100000; turn++) {
		auto *desc = reinterpret_cast<tpacket_block_desc *>(
		    ring + static_cast<size_t>(block) * BLOCK_BYTES);
		auto &head = desc->hdr.bh1;

		if (!(__atomic_load_n(&head.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return;
		auto *at = reinterpret_cast<uint8_t *>(desc) + head.offset_to_first_pkt;
		for (uint32_t i = 0; i < head.num_pkts; i++) {
			auto *pkt = reinterpret_cast<tpacket3_hdr *>(at);
			auto *from =
			    reinterpret_cast<sockaddr_ll *>(at + TPACKET_ALIGN(sizeof(*pkt)));

			one(at + pkt->tp_net, pkt->tp_snaplen,
			    static_cast<Ns>(pkt->tp_sec) * 1000000000 + pkt->tp_nsec,
			    from->sll_ifindex, from->sll_pkttype == PACKET_OUTGOING, to);
			at += pkt->tp_next_offset;
		}
		__atomic_store_n(&head.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		block = (block + 1) % BLOCKS;
	}
}

void Links::one(const uint8_t *at, size_t len, Ns when, int link, bool leaving,
                std::vector<Packet> &to)
{
	auto known = links.find(link);
	const uint8_t *l4;
	size_t l4_len;
	Packet p;

	if (known == links.end() || len < 20)
		return;
	if (at[0] >> 4 == 4) {
		size_t head = (at[0] & 15u) * 4u, total = get16(at + 2);
		if (head < 20 || total < head || total > len)
			return;
		p.proto = at[9];
		p.src = mapped(at + 12);
		p.dst = mapped(at + 16);
		l4 = at + head;
		l4_len = total - head;
	} else if (at[0] >> 4 == 6 && len >= 40) {
		size_t total = 40u + get16(at + 4);
		if (total > len)
			return;
		p.proto = at[6];
		memcpy(p.src.data(), at + 8, 16);
		memcpy(p.dst.data(), at + 24, 16);
		l4 = at + 40;
		l4_len = total - 40;
		if (p.src[0] == 0xfe || p.dst[0] >= 0xfe) // links' own business
			return;
	} else {
		return; // ARP
	}
	p.at = when;
	if (l4_len < 8)
		return;
	if (p.proto == 17 || p.proto == 6) {
		p.sport = get16(l4);
		p.dport = get16(l4 + 2);
	} else {
		p.icmp_error =
		    p.proto == 1 ? l4[0] == 3 || l4[0] == 11 || l4[0] == 12 : l4[0] < 128;
	}
	bool outer = known->second, udp53 = p.proto == 17 && (p.sport == 53 || p.dport == 53);
	if (!outer && !leaving)
		p.kind = udp53 && p.dport == 53 ? Packet::QUERY : Packet::OUT;
	else if (!outer)
		p.kind = udp53 && p.sport == 53 ? Packet::ANSWER : Packet::INWARD;
	else if (leaving)
		p.kind = udp53 && p.dport == 53 ? Packet::UP_QUERY : Packet::CROSSED;
	else if (udp53 && p.sport == 53)
		p.kind = Packet::UP_ANSWER;
	else
		return; // what becomes of it is seen when it leaves
	if (p.kind <= Packet::UP_ANSWER)
		p.broken = !dns(l4 + 8, l4_len - 8, p);
	else if (l4_len >= 16)
		memcpy(&p.content, l4 + 8, 8);
	to.push_back(std::move(p));
}

bool Links::dns(const uint8_t *msg, size_t len, Packet &p)
{
	std::string text;
	size_t pos = 12;

	if (len < 12)
		return false;
	p.id = get16(msg);
	p.rcode = msg[3] & 15;
	if (get16(msg + 4) != 1 || !name_at(msg, len, pos, text) || pos + 4 > len)
		return false;
	p.name = names.id(text);
	p.type = get16(msg + pos);
	pos += 4;
	for (unsigned int n = get16(msg + 6); n > 0; n--) {
		if (!name_at(msg, len, pos, text) || pos + 10 > len)
			return false;
		unsigned int type = get16(msg + pos), size = get16(msg + pos + 8);
		uint32_t ttl =
		    static_cast<uint32_t>(get16(msg + pos + 4)) << 16 | get16(msg + pos + 6);
		pos += 10;
		if (pos + size > len)
			return false;
		if (type == 1 && size == 4) {
			p.given.emplace_back(mapped(msg + pos), ttl);
		} else if (type == 28 && size == 16) {
			Address a;
			memcpy(a.data(), msg + pos, 16);
			p.given.emplace_back(a, ttl);
		}
		pos += size;
	}
	return true;
}
