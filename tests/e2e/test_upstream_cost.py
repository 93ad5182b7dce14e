"""The upstream as an enemy: work and memory have their bounds. The figures are printed, and bound."""
import os, socket, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

h.enter(os.path.abspath(__file__), seconds=200)
from upstream_world import *

CPU_MESSAGE = 0.030  # seconds of processor time that one message of 64 KB may cost, recording included


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


main_and_the_end()
