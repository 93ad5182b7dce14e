"""One generated zone: its records, signed when they are first asked for, and what it answers.

    zone = Zone(name("a.test"), algorithm=13, denial="nsec3", iterations=5)
    zone.add("www", "A", "44.128.1.1")
    zone.delegate(child)
    link = zone.answer(name("www.a.test"), A)

An answer is a Link: RRsets of the answer and the authority section, a response code, where an alias
leads, and the state that a validator has to find it in. A zone that is broken has twists: functions
that change a link before it is told, and its state with it.
"""
import bisect, struct

from dnswire import *
from signer import Key, base32hex, nsec3_hash, signature

TTL = 3600
STATES = ("bogus", "insecure", "secure")  # the weakest first


def weakest(*states):
    return min(states, key=STATES.index)


class Link:
    def __init__(self, zone, qname, qtype):
        self.zone, self.qname, self.qtype = zone, qname, qtype
        self.answer, self.authority, self.rcode, self.target = [], [], NOERROR, None
        self.state = "secure"  # of the data, if the zone's keys are believed
        self.kind = None       # data, alias, dname, nodata, nxdomain; + " wildcard"

    def sets(self):
        return self.answer + self.authority

    def weaken(self, state):
        self.state = weakest(self.state, state)


class Zone:
    def __init__(self, apex, kind="", keys=None, algorithm=13, denial="nsec", iterations=0, salt=b"", optout=False,
                 signed=True, begin=-86400, end=30 * 86400, own="secure", ds="good", now=0, ttl=TTL):
        self.apex, self.kind, self.signed, self.now, self.ttl = apex, kind, signed, now, ttl
        self.denial, self.iterations, self.salt, self.optout = denial, iterations, salt, optout
        self.begin, self.end = now + begin, now + end
        self.keys = keys if keys is not None else [Key(algorithm, 0, sep=True), Key(algorithm, 1)]
        self.key_signers = [k for k in self.keys if k.flags & 1] or self.keys
        self.signers = [k for k in self.keys if not k.flags & 1] or self.keys
        self.own = own if signed and ds else "insecure"
        self.data_state = "secure"  # of all that is not DNSKEY, if the keys are believed
        self.parent, self.children = None, {}
        self.ds = [k.ds(apex) for k in self.key_signers] if ds == "good" and signed else ds if isinstance(ds, list) else []
        self.data, self.twists, self.key_twists, self.ds_twists = {}, [], [], []
        self.sign = {}  # further arguments for signature(), by type, or under None for all
        self.denials = None
        self.change_nsec3 = lambda octets: octets
        self.put(apex, "SOA", f"{text((b'ns',) + apex)} h.test. 1 3600 900 604800 900")
        self.put(apex, "NS", text((b"ns",) + apex))
        self.put((b"ns",) + apex, "A", "44.128.200.53")
        if signed:
            for k in self.keys:
                self.put_octets(apex, DNSKEY, k.rdata)
            if denial == "nsec3":
                self.put_octets(apex, NSEC3PARAM, struct.pack(">BBHB", 1, 0, iterations, len(salt)) + salt)

    # -- what is in it

    def put_octets(self, owner, rtype, octets, ttl=None):
        types = self.data.setdefault(lower(owner), {})
        if rtype not in types:
            types[rtype] = Set(owner, rtype, ttl or self.ttl, [])
        types[rtype].rdatas.append(octets)

    def put(self, owner, rtype, said, ttl=None):
        self.put_octets(owner, TYPES[rtype], rdata(rtype, said), ttl)

    def add(self, relative, rtype, said, ttl=None):
        self.put(name(relative) + self.apex, rtype, said, ttl)

    def delegate(self, child, ns=True):
        child.parent = self
        self.children[child.apex] = child
        if ns:
            self.put(child.apex, "NS", text((b"ns",) + child.apex))
        for ds in child.ds:
            self.put_octets(child.apex, DS, ds)
        if not ns and not child.ds:
            self.data.setdefault(child.apex, {})

    def is_cut(self, owner):
        return owner in self.children and owner != self.apex

    def believed(self):
        """What a validator thinks of the zone's keys."""
        if self.parent is None:
            return self.own
        above = weakest(self.parent.believed(), self.parent.data_state)
        if self.parent.believed() == "insecure":
            return "insecure"
        return self.own if above == "secure" else above

    # -- signatures and proofs

    def signed_set(self, s):
        if self.signed and not s.sigs and not (s.type == NS and self.is_cut(lower(s.owner))):
            how = {**self.sign.get(None, {}), **self.sign.get(s.type, {})}
            keys = how.pop("keys", self.key_signers if s.type == DNSKEY else self.signers)
            begin, end = how.pop("begin", self.begin), how.pop("end", self.end)
            signer = how.pop("signer", self.apex)
            s.sigs = [signature(s, k, signer, begin, end, **how) for k in keys]
        return s.copy()

    def types_at(self, owner):
        types = set(self.data.get(owner, ()))
        if self.is_cut(owner):
            types &= {NS, DS}
        return types

    def build(self):
        """The chain of NSEC or NSEC3, made of what is there when it is first asked for."""
        self.nodes = set()
        for owner in self.data:
            for i in range(len(owner) - len(self.apex) + 1):
                self.nodes.add(owner[i:])
        if not self.signed:
            self.denials = {}
            return
        if self.denial == "nsec":
            owners = sorted(self.data, key=order)
            self.denials = {}
            for i, owner in enumerate(owners):
                after = owners[(i + 1) % len(owners)]
                types = self.types_at(owner) | {RRSIG, NSEC}
                shown = next((s.owner for s in self.data[owner].values()), owner)
                self.denials[owner] = Set(shown, NSEC, 900, [wire(after) + bitmap(types)])
            self.owners, self.order = owners, [order(o) for o in owners]
            return
        hashed = {}
        for owner in self.nodes:
            if self.optout and self.is_cut(owner) and DS not in self.data[owner]:
                continue
            hashed[nsec3_hash(owner, self.salt, self.iterations)] = owner
        self.hashes = sorted(hashed)
        self.denials = {}
        for i, h in enumerate(self.hashes):
            types = self.types_at(hashed[h])
            signed = types - {NS} if self.is_cut(hashed[h]) else types
            octets = (struct.pack(">BBHB", 1, int(self.optout), self.iterations, len(self.salt)) + self.salt + b"\x14" +
                      self.hashes[(i + 1) % len(self.hashes)] + bitmap(types | ({RRSIG} if signed else set())))
            self.denials[h] = Set((base32hex(h),) + self.apex, NSEC3, 900, [self.change_nsec3(octets)])

    def hash(self, owner):
        return nsec3_hash(owner, self.salt, self.iterations)

    def matching(self, owner):
        """The NSEC or NSEC3 of a name, or None."""
        s = self.denials.get(owner if self.denial == "nsec" else self.hash(owner))
        return self.signed_set(s) if s else None

    def covering(self, owner):
        """The one whose span the name lies in."""
        if self.denial == "nsec":
            at = bisect.bisect_left(self.order, order(owner)) - 1
            return self.signed_set(self.denials[self.owners[at]])
        at = bisect.bisect_left(self.hashes, self.hash(owner)) - 1
        return self.signed_set(self.denials[self.hashes[at]])

    def encloser(self, owner):
        while owner not in self.nodes:
            owner = owner[1:]
        return owner

    def prove(self, link, *sets):
        known = {(s.owner, s.type) for s in link.authority}
        for s in sets:
            if s is not None and (s.owner, s.type) not in known:
                known.add((s.owner, s.type))
                link.authority.append(s)
        if self.denial == "nsec3" and self.signed:
            if self.iterations > 150:
                link.weaken("bogus")
            elif self.iterations > 50:
                link.weaken("insecure")

    def prove_closest(self, link, owner):
        """RFC 5155, section 7.2.1: the closest encloser is there, the next closer name is not."""
        encloser = self.encloser(owner)
        while self.matching(encloser) is None:  # lies in an opt-out span itself
            encloser = encloser[1:]
        next_closer = owner[len(owner) - len(encloser) - 1:]
        self.prove(link, self.matching(encloser), self.covering(next_closer))
        if self.optout:
            link.weaken("insecure")
        return encloser

    def say_nodata(self, link, owner):
        link.kind = "nodata"
        link.authority.append(self.signed_set(self.data[self.apex][SOA]))
        if not self.signed:
            return
        if self.denial == "nsec":
            self.prove(link, self.matching(owner) or self.covering(owner))
        elif self.matching(owner):
            self.prove(link, self.matching(owner))
        else:
            self.prove_closest(link, owner)

    def say_nxdomain(self, link, owner):
        link.kind, link.rcode = "nxdomain", NXDOMAIN
        link.authority.append(self.signed_set(self.data[self.apex][SOA]))
        if not self.signed:
            return
        encloser = self.encloser(owner)
        if self.denial == "nsec":
            self.prove(link, self.covering(owner), self.covering((b"*",) + encloser))
        else:
            encloser = self.prove_closest(link, owner)
            self.prove(link, self.covering((b"*",) + encloser))

    # -- answers

    def answer(self, qname, qtype):
        link, owner = Link(self, qname, qtype), lower(qname)
        if self.denials is None:
            self.build()
        self.find(link, owner, qtype)
        child = self.children.get(owner) if qtype == DS else None
        twists = self.key_twists if qtype == DNSKEY and owner == self.apex else child.ds_twists if child else self.twists
        # Who looks for cuts label by label must not stumble on the way to one.
        if qtype == DS and not child and any(is_under(c, owner) for c in self.children):
            twists = []
        for twist in twists:
            twist(link)
        if child and child.ds_twists:
            link.weaken("bogus")
        if qtype != DNSKEY or owner != self.apex:
            link.weaken(self.data_state)
        believed = self.believed()
        link.state = "insecure" if believed == "insecure" or not self.signed else weakest(link.state, believed)
        if not self.signed and believed == "bogus":
            link.state = "bogus"
        return link

    def truth(self, qname, qtype):
        """What it would answer if nothing were wrong with it."""
        link = Link(self, qname, qtype)
        if self.denials is None:
            self.build()
        self.find(link, lower(qname), qtype)
        return link

    def find(self, link, owner, qtype):
        for i in range(len(owner) - len(self.apex), 0, -1):
            above = owner[i:]
            if DNAME in self.data.get(above, ()):
                return self.say_dname(link, self.signed_set(self.data[above][DNAME]), qtype)
        types = self.data.get(owner)
        if types is not None and (qtype in types or (qtype == NSEC and self.denial == "nsec" and self.signed)):
            link.kind = "data"
            link.answer.append(self.matching(owner) if qtype == NSEC else self.signed_set(types[qtype]))
        elif types is not None and CNAME in types:
            self.say_alias(link, self.signed_set(types[CNAME]))
        elif owner in self.nodes:
            self.say_nodata(link, owner)
        else:
            self.find_wildcard(link, owner, qtype)

    def find_wildcard(self, link, owner, qtype):
        encloser = self.encloser(owner)
        types = self.data.get((b"*",) + encloser)
        if types is None and (b"*",) + encloser not in self.nodes:
            return self.say_nxdomain(link, owner)
        types = types or {}
        if qtype not in types and CNAME not in types:
            link.kind = "nodata wildcard"
            link.authority.append(self.signed_set(self.data[self.apex][SOA]))
            if self.signed:
                self.prove_wildcard(link, owner)
                self.prove(link, self.matching((b"*",) + encloser) or self.covering((b"*",) + encloser))
                if self.denial == "nsec3":
                    self.prove_closest(link, owner)
            return
        s = self.signed_set(types[qtype if qtype in types else CNAME])
        s.owner = link.qname
        link.kind = "data wildcard"
        if s.type == qtype:
            link.answer.append(s)
        else:
            self.say_alias(link, s)
            link.kind = "alias wildcard"
        if self.signed:
            self.prove_wildcard(link, owner)

    def prove_wildcard(self, link, owner):
        if self.denial == "nsec":
            self.prove(link, self.covering(owner))
            return
        encloser = self.encloser(owner)
        self.prove(link, self.covering(owner[len(owner) - len(encloser) - 1:]))
        if self.optout:
            link.weaken("insecure")

    def say_alias(self, link, s):
        link.kind = "alias"
        link.answer.append(s)
        link.target = read_name(s.rdatas[0], 0)[0]

    def say_dname(self, link, s, qtype):
        link.kind = "dname"
        link.answer.append(s)
        target = link.qname[:len(link.qname) - len(s.owner)] + read_name(s.rdatas[0], 0)[0]
        if len(wire(target)) > 255:
            link.rcode = YXDOMAIN
            return
        link.answer.append(Set(link.qname, CNAME, s.ttl, [wire(target)]))
        link.target = target if qtype != CNAME else None
