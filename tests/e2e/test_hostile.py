"""Hostile octets from both sides: clients that send anything, upstreams that answer anything.

The resolver must go on answering, in the same process, with the same memory, and must never give an
address that was not asked for by an allowed name.
"""
import os, random, select, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
from enemy import *

h.enter(os.path.abspath(__file__), seconds=120)
n.build()

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("SECONDS", "4"))
SLACK = 1.0  # seconds: one process plays the upstream and all clients
GROWTH = 12 << 20  # caches of 4 MiB (at least), one for each worker beside the shared one
CONFIG = n.CONFIG + "cache: {size: 4MiB}\nlimits: {tcp_idle: 2s}\n"
print(f"# SEED={SEED}", flush=True)


# ---------------------------------------------------------------- an upstream that answers anything

def mutated(rnd, msg, flips=None):
    out = bytearray(msg)
    for _ in range(flips or rnd.choice((1, 2, 4, 16))):
        way = rnd.randrange(4)
        if not out:
            break
        at = rnd.randrange(len(out))
        if way == 0:
            out[at] = rnd.randrange(256)
        elif way == 1:
            out[at] ^= 1 << rnd.randrange(8)
        elif way == 2:
            del out[at:at + rnd.randrange(1, 9)]
        else:
            out[at:at] = rnd.randbytes(rnd.randrange(1, 9))
    return bytes(out)


def drip(octets):
    """One octet a second."""
    def slow(conn):
        for octet in struct.pack(">H", len(octets)) + octets:
            conn.sendall(bytes([octet]))
            time.sleep(1)
    return slow


def hostile(enemy, q, tcp):
    """What is sent back: see enemy.py."""
    name, qtype, question = parts(q)
    way = way_of(name)
    own = message(q, [a(name)] if qtype == 1 else [], authority=() if qtype == 1 else [h.soa("good.test")])
    lie = message(q, [a(name, BAD)])
    if way == "ok":
        return [own]
    if way == "garbage":
        return [q[:2] + rnd.randbytes(rnd.randrange(1200))]
    if way == "noise":
        return [rnd.randbytes(rnd.randrange(1400))]
    if way == "short":
        return [own[:rnd.randrange(len(own))]]
    if way == "tc":
        return [own if tcp else message(q, [a(name, BAD)], flags=0x8380)]
    if way == "tcloop":
        return [message(q, [a(name, BAD)], flags=0x8380)]
    if way == "late":
        return [(2.5, own)]
    if way == "twice":
        return [own, own, lie, lie]
    if way == "wrongid":
        return [own if tcp else bytes([q[0] ^ 1]) + lie[1:]]
    if way == "wrongquestion":
        return [own if tcp else message(q, [a("other.good.test", BAD)], question=h.name_wire("other.good.test") + b"\0\1\0\1")]
    if way == "wrongcase":
        return [message(q, [a(name, GOOD if tcp else BAD)], question=h.name_wire(name) + question[-4:])]
    if way == "notcp":  # and a wrong ID on UDP
        return [] if tcp else [bytes([q[0] ^ 1]) + lie[1:]]
    if way in ("big", "bigcut"):
        if not tcp:
            return [message(q, [], flags=0x8380)]
        fill = [h.rr("x" * 20 + f"{i}.good.test", "TXT", 60, "y" * 200) for i in range(290)]
        return [message(q, [a(name)], authority=fill)[:65535] if way == "bigcut" else message(q, [a(name)], authority=fill[:250])]
    if way == "loop":
        other = name.replace("loop", "pool", 1)
        return [message(q, [h.rr(name, "CNAME", 60, other)])]
    if way == "pool":
        return [message(q, [h.rr(name, "CNAME", 60, name.replace("pool", "loop", 1))])]
    if way == "self":
        return [message(q, [h.rr(name, "CNAME", 60, name)])]
    if way == "chain":
        first, rest = name.split(".", 1)
        number, of = first[5:].split("-")
        return [message(q, [h.rr(name, "CNAME", 60, f"chain{int(number) + 1}-{of}.{rest}")])]
    if way == "chainone":
        rrs = [h.rr(name if i == 0 else f"l{i}.{name}", "CNAME", 60, f"l{i + 1}.{name}") for i in range(100)]
        rrs.append(a(f"l100.{name}", BAD))
        return [message(q, rrs) if tcp else message(q, [], flags=0x8380)]
    if way == "many":
        rrs = [a(name, f"44.128.{100 + i // 250}.{i % 250}") for i in range(1000)]
        return [message(q, rrs) if tcp else message(q, [], flags=0x8380)]
    if way == "pointers":
        forward = b"\xc0" + bytes([rnd.randrange(256)])
        rrs = [forward + struct.pack(">HHIH", rnd.choice((1, 5, 39, 65)), 1, 60, 4) + b"\xc0\x0c\xc0" + rnd.randbytes(1)
               for _ in range(50)]
        return [message(q, rrs)]
    if way == "dname":
        return [message(q, [h.rr("good.test", "DNAME", 60, ".".join(["z" * 60] * 4))])]
    if way == "counts":
        return [message(q, [a(name, BAD)], counts=(1, rnd.randrange(2, 65536), rnd.randrange(65536), rnd.randrange(65536)))]
    if way == "rcode":
        return [message(q, [a(name, BAD)], rcode=rnd.choice((1, 2, 4, 5, 6, 9, 15)))]
    if way == "query":
        return [message(q, [a(name, BAD)], flags=rnd.choice((0x0180, 0x2180, 0xf980)))]
    if way == "foreign":
        return [message(q, [a("bank.test", BAD), a(name)], authority=[a("ns.bank.test", BAD)])]
    if way == "mutated":
        return [mutated(rnd, message(q, [h.rr(name, "CNAME", 60, "ok1.good.test"), a("ok1.good.test"),
                                         h.https_rr(name, 60, v4=[GOOD])], authority=[h.soa("good.test")]))[:65535]]
    if way in ("slow", "hang", "close") and not tcp:
        return [message(q, [], flags=0x8380)]
    if way == "slow":
        return [drip(message(q, [a(name, BAD)]))]
    if way == "close":
        return [lambda conn: conn.shutdown(socket.SHUT_RDWR)]
    return []  # silent, hang


