"""The upstream as an enemy: who owns an allowed zone, who stands beside the way, and who is ill.

What is promised: an answer that was not asked for is never believed and never kept; what an
upstream does costs at most the query that it does it to; work and memory have their bounds. The
figures are printed, and bound.
"""
import os, random, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
from enemy import *

h.enter(os.path.abspath(__file__), seconds=200)
n.build()

MAIN, SECOND, INSIDE = "44.128.0.53", "44.128.0.54", "44.128.0.55"
SECRET = "10.5.5.5"
CONFIG = n.CONFIG.replace(f'servers: [{{address: {MAIN}, port: 53}}]',
                          f'servers: [{{address: {MAIN}, port: 53}}]\n'
                          f'  - zone: two.test\n    servers: [{{address: {MAIN}}}, {{address: {SECOND}}}]\n'
                          f'  - zone: corp.test\n    internal: true\n    servers: [{{address: {INSIDE}}}]')
CONFIG += "cache: {size: 4MiB, serve_stale: off}\n"
POLICY = n.POLICY.replace("      - {zone: good.test", "      - {zone: two.test}\n      - {types: [A, AAAA, CNAME, HTTPS, MX, SOA, TXT], zone: good.test")
CPU_MESSAGE = 0.030  # seconds of processor time that one message of 64 KB may cost, recording included
GROWTH = 16 << 20    # cache and memos of 4 MiB each, connections' buffers
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
print(f"# SEED={SEED}", flush=True)
rnd = random.Random(SEED)


def ask(name, qtype="A", ns="app", **kw):
    with h.inside(ns):
        return h.ask({"app": "10.1.0.1", "app2": "10.1.1.1"}[ns], name, qtype, timeout=kw.pop("timeout", 7), **kw)


def counters():
    return sp.json("status")[0]["counters"]


def fresh(way, zone="good.test"):
    return f"{way}{rnd.randrange(1 << 40)}.{zone}"


# ---------------------------------------------------------------- the ways

WAYS = {}


def way(function):
    WAYS[function.__name__.rstrip("_")] = function
    return function


def answer(enemy, q, tcp):
    name, qtype, _ = parts(q)
    f = WAYS.get(way_of(name))
    if f:
        return f(enemy, q, tcp)
    return message(q, [a(name)]) if qtype == 1 else message(q, authority=[h.soa(".".join(name.split(".")[-2:]))])


def unless_mute(enemy, q, tcp):
    return None if enemy.mute else answer(enemy, q, tcp)


Enemy.mute = False
main = Enemy("net", MAIN, unless_mute)
second = Enemy("net", SECOND, unless_mute)
inside = Enemy("net", INSIDE, lambda enemy, q, tcp: message(q, [a(parts(q)[0], SECRET)]))
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)
pid = sp.role_pid("resolver")


def upstream_off(name, what, ns="app"):
    """Ask for a name that nobody has asked for, of an upstream that knows nothing any more."""
    off.add(name)
    m = ask(name, ns=ns)
    h.same((m.status, m.addresses), ("SERVFAIL", []), f"{what}: {name} with the upstream off")


off = set()  # names for which the upstream fails


@way
def victim(enemy, q, tcp):
    return message(q, rcode=2) if parts(q)[0] in off else message(q, [a(parts(q)[0])])


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


# ---------------------------------------------------------------- beside the way

def at_the_port(enemy, name):
    """(port, ID) of the exchange that waits for `name`."""
    return h.until(f"{name} is asked", lambda: [w for nm, _, p, _, w in enemy.asked if nm == name and p == "udp"])[0][1]


@way
def slowly(enemy, q, tcp):
    return (0.35 if not tcp else 0, message(q, [a(parts(q)[0])]))


