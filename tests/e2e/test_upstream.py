"""The upstream as an enemy: who owns an allowed zone.

What is promised: an answer that was not asked for is never believed and never kept, and what an
upstream does costs at most the query that it does it to.
"""
import os, socket, struct, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

h.enter(os.path.abspath(__file__), seconds=200)
from upstream_world import *

# ---------------------------------------------------------------- the owner of an allowed zone

@way
def extra(enemy, q, tcp):
    name, _, question = parts(q)
    other = name.replace("extra", "victim")
    return message(q, [a(name), a(other, BAD)], [h.rr("good.test", "NS", 60, other), a(other, BAD)],
                   [a(other, BAD), h.rr(other, "AAAA", 60, "2a00:ffff::66"), h.rr(other, "CNAME", 60, "x.good.test")])


@h.case
def records_beside_the_answer_are_neither_given_nor_kept():
    name = fresh("extra")
    m = ask(name)
    h.same((m.addresses, len(m.answer), m.authority, len(m.additional)), ([GOOD], 1, [], 1), "what was asked, and OPT")
    upstream_off(name.replace("extra", "victim"), "additional and authority records")


@way
def elsewhere(enemy, q, tcp):
    """An answer that holds only what was not asked for."""
    other = parts(q)[0].replace("elsewhere", "victim")
    return message(q, [a(other, BAD)])


@h.case
def an_answer_about_another_name_answers_neither():
    name = fresh("elsewhere")
    h.same(ask(name).addresses, [])
    upstream_off(name.replace("elsewhere", "victim"), "another owner's answer")


@way
def parentsoa(enemy, q, tcp):
    return message(q, authority=[h.soa("test", 86400, 86400), h.rr("test", "NS", 60, "evil.test")], rcode=3)


@way
def foreignsoa(enemy, q, tcp):
    return message(q, authority=[h.soa("bank.test", 86400, 86400)], rcode=3)


@h.case
def a_denial_is_about_one_name_whoever_signs_for_it():
    for kind, known in (("parentsoa", True), ("foreignsoa", False)):
        name = fresh(kind)
        h.same(ask(name).status, "NXDOMAIN", kind)
        # RFC 8020 looks downwards only, and we do not conclude at all: each name is asked.
        h.same(ask("ok." + name).addresses, [GOOD], f"below a name that {kind} denied")
        h.same(ask(fresh("ok")).addresses, [GOOD], f"beside a name that {kind} denied")
        h.same(ask("good.test").addresses, [GOOD], f"above a name that {kind} denied")
        # A SOA that is above the name lets the denial be kept; another one says nothing of it.
        ask(name)
        h.same(main.count(name), 1 if known else 2, f"times that {kind} was asked for")


@way
def ttl(enemy, q, tcp):
    name = parts(q)[0]
    value = {"0": 0, "1": 0x7fffffff, "2": 0x80000000, "3": 0xffffffff, "4": 0xff000001}[name.split("-")[1].split(".")[0]]
    return message(q, [a(name, ttl=value), a(name, "44.128.7.2", ttl=200)])


@h.case
def ttls_are_taken_as_the_RFC_says():
    # RFC 2181, sections 5.2 and 8: the smallest of the set; with the upper bit set it is 0.
    for case, want in enumerate((0, 200, 0, 0, 0)):
        name = f"ttl{rnd.randrange(1 << 30)}-{case}.good.test"
        m = ask(name)
        h.same(sorted(m.addresses), [GOOD, "44.128.7.2"], name)
        h.same({t for _, _, t, _ in m.answer}, {want}, f"TTLs of case {case}")
        ask(name)
        h.same(main.count(name), 1 if want else 2, f"times that case {case} was asked")


@way
def negttl(enemy, q, tcp):
    return message(q, authority=[h.soa("good.test", 0xffffffff if "-1" in parts(q)[0] else 86400 * 30, 86400 * 30)])


@h.case
def a_denial_is_not_kept_for_ever():
    name = fresh("negttl")
    m = ask(name)
    h.same((m.status, [t for _, rtype, t, _ in m.authority if rtype == 6]), ("NOERROR", [900]), "negative_max_ttl")


