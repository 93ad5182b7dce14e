"""Clients as enemies: what a workload, or a stranger, can do to the listeners costs the others nothing
beyond the limits that the configuration names, and all of it is counted."""
import os, random, resource, select, signal, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

LONG = bool(os.environ.get("CLIENTS_LONG"))  # ./dev soak clients: every length, longer floods
h.enter(os.path.abspath(__file__), seconds=900 if LONG else 240)
n.build()
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

CONFIG = n.CONFIG.replace("  guard:", "  ack_timeout: 2s\n  guard:") + """\
limits: {tcp_connections: 900, tcp_idle: 20s}
"""
POLICY = n.POLICY + "".join(f"  w{i}: {{source: 10.9.{i // 250}.{i % 250 + 1}, profile: open}}\n" for i in range(1000))
BIG = [f"{i:03d}" + "x" * 200 for i in range(12)]

# `app` has every address of 10.9.0.0/16.
h.route("gw", "10.9.0.0/16", "10.1.0.2")
h.run(["ip", "route", "add", "local", "10.9.0.0/16", "dev", "lo"], ns="app")

up = n.answerer(ttl=300)
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)


def counters():
    return sp.json("status")[0]["counters"]


def sums(**want):
    """Queries in the history by what `want` says of a row's fields; gap rows are left out."""
    rows = [r for r in sp.json("history", "--limit", "10000000") if "verdict" in r]
    return sum(r.get("count", 0) for r in rows if all(r.get(k) == v for k, v in want.items()))


def dropped_in_gaps():
    return sum(r["kernel_drops"] for r in sp.json("history", "--limit", "10000000") if "kernel_drops" in r)