@h.case
def ten_thousand_spoofed_answers_are_not_believed():
    spoofer = Spoofer("net", MAIN, "172.31.0.1")
    before = counters()

    def spoofed(name, qid, case=None):
        return message(struct.pack(">H", qid) + b"\1\0\0\1\0\0\0\0\0\0" + h.name_wire(case or name) + b"\0\1\0\1", [a(name, BAD)])

    # Blind: any port, any ID, as many as can be sent before the truth comes.
    name, got, sent = fresh("slowly"), [], 0
    t = threading.Thread(target=lambda: got.append(ask(name)))
    t.start()
    h.until("it is asked", lambda: main.count(name))
    while sent < 10000:
        spoofer.send(rnd.randrange(1024, 65536), spoofed(name, rnd.randrange(65536)))
        sent += 1
    t.join()
    h.same(got[0].addresses, [GOOD], f"{sent} spoofed answers to random ports")

    # The port is known, the ID is not: 10,000 of 65,536, the right one left out.
    name = fresh("slowly")
    got.clear()
    t = threading.Thread(target=lambda: got.append(ask(name)))
    t.start()
    port = at_the_port(main, name)
    for qid in rnd.sample(range(65536), 10000):
        spoofer.send(port, spoofed(name, qid))
    t.join()
    h.same(got[0].addresses, [GOOD], "10,000 IDs to the right port")
    tcp = [p for nm, _, p, _, _ in main.asked if nm == name]
    assert "tcp" in tcp, f"after a near-miss the question moves to TCP, but: {tcp}"
    after = counters()
    missed = after["upstream_mismatch"] - before["upstream_mismatch"]
    print(f"# 20,000 spoofed answers, {missed} reached an open socket", flush=True)
    assert 1 <= missed <= 8, f"{missed} guesses were looked at"
    upstream_off(name.replace("slowly", "victim"), "spoofed answers")


@h.case
def sender_and_letters_case_are_part_of_the_secret():
    """Right port and ID, but from another address or port; or the name in any case but ours."""
    spoofer = Spoofer("net", MAIN, "172.31.0.1")
    others = Spoofer("net", SECOND, "172.31.0.1"), Spoofer("net", MAIN, "172.31.0.1", 54)
    name = "slowly" + "".join(rnd.choice("abcdefgh") for _ in range(30)) + ".good.test"
    seen, got = [], []

    def listening(enemy, q, tcp):
        seen.append(q)
        return (0.3 if not tcp else 0, message(q, [a(parts(q)[0])]))
    WAYS[way_of(name)] = listening
    t = threading.Thread(target=lambda: got.append(ask(name)))
    t.start()
    h.until("it is asked", lambda: seen)
    port = at_the_port(main, name)
    for other in others:  # word for word what would be believed
        other.send(port, message(seen[0], [a(name, BAD)]))
    time.sleep(0.05)
    h.same([p for nm, _, p, _, _ in main.asked if nm == name and p == "tcp"], [], "the kernel keeps strangers out")
    for question in (name, name.upper()):
        spoofer.send(port, message(seen[0], [a(name, BAD)], question=h.name_wire(question) + b"\0\1\0\1"))
    t.join()
    h.same(got[0].addresses, [GOOD])


@way
def twice(enemy, q, tcp):
    own, lie = message(q, [a(parts(q)[0])]), message(q, [a(parts(q)[0], BAD)])
    return [own] + [lie] * 50


@way
def late(enemy, q, tcp):
    return (3.0, message(q, [a(parts(q)[0])]))


@h.case
def late_and_repeated_answers():
    name = fresh("twice")
    h.same(ask(name).addresses, [GOOD])
    h.same(ask(name).addresses, [GOOD], "the second time")
    begin = time.monotonic()
    m = ask(fresh("late"))
    assert m.addresses == [GOOD] and 2.9 < time.monotonic() - begin < 4, f"{m.status} after {time.monotonic() - begin:.1f} s"


# ---------------------------------------------------------------- servers that die, and come back