@way
def inwards(enemy, q, tcp):
    kind = parts(q)[0].split("-")[1].split(".")[0]
    target = {"corp": "db.corp.test", "local": "localhost", "four": "ipv4only.arpa", "arpa": "1.0.0.127.in-addr.arpa"}[kind]
    return message(q, [h.rr(parts(q)[0], "CNAME", 60, target), a(target, SECRET), a(target, BAD)])


@h.case
def a_zones_owner_cannot_point_inwards():
    for kind in ("corp", "local", "four", "arpa"):
        m = ask(f"inwards{rnd.randrange(1 << 30)}-{kind}.good.test")
        h.same((m.status, m.addresses), ("NOERROR", []), kind)
        assert m.ede and m.ede[0][0] == 15, f"{kind}: {m.ede}"
    h.same(inside.names(), [], "names that the inner server was asked for")


@way
def apex(enemy, q, tcp):
    name, qtype, _ = parts(q)
    if qtype == 6:
        return message(q, [h.rr(name, "CNAME", 60, "db.corp.test"), h.soa(name)])
    return message(q, [h.rr(name, "CNAME", 60, "db.corp.test"), h.rr(name, "NS", 60, "ns." + name), h.soa(name)])


@h.case
def a_CNAME_beside_other_data_leads_nowhere_it_must_not():
    name = fresh("apex")
    h.same(ask(name).addresses, [])
    h.same([t for _, t, _, _ in ask(name, "SOA").answer], [6], "the data that was asked for stands above a CNAME")
    h.same(inside.names(), [], "names that the inner server was asked for")


@way
def bits(enemy, q, tcp):
    flags = int(parts(q)[0].split("-")[1].split(".")[0], 16)
    own = message(q, [a(parts(q)[0], BAD if flags & 0xf800 != 0x8000 else GOOD)], flags=flags)
    return own if flags & 0xf800 == 0x8000 or tcp else [own, own]


@h.case
def bits_of_the_header():
    for what, flags, good in (
            ("AA", 0x8580, True), ("no RA, no RD", 0x8000, True), ("AD", 0x81a0, True), ("CD", 0x8190, True),
            ("Z", 0x81c0, True), ("all but TC", 0x85f0, True),
            ("QR=0", 0x0180, False), ("opcode IQUERY", 0x8980, False), ("opcode NOTIFY", 0xa180, False),
            ("opcode UPDATE", 0xa980, False), ("opcode 15", 0xf980, False)):
        m = ask(f"bits{rnd.randrange(1 << 30)}-{flags:x}.good.test", do=True)
        h.same((m.status, m.addresses), ("NOERROR", [GOOD]) if good else ("SERVFAIL", []), what)
        # AD is ours to set (promise P3), CD the client's; Z and AA nobody's.
        h.same(m.flags & 0x0470, 0, f"{what}: AA, Z, AD, CD as they reach the client")


@way
def tcrecords(enemy, q, tcp):
    name = parts(q)[0]
    return message(q, [a(name)]) if tcp else message(q, [a(name, BAD)], flags=0x8380)


@way
def tctcp(enemy, q, tcp):
    return message(q, [a(parts(q)[0], BAD)], flags=0x8380)


@h.case
def records_of_a_truncated_message_are_not_believed():
    h.same(ask(fresh("tcrecords")).addresses, [GOOD], "the whole message by TCP")
    m = ask(fresh("tctcp"))
    h.same((m.status, m.addresses), ("SERVFAIL", []), "TC=1 by TCP, too")


@way
def klass(enemy, q, tcp):
    name, qtype, question = parts(q)
    rclass = int(name.split("-")[1].split(".")[0])
    kind = name.split("-")[2].split(".")[0]
    if kind == "q":  # the question's class
        return message(q, [a(name, BAD)], question=question[:-2] + struct.pack(">H", rclass))
    return message(q, [raw_rr(h.name_wire(name), 1, socket.inet_aton(BAD), rclass=rclass)])


@h.case
def other_classes_are_nobodys_answer():
    for rclass in (3, 4, 254, 255, 0, 65535):
        number = rnd.randrange(1 << 30)
        h.same(ask(f"klass{number}-{rclass}-q.good.test").status, "SERVFAIL", f"a question of class {rclass}")
        h.same(ask(f"klass{number}-{rclass}-r.good.test").addresses, [], f"records of class {rclass}")


