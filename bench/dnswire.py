"""Names, records and messages, octet by octet: what the benchmarks of validation make and read.

A name is a tuple of labels (octets), the first label first, () the root. An RRset is a Set: its
RDATA and, beside it, the RDATA of the signatures over it, which may be any nonsense.
"""
import functools, struct

import dns.name, dns.rdata

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "DNAME": 39,
         "OPT": 41, "DS": 43, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50, "NSEC3PARAM": 51, "HTTPS": 65,
         "CAA": 257, "TYPE65280": 65280}
TEXTS = {number: text for text, number in TYPES.items()}
A, NS, CNAME, SOA, MX, TXT, AAAA, DNAME, DS, RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM = (
    TYPES[t] for t in "A NS CNAME SOA MX TXT AAAA DNAME DS RRSIG NSEC DNSKEY NSEC3 NSEC3PARAM".split())
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN = range(7)
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN"}


def name(text):
    return tuple(label.encode("latin-1") for label in text.rstrip(".").split(".") if label)


def text(n):
    return dns.name.Name(n + (b"",)).to_text()


def lower(n):
    return tuple(label.lower() for label in n)


def wire(n):
    return b"".join(bytes([len(label)]) + label for label in n) + b"\0"


def order(n):
    """The canonical order of names (RFC 4034, section 6.1), as a key to sort by."""
    return tuple(label.lower() for label in reversed(n))


def is_under(n, zone):
    return len(n) >= len(zone) and n[len(n) - len(zone):] == zone


@functools.lru_cache(None)
def rdata(rtype, said):
    """RDATA from its presentation form; names in it are absolute with or without a final dot."""
    origin = dns.name.root
    return dns.rdata.from_text("IN", rtype, said, origin=origin, relativize=False).to_wire()


def canonical(rtype, octets):
    """RFC 4034, section 6.2, of the types that are made here. A length octet is below 'A'."""
    fixed = {NS: 0, CNAME: 0, DNAME: 0, 12: 0, MX: 2, 33: 6}.get(rtype)
    if fixed is not None:
        return octets[:fixed] + octets[fixed:].lower()
    if rtype == SOA:
        return octets[:-20].lower() + octets[-20:]
    return octets


def bitmap(types):
    """RFC 4034, section 4.1.2."""
    windows = {}
    for t in types:
        window = windows.setdefault(t >> 8, bytearray(32))
        window[(t & 255) >> 3] |= 0x80 >> (t & 7)
    out = b""
    for number in sorted(windows):
        octets = bytes(windows[number]).rstrip(b"\0")
        out += bytes([number, len(octets)]) + octets
    return out


class Set:
    def __init__(self, owner, rtype, ttl, rdatas, sigs=()):
        self.owner, self.type, self.ttl, self.rdatas, self.sigs = owner, rtype, ttl, list(rdatas), list(sigs)

    def copy(self):
        return Set(self.owner, self.type, self.ttl, self.rdatas, self.sigs)

    def records(self):
        return ([(self.owner, self.type, self.ttl, r) for r in self.rdatas] +
                [(self.owner, RRSIG, self.ttl, r) for r in self.sigs])


def message(qid, flags, question, sections, edns=True):
    """A response: `sections` are the records of answer and authority; owner names are compressed."""
    qname, qtype = question
    out = bytearray(struct.pack(">HHHHHH", qid, flags, 1, *(len(s) for s in sections), 1 if edns else 0))
    seen = {}

    def put(n):
        for i in range(len(n)):
            at = seen.get(n[i:])
            if at is not None:
                out.extend(struct.pack(">H", 0xc000 | at))
                return
            if len(out) < 0x3fff:
                seen[n[i:]] = len(out)
            out.extend(bytes([len(n[i])]) + n[i])
        out.append(0)

    put(qname)
    out.extend(struct.pack(">HH", qtype, 1))
    for section in sections:
        for owner, rtype, ttl, data in section:
            put(owner)
            out.extend(struct.pack(">HHIH", rtype, 1, ttl, len(data)))
            out.extend(data)
    if edns:
        out.extend(b"\0" + struct.pack(">HHIH", 41, 4096, 0x8000, 0))
    return bytes(out)


def query(qid, qname, qtype, ad=False, do=False, cd=False, size=1232):
    flags = 0x0100 | (0x20 if ad else 0) | (0x10 if cd else 0)
    return (struct.pack(">HHHHHH", qid, flags, 1, 0, 0, 1) + wire(qname) + struct.pack(">HH", qtype, 1) +
            b"\0" + struct.pack(">HHIH", 41, size, 0x8000 if do else 0, 0))


def read_name(msg, pos):
    labels, back = [], None
    for _ in range(300):
        n = msg[pos]
        if n >= 0xc0:
            back = pos + 2 if back is None else back
            pos = (n & 0x3f) << 8 | msg[pos + 1]
        elif n:
            labels.append(msg[pos + 1:pos + 1 + n])
            pos += 1 + n
        else:
            return tuple(labels), pos + 1 if back is None else back
    raise ValueError("a name without end")


def read_question(msg):
    qname, pos = read_name(msg, 12)
    return qname, *struct.unpack(">H", msg[pos:pos + 2])


def read_answer(msg):
    """(rcode, AD, TC, answer records as (owner, type, canonical RDATA), EDE codes)."""
    _, flags, qd, an, ns, ar = struct.unpack(">HHHHHH", msg[:12])
    pos, records, edes = 12, [], []
    for _ in range(qd):
        pos = read_name(msg, pos)[1] + 4
    for i in range(an + ns + ar):
        owner, pos = read_name(msg, pos)
        rtype, _, _, n = struct.unpack(">HHIH", msg[pos:pos + 10])
        pos += 10
        if i < an:
            records.append((lower(owner), rtype, canonical(rtype, plain(msg, rtype, pos, n))))
        elif rtype == 41:
            at = pos
            while at < pos + n:
                code, size = struct.unpack(">HH", msg[at:at + 4])
                if code == 15:
                    edes.append(struct.unpack(">H", msg[at + 4:at + 6])[0])
                at += 4 + size
        pos += n
    return flags & 15, bool(flags & 0x20), bool(flags & 0x200), sorted(records), edes


def plain(msg, rtype, pos, n):
    """RDATA without compression pointers."""
    if rtype in (NS, CNAME, DNAME, 12):
        return wire(read_name(msg, pos)[0])
    if rtype == MX:
        return msg[pos:pos + 2] + wire(read_name(msg, pos + 2)[0])
    if rtype == SOA:
        first, at = read_name(msg, pos)
        second, at = read_name(msg, at)
        return wire(first) + wire(second) + msg[at:at + 20]
    return msg[pos:pos + n]