class Asker:
    """Asks for a new name every few milliseconds, and waits for none."""

    def __init__(self, zone, ns="app", stem="ok", every=0.01):
        with h.inside(ns):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.connect(({"app": "10.1.0.1", "app2": "10.1.1.1"}[ns], 53))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
        self.zone, self.stem, self.every, self.out, self.stopped = zone, stem, every, {}, False
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._send, self._receive)]
        for t in self.threads:
            t.start()

    def _send(self):
        qid = 0
        while not self.stopped and qid < 65535:
            qid += 1
            self.out[qid] = [time.monotonic(), None, None]
            self.sock.send(h.question(fresh(self.stem, self.zone), qid=qid))
            time.sleep(self.every)

    def _receive(self):
        self.sock.settimeout(0.1)
        while not (self.stopped and all(o[1] for o in list(self.out.values()))):
            try:
                msg = self.sock.recv(65535)
            except OSError:
                if self.stopped and time.monotonic() - self.ended > 7:
                    return
                continue
            self.out[struct.unpack(">H", msg[:2])[0]][1:] = [time.monotonic(), h.Message(msg)]

    def stop(self):
        """All of it: (asked, seconds until answered, Message or None), in order."""
        self.ended, self.stopped = time.monotonic(), True
        for t in self.threads:
            t.join()
        return [(t, (u or 1e9) - t, m) for t, u, m in self.out.values()]


def good(rows):
    return [r for r in rows if r[2] and r[2].addresses == [GOOD]]


def dies(server, how):
    if how == "silent":
        server.mute = True
    else:
        server.close()


def comes_back(server, how):
    if how == "silent":
        server.mute = False
    else:
        server.open()


@h.case
def service_is_back_when_the_only_server_is():
    for how in ("silent", "closed"):
        asker = Asker("good.test")
        time.sleep(0.3)
        down = time.monotonic()
        dies(main, how)
        time.sleep(1.2 if how == "silent" else 0.6)
        up = time.monotonic()
        comes_back(main, how)
        time.sleep(0.4)
        rows = asker.stop()
        before = [r for r in rows if r[0] + r[1] < down]
        lost = [r for r in rows if r not in good(rows)]
        after = [r for r in rows if r[0] >= up + 0.02]
        print(f"# {how} for {up - down:.1f} s: {len(rows)} asked, {len(lost)} lost, "
              f"the last of them {max((r[0] for r in lost), default=up) - up:+.3f} s from its return, "
              f"slowest after it {max(r[1] for r in after):.3f} s", flush=True)
        assert before and lost, "the outage was seen"
        h.same([(r[0] - up, r[2] and r[2].status) for r in after if r not in good(rows)], [], f"{how}: lost after its return")
        assert all(r[1] < 0.25 for r in after), f"{how}: {max(r[1] for r in after):.2f} s after its return"
        assert all(r[2] for r in rows), "each query has some answer"


@h.case
def of_two_servers_one_may_always_be_dead():
    """From time to time they change places in one moment, so that the one which has been given up is
    all there is."""
    for how in ("silent", "closed"):
        asker, start, changes = Asker("two.test"), time.monotonic(), []
        time.sleep(0.3)
        for dead in (main, second, main):
            changes.append(time.monotonic() - start)
            dies(dead, how)
            time.sleep(1.4)
            begin = len(dead.asked)
            comes_back(dead, how)
        time.sleep(0.3)
        rows = asker.stop()
        slow = sorted(r[1] for r in rows)
        print(f"# {how}: {len(rows)} asked, {len(rows) - len(good(rows))} lost, p50 {slow[len(slow) // 2] * 1e3:.1f} ms, "
              f"p99 {slow[len(slow) * 99 // 100] * 1e3:.0f} ms, slowest {slow[-1]:.2f} s", flush=True)
        # A question that the dying one had read may be lost with it, and no other.
        lost = [r for r in rows if r not in good(rows) and not any(r[0] <= start + c <= r[0] + r[1] for c in changes)]
        h.same([(f"{r[0] - start:.3f} s", f"{r[1]:.3f} s", r[2] and (r[2].status, r[2].ede)) for r in lost][:5], [],
               f"{how}: lost, when asked, after; places changed at {', '.join(f'{c:.3f}' for c in changes)}")
        # Whoever has come back is asked again, within the time that probing has.
        h.until("the server that has come back is asked", lambda: (ask(fresh("ok", "two.test")), len(main.asked) > begin)[1], 5)