ESCAPES = b"\x1b]0;owned\x07\x1b[2J\r\n\t<script>\xff\xfe\x80"


@way
def edns(enemy, q, tcp):
    name = parts(q)[0]
    kind = name.split("-")[1].split(".")[0]
    ede = option(15, struct.pack(">H", 9) + ESCAPES * 40)
    more = {"ede": [opt(ede)], "two": [opt(), opt()], "huge": [opt(option(65001, b"x" * 900))],
            "cookie": [opt(option(10, b"8octets!" + b"server-cookie!!!"))], "cutoption": [opt(b"\0\x0f\xff\xff")],
            "version": [opt(version=5)], "owner": [b"\1x" + opt()], "badvers": [opt(rcode=16)],
            "keytag": [opt(option(14, b"\0\1"))], "subnet": [opt(option(8, b"\0\1\x20\x20" + b"\x0a\1\0\2"))]}
    if kind == "answer":
        return message(q, [a(name, BAD), opt()])
    failing = kind in ("two", "owner", "badvers")
    return message(q, [a(name, BAD if failing else GOOD)], additional=more[kind])


@h.case
def nothing_of_the_upstreams_EDNS_passes_through():
    for kind, good in (("ede", True), ("huge", True), ("cookie", True), ("cutoption", True), ("keytag", True),
                       ("subnet", True), ("version", True), ("two", False), ("owner", False), ("badvers", False),
                       ("answer", False)):
        name = f"edns{rnd.randrange(1 << 30)}-{kind}.good.test"
        m = ask(name)
        h.same((m.status, m.addresses), ("NOERROR", [GOOD]) if good else ("SERVFAIL", []), kind)
        if good:
            h.same((m.ede, len(m.additional), m.additional[0][3]), ([], 1, b""), f"{kind}: our OPT is empty")
        assert b"owned" not in m.raw and b"script" not in m.raw, f"{kind}: the upstream's text reaches the client"
    # No cookie of the upstream's comes back to it, nor anything else.
    shown = open(sp.log, "rb").read() + sp.cli("history", "--name", "*.good.test", "--json").stdout.encode()
    assert b"owned" not in shown and b"\x1b" not in shown, "the upstream's text in the log or the history"


@way
def escape(enemy, q, tcp):
    name = parts(q)[0]
    ugly = b"".join(bytes([len(l)]) + l for l in (b"\x1b]0;owned\x07", b"a.b\\c\"", b"\r\nfake line", b"\xff\0", b"good", b"test")) + b"\0"
    if parts(q)[1] == 16:
        return message(q, [raw_rr(h.name_wire(name), 16, bytes([len(ESCAPES)]) + ESCAPES)])
    if name.startswith("escape"):
        return message(q, [raw_rr(h.name_wire(name), 5, ugly), raw_rr(ugly, 1, socket.inet_aton(GOOD))])
    return message(q, [a(name)])


@h.case
def names_from_the_network_are_shown_escaped():
    name = fresh("escape")
    h.same(ask(name).addresses, [GOOD])
    for args in (("history", "--name", name), ("history", "--name", name, "--json"), ("pinholes",), ("who", GOOD)):
        out = h.until("the record is written", lambda: sp.cli(*args).stdout)
        bad = [c for c in out if ord(c) < 32 and c != "\n" or 127 <= ord(c) < 160]
        h.same(bad, [], f"control characters that `sallyport {args[0]}` prints")
        assert "fake line" not in [l.strip() for l in out.splitlines()], f"`sallyport {args[0]}` prints a line of the attacker's"


