"""Kinds of zone, second part: signatures, data and denials that break."""
import struct

from dnswire import *
from signer import Key, signature
from tree import *
from zone import Link

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
