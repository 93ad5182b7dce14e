#!/usr/bin/env python3
"""Write the seeds of this folder: run it here; the files are committed."""
import struct


def name(text):
    out = b""
    for label in text.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def question(qname="www.example.org", qtype=1, qclass=1):
    return name(qname) + struct.pack(">HH", qtype, qclass)


def rr(owner, rtype, rdata, ttl=300, rclass=1):
    owner = owner if isinstance(owner, bytes) else name(owner)
    return owner + struct.pack(">HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def opt(options=b"", version=0, do=False, size=1232, rcode=0):
    return b"\0" + struct.pack(">HHBBHH", 41, size, rcode, version, 0x8000 if do else 0,
                               len(options)) + options


def option(code, data):
    return struct.pack(">HH", code, len(data)) + data


def message(flags, q=b"", answer=(), authority=(), additional=()):
    return struct.pack(">HHHHHH", 0x1234, flags, 1 if q else 0, len(answer), len(authority),
                       len(additional)) + q + b"".join(answer + authority + additional)


def write(target, title, data):
    with open(f"seeds/{target}/{title}", "wb") as file:
        file.write(data)


QUERY, ANSWER, NXDOMAIN, SERVFAIL = 0x0100, 0x8180, 0x8183, 0x8182
CLIENT = {
    "plain": message(QUERY, question()),
    "root": message(QUERY, question(".", 2)),
    "case": message(QUERY, question("wWw.ExAmPlE.oRg")),
    "edns": message(QUERY, question(), additional=(opt(do=True),)),
    "badvers": message(QUERY, question(), additional=(opt(version=1),)),
    "cookie": message(QUERY, question(), additional=(opt(option(10, b"client!!")),)),
    "cookies": message(QUERY, question(), additional=(opt(option(10, b"client!!" + bytes(16))),)),
    "padding": message(QUERY, question(), additional=(opt(option(12, bytes(64))),)),
    "localhost": message(QUERY, question("localhost", 28)),
    "any": message(QUERY, question(qtype=255)),
    "chaos": message(QUERY, question("version.bind", 16, 3)),
    "notify": message(0x2000, question(qtype=6)),
    "ixfr": message(QUERY, question(qtype=251),
                    authority=(rr(b"\xc0\x0c", 6, b"\0\0" + bytes(20)),)),
    "no_question": message(QUERY),
    "long": message(QUERY, question(".".join(["x" * 63] * 3 + ["y" * 61]))),
    "labels": message(QUERY, question(".".join("a" * 127))),
    "response": message(ANSWER, question()),
}
A1, A2, PRIVATE = bytes([9, 9, 9, 9]), bytes([8, 8, 8, 8]), bytes([10, 0, 0, 1])
V6 = bytes.fromhex("26000000000000000000000000000001")
SOA = rr("example.org", 6, name("ns.example.org") + name("mail.example.org")
         + struct.pack(">IIIII", 1, 2, 3, 4, 60))


def rrsig(owner, covered, labels=3):
    return rr(owner, 46, struct.pack(">HBBIIIH", covered, 13, labels, 300, 2 ** 31, 1, 7)
              + name("example.org") + bytes(64))


def svcb(priority, target, *params):
    return struct.pack(">H", priority) + name(target) + b"".join(params)


HOP = b"\xc0\x0c"
UPSTREAM = {
    "a": message(ANSWER, question(), (rr(HOP, 1, A1), rr(HOP, 1, A2))),
    "rebinding": message(ANSWER, question(), (rr(HOP, 1, PRIVATE), rr(HOP, 1, A1))),
    "aaaa": message(ANSWER, question(qtype=28), (rr(HOP, 28, V6),)),
    "mapped": message(ANSWER, question(qtype=28), (rr(HOP, 28, bytes(10) + b"\xff\xff" + A1),)),
    "signed": message(ANSWER, question(), (rr(HOP, 1, A1), rrsig(HOP, 1)), (), (opt(do=True),)),
    "chain": message(ANSWER, question(), (rr(HOP, 5, b"\1a\xc0\x10"),
                                          rr("a.example.org", 5, name("b.cdn.test")),
                                          rr("b.cdn.test", 1, A1))),
    "loop": message(ANSWER, question(), (rr(HOP, 5, name("a.test")), rr("a.test", 5, HOP))),
    "dname": message(ANSWER, question("a.old.example.org"),
                     (rr("old.example.org", 39, name("new.example.org")),
                      rr(HOP, 5, name("a.new.example.org")), rr("a.new.example.org", 1, A1))),
    "nxdomain": message(NXDOMAIN, question(), (), (SOA, rrsig("example.org", 6, 2),
                                                   rr("a.example.org", 47,
                                                      name("z.example.org") + b"\0\1\x40"))),
    "nodata": message(ANSWER, question(qtype=15), (), (SOA,)),
    "referral": message(0x8100, question(), (), (rr("example.org", 2, name("ns.test")),)),
    "servfail": message(SERVFAIL, question()),
    "badvers": message(0x8180, question(), (), (), (opt(rcode=1),)),
    "https": message(ANSWER, question(qtype=65), (
        rr(HOP, 65, svcb(1, ".", option(0, b"\0\4"), option(1, b"\2h2"), option(4, A1 + PRIVATE),
                         option(6, V6))),
        rr(HOP, 65, svcb(0, "b.cdn.test")))),
    "mx": message(ANSWER, question("example.org", 15), (
        rr(HOP, 15, b"\0\1" + name("a.mx.example.org")), rr(HOP, 15, b"\0\2\1b\xc0\x0c"))),
    "txt": message(ANSWER, question(qtype=16), (rr(HOP, 16, b"\3abc\2\x1b["),)),
    "srv": message(ANSWER, question("_x._tcp.example.org", 33),
                   (rr(HOP, 33, bytes(6) + name("a.example.org")),)),
    "naptr": message(ANSWER, question(qtype=35),
                     (rr(HOP, 35, bytes(4) + b"\1s\1x\0" + name("a.example.org")),)),
    "caa": message(ANSWER, question(qtype=257), (rr(HOP, 257, b"\0\5issueca.test"),)),
    "unknown": message(ANSWER, question(qtype=65281), (rr(HOP, 65281, b"\xc0\x0c\0"),)),
    # A chain made from wildcards, each link with all the proofs; one record comes twice.
    "wildcards": message(ANSWER, question("a.example.org"), (
        rr(HOP, 5, b"\1b\xc0\x0e"), rrsig("a.example.org", 5, 2), rr("b.example.org", 5, b"\1c\xc0\x0e"),
        rrsig("b.example.org", 5, 2), rr("c.example.org", 1, A1), rr("C.example.org", 1, A1),
        rrsig("c.example.org", 1, 2)),
        tuple(rr(f"n{i % 5}.example.org", 47, name("o.example.org") + b"\0\1\x40") for i in range(8))
        + (rrsig("n1.example.org", 47, 3), SOA)),
    "other_class": message(ANSWER, question(), (rr(HOP, 1, A1, rclass=3),)),
    "overflow": message(0x8186, question(".".join(["l" * 63] * 3 + ["old.example.org"])),
                        (rr("old.example.org", 39, name("n" * 60 + ".example.org")),)),
    "hip": message(ANSWER, question(qtype=55), (rr(HOP, 55, b"\1\2\0\2hkk" + name("a.test")),)),
}
NAMES = {
    "text": b"www.example.org.", "root": b".", "wire": name("www.example.org"),
    "escapes": b"a\\.b\\032\\\\c.\\255.test", "upper": b"WwW.ExAmPlE.oRg", "dots": b"a..b",
    "binary": b"\3\0\xff\x1b\1.\0", "labels": name(".".join("a" * 127)),
    "octets": name(".".join(["x" * 63] * 3 + ["y" * 61])), "number": b"\\256.test",
}

for title, data in CLIENT.items():
    write("client_question", title, data)
for i, (title, data) in enumerate(UPSTREAM.items()):
    write("upstream_message", title, bytes([0]) + data)
    write("upstream_message", title + "_switched", bytes([[1, 9, 3, 5, 17, 33][i % 6]]) + data)
for title, data in NAMES.items():
    write("name", title, data)
