"""Every kind of zone that the differential run asks about: good ones, each way to be broken, and what
lies between. A kind is a function that makes zones; its docstring is its title.

What a zone's answers have to be found is said with it (`own` for all of it, or the twist that breaks
some of its answers weakens them), by the RFCs and not by any program.
"""
import random, struct

from dnswire import *
from signer import ALGORITHMS, REVOKED, SEP, ZONE, Key, signature
from zone import Link, Zone

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


# ---------------------------------------------------------------- good ones

@kind
def algorithms(t):
    """each algorithm, NSEC and NSEC3"""
    for a in ALGORITHMS:
        for denial in ("nsec", "nsec3"):
            if (a, denial) != (5, "nsec3"):
                t.zone(algorithms, algorithm=a, denial=denial)


@kind
def iterations(t):
    """NSEC3 iterations from 0 to 50, salts of 0 to 255 octets"""
    for n, salt in ((1, 0), (10, 8), (50, 1), (0, 255), (50, 40)):
        t.zone(iterations, denial="nsec3", iterations=n, salt=bytes(range(salt)))


@kind
def many_iterations(t):
    """NSEC3 iterations from 51 to 150"""
    for n in (51, 100, 150):
        t.zone(many_iterations, denial="nsec3", iterations=n, salt=b"salt")


@kind
def too_many_iterations(t):
    """NSEC3 iterations over 150"""
    for n in (151, 500):
        t.zone(too_many_iterations, denial="nsec3", iterations=n)


@kind
def optout(t):
    """NSEC3 with opt-out"""
    for a in (8, 13, 15):
        t.zone(optout, algorithm=a, denial="nsec3", optout=True, salt=b"x")


@kind
def one_key(t):
    """one key for all"""
    for a, denial in VARIANTS:
        t.zone(one_key, keys=[Key(a, 0, sep=True)], denial=denial)


@kind
def digests(t):
    """DS digests 1, 2 and 4, alone and together"""
    for numbers in ((1,), (2,), (4,), (1, 2), (2, 4), (1, 2, 4)):
        z = t.zone(digests, ds=["?"])
        z.ds[:] = [z.keys[0].ds(z.apex, n) for n in numbers]
        z.parent.data[z.apex][DS].rdatas[:] = z.ds


def set_ds(z, *ds):
    """Other DS records at the parent."""
    z.parent.data[z.apex][DS].rdatas[:] = z.ds = list(ds)


@kind
def two_algorithms(t):
    """two algorithms, both whole"""
    for a, b in ((8, 13), (13, 15), (5, 14)):
        t.zone(two_algorithms, keys=[Key(a, 0, sep=True), Key(a, 1), Key(b, 0, sep=True), Key(b, 1)])


@kind
def one_of_two_broken(t):
    """two algorithms, the signatures of one broken"""
    for a, b, first in ((8, 13, 0), (13, 15, 1), (8, 14, 1)):
        z = t.zone(one_of_two_broken, keys=[Key(a, 0, sep=True), Key(a, 1), Key(b, 0, sep=True), Key(b, 1)])

        def change(link, which=first):
            for s in link.sets():
                if len(s.sigs) == 2:
                    s.sigs[which] = corrupt(s.sigs[which])
        twist(z, lambda link: True, change, keeps=True)


@kind
def standby(t):
    """a key that nothing is signed with, its DS at the parent"""
    for a in (8, 13):
        keys = [Key(a, 0, sep=True), Key(a, 1), Key(a, 2, sep=True)]
        z = t.zone(standby, keys=keys)
        z.key_signers = keys[:1]


@kind
def rolls(t):
    """key rolls in each phase"""
    for a, denial in VARIANTS:
        ksk, zsk, ksk2, zsk2 = Key(a, 0, sep=True), Key(a, 1), Key(a, 2, sep=True), Key(a, 3)
        phases = (("zsk published", [ksk, zsk, zsk2], [ksk], [zsk], [ksk]),
                  ("zsk in use", [ksk, zsk, zsk2], [ksk], [zsk2], [ksk]),
                  ("zsk signing double", [ksk, zsk, zsk2], [ksk], [zsk, zsk2], [ksk]),
                  ("ksk double signature", [ksk, ksk2, zsk], [ksk, ksk2], [zsk], [ksk]),
                  ("ksk new ds", [ksk, ksk2, zsk], [ksk, ksk2], [zsk], [ksk2]),
                  ("ksk double ds", [ksk, zsk], [ksk], [zsk], [ksk, ksk2]),
                  ("ksk new key, double ds", [ksk2, zsk], [ksk2], [zsk], [ksk, ksk2]))
        for title, keys, key_signers, signers, ds in phases[:: 2 if denial == "nsec3" else 1]:
            z = t.zone(rolls, keys=keys, denial=denial)
            z.key_signers, z.signers = key_signers, signers
            set_ds(z, *(k.ds(z.apex) for k in ds))


