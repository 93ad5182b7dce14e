"""The generated tree: the root, three zones below it that differ in how they deny, and under these the
zones of every kind; and what a kind is made with.

A kind (kinds.py, kinds_broken.py) is a function that makes zones; its docstring is its title. What a
zone's answers have to be found is said with it (`own` for all of it, or the twist that breaks some of
its answers weakens them), by the RFCs and not by any program.
"""
import random

from dnswire import *
from signer import signature
from zone import Zone

KINDS = []
VARIANTS = ((13, "nsec"), (8, "nsec3"), (15, "nsec"), (13, "nsec3"))


def kind(make):
    KINDS.append(make)
    return make


class Tree:
    """The root, test., a zone with NSEC3 and one with opt-out below it, and all the kinds under these."""

    def __init__(self, seed, now):
        self.rng, self.now, self.zones, self.n = random.Random(seed), now, {}, 0
        self.root = self.plant(None, (), "root")
        self.test = self.plant(self.root, name("test"), "tld")
        self.parents = [self.test,
                        self.plant(self.test, name("three.test"), "tld", denial="nsec3"),
                        self.plant(self.test, name("out.test"), "tld", denial="nsec3", optout=True)]
        for z in self.parents:
            z.signers = z.key_signers = z.keys[:1]
        for apex, options in (("secure", {}), ("plain", {"signed": False}), ("broken", {"end": -10 * 86400, "begin": -40 * 86400, "own": "bogus"})):
            self.populate(self.plant(self.test, name(apex + ".test"), "target", **options))
        for make in KINDS:
            make(self)

    def plant(self, parent, apex, kind, cut_ns=True, **options):
        zone = Zone(apex, kind, now=self.now, **options)
        self.zones[apex] = zone
        if parent:
            parent.delegate(zone, ns=cut_ns)
        return zone

    def zone(self, make, below=None, cut_ns=True, **options):
        """A zone of this kind with what every zone has in it."""
        self.n += 1
        parent = below or self.parents[self.n % len(self.parents)]
        zone = self.plant(parent, (f"z{self.n}".encode(),) + parent.apex, make.__doc__, cut_ns, **options)
        self.populate(zone)
        return zone

    def variants(self, make, **options):
        """The same in several algorithms and both ways to deny."""
        made = []
        for algorithm, denial in VARIANTS:
            keys = options.pop("keys", None)
            made.append(self.zone(make, algorithm=algorithm, denial=denial, **options))
        return made

    def populate(self, z):
        rng, n = self.rng, len(self.zones)
        for i in range(rng.randrange(1, 4)):
            z.add("www", "A", f"44.128.{n % 200}.{i + 1}")
        z.add("www", "AAAA", f"2a00:ffff::{n:x}")
        z.add("www", "TXT", f'"zone {n}"')
        z.add("mail", "MX", f"10 {text((b'www',) + z.apex)}")
        z.add("srv", "SRV", f"1 2 443 {text((b'www',) + z.apex)}")
        z.add("odd", "TYPE65280", r"\# 4 01020304")
        z.add("MiXed.CaSe", "A", f"44.128.{n % 200}.9")
        z.add("MiXed.CaSe", "MX", f"10 MAIL.{text(z.apex)}")
        z.add("*.wild", "A", f"44.128.{n % 200}.10")
        z.add("*.wild", "TXT", '"wild"')
        z.add("*.walias", "CNAME", text((b"www",) + z.apex))
        z.add("below.x.wild", "A", f"44.128.{n % 200}.11")
        z.add("a.b.ent", "TXT", '"below an empty non-terminal"')
        z.add("alias", "CNAME", text((b"www",) + z.apex))
        z.add("alias2", "CNAME", text((b"alias",) + z.apex))
        z.add("dangling", "CNAME", text((b"nothing",) + z.apex))
        z.add("to-wild", "CNAME", text((b"q", b"wild") + z.apex))
        for where in ("secure", "plain", "broken"):
            z.add("to-" + where, "CNAME", f"www.{where}.test.")
            z.add("alias-" + where, "CNAME", f"alias.{where}.test.")
        z.add("d", "DNAME", "secure.test.")
        z.add("dp", "DNAME", "plain.test.")
        z.add("big", "TXT", " ".join(f'"{"x" * 200}"' for _ in range(8)))
        z.add(".".join("l" * 63 for _ in range(3)) + "." + "m" * (254 - 3 * 64 - len(wire(z.apex))), "A", f"44.128.{n % 200}.12")
        z.add("caa", "CAA", '0 issue "ca.test"')
        if z.signed and z.kind != "target":
            plain = self.plant(z, (b"sub",) + z.apex, z.kind, signed=False)
            plain.add("www", "A", f"44.128.{n % 200}.13")
            if z.denial == "nsec3" and z.iterations > 150:
                plain.own = "bogus"  # the proof that it has no DS costs too much
            sub = self.plant(z, (b"s", b"deep") + z.apex, z.kind)
            sub.add("www", "A", f"44.128.{n % 200}.14")
            sub.add("*", "AAAA", f"2a00:ffff::1:{n:x}")
            sub.add("to-top", "CNAME", text((b"alias",) + z.apex))

    # -- asking

    def shape(self, question):
        """A question whose answer, but for the question in it, is the same octets."""
        return question

    def zone_of(self, qname, qtype):
        """The zone whose server would answer; of a DS, the parent's."""
        owner = lower(qname)
        for i in range(1 if qtype == DS and owner else 0, len(owner) + 1):
            if owner[i:] in self.zones:
                return self.zones[owner[i:]]

    def resolve(self, qname, qtype, most=20):
        """The links of an answer, as a resolver without a validator puts them together."""
        links, seen = [], set()
        for _ in range(most):
            link = self.zone_of(qname, qtype).answer(qname, qtype)
            links.append(link)
            seen.add(lower(qname))
            if not link.target or lower(link.target) in seen:
                break
            qname = link.target
        return links


# ---------------------------------------------------------------- conditions and changes

def is_data(link):
    return bool(link.kind) and link.kind.startswith(("data", "alias"))


def is_negative(link):
    return bool(link.kind) and link.kind.startswith(("nodata", "nxdomain"))


def is_proof(s):
    return s.type in (NSEC, NSEC3)


def twist(zone, when, change, keeps=False):
    """Let `change` have the links that are so; they are bogus then, if it says that it did something
    (anything but False)."""
    def run(link):
        if when(link) and change(link) is not False and not keeps:
            link.weaken("bogus")
    zone.twists.append(run)


def corrupt(octets):
    return octets[:-1] + bytes([octets[-1] ^ 1])


def drop_proofs(link):
    before = len(link.authority)
    link.authority = [s for s in link.authority if not is_proof(s)]
    return len(link.authority) != before


def replace(link, rcode=NOERROR, answer=(), authority=(), target=None):
    link.rcode, link.answer, link.authority, link.target = rcode, list(answer), list(authority), target


def soa(zone):
    return zone.signed_set(zone.data[zone.apex][SOA])


def by(zone, keys=None, **how):
    """A new signature over a Set, as `how` says."""
    def sign(s):
        args = dict(how)
        begin, end, signer = args.pop("begin", zone.begin), args.pop("end", zone.end), args.pop("signer", zone.apex)
        s.sigs = [signature(s, k, signer, begin, end, **args) for k in keys or zone.signers]
    return sign