@way
def rdata(enemy, q, tcp):
    name, qtype, _ = parts(q)
    kind = name.split("-")[1].split(".")[0]
    own = h.name_wire(name)
    bad = {"a3": (1, b"\x2c\x80\x42"), "a5": (1, b"\x2c\x80\x42\6\0"), "a0": (1, b""), "aaaa": (28, b"\0" * 15),
           "cname": (5, b"\1x"), "cnametail": (5, h.name_wire("ok.good.test") + b"\0"), "soa": (6, b"\0\0" + b"\0" * 19),
           "mx": (15, b"\0"), "hints": (65, b"\0\1\0\0\4\0\3\1\2\3"), "order": (65, b"\0\1\0\0\6\0\0\0\4\0\0"),
           "mandatory": (65, b"\0\1\0\0\0\0\2\0\7"), "rrsig": (46, b"\0\1\5\2"), "txt": (16, b"\5abc"), "dname": (39, b"\xc0")}[kind]
    return message(q, [raw_rr(own, bad[0], bad[1])])


@h.case
def data_that_breaks_its_types_format_is_a_failure():
    for kind, qtype in (("a3", "A"), ("a5", "A"), ("a0", "A"), ("aaaa", "AAAA"), ("cname", "A"), ("cnametail", "A"),
                        ("soa", "SOA"), ("mx", "MX"), ("hints", "HTTPS"), ("order", "HTTPS"), ("mandatory", "HTTPS"),
                        ("rrsig", "A"), ("txt", "A"), ("dname", "A")):
        m = ask(f"rdata{rnd.randrange(1 << 30)}-{kind}.good.test", qtype)
        h.same((m.status, m.answer), ("SERVFAIL", []), f"{kind}, asked as {qtype}")


@h.case
def names_at_every_limit():
    L = "l" * 63
    for what, name in (("255 octets", f"{L}.{L}.{L}.{'m' * 51}.good.test"), ("a label of 63", f"{L}.good.test"),
                       ("122 labels and more do not fit", ".".join(["x"] * 122 + ["good", "test"]))):
        m = ask(name)
        h.same((m.status, m.addresses), ("NOERROR", [GOOD]), f"{what} ({len(h.name_wire(name))} octets)")
        h.same(m.qname, name + ".", what)


# ---------------------------------------------------------------- chains

@way
def chain(enemy, q, tcp):
    first, rest = parts(q)[0].split(".", 1)
    stem, number, of = first.split("-")
    if int(number) == int(of):
        return message(q, [a(parts(q)[0], BAD)])
    return message(q, [h.rr(parts(q)[0], "CNAME", 60, f"{stem}-{int(number) + 1}-{of}.{rest}")])


@way
def longchain(enemy, q, tcp):
    """Backwards, so that only the last record answers what was asked."""
    name = parts(q)[0]
    rrs = [h.rr(name if i == 0 else f"c{i}.{name}", "CNAME", 60, f"c{i + 1}.{name}") for i in range(100)]
    return message(q, [a(f"c100.{name}", BAD)] + rrs[::-1]) if tcp else message(q, flags=0x8380)


@way
def loop(enemy, q, tcp):
    first, rest = parts(q)[0].split(".", 1)
    stem, number, of = first.split("-")
    return message(q, [h.rr(parts(q)[0], "CNAME", 60, f"{stem}-{(int(number) + 1) % int(of)}-{of}.{rest}")])


@way
def grow(enemy, q, tcp):
    """Each name becomes one that is longer, until 255 octets."""
    name = parts(q)[0]
    zone = ".".join(name.split(".")[-3:])
    return message(q, [h.rr(zone, "DNAME", 60, "x" * 40 + "." + zone)])


@h.case
def chains_end():
    number = rnd.randrange(1 << 30)
    for what, name in (("a chain of 100, link by link", f"chain{number}-0-100.good.test"),
                       ("a chain of 100 in one message", fresh("longchain")),
                       ("a loop of one", f"loop{number}-0-1.good.test"), ("a loop of three", f"loop{number}-0-3.good.test"),
                       ("a loop of forty", f"loop{number}-0-40.good.test")):
        before = len(main.asked)
        m = ask(name)
        h.same((m.status, m.addresses), ("SERVFAIL", []), what)
        assert m.ede and "limit chain" in m.ede[0][1], f"{what}: {m.ede}"
        assert len(main.asked) - before <= 13, f"{what}: {len(main.asked) - before} questions"
    m = ask(f"grow.grow{number}.good.test")
    h.same((m.rcode, m.addresses), (6, []), "a DNAME below itself, until the name is too long")


main_and_the_end()
