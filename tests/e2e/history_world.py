"""Mixed queries, what the history keeps of them, and disks of their own: what test_history_*.py share.
Import it after h.enter()."""
import glob, os, sqlite3, subprocess, threading, time
from collections import Counter

import harness as h
import network as n

n.build()
up = n.answerer(ttl=300)
POLICY = """\
version: 1
profiles:
  mixed:
    pinhole: {per_workload: 300000, floor: 1s, grace: 60s, max: 2d}
    allow:
      - {zone: good.test, ports: [udp/4000]}
      - {zone: open.test, ports: [none]}
      - {zone: listed.test, ports: [none]}
    deny:
      - {zone: evil.good.test}
    feeds: [malware]
feeds:
  malware: {file: malware.txt, format: domains}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: mixed}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: mixed}
"""
SERVER = {"app": "10.1.0.1", "app2": "10.1.1.1", "stranger": "10.66.0.1"}


def begin(name, build=None):
    sp = h.Sallyport("gw", n.CONFIG, name=name, build=build).up()
    with open(os.path.join(sp.dir, "malware.txt"), "w") as f:
        f.write("".join(f"f{i}.listed.test\n" for i in range(100)))
    sp.apply(POLICY)
    return sp


# ---------------------------------------------------------------- what was asked, what was kept

_runs = 0


class Mixed:
    """A closed loop of queries of every kind; what was sent and answered, by (name, type, verdict)."""

    def __init__(self, ns, count, window=128, timeout_ms=1000):
        global _runs
        _runs += 1
        self.out = h.work(f"mixed{_runs}")
        self.p = subprocess.Popen(
            ["ip", "netns", "exec", ns, os.path.join(n.TOOLS, "mixer"), SERVER[ns], "53", str(_runs),
             str(count), str(window), str(timeout_ms), self.out], stdout=subprocess.PIPE, text=True)
        h._started.append(self.p)

    def result(self, limit=180):
        said, _ = self.p.communicate(timeout=limit)
        h._started.remove(self.p)
        assert self.p.returncode == 0, f"mixer ended with {self.p.returncode}"
        self.said = dict(w.split("=") for w in said.split())
        self.sent, self.answered, self.rcodes = Counter(), Counter(), Counter()
        types = {str(v): k for k, v in h.TYPES.items()}
        with open(self.out) as f:
            for line in f:
                name, qtype, verdict, _proto, rcode = line.split()
                key = (name, types.get(qtype, "-"), verdict) if name != "-" else ("-", "-", verdict)
                self.sent[key] += 1
                self.rcodes[int(rcode)] += 1
                if int(rcode) >= 0:
                    self.answered[key] += 1
        return self


def files(sp, what="*"):
    return sorted(glob.glob(os.path.join(sp.dir, "state", "history", f"????-??-??.{what}.db")))


def select(sp, sql):
    """Rows of all files, by the documented views, as an analyst opens them."""
    rows = []
    for path in files(sp):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            rows += db.execute(sql).fetchall()
        except sqlite3.OperationalError as e:
            if "no such table" not in str(e):  # it is being made just now
                raise
        db.close()
    return rows


def kept(sp):
    sums = Counter()
    for name, qtype, verdict, count in select(
            sp, "SELECT name, type, verdict, sum(count) FROM queries GROUP BY 1, 2, 3"):
        sums[(name, qtype, verdict) if name else ("-", "-", verdict)] += count
    return sums


def gaps(sp):
    """Queries in gap rows by cause; what the kernel dropped apart."""
    lost = Counter()
    for cause, count, drops in select(
            sp, "SELECT cause, sum(deny + allow + local), sum(kernel_drops) FROM gaps GROUP BY 1"):
        lost[cause] += count
        lost["datagrams"] += drops
    return +lost


def wait_for(sp, total, seconds=20, base=0):
    """Until the rows and gaps of the history hold so many queries (or no more come)."""
    end, last = time.monotonic() + seconds, None
    while True:
        got = sum(kept(sp).values()) + sum(gaps(sp).values()) - base
        if got >= total or time.monotonic() > end:
            return got
        time.sleep(0.5)


def difference(got, want):
    """The first few keys in which two counters differ, for people."""
    keys = [k for k in got.keys() | want.keys() if got[k] != want[k]]
    return len(keys), [(k, got[k], want[k]) for k in sorted(keys)[:6]]


class Load(threading.Thread):
    """Rounds of mixed queries from one workload until it is told to stop."""

    def __init__(self, ns, count=10000, window=32, timeout_ms=400):
        super().__init__(daemon=True)
        self.args, self.ending = (ns, count, window, timeout_ms), threading.Event()
        self.sent, self.answered, self.rcodes, self.error = Counter(), Counter(), Counter(), None
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                r = Mixed(*self.args).result()
                self.sent += r.sent
                self.answered += r.answered
                self.rcodes += r.rcodes
        except BaseException as e:
            self.error = e

    def end(self):
        self.ending.set()
        self.join(60)
        assert not self.error, self.error
        return self


class Trouble:
    """What the history had when trouble began; afterwards, what it must have: with the resolver alive
    every query that was read is a row or counted in a gap row, exactly.
        for each name, type and verdict:   rows <= sent
        in all:                            rows + gaps == sent
    """

    def __init__(self, system):
        self.sp, self.before, self.lost = system, kept(system), gaps(system)

    def settle(self, runs, seconds=25):
        sent = Counter()
        for r in runs:
            sent += r.sent
        wait_for(self.sp, sum(sent.values()), seconds, sum(self.before.values()) + sum(self.lost.values()))
        time.sleep(1.5)  # were there one too many, it would come now
        rows, lost = kept(self.sp), gaps(self.sp)
        rows.subtract(self.before)
        lost.subtract(self.lost)
        lost = +lost
        twice = [(k, rows[k], sent[k]) for k in rows if rows[k] > sent[k]]
        assert not twice, f"{len(twice)} counted twice (what, rows, sent): {twice[:5]}"
        total, gone = sum(rows.values()), sum(lost.values())
        h.same(total + gone, sum(sent.values()), f"rows {total} + gaps {dict(lost)} and sent")
        self.rows, self.gaps = rows, lost
        return f"rows {total}, gaps {dict(lost)}"


def served(run):
    """Everything was answered; a pinhole that could not be confirmed in time under such a load is SERVFAIL,
    which is an answer and a row."""
    h.same(run.rcodes[-1], 0, f"unanswered: {run.rcodes}")
    assert run.rcodes[2] * 10000 <= sum(run.rcodes.values()), f"failed: {run.rcodes}"


def reach(sp, address="44.128.255.251"):
    return n.udp_passes("app", address, 4000, timeout=0.3)


def small_disk(name, size):
    """A system whose history lies on a file system of its own."""
    folder = os.path.join(h.work(name), "state", "history")
    os.makedirs(folder)
    os.chmod(h.work(name), 0o755)
    h.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder])
    return begin(name), folder