@kind
def late_rolls(t):
    """a key roll that went wrong: the old key is gone too early"""
    ksk, zsk, ksk2, zsk2 = Key(13, 0, sep=True), Key(13, 1), Key(13, 2, sep=True), Key(13, 3)
    z = t.zone(late_rolls, keys=[ksk2, zsk], own="bogus")
    set_ds(z, ksk.ds(z.apex))
    z = t.zone(late_rolls, keys=[ksk, zsk2])
    z.signers, z.data_state = [zsk], "bogus"


@kind
def revoked_beside(t):
    """a revoked key beside a good one"""
    for a, denial in VARIANTS:
        old = Key(a, 2, flags=ZONE | SEP | REVOKED)
        keys = [Key(a, 0, sep=True), Key(a, 1), old]
        z = t.zone(revoked_beside, keys=keys, denial=denial)
        z.key_signers = [keys[0], old]
        set_ds(z, keys[0].ds(z.apex))


@kind
def short_signatures(t):
    """TTL longer than the signature lives"""
    for a, denial in VARIANTS:
        t.zone(short_signatures, algorithm=a, denial=denial, end=3000, ttl=86400)


@kind
def deep(t):
    """five signed zones, one below the other"""
    z = t.zone(deep)
    for i in range(5):
        z = t.zone(deep, below=z, algorithm=(13, 8, 15)[i % 3], denial=("nsec", "nsec3")[i % 2])


@kind
def same_names(t):
    """cuts right below cuts, with an empty non-terminal between"""
    z = t.zone(same_names, denial="nsec3")
    for label in ("a.b.c", "x.b.c", "c.c"):
        sub = t.plant(z, name(label) + z.apex, same_names.__doc__, denial="nsec")
        t.populate(sub)


@kind
def ttl_raised(t):
    """a TTL raised on the way"""
    for z in t.variants(ttl_raised):
        def change(link):
            for s in link.sets():
                s.ttl = 100000
        twist(z, lambda link: True, change, keeps=True)


@kind
def ttl_lowered(t):
    """a TTL lowered on the way"""
    for z in t.variants(ttl_lowered):
        def change(link):
            for s in link.sets():
                s.ttl = 60
        twist(z, lambda link: True, change, keeps=True)


@kind
def foreign_signature(t):
    """a broken signature beside a good one"""
    for z in t.variants(foreign_signature):
        def change(link):
            for s in link.sets():
                s.sigs = [corrupt(s.sigs[0])] + s.sigs if s.sigs else s.sigs
        twist(z, lambda link: True, change, keeps=True)


@kind
def unknown_signer_beside(t):
    """a signature by a key that nobody has, beside a good one"""
    for z in t.variants(unknown_signer_beside):
        def change(link, z=z):
            for s in link.sets():
                if s.sigs:
                    s.sigs = [signature(s, Key(13, 3), z.apex, z.begin, z.end)] + s.sigs
        twist(z, lambda link: link.kind == "data", change, keeps=True)


# ---------------------------------------------------------------- insecure ones

@kind
def unsigned(t):
    """a delegation without DS"""
    for _ in range(4):
        t.zone(unsigned, signed=False)


@kind
def island(t):
    """signed, but without DS: an island"""
    for a, denial in VARIANTS:
        t.zone(island, algorithm=a, denial=denial, ds=[])


@kind
def broken_island(t):
    """an island whose signatures have expired"""
    for a, denial in VARIANTS:
        t.zone(broken_island, algorithm=a, denial=denial, ds=[], begin=-40 * 86400, end=-10 * 86400)


@kind
def unknown_algorithm(t):
    """only algorithms that nobody knows"""
    for number in (3, 12, 17, 100, 253):
        keys = [Key(13, 0, sep=True, as_algorithm=number), Key(13, 1, as_algorithm=number)]
        t.zone(unknown_algorithm, keys=keys, own="insecure")