# ---------------------------------------------------------------- TCP

@way
def hang(enemy, q, tcp):
    return None if tcp else message(q, flags=0x8380)


@way
def drip(enemy, q, tcp):
    """One octet a second, and it never closes."""
    def slow(conn):
        own = message(q, [a(parts(q)[0], BAD)])
        for octet in struct.pack(">H", len(own)) + own:
            conn.sendall(bytes([octet]))
            time.sleep(1)
    return slow if tcp else message(q, flags=0x8380)


@way
def flood(enemy, q, tcp):
    """The answer, and then what nobody asked for, as fast as it is taken."""
    def pour(conn):
        own = message(q, [a(parts(q)[0])])
        conn.sendall(struct.pack(">H", len(own)) + own)
        junk = b"".join(struct.pack(">H", 40) + rnd.randbytes(40) for _ in range(1000))
        for _ in range(500):
            conn.sendall(junk)
            poured[0] += len(junk)
    return pour if tcp else message(q, flags=0x8380)


poured = [0]


@h.case
def connections_that_hang_are_nobody_elses_trouble():
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.1.0.1", 53))
    before, mem = counters(), rss(pid)
    for i in range(400):
        s.send(h.question(fresh(("hang", "drip")[i % 2]), qid=i))
        time.sleep(0.002)
    victims = Asker("good.test", "app2", "tcrecords", 0.02)
    time.sleep(2.5)
    rows = victims.stop()
    after = counters()
    slow = max(r[1] for r in rows)
    print(f"# 400 hang, {len(rows)} of another workload's by TCP: {len(rows) - len(good(rows))} lost, slowest {slow:.2f} s; "
          f"{after['limit_upstream'] - before['limit_upstream']} found no place, RSS +{(rss(pid) - mem) >> 10} KiB", flush=True)
    h.same([(r[2] and (r[2].status, r[2].ede)) for r in rows if r not in good(rows)][:5], [], "lost")
    # Whoever shares a connection with one that hangs gives it up after 1.5 s and has one alone.
    assert slow < 4, f"{slow:.1f} s"
    assert rss(pid) - mem < GROWTH, f"it grew by {rss(pid) - mem} octets"
    s.close()


@h.case
def a_server_that_pours_is_cut_off():
    before = counters()
    spent = cpu(pid)
    for _ in range(5):
        h.same(ask(fresh("flood")).addresses, [GOOD])
    time.sleep(0.5)
    spent = cpu(pid) - spent
    strays = counters()["upstream_mismatch"] - before["upstream_mismatch"]
    print(f"# 5 connections that pour: {poured[0] >> 10} KiB taken, {strays} messages looked at, {spent * 1e3:.0f} ms", flush=True)
    assert 5 <= strays <= 5 * 66, f"{strays} messages were looked at"
    assert spent < 0.5, f"{spent:.2f} s"


# ---------------------------------------------------------------- work and memory

LABELS = ".".join(["a"] * 40)  # 40 labels that names share


def big(*rrs, sections=None, rcode=0):
    """By TCP only: the question, then records already laid out; sections: how many of each."""
    def make(enemy, q, tcp):
        if not tcp:
            return message(q, flags=0x8380)
        out = message(q, rcode=rcode)
        at = len(parts(q)[2]) + 12
        body, counts = rrs[0](q, at)
        out = out[:6] + struct.pack(">HHH", *counts) + out[12:] + body
        assert len(out) <= 65535, len(out)
        return out
    return make


