// tests/chaos/policies.cpp - which policies may be in force.
#include "policies.h"

#include <algorithm>

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

bool below(const std::string &name, const std::string &zone)
{
	if (name == zone)
		return true;
	return name.size() > zone.size() &&
	       name.compare(name.size() - zone.size(), zone.size(), zone) == 0 &&
	       name[name.size() - zone.size() - 1] == '.';
}
} // namespace

void Policies::begin(std::istringstream &line)
{
	Policy policy;
	std::string word, sources, ports;
	double grace;

	line >> policy.id;
	while (line >> word) {
		Allow allow;

		line >> sources >> allow.zone >> ports >> grace;
		for (const auto &source : split(sources))
			allow.sources.push_back(address_of(source));
		for (const auto &port : split(ports)) {
			size_t slash = port.find('/');
			allow.ports.emplace(
			    port.substr(0, slash) == "udp" ? 17 : 6,
			    static_cast<uint16_t>(std::stoi(port.substr(slash + 1))));
		}
		allow.grace = static_cast<Ns>(grace * 1e9);
		all_ports.insert(allow.ports.begin(), allow.ports.end());
		if (std::find(workloads.begin(), workloads.end(), allow.sources) == workloads.end())
			workloads.push_back(allow.sources);
		policy.allows.push_back(allow);
	}
	possible.push_back(policy);
}

void Policies::end(uint32_t id)
{
	while (possible.size() > 1 && possible.front().id != id)
		possible.pop_front();
}

const Allow *Policies::Policy::find(const Address *source, const std::string &name, uint8_t proto,
                                    uint16_t port) const
{
	for (const auto &allow : allows) {
		if (!below(name, allow.zone) || (port && !allow.ports.count({ proto, port })))
			continue;
		if (!source || std::find(allow.sources.begin(), allow.sources.end(), *source) !=
		                   allow.sources.end())
			return &allow;
	}
	return nullptr;
}

bool Policies::may(const Address *source, const std::string &name, uint8_t proto,
                   uint16_t port) const
{
	return std::any_of(possible.begin(), possible.end(), [&](const Policy &p) {
		return p.find(source, name, proto, port) != nullptr;
	});
}

bool Policies::must(const Address &source, const std::string &name, uint8_t proto, uint16_t port,
                    Ns &ret_grace) const
{
	ret_grace = INT64_MAX;
	for (const auto &policy : possible) {
		const Allow *allow = policy.find(&source, name, proto, port);

		if (!allow)
			return false;
		ret_grace = std::min(ret_grace, allow->grace);
	}
	return !possible.empty();
}

bool Policies::newest_allows(const Address &source, const std::string &name, uint8_t proto,
                             uint16_t port) const
{
	return !possible.empty() && possible.back().find(&source, name, proto, port);
}

std::vector<Address> Policies::opened_for(const Address &client, const Address &to) const
{
	std::vector<Address> out;

	if (is_v4(client) == is_v4(to))
		return { client };
	for (const auto &sources : workloads) {
		if (std::find(sources.begin(), sources.end(), client) == sources.end())
			continue;
		for (const auto &source : sources)
			if (is_v4(source) == is_v4(to))
				out.push_back(source);
		break;
	}
	return out;
}