@kind
def unknown_digest(t):
    """only DS digests that nobody knows"""
    for number in (3, 7, 200):
        z = t.zone(unknown_digest, own="insecure")
        set_ds(z, z.keys[0].ds(z.apex, number))


@kind
def unknown_beside(t):
    """DS of unknown algorithms and digests beside a good one"""
    for _ in range(3):
        z = t.zone(unknown_beside)
        set_ds(z, z.keys[0].ds(z.apex, 200), Key(13, 3, sep=True, as_algorithm=100).ds(z.apex), z.keys[0].ds(z.apex))


@kind
def below_insecure(t):
    """a signed zone with DS below an unsigned one"""
    z = t.zone(below_insecure, signed=False)
    for a, denial in VARIANTS:
        t.zone(below_insecure, below=z, algorithm=a, denial=denial)


# ---------------------------------------------------------------- keys and DS that break the chain

@kind
def wrong_ds(t):
    """a DS whose digest is wrong"""
    for z in t.variants(wrong_ds, own="bogus"):
        set_ds(z, z.keys[0].ds(z.apex, wrong=True))


@kind
def ds_of_nobody(t):
    """a DS of a key that is not there"""
    for z in t.variants(ds_of_nobody, own="bogus"):
        set_ds(z, Key(13, 3, sep=True).ds(z.apex))


@kind
def sha1_beside(t):
    """a right DS of SHA-1 beside a wrong one of SHA-256"""
    z = t.zone(sha1_beside, own="bogus")
    set_ds(z, z.keys[0].ds(z.apex, 1), z.keys[0].ds(z.apex, 2, wrong=True))


@kind
def no_zone_flag(t):
    """the key that the DS names has no zone flag"""
    for a in (8, 13):
        keys = [Key(a, 0, flags=SEP), Key(a, 1)]
        t.zone(no_zone_flag, keys=keys, own="bogus")


@kind
def protocol(t):
    """a key of another protocol than 3"""
    t.zone(protocol, keys=[Key(13, 0, sep=True, protocol=2), Key(13, 1)], own="bogus")


@kind
def revoked(t):
    """the key that the DS names is revoked"""
    for a in (8, 13, 15):
        keys = [Key(a, 0, flags=ZONE | SEP | REVOKED), Key(a, 1)]
        z = t.zone(revoked, keys=keys, own="bogus")
        set_ds(z, keys[0].ds(z.apex))


@kind
def revoked_zsk(t):
    """data signed by a revoked key"""
    keys = [Key(13, 0, sep=True), Key(13, 1, flags=ZONE | REVOKED)]
    z = t.zone(revoked_zsk, keys=keys)
    z.data_state = "bogus"


@kind
def keys_unsigned(t):
    """a DNSKEY RRset without signatures"""
    for z in t.variants(keys_unsigned, own="bogus"):
        z.key_twists.append(lambda link: [setattr(s, "sigs", []) for s in link.answer])


@kind
def keys_by_zsk(t):
    """a DNSKEY RRset signed only by a key that no DS names"""
    for z in t.variants(keys_by_zsk, own="bogus"):
        z.key_signers = z.keys[1:]


@kind
def keys_gone(t):
    """no DNSKEY where a DS says there is one"""
    for z in t.variants(keys_gone, own="bogus"):
        def change(link, z=z):
            replace(link, authority=[soa(z), z.matching(z.apex)])
            link.kind = "nodata"
        z.key_twists.append(change)


@kind
def keys_extra(t):
    """a key put into the DNSKEY RRset on the way, and data signed by it"""
    for z in t.variants(keys_extra, own="bogus"):
        z.key_twists.append(lambda link: link.answer[0].rdatas.append(Key(13, 3).rdata))
        twist(z, is_data, lambda link, z=z: [by(z, keys=[Key(13, 3)])(s) for s in link.answer if s.sigs])


@kind
def ds_stripped(t):
    """a DS taken away, without a proof"""
    for z in t.variants(ds_stripped, own="bogus"):
        def change(link):
            link.answer = []
            link.authority = [soa(link.zone)]
        z.ds_twists.append(change)