def zone_at(q):
    return 12 + len(parts(q)[2]) - 4 - 11  # "good.test." in the question


def labels_at(q, skip):
    return 12 + 1 + q[12] + 2 * skip  # behind the first label, and so many of the "a"s


def sig(covered, labels):
    return struct.pack(">HBBIIIH", covered, 13, labels, 300, 2000000000, 1, 1) + h.name_wire("good.test") + b"s" * 8


def rows(records):
    """As they are, but for one of another type after each 250: a longer row of one type is refused before
    it costs anything. Returns octets and number."""
    parted = [r if i % 250 else raw_rr(pointer(12), 16, b"\1x") + r for i, r in enumerate(records)]
    return b"".join(parted), len(records) + (len(records) + 249) // 250


def hops(q, at):
    body, n = rows([raw_rr(pointer(12), 15, struct.pack(">H", i % 200) + pointer(12)) for i in range(990)])
    return body, (n, 0, 0)


def proofs(q, at):
    soa = h.name_wire("n.good.test") + h.name_wire("m.good.test") + struct.pack(">5I", 1, 2, 3, 4, 60)
    body = raw_rr(pointer(zone_at(q)), 6, soa)
    more, n = rows([raw_rr(b"\3%03x" % min(i, 249) + pointer(labels_at(q, 2)), 47, b"\0\0\1\x40") for i in range(1900)])
    return body + more, (0, 1 + n, 0)


def wildcards(q, at):
    """A chain of twelve links made from wildcards, each of which brings all proofs."""
    body, owner, n = b"", pointer(12), 0
    for i in range(12):
        target = b"\2%02d" % i + pointer(labels_at(q, 2))
        body += raw_rr(owner, 5, target)
        owner = pointer(at + len(body) - len(target))
        body += raw_rr(owner if i == 99 else (pointer(12) if i == 0 else last), 46, sig(5, 2))
        last, n = owner, n + 2
    more, n_more = rows([raw_rr(b"\3%03x" % min(i, 250) + pointer(labels_at(q, 2)), 47, b"\0\0\1\x40") for i in range(1850)])
    return body + more, (n, n_more, 0)


def dnames(q, at):
    body, n = rows([raw_rr(b"\2%02x" % (i % 256) + pointer(labels_at(q, i % 8)), 39, b"\0") for i in range(1900)])
    return body, (n, 0, 0)


def alike(q, at):
    """One RRset of 250 strings that differ in their last octets."""
    return b"".join(raw_rr(pointer(12), 16, b"\xe0" + b"x" * 220 + b"%04d" % i) for i in range(250)), (250, 0, 0)


def again(q, at):
    body, n = rows([raw_rr(pointer(12), 1, struct.pack(">I", 0x2c800000 + i % 255)) for i in range(1900)])
    return body, (n, 0, 0)


def many(q, at):
    return b"".join(raw_rr(pointer(12), 1, struct.pack(">I", 0x2c800000 + i)) for i in range(1000)), (1000, 0, 0)


def hints(q, at):
    return raw_rr(pointer(12), 65, struct.pack(">H", 1) + b"\0" + struct.pack(">HH", 4, 64000) +
                  b"".join(struct.pack(">I", 0x2c800000 + i * 7919 % 65536) for i in range(16000))), (1, 0, 0)


def collide(q, at):
    """Suffixes that a simple hash cannot tell apart, for whoever compresses names with one."""
    def label(k):
        return bytes([62]) + b"".join(b"2@" if k >> (30 - i) & 1 else b"1a" for i in range(31))
    return b"".join(raw_rr(pointer(12), 15, struct.pack(">H", i) + label(i) * 3 + pointer(zone_at(q))) for i in range(230)), (230, 0, 0)