def udp(ns="app", source="10.1.0.2", server=n.DNS4):
    with h.inside(ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        s.bind((source, 0))
    s.connect((server, 53))
    return s


def drain(s, seconds=0.5, most=1 << 20):
    """What comes until nothing has come for so long."""
    got = []
    while len(got) < most and select.select([s], [], [], seconds)[0]:
        got.append(s.recv(65535))
    return got


def resident_kib(role="resolver"):
    with open(f"/proc/{sp.role_pid(role)}/status") as f:
        return int(next(l for l in f if l.startswith("VmRSS:")).split()[1])


@h.case
def what_waited_over_4_s_in_the_kernel_is_dropped_and_counted():
    s, before, gaps = udp(), counters(), dropped_in_gaps()
    pid = sp.role_pid("resolver")
    os.kill(pid, signal.SIGSTOP)
    try:
        for i in range(50):
            s.send(h.question(f"old{i}.denied.test", qid=i))
        time.sleep(4.15)  # a role that is silent for 5 s is replaced
        for i in range(50, 90):
            s.send(h.question(f"new{i}.denied.test", qid=i))
    finally:
        os.kill(pid, signal.SIGCONT)
    h.same(sorted(h.Message(m).id for m in drain(s)), list(range(50, 90)), "answered")
    now = counters()
    h.same(now["dropped_old"] - before["dropped_old"], 50, "dropped as old")
    h.same(now["kernel_drops"] - before["kernel_drops"], 0, "lost by the kernel")
    h.until("the gap rows hold them", lambda: dropped_in_gaps() - gaps == 50, 5, 0.2)
    h.same(sums(client="10.1.0.2", verdict="deny"), 40, "in the history")
    h.same(sp.role_pid("resolver"), pid, "the same process")


def padded(length, qid):
    """A query of exactly so many octets, filled up by a padding option (RFC 7830)."""
    bare = h.question("x7.good.test", qid=qid)
    return h.question("x7.good.test", qid=qid, options=struct.pack(">HH", 12, length - len(bare) - 4) +
                      bytes(length - len(bare) - 4)) if length >= len(bare) + 4 else None


def lengths(most):
    if LONG:
        return range(most + 1)
    return sorted({*range(0, 2200), *range(2200, most, 61), *range(most - 20, most + 1),
                   *(2 ** i + d for i in range(11, 16) for d in (-1, 0, 1))})


@h.case
def datagrams_of_every_length_are_answered_or_dropped_and_all_are_counted():
    rng, s, before = random.Random(9), udp(), counters()
    pid, rss = sp.role_pid("resolver"), resident_kib()
    sent = got = formerr = noerror = 0
    rows = sums()
    noise = rng.randbytes(70000)
    chunk = octets = 0

    def wait():
        """Until what was sent so far has been read: one flow is served in its order."""
        nonlocal got, formerr, noerror, sent
        s.send(h.question(f"barrier{sent}.denied.test", qid=0xBEEF))
        sent += 1
        wire = h.name_wire(f"barrier{sent - 1}.denied.test")
        while True:
            assert select.select([s], [], [], 3)[0], "the barrier is not answered"
            m = s.recv(65535)
            got += 1
            formerr += m[3] & 15 == 1
            noerror += m[3] & 15 == 0
            if m[12:12 + len(wire)] == wire:
                return
    for length in lengths(65507):
        whole = padded(length, length & 0xFFFF)
        for msg in (noise[:length], bytes(length), whole):
            if msg is None:
                continue
            s.send(msg)
            sent, chunk, octets = sent + 1, chunk + 1, octets + len(msg)
            if chunk >= 50 or octets > 500000:  # less than the kernel's buffer holds
                wait()
                chunk = octets = 0
    wait()
    now = counters()
    delta = {k: now[k] - before[k] for k in ("queries_udp", "answers", "dropped_malformed", "kernel_drops", "formerr")}
    h.same((delta["queries_udp"], delta["kernel_drops"]), (sent, 0), "read")
    h.same(delta["answers"] + delta["dropped_malformed"], sent, f"answered or dropped: {delta}")
    h.same(got, delta["answers"], "answers that came")
    assert noerror > 1900 and formerr > 1000, f"{noerror} answered, {formerr} FORMERR of {sent}"
    h.until("all are in the history", lambda: sums() - rows == sent, 8, 0.5)
    h.same(sp.role_pid("resolver"), pid, "the same process")
    grown = resident_kib() - rss
    assert grown < 16384, f"the resolver grew by {grown} KiB"


@h.case
def TCP_messages_of_every_length_keep_the_stream_in_step():
    rng, before = random.Random(10), counters()
    pid, rss, sent, answered = sp.role_pid("resolver"), resident_kib(), 0, 0
    noise = rng.randbytes(70000)
    with h.inside("app"):
        s = socket.create_connection((n.DNS4, 53), timeout=5)

    def read(count):
        for _ in range(count):
            head = h._exactly(s, 2)
            assert head, f"closed after {answered} answers"
            h._exactly(s, struct.unpack(">H", head)[0])
    waiting = 0
    for length in lengths(65535):
        if length < 12:
            continue
        noisy = struct.pack(">H", length & 0xFFFF) + bytes([0]) + noise[:length - 3]  # a query: QR is 0
        for msg in filter(None, (noisy, padded(length, length & 0xFFFF))):
            s.sendall(struct.pack(">H", len(msg)) + msg)
            sent += 1
            waiting += 1
            if waiting == 32:
                read(32)
                waiting = 0
                answered += 32
    read(waiting)
    # What is too short for a header ends the connection, for whoever sends it does not speak DNS.
    for length in range(12):
        with h.inside("app"):
            short = socket.create_connection((n.DNS4, 53), timeout=5)
        short.sendall(struct.pack(">H", length) + noise[:length])
        h.same(short.recv(100), b"", f"after {length} octets")
        short.close()
        sent += 1
    s.close()
    now = counters()
    h.same(now["queries_tcp"] - before["queries_tcp"], sent, "read")
    h.same(now["answers"] - before["answers"], sent - 12, "answered")
    h.same(sp.role_pid("resolver"), pid, "the same process")
    grown = resident_kib() - rss
    assert grown < 16384, f"the resolver grew by {grown} KiB"


@h.case
def a_thousand_workloads_ask_at_once():
    socks = {}
    for i in range(1000):
        s = udp(source=f"10.9.{i // 250}.{i % 250 + 1}")
        socks[s] = i
        for k in range(5):  # each its own names, and one that all share
            s.send(h.question(f"x{20000 + i * 4 + k}.good.test" if k < 4 else "x7.good.test", qid=k))
    left, end = 5000, time.monotonic() + 10
    while left and time.monotonic() < end:
        for s in select.select(list(socks), [], [], 0.2)[0]:
            m, i = h.Message(s.recv(4096)), socks[s]
            want = 20000 + i * 4 + m.id if m.id < 4 else 7
            h.same(m.addresses, [f"44.128.{want >> 8}.{want & 255}"], f"{m.status} {m.ede} for client {i}")
            left -= 1
    h.same(left, 0, "unanswered")
    held = [p for p in sp.json("pinholes") if p["workload"].startswith("w")]
    h.same(len(held), 10000, "pinholes: two ports for each address")
    for s in socks:
        s.close()


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