@kind
def ds_denied_by_child(t):
    """a DS denied by the child's own NSEC"""
    for z in t.variants(ds_denied_by_child, own="bogus"):
        def change(link, z=z):
            z.answer(z.apex, SOA)
            replace(link, authority=[soa(z), z.matching(z.apex)])
        z.ds_twists.append(change)


@kind
def ds_by_child(t):
    """a DS at the apex, signed by the zone itself"""
    for z in t.variants(ds_by_child, own="bogus"):
        def change(link, z=z):
            link.answer = [Set(z.apex, DS, 3600, [z.keys[0].ds(z.apex)])]
            by(z)(link.answer[0])
        z.ds_twists.append(change)


@kind
def ds_denied_although(t):
    """a DS denied by an NSEC that says it is there"""
    for z in t.variants(ds_denied_although, own="bogus"):
        def change(link):
            replace(link, authority=[soa(link.zone), link.zone.matching(link.qname)])
        z.ds_twists.append(change)


@kind
def ds_unsigned(t):
    """a DS RRset without signatures"""
    for z in t.variants(ds_unsigned, own="bogus"):
        z.ds_twists.append(lambda link: [setattr(s, "sigs", []) for s in link.answer])


@kind
def cut_without_ns(t):
    """an unsigned zone where its parent proves that there is no delegation"""
    z = t.zone(cut_without_ns)
    for label in ("one", "two.three"):
        sub = t.plant(z, name(label) + z.apex, cut_without_ns.__doc__, cut_ns=False, signed=False)
        sub.own = "bogus"
        t.populate(sub)
    z = t.zone(cut_without_ns, denial="nsec3")
    sub = t.plant(z, name("one") + z.apex, cut_without_ns.__doc__, cut_ns=False, signed=False)
    sub.own = "bogus"
    t.populate(sub)


@kind
def ds_without_ns(t):
    """a DS where no NS stands"""
    z = t.zone(ds_without_ns)
    sub = t.plant(z, name("one") + z.apex, ds_without_ns.__doc__, cut_ns=False)
    t.populate(sub)


# ---------------------------------------------------------------- signatures that break

def rebroken(make, when=lambda link: True, **how):
    def build(t):
        for z in t.variants(make):
            def change(link, z=z):
                done = [by(z, **{k: v(z, s) if callable(v) else v for k, v in how.items()})(s) for s in link.sets() if s.sigs]
                return bool(done)
            twist(z, when, change)
    return build


def signatures(title, **how):
    """A kind whose data carries signatures made as `how` says."""
    def make(t):
        rebroken(make, **how)(t)
    make.__doc__ = title
    return kind(make)


DAY = 86400
signatures("signatures that have expired", begin=lambda z, s: z.now - 40 * DAY, end=lambda z, s: z.now - 10 * DAY)
signatures("signatures of the future", begin=lambda z, s: z.now + 10 * DAY, end=lambda z, s: z.now + 40 * DAY)
signatures("signatures that end before they begin", begin=lambda z, s: z.now + DAY, end=lambda z, s: z.now - DAY)
signatures("signatures by a key that is not there", keys=lambda z, s: [Key(z.keys[0].algorithm, 3)])
signatures("a key tag that no key has", tag=lambda z, s: z.keys[1].tag ^ 1)
signatures("more labels than the owner has", labels=lambda z, s: len(s.owner) + 1)
signatures("fewer labels than the signer has", labels=1, owner=lambda z, s: (b"*",) + s.owner[-1:])
signatures("no labels at all", labels=0, owner=(b"*",))
signatures("another type covered", covered=lambda z, s: A if s.type != A else TXT)
signatures("a signer below the owner", signer=lambda z, s: (b"x",) + z.apex)
signatures("a signer that is a sibling", signer=name("secure.test"))


@kind
def signed_by_sibling(t):
    """data that a sibling has signed"""
    for z in t.variants(signed_by_sibling):
        other = t.zones[name("secure.test")]
        twist(z, is_data, lambda link, o=other: [by(o)(s) for s in link.answer if s.sigs])


@kind
def corrupted(t):
    """signatures with one bit wrong"""
    for z in t.variants(corrupted):
        def change(link):
            for s in link.sets():
                s.sigs = [corrupt(x) for x in s.sigs]
        twist(z, lambda link: True, change)


