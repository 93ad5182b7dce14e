"""Promise P4 under attack: exact counts of 200,000 mixed queries, deaths, full and slow disks, readers
that never end, little memory. HISTORY_QUERIES and HISTORY_KILLS make it longer (./dev soak history).
"""
import glob, os, signal, sqlite3, subprocess, sys, threading, time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

QUERIES = int(os.environ.get("HISTORY_QUERIES", "200000"))
KILLS = int(os.environ.get("HISTORY_KILLS", "4"))
GAP_S = float(os.environ.get("HISTORY_KILL_GAP", "0.8"))
h.enter(os.path.abspath(__file__), seconds=300 + QUERIES // 1000 + KILLS * 30)
n.build()
up = n.answerer(ttl=300)
POLICY = """\
version: 1
profiles:
  mixed:
    pinhole: {per_workload: 60000, floor: 1s, grace: 60s, max: 2d}
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


def begin(name, config=""):
    sp = h.Sallyport("gw", n.CONFIG + config, name=name).up()
    with open(os.path.join(sp.dir, "malware.txt"), "w") as f:
        f.write("".join(f"f{i}.listed.test\n" for i in range(100)))
    sp.apply(POLICY)
    return sp


sp = begin("first")

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
        rows += db.execute(sql).fetchall()
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


# ---------------------------------------------------------------- exact counts


@h.case
def mixed_queries_at_full_speed_are_in_the_history_with_exact_counts():
    """For each name, type and verdict: sum of count == sent, with nothing in gap rows and nothing
    dropped by the kernel."""
    begun = time.monotonic()
    runs = [Mixed("app", QUERIES // 2), Mixed("app2", QUERIES // 2)]
    sent = Counter()
    for r in runs:
        r.result()
        sent += r.sent
        h.same((r.said["lost"], r.said["reconnects"]), ("0", "1"), f"{r.said} {r.rcodes}")
    took = time.monotonic() - begun
    counters = sp.json("status")[0]["counters"]
    h.same((counters["kernel_drops"], counters["records_lost"], counters["dropped_old"]), (0, 0, 0))
    wait_for(sp, QUERIES)
    n_bad, bad = difference(kept(sp), sent)
    assert n_bad == 0, f"{n_bad} of {len(sent)} differ, as (what, kept, sent): {bad}; gaps {gaps(sp)}"
    h.same(gaps(sp), Counter())
    counters = sp.json("status")[0]["counters"]
    h.same(counters["history_malformed"], 0)
    print(f"    {QUERIES} queries of {len(sent)} kinds in {took:.1f} s, {counters['history_rows']} rows, "
          f"{counters['history_folded']} folded", flush=True)


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


def balance(before, lost_before, loads):
    """What must be true of the history whatever died meanwhile:
        for each name, type and verdict:   answered <= rows <= sent
        in all:                            answered <= rows + gaps <= sent
    A row is a record of its own, so the first line says that every answer that a client received is
    recorded and that nothing is counted twice. What was read and lost with a process (never answered),
    and what the kernel dropped, is in gap rows; what the kernel still held for a connection that died
    with the resolver was never read and is nowhere."""
    sent, answered = Counter(), Counter()
    for l in loads:
        sent += l.sent
        answered += l.answered
    wait_for(sp, sum(answered.values()), base=sum(before.values()) + sum(lost_before.values()))
    time.sleep(11)  # what has vanished is told when it has not come back for two windows of 5 s
    rows, lost = kept(sp), gaps(sp)
    rows.subtract(before)
    lost.subtract(lost_before)
    unrecorded = [(k, answered[k], rows[k]) for k in answered if rows[k] < answered[k]]
    twice = [(k, rows[k], sent[k]) for k in rows if rows[k] > sent[k]]
    total, gone = sum(rows.values()), sum(lost.values())
    said = (f"sent {sum(sent.values())}, answered {sum(answered.values())}, rows {total}, gaps {dict(+lost)}, "
            f"rcodes {dict(sum((l.rcodes for l in loads), Counter()))}")
    assert not unrecorded, f"{len(unrecorded)} answered and not recorded (what, answered, rows): {unrecorded[:5]}; {said}"
    assert not twice, f"{len(twice)} counted twice (what, rows, sent): {twice[:5]}; {said}"
    assert sum(answered.values()) <= total + gone <= sum(sent.values()), said
    return said


@h.case
def every_answer_has_its_record_and_none_two_whatever_dies():
    before, lost_before = kept(sp), gaps(sp)
    loads = [Load("app"), Load("app2")]
    for _ in range(KILLS):
        for role in ("historian", "resolver", "fwsync"):
            time.sleep(GAP_S)
            pid = sp.role_pid(role)
            os.kill(pid, signal.SIGKILL)
            h.until(f"a new {role}", lambda: sp.role_pid(role) != pid, 5, 0.05)
    said = balance(before, lost_before, [l.end() for l in loads])
    print(f"    {KILLS} kills each: {said}", flush=True)


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
