"""A signed tree of zones from Knot DNS in `net`, and a server before it that may change what it says."""
import os, re

import dns.flags, dns.message, dns.query, dns.rdatatype

import harness as h

POLICIES = """\
policy:
  - id: ecdsa
    algorithm: ecdsap256sha256
    single-type-signing: on
  - id: nsec3
    algorithm: ed25519
    nsec3: on
    nsec3-iterations: 0
    nsec3-salt-length: 0
  - id: rsa
    algorithm: rsasha256
    ksk-size: 2048
    zsk-size: 1024
"""


def in_net(*cmd, **kw):
    return h.run(list(cmd), ns="net", **kw).stdout


class Tree:
    """Zone -> (records, key policy or None): parents get their children's DS, `anchor` is a file with
    the root's. `soa` is the rest of each SOA behind its serial."""

    def __init__(self, zones, address="44.128.0.54", soa="3600 900 604800 60", ttl=60):
        self.zones, self.address, self.soa, self.ttl = zones, address, soa, ttl
        self.folder = h.work("knot")
        self.serials = dict.fromkeys(zones, 1)
        self.ds = dict.fromkeys(zones, "")
        os.makedirs(self.folder)
        conf = f"server:\n  rundir: {self.folder}\n  listen: {address}@53\ndatabase:\n  storage: {self.folder}\n"
        conf += "log:\n  - target: stderr\n    any: warning\n" + POLICIES + "zone:\n"
        for zone, (_, policy) in zones.items():
            self.write_zone(zone)
            conf += f"  - domain: {zone}.\n    file: {self.file(zone)}\n    zonefile-sync: -1\n"
            conf += "    journal-content: all\n    zonefile-load: difference\n"
            if policy:
                conf += f"    dnssec-signing: on\n    dnssec-policy: {policy}\n"
        self.conf = self.write("knot.conf", conf)
        h.start(["knotd", "-c", self.conf], ns="net", log=f"{self.folder}/log")
        signed = [z for z, (_, p) in zones.items() if p]
        h.until("knotd has signed its zones", lambda: all("RRSIG" in self.kdig(z, "DNSKEY", "+dnssec") for z in signed), 30)
        below = [z for z in signed if z]
        for zone in below:
            ds = in_net("keymgr", "-c", self.conf, zone + ".", "ds")
            lines = [l for l in ds.splitlines() if re.search(r" (13|15|8) 2 ", l)]
            self.ds[self.parent(zone)] += "\n".join(lines).replace(zone + ". DS", zone + ". 60 DS") + "\n"
        for zone in {self.parent(z) for z in below}:
            self.write_zone(zone)
        in_net("knotc", "-c", self.conf, "zone-reload")
        h.until("the DS records are there", lambda: all("\tDS\t" in self.kdig(z, "DS") for z in below), 20)
        self.anchor = self.write("root.ds", in_net("keymgr", "-c", self.conf, ".", "ds"))

    def parent(self, zone):
        above = zone.partition(".")[2]
        while above not in self.zones:
            above = above.partition(".")[2]
        return above

    def file(self, zone):
        return f"{self.folder}/{zone or 'root'}.zone"

    def write(self, name, text):
        with open(f"{self.folder}/{name}", "w") as f:
            f.write(text)
        return f"{self.folder}/{name}"

    def write_zone(self, zone):
        text = f"$ORIGIN {zone}.\n$TTL {self.ttl}\n@ SOA ns.test. h.test. {self.serials[zone]} {self.soa}\n@ NS ns.test.\n"
        self.serials[zone] += 1
        self.write(os.path.basename(self.file(zone)), text + self.zones[zone][0] + self.ds[zone])

    def kdig(self, name, qtype, *options):
        return in_net("kdig", f"@{self.address}", "+timeout=1", *options, name + ".", qtype, check=False)

    def add(self, zone, records, name, qtype="A"):
        """More records; returns when the server has them."""
        self.zones[zone] = (self.zones[zone][0] + records, self.zones[zone][1])
        self.write_zone(zone)
        in_net("knotc", "-c", self.conf, "zone-reload", zone + ".")
        h.until(f"{name} is there", lambda: f"\t{qtype}\t" in self.kdig(name, qtype), 20)


class Liar(h.Upstream):
    """Asks the honest server, and changes what lies() says before it tells."""

    def __init__(self, address, honest="44.128.0.54"):
        self.lies, self.always, self.honest = {}, None, honest  # name -> function over the message; one for all
        self.checked = []  # flags as they came
        self.asked = []    # (name, type)
        super().__init__("net", address, None)

    def reply(self, q, tcp):
        query = dns.message.from_wire(q)
        name = query.question[0].name.to_text().lower()
        self.asked.append((name, dns.rdatatype.to_text(query.question[0].rdtype)))
        if query.question[0].rdtype == dns.rdatatype.A:
            self.checked.append((name, bool(query.flags & dns.flags.CD)))
        with h.inside("net"):
            answer = dns.query.tcp(query, self.honest, timeout=2)
        lie = self.lies.get(name, self.always)
        if lie:
            lie(answer)
        return answer.to_wire()