@kind
def other_ttl(t):
    """an original TTL changed in the signature"""
    for z in t.variants(other_ttl):
        def change(link):
            for s in link.sets():
                s.sigs = [x[:4] + struct.pack(">I", 7200) + x[8:] for x in s.sigs]
        twist(z, lambda link: True, change)


@kind
def stripped(t):
    """no signatures at all"""
    for z in t.variants(stripped):
        def change(link):
            for s in link.sets():
                s.sigs = []
            link.authority = [s for s in link.authority if not is_proof(s)]
        twist(z, lambda link: True, change)


@kind
def data_stripped(t):
    """data without signatures, denials with them"""
    for z in t.variants(data_stripped):
        twist(z, is_data, lambda link: [setattr(s, "sigs", []) for s in link.answer])


# ---------------------------------------------------------------- data that is changed

@kind
def forged(t):
    """an address changed on the way"""
    for z in t.variants(forged):
        def change(link):
            s = link.answer[-1]
            if s.type != A:
                return False
            s.rdatas = [bytes([44, 128, 6, 6])]
        twist(z, lambda link: link.kind in ("data", "data wildcard"), change)


@kind
def record_added(t):
    """a record put into an RRset"""
    for z in t.variants(record_added):
        def change(link):
            s = link.answer[-1]
            if s.type != A:
                return False
            s.rdatas = s.rdatas + [bytes([44, 128, 6, 6])]
        twist(z, lambda link: link.kind in ("data", "data wildcard"), change)


@kind
def record_doubled(t):
    """a record told twice"""
    for z in t.variants(record_doubled):
        def change(link):
            s = link.answer[-1]
            s.rdatas = s.rdatas + s.rdatas[:1]
        twist(z, lambda link: link.kind == "data", change, keeps=True)


@kind
def set_added(t):
    """an unsigned RRset of another name beside the answer"""
    for z in t.variants(set_added):
        def change(link):
            link.answer.append(Set((b"evil",) + link.zone.apex, A, 300, [bytes([44, 128, 6, 6])]))
        twist(z, lambda link: link.kind == "data", change, keeps=True)


@kind
def authority_added(t):
    """an unsigned NS RRset in the authority section"""
    for z in t.variants(authority_added):
        def change(link):
            link.authority.append(Set(link.zone.apex, NS, 300, [wire(name("evil.test"))]))
        twist(z, lambda link: link.kind == "data", change, keeps=True)


@kind
def alias_forged(t):
    """an unsigned CNAME in the place of data"""
    for z in t.variants(alias_forged):
        def change(link):
            target = name("www.plain.test")
            replace(link, answer=[Set(link.qname, CNAME, 300, [wire(target)])], target=target)
        twist(z, lambda link: link.kind == "data" and link.qtype in (A, AAAA, TXT), change)


@kind
def alias_owner(t):
    """a CNAME of another owner, signed, before the data that it leads to"""
    for z in t.variants(alias_owner):
        def change(link):
            z, alias = link.zone, (b"alias",) + link.zone.apex
            if link.qname[:1] == (b"alias",):
                return False
            replace(link, answer=[z.signed_set(z.data[alias][CNAME]), z.signed_set(z.data[(b"www",) + z.apex][A])])
        twist(z, lambda link: link.kind == "data" and link.qtype == A and link.qname[:1] != (b"www",), change)


@kind
def dname_target(t):
    """a CNAME that its DNAME does not make, and the data that it leads to"""
    for z in t.variants(dname_target):
        def change(link):
            target = name("evil.plain.test")
            link.answer[-1].rdatas = [wire(target)]
            link.answer.append(Set(target, A, 300, [bytes([44, 128, 6, 6])]))
        # Whoever believes the DNAME alone has what it makes (RFC 6672, section 5.3.1).
        twist(z, lambda link: link.kind == "dname" and len(link.answer) == 2, change, keeps=True)


@kind
def dname_unsigned(t):
    """a DNAME without a signature"""
    for z in t.variants(dname_unsigned):
        twist(z, lambda link: link.kind == "dname", lambda link: [setattr(s, "sigs", []) for s in link.answer])


@kind
def dname_loose(t):
    """a DNAME without the CNAME that it makes"""
    for z in t.variants(dname_loose):
        def change(link):
            link.answer = link.answer[:1]
        twist(z, lambda link: link.kind == "dname" and link.target, change, keeps=True)