# Which are answered, and by when, in seconds: an answer needs
#   one send by UDP (the upstream answers at once, and what comes with it or after it is ignored);
FIRST = {"ok": 1, "twice": 1, "foreign": 1}
#   the first send's own answer, 2.5 s later, while the later ones are out: its socket stays open;
LATE = {"late": 3.5}
#   one send by TCP behind the one by UDP. The connection is shared with questions of the ways that
#   close it (then it is asked once more, alone) or hold it up (then that happens after 1.5 s). Two of
#   the six sends are TCP's however many went by UDP, so nothing but the deadline, 4.5 s, ends it.
BY_TCP = {"tc": 4.5, "wrongid": 4.5, "wrongquestion": 4.5, "wrongcase": 4.5, "big": 4.5}
ANSWERED = {**FIRST, **LATE, **BY_TCP}
# Nothing that these say is an answer: SERVFAIL, within 4.5 s or, for a chain's links, the query's 6 s.
FAILS = {"garbage", "noise", "short", "tcloop", "notcp", "bigcut", "loop", "self", "chain", "chainone", "many",
         "pointers", "counts", "rcode", "query", "silent", "slow", "hang", "close"}
# What chance makes of a message may be one; its octets are looked at all the same.
EITHER = {"mutated", "dname"}
WAYS = [*ANSWERED, *sorted(FAILS | EITHER)]


rnd = random.Random(SEED)
up = Enemy("net", "44.128.0.53", hostile)
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(n.POLICY)


# ---------------------------------------------------------------- looking at the resolver

def answers_still(what):
    with h.inside("app"):
        name = f"ok{random.randrange(1 << 40)}.good.test"
        for tcp in (False, True):
            m = h.ask(n.DNS4, name, tcp=tcp)
            assert m and m.addresses == [GOOD], f"after {what}: {m and m.status} {m and m.ede}"


def looked_at(msg, query):
    """What came back must be a message to the query, and hold nothing that was not to be given."""
    assert len(msg) >= 12 and msg[2] & 0x80, "no response"
    assert msg[:2] == query[:2], "another one's ID"
    m = h.Message(msg)
    assert BAD not in m.addresses, f"{m.qname} {m.addresses}"
    if m.addresses and m.addresses not in (["127.0.0.1"], ["::1"]):
        assert m.qname.lower().endswith(".good.test."), f"{m.addresses} for {m.qname}"
    return m


pid = sp.role_pid("resolver")