def fill(q, at):
    return raw_rr(pointer(12), 1, socket.inet_aton(GOOD)) + b"".join(
        raw_rr(h.name_wire(f"x{i}.good.test"), 16, b"\xe0" + b"x" * 224) for i in range(250)), (1, 250, 0)


COSTLY = [("fill", fill, 1, "NOERROR"), ("hops", hops, 15, "NOERROR"), ("proofs", proofs, 1, "NOERROR"),
          ("wildcards", wildcards, 1, None), ("dnames", dnames, 1, None), ("alike", alike, 16, None),
          ("again", again, 1, None), ("many", many, 1, "SERVFAIL"), ("hints", hints, 65, None),
          ("collide", collide, 15, "NOERROR")]
for stem, f, _, _ in COSTLY:
    WAYS[stem] = big(f)


@h.case
def the_worst_message_costs_milliseconds():
    rounds, mem = 10, rss(pid)
    ask(fresh("fill"), do=True, tcp=True)
    for stem, _, qtype, status in COSTLY:
        main.asked.clear()
        spent = cpu(pid)
        for _ in range(rounds):
            m = ask(f"{stem}{rnd.randrange(1 << 40)}.{LABELS}.good.test", {1: "A", 15: "MX", 16: "TXT", 65: "HTTPS"}[qtype],
                    do=True, tcp=True)
            if status:
                h.same(m.status, status, stem)
        n_messages = sum(1 for nm, _, p, _, _ in main.asked if p == "tcp" and nm.startswith(stem))
        spent = (cpu(pid) - spent) / max(n_messages, 1)
        print(f"# {stem:10} {n_messages:4} messages, {spent * 1e3:6.2f} ms each, the last: {m.status} {m.ede}", flush=True)
        assert n_messages >= rounds, f"{stem}: {n_messages} messages by TCP"
        assert spent < CPU_MESSAGE, f"{stem}: {spent * 1e3:.0f} ms a message"
    print(f"# RSS {mem >> 20} -> {rss(pid) >> 20} MiB", flush=True)
    assert rss(pid) - mem < GROWTH, f"it grew by {rss(pid) - mem} octets"


@way
def fat(enemy, q, tcp):
    """A link of 60 KB (signatures), then the next; the last one never comes."""
    first, rest = parts(q)[0].split(".", 1)
    stem, number = first.split("-")
    if int(number) == 11:
        return None
    if not tcp:
        return message(q, flags=0x8380)
    target = f"{stem}-{int(number) + 1}.{rest}"
    return message(q, [h.rr(parts(q)[0], "CNAME", 60, target)] +
                   [raw_rr(pointer(12), 46, sig(5, 3) + b"%04d" % i + rnd.randbytes(200)) for i in range(240)])


@h.case
def waiting_queries_hold_a_bounded_memory():
    mem, count, peak = rss(pid), 150, 0
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.1.0.1", 53))
    for i in range(count):
        s.send(h.question(f"fat{rnd.randrange(1 << 40)}-0.good.test", qid=i))
        time.sleep(0.002)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        peak = max(peak, rss(pid))
        time.sleep(0.1)
    print(f"# {count} chains of fat links: RSS {mem >> 20} -> {peak >> 20} MiB", flush=True)
    assert peak - mem < 2 * GROWTH, f"it grew by {(peak - mem) >> 20} MiB"
    h.same(ask(fresh("ok")).addresses, [GOOD])
    s.close()


@h.case
def it_is_the_same_process_and_opened_no_bad_address():
    h.same(sp.role_pid("resolver"), pid, "the resolver's pid")
    opened = h.nft("gw", "list", "set", "inet", "sallyport", "pinhole4")
    assert BAD not in opened and SECRET not in opened, "a lie was opened"


@h.after
def end(failed):
    if failed:
        print("\n".join(l for l in sp.logs().splitlines() if "tag=upstream" not in l))
    sp.down()


h.main()