@kind
def loops(t):
    """CNAMEs that lead in circles, and long chains"""
    z = t.zone(loops)
    z.add("self", "CNAME", text((b"self",) + z.apex))
    z.add("ping", "CNAME", text((b"pong",) + z.apex))
    z.add("pong", "CNAME", text((b"ping",) + z.apex))
    for i in range(14):
        z.add(f"c{i}", "CNAME", text((f"c{i + 1}".encode(),) + z.apex))
    z.add("c14", "A", "44.128.1.1")


# ---------------------------------------------------------------- denials that break

@kind
def denial_missing(t):
    """a denial without NSEC or NSEC3"""
    for z in t.variants(denial_missing):
        twist(z, is_negative, drop_proofs)


@kind
def denial_unsigned(t):
    """NSEC or NSEC3 without signatures"""
    for z in t.variants(denial_unsigned):
        twist(z, is_negative, lambda link: [setattr(s, "sigs", []) for s in link.authority if is_proof(s)])


@kind
def soa_missing(t):
    """a denial without SOA, its proof whole"""
    for z in t.variants(soa_missing):
        def change(link):
            link.authority = [s for s in link.authority if s.type != SOA]
        twist(z, is_negative, change, keeps=True)


@kind
def soa_unsigned(t):
    """a denial whose SOA has no signature"""
    for z in t.variants(soa_unsigned):
        twist(z, is_negative, lambda link: [setattr(s, "sigs", []) for s in link.authority if s.type == SOA])


@kind
def wildcard_not_denied(t):
    """NXDOMAIN that does not deny the wildcard"""
    for a, denial in VARIANTS:
        z = t.zone(wildcard_not_denied, algorithm=a, denial=denial)

        def change(link, z=z):
            owner = lower(link.qname)
            encloser = z.encloser(owner)
            needed = z.covering((b"*",) + encloser)
            others = [z.covering(owner[len(owner) - len(encloser) - 1:])] + ([z.matching(encloser)] if z.denial == "nsec3" else [])
            if any(needed.owner == s.owner for s in others):
                return False
            link.authority = [s for s in link.authority if s.owner != needed.owner or s.type == SOA]
        twist(z, lambda link: link.kind == "nxdomain", change)


@kind
def encloser_missing(t):
    """NSEC3 without the closest encloser"""
    for a in (8, 13):
        z = t.zone(encloser_missing, algorithm=a, denial="nsec3")

        def change(link, z=z):
            needed = z.matching(z.encloser(lower(link.qname)))
            link.authority = [s for s in link.authority if s.owner != needed.owner or s.type == SOA]
        twist(z, lambda link: link.kind == "nxdomain", change)


@kind
def next_closer_missing(t):
    """NSEC3 that does not cover the next closer name"""
    for a in (8, 13):
        z = t.zone(next_closer_missing, algorithm=a, denial="nsec3")

        def change(link, z=z):
            owner = lower(link.qname)
            encloser = z.encloser(owner)
            needed = z.covering(owner[len(owner) - len(encloser) - 1:])
            others = [z.matching(encloser)] + ([z.covering((b"*",) + encloser)] if link.kind == "nxdomain" else [])
            if any(needed.owner == s.owner for s in others):
                # It stands for something else too: put the encloser's in its place.
                others = others[:1]
            link.authority = [soa(z)] + [s for s in others if s.owner != needed.owner]
        twist(z, lambda link: link.kind == "nxdomain", change)


@kind
def nxdomain_forged(t):
    """NXDOMAIN for a name that is there, with another name's proof"""
    for z in t.variants(nxdomain_forged):
        def change(link, z=z):
            other = Link(z, (b"nothing-here",) + z.apex, A)
            z.say_nxdomain(other, other.qname)
            replace(link, NXDOMAIN, authority=other.authority)
            link.kind = "nxdomain"
        twist(z, lambda link: link.kind == "data" and link.qname != link.zone.apex, change)


@kind
def nodata_forged(t):
    """NODATA for a type that is there, with the NSEC of the name"""
    for z in t.variants(nodata_forged):
        def change(link, z=z):
            replace(link, authority=[soa(z), z.matching(lower(link.qname))])
        twist(z, lambda link: link.kind == "data" and link.qtype in (A, AAAA, TXT, MX, NS, SOA), change)