# ---------------------------------------------------------------- clients

def queries(rnd):
    """One query after the other, each worse than the last."""
    cookie = struct.pack(">HH", 10, 8) + b"sallypor"
    base = [h.question("ok1.good.test"), h.question("ok2.good.test", "HTTPS", options=cookie, do=True),
            h.question("www.denied.test", "TXT"), h.question(".".join(["x" * 60] * 4), "AAAA", edns=False),
            h.question("ok3.good.test", "IXFR", options=cookie * 3), h.question("localhost", "ANY")]
    while True:
        kind = rnd.randrange(8)
        if kind < 5:
            yield mutated(rnd, rnd.choice(base))
        elif kind == 5:
            yield rnd.randbytes(rnd.randrange(64))
        elif kind == 6:
            yield rnd.choice(base)[:rnd.randrange(60)]
        else:
            yield rnd.choice(base) + rnd.randbytes(rnd.choice((1, 11, 500, rnd.randrange(65000))))


def storm_udp(seconds, rnd):
    """Returns how many were sent and answered."""
    with h.inside("app"):
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for s in socks:
        s.connect((n.DNS4, 53))
    six.connect((n.DNS6, 53))
    socks.append(six)
    sent = answered = 0
    pending, end, source = {}, time.monotonic() + seconds, queries(rnd)
    lengths = list(range(0, 1500)) + [2000, 4095, 4096, 4097, 8192, 16384, 32768, 65506, 65507]
    while time.monotonic() < end:
        for s in socks:
            q = rnd.randbytes(lengths[sent // 4 % len(lengths)]) if sent % 4 == 0 else next(source)[:65507]
            try:
                s.send(q[:65487 if s is six else 65507])
            except OSError:
                continue
            pending.setdefault(q[:2], []).append(q)
            sent += 1
        for s in select.select(socks, [], [], 0)[0]:
            msg = s.recv(65535)
            asked = pending.get(msg[:2])
            assert asked, "an answer to nothing"
            looked_at(msg, asked[0])
            answered += 1
        if sent % 5000 < len(socks):
            pending = dict(list(pending.items())[-2000:]) if len(pending) > 60000 else pending
    for s in socks:
        s.close()
    return sent, answered


def storm_tcp(seconds, rnd):
    source, end, opened = queries(rnd), time.monotonic() + seconds, 0
    lingering = []
    while time.monotonic() < end:
        with h.inside("app"):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(0.3)
        try:
            s.connect((n.DNS4, 53))
            opened += 1
            way = rnd.randrange(6)
            if way == 0:  # good queries pipelined, read at the end
                s.sendall(b"".join(struct.pack(">H", len(q)) + q for q in
                                   (h.question(f"ok{i}.good.test", qid=i) for i in range(100))))
                for _ in range(100):
                    head = h._exactly(s, 2)
                    msg = h._exactly(s, struct.unpack(">H", head)[0])
                    looked_at(msg, msg)
            elif way == 1:  # frames of every length, whole
                for _ in range(20):
                    q = rnd.randbytes(rnd.choice((0, 1, 11, 12, 13, 17, 511, 4096, 65535, rnd.randrange(65536))))
                    s.sendall(struct.pack(">H", len(q)) + q)
            elif way == 2:  # mutations
                for _ in range(50):
                    q = next(source)[:65535]
                    s.sendall(struct.pack(">H", len(q)) + q)
            elif way == 3:  # cut off in the middle
                q = next(source)
                s.sendall((struct.pack(">H", rnd.randrange(65536)) + q)[:rnd.randrange(1, 60)])
            elif way == 4:  # asks much, takes nothing
                for i in range(300):
                    q = h.question(f"many{i % 3}.good.test", qid=i)
                    s.sendall(struct.pack(">H", len(q)) + q)
            else:  # octet by octet
                q = h.question("ok1.good.test")
                for octet in struct.pack(">H", len(q)) + q:
                    s.send(bytes([octet]))
            if rnd.random() < 0.3:
                lingering.append(s)
                s = None
        except (OSError, TypeError):
            pass  # it may close on us
        finally:
            if s:
                if rnd.random() < 0.5:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
            while len(lingering) > 16:
                lingering.pop(0).close()
    for s in lingering:
        s.close()
    return opened


@h.case
def octets_of_every_length_and_mutated_queries_over_UDP():
    rnd = random.Random(SEED)
    storm_udp(SECONDS / 2, rnd)  # caches and pools grow to their size
    answers_still("the first storm")
    before = rss(pid)
    sent, answered = storm_udp(SECONDS, rnd)
    answers_still("the second storm")
    after = rss(pid)
    print(f"# {sent} sent, {answered} answered, RSS {before >> 20} -> {after >> 20} MiB", flush=True)
    assert sent > 3000 and answered > 500, f"{sent} sent, {answered} answered: no storm"
    assert after - before < GROWTH, f"it grew by {after - before} octets"


@h.case
def octets_of_every_length_and_mutated_queries_over_TCP():
    rnd = random.Random(SEED + 1)
    storm_tcp(SECONDS / 2, rnd)
    answers_still("the first storm")
    before = rss(pid)
    opened = storm_tcp(SECONDS, rnd)
    answers_still("the second storm")
    after = rss(pid)
    print(f"# {opened} connections, RSS {before >> 20} -> {after >> 20} MiB", flush=True)
    assert opened > 20, f"{opened} connections: no storm"
    assert after - before < GROWTH, f"it grew by {after - before} octets"


@h.case
def responses_sent_as_queries_are_not_answered():
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((n.DNS4, 53))
    q = h.question("ok1.good.test")
    s.send(q[:2] + b"\x81\x80" + q[4:])
    s.settimeout(0.3)
    try:
        raise AssertionError(f"answered: {s.recv(100)}")
    except socket.timeout:
        pass


# ---------------------------------------------------------------- upstreams

def ask_all(rounds, rnd):
    """Each way `rounds` times at once; returns (way, Message or None, seconds)."""
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
    s.connect((n.DNS4, 53))
    out, waiting, qid = [], {}, 0

    def take(until):
        while waiting and time.monotonic() < until:
            s.settimeout(max(0.0005, until - time.monotonic()))
            try:
                msg = s.recv(65535)
            except (socket.timeout, BlockingIOError):
                return
            way, q, asked = waiting.pop(struct.unpack(">H", msg[:2])[0])
            out.append((way, looked_at(msg, q), time.monotonic() - asked))

    begin = time.monotonic()
    for r in range(rounds):
        for way in WAYS:
            qid += 1
            number = rnd.randrange(1 << 30)
            name = f"chain0-{number}.good.test" if way == "chain" else f"{way}{number}.good.test"
            q = h.question(name, qid=qid)
            waiting[qid] = (way, q, time.monotonic())
            s.send(q)
            take(time.monotonic() + 0.002)
    take(begin + 9)
    s.close()
    return out + [(way, None, 9.0) for way, _, _ in waiting.values()]


@h.case
def an_upstream_that_answers_anything_costs_at_most_that_query():
    rnd = random.Random(SEED + 2)
    ask_all(3, rnd)
    before = rss(pid)
    got = ask_all(12, rnd)
    after = rss(pid)
    slowest = {way: max(t for w, _, t in got if w == way) for way in ANSWERED}
    print("# slowest: " + ", ".join(f"{way} {t:.2f} s" for way, t in slowest.items()), flush=True)
    print(f"# {len(got)} answers, RSS {before >> 20} -> {after >> 20} MiB, slowest "
          f"{max(t for _, _, t in got):.1f} s", flush=True)
    for way, m, seconds in got:
        assert m, f"{way}: no answer at all"
        assert seconds < 6.5, f"{way}: {m.status} after {seconds:.1f} s"
        if way in ANSWERED:
            h.same(m.addresses, [GOOD], f"{way} {m.status} {m.ede} after {seconds:.1f} s")
            assert seconds < ANSWERED[way] + SLACK, f"{way}: answered after {seconds:.1f} s"
        if way in FAILS:
            h.same((m.status, m.addresses), ("SERVFAIL", []), way)
    assert after - before < GROWTH, f"it grew by {after - before} octets"
    answers_still("a hostile upstream")


@h.case
def the_resolver_is_the_same_process_as_before_and_opened_no_bad_address():
    h.same(sp.role_pid("resolver"), pid, "the resolver's pid")
    assert BAD not in h.nft("gw", "list", "set", "inet", "sallyport", "pinhole4"), "a lie was opened"


@h.after
def end(failed):
    if failed:
        print("\n".join(l for l in sp.logs().splitlines() if "tag=upstream" not in l))
    sp.down()


h.main()