@kind
def alias_denied(t):
    """NODATA for a name that has a CNAME, with its NSEC"""
    for z in t.variants(alias_denied):
        def change(link, z=z):
            replace(link, authority=[soa(z), z.matching(lower(link.qname))])
        twist(z, lambda link: link.kind == "alias", change)


@kind
def dname_denied(t):
    """NXDOMAIN below a DNAME, with its NSEC"""
    for a in (8, 13):
        z = t.zone(dname_denied, algorithm=a)

        def change(link, z=z):
            replace(link, NXDOMAIN, authority=[soa(z), z.covering(lower(link.qname)), z.covering((b"*",) + link.answer[0].owner)])
        twist(z, lambda link: link.kind == "dname", change)


@kind
def parent_denies(t):
    """NXDOMAIN proven by the parent's NSEC at the cut"""
    for a, denial in VARIANTS:
        above = t.zone(parent_denies, denial=denial)
        z = t.zone(parent_denies, below=above, algorithm=a, denial=denial)

        def change(link, z=z, above=above):
            above.answer(above.apex, SOA)
            owner = lower(link.qname)
            proofs = [above.matching(z.apex), above.covering(owner), above.covering((b"*",) + z.apex)]
            known = {s.owner: s for s in proofs}
            replace(link, NXDOMAIN, authority=[soa(z)] + list(known.values()))
        twist(z, lambda link: link.kind == "data" and link.qname != link.zone.apex, change)


@kind
def zones_mixed(t):
    """a proof of which each half is another zone's"""
    for a, denial in VARIANTS:
        above = t.zone(zones_mixed, denial=denial)
        z = t.zone(zones_mixed, below=above, algorithm=a, denial=denial)

        def change(link, z=z, above=above):
            above.answer(above.apex, SOA)
            proofs = [s for s in link.authority if is_proof(s)]
            if len(proofs) < 2:
                return False
            proofs[-1] = above.covering((b"*",) + z.apex)
            link.authority = [soa(z)] + proofs
        twist(z, lambda link: link.kind == "nxdomain", change)


@kind
def wildcard_unproven(t):
    """a wildcard's answer without its proof"""
    for z in t.variants(wildcard_unproven):
        twist(z, lambda link: link.kind in ("data wildcard", "alias wildcard"), drop_proofs)


@kind
def wildcard_over_data(t):
    """a wildcard's answer for a name that is there"""
    for z in t.variants(wildcard_over_data):
        def change(link, z=z):
            s = z.signed_set(z.data[(b"*", b"wild") + z.apex][A])
            s.owner = link.qname
            replace(link, answer=[s], authority=[z.covering((b"q", b"wild") + z.apex)])
        twist(z, lambda link: link.qname[:2] in ((b"below", b"x"),) and link.qtype == A and link.kind == "data", change)


@kind
def wildcard_nsec(t):
    """an NSEC that a wildcard was expanded to, as a proof"""
    for a in (8, 13, 15):
        z = t.zone(wildcard_nsec, algorithm=a)

        def change(link, z=z):
            s = z.matching((b"*", b"wild") + z.apex)
            s.owner = link.qname
            replace(link, authority=[soa(z), s])
        twist(z, lambda link: link.kind == "nodata wildcard" and link.qname[1:2] == (b"wild",), change)


@kind
def nsec3_unknown(t):
    """NSEC3 with a hash or flags that nobody knows"""
    for at, value in ((0, 2), (1, 2), (1, 0x80)):
        z = t.zone(nsec3_unknown, denial="nsec3")
        t.zones[(b"sub",) + z.apex].own = "bogus"

        def change(octets, at=at, value=value):
            return octets[:at] + bytes([value]) + octets[at + 1:]
        z.change_nsec3 = change
        twist(z, lambda link: link.kind and any(is_proof(s) for s in link.authority), lambda link: None)


@kind
def referral(t):
    """a referral in the place of an answer"""
    for z in t.variants(referral):
        def change(link, z=z):
            replace(link, authority=[Set(z.apex, NS, 300, [wire((b"ns",) + z.apex)])])
        twist(z, lambda link: link.kind in ("data", "alias", "nodata", "nxdomain"), change)


@kind
def silence(t):
    """an empty answer"""
    for z in t.variants(silence):
        twist(z, lambda link: link.kind in ("data", "alias"), lambda link: replace(link))
