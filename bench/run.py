"""Sallyport beside Debian's Unbound, in one run, taking turns.

usage: run.py [cached] [miss] [first] [memory] [syscalls]      default: all
Each server has a network namespace with an upstream of its own, so that Unbound does not pay for
Sallyport's firewall: server (all its processes) on CPU 0 with one worker, load generator and upstream
on CPU 1. Sallyport keeps its history and holds pinholes; Unbound logs nothing.
On a machine that others use, the rates blur and the processor time of an answer tells more.
Environment: BENCH_SECS (5) a measurement, BENCH_RUNS (5) rounds.
Prints medians, spread, and the ratio of the medians; only ratios travel between machines.
"""
import os, platform, re, shutil, statistics, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))
import harness as h

h.enter(os.path.abspath(__file__), seconds=1800)
SECS, RUNS = float(os.environ.get("BENCH_SECS", "5")), int(os.environ.get("BENCH_RUNS", "5"))
GEN = os.path.join(h.BUILD, "bench", "loadgen")
ANSWERER = os.path.join(h.BUILD, "tests", "answerer")
SOURCE = "127.0.1.1"  # of the load: the workload's address
NAMES = 10000

CONFIG = """\
workers: 1
listen: [{address: 127.0.0.1, port: 5310}]
upstreams: [{zone: ".", servers: [{address: 127.0.0.1, port: 5301}]}]
dnssec: {mode: off}
firewall: {guard: {prefixes: [127.0.1.0/24]}, set_size: 1048576}
cache: {size: 256MiB}
"""
POLICY = """\
version: 1
profiles:
  bench:
    pinhole: {per_workload: 1000000}
    allow: [{zone: bench.test, ports: [tcp/443]}]
workloads:
  bench: {source: 127.0.1.1, profile: bench}
"""
UNBOUND = """\
server:
    interface: 127.0.0.1
    port: 5311
    do-ip6: no
    num-threads: 1
    username: ""
    chroot: ""
    directory: "{dir}"
    pidfile: ""
    use-syslog: no
    verbosity: 0
    do-not-query-localhost: no
    local-zone: "test." nodefault
    module-config: "iterator"
    msg-cache-size: 256m
    rrset-cache-size: 512m
    outgoing-range: 4096
    num-queries-per-thread: 2048
    access-control: 127.0.0.0/8 allow
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@5301
"""


def pinned(ns, cpu, cmd, log):
    return h.start(["taskset", "-c", str(cpu)] + cmd, ns=ns, log=h.work(log))


def tree(pid):
    """A process and its descendants."""
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                todo += map(int, open(f"/proc/{p}/task/{task}/children").read().split())
        except OSError:
            pass
    return found


def cpu_ns(pids):
    """Time on a processor that these processes had, all threads: what a busy machine does not blur."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
        except OSError:
            pass
    return total


def pss_mib(pids):
    total = 0
    for pid in pids:
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


def asked(ns, name, port):
    with h.inside(ns):
        return h.ask("127.0.0.1", name, port=port, timeout=0.3)


class Sallyport:
    name = "sallyport"
    port = 5310

    def __init__(self):
        self.sp = h.Sallyport(self.name, CONFIG, name=f"sp{time.monotonic_ns()}")
        os.sched_setaffinity(0, {0})  # inherited by all its processes
        try:
            self.sp.up()
        finally:
            os.sched_setaffinity(0, {1})
        self.sp.apply(POLICY)
        self.pids = tree(self.sp.process.pid)

    def down(self):
        self.sp.down()


class Unbound:
    name = "unbound"
    port = 5311

    def __init__(self):
        folder = h.work(f"unbound{time.monotonic_ns()}")
        os.makedirs(folder)
        with open(f"{folder}/conf", "w") as f:
            f.write(UNBOUND.format(dir=folder))
        self.process = pinned(self.name, 0, ["unbound", "-d", "-p", "-c", f"{folder}/conf"], "unbound.log")
        h.until("unbound answers", lambda: asked(self.name, "n0.bench.test", 5311), 10)
        self.pids = [self.process.pid]

    def down(self):
        h.stop(self.process)


def load(server, *args):
    before = cpu_ns(server.pids)
    p = h.run(["taskset", "-c", "1", GEN, "-s", "127.0.0.1", "-p", str(server.port), "-b", SOURCE, *map(str, args)],
              ns=server.name, timeout=300)
    got = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", p.stdout)}
    got["cpu_us"] = (cpu_ns(server.pids) - before) / 1000 / max(got["received"], 1)
    assert got["received"] and got["noerror"] == got["received"] - got["servfail"] and not got["empty"] - got["servfail"], \
        f"{server.name} did not give every name its address: {p.stdout}"
    return got


def show(title, results, key, unit="", digits=0):
    """Medians with their spread, and the ratio of the first to each other."""
    print(f"\n{title}")
    medians = {}
    for name, rows in results.items():
        v = [r[key] for r in rows]
        medians[name] = statistics.median(v)
        extra = ", ".join(f"{k} {statistics.median([r[k] for r in rows]):.1f}" for k in ("p50_us", "p99_us", "cpu_us") if k in rows[0] and k != key)
        bad = sum(r.get("lost", 0) + r.get("servfail", 0) for r in rows)
        print(f"  {name:10} {medians[name]:,.{digits}f}{unit} ({min(v):,.{digits}f} - {max(v):,.{digits}f})  {extra}  lost or SERVFAIL {bad:.0f}")
    ratios = [a[key] / b[key] for a, b in zip(results["sallyport"], results["unbound"])]
    print(f"  ratio of medians {medians['sallyport'] / medians['unbound']:.2f} x (rounds {min(ratios):.2f} - {max(ratios):.2f})", flush=True)
    if key == "qps":  # what the rates would be if nobody else were on the machine
        cost = {name: [r["cpu_us"] for r in rows] for name, rows in results.items()}
        ratios = [b / a for a, b in zip(cost["sallyport"], cost["unbound"])]
        middle = statistics.median(cost["unbound"]) / statistics.median(cost["sallyport"])
        print(f"  by processor time an answer {middle:.2f} x (rounds {min(ratios):.2f} - {max(ratios):.2f})", flush=True)


def cached():
    """Cached answers: 10,000 names, asked again and again."""
    servers = [Sallyport(), Unbound()]
    results = {s.name: [] for s in servers}
    for s in servers:
        for _ in range(2):
            load(s, "-x", "bench.test", "-n", NAMES, "-l", 30, "-o", "-w", 64)
    for _ in range(RUNS):
        for s in servers:
            results[s.name].append(load(s, "-x", "bench.test", "-n", NAMES, "-l", SECS))
    counters = servers[0].sp.json("status")[0]["counters"]
    for s in servers:
        s.down()
    show("cached answers/s (history on, pinholes held; Unbound without log)", results, "qps")
    print("  sallyport's own counters: " + ", ".join(f"{k} {counters[k]}" for k in ("held", "cache_hits", "pinhole_requests", "records", "records_lost", "kernel_drops")))


def miss():
    """Forwarded: every name is new."""
    results = {"sallyport": [], "unbound": []}
    for _ in range(RUNS):
        for make in (Sallyport, Unbound):
            s = make()
            results[s.name].append(load(s, "-x", "bench.test", "-n", 400000, "-f", 1000000, "-l", SECS, "-w", 96))
            s.down()
    show("forwarded answers/s (every name new; Sallyport opens a pinhole for each)", results, "qps")


def first():
    """First contact: one question at a time, each name new."""
    results = {"sallyport": [], "unbound": []}
    for round in range(RUNS):
        for make in (Sallyport, Unbound):
            s = make()
            results[s.name].append(load(s, "-x", "bench.test", "-n", 20000, "-f", 2000000, "-l", min(SECS, 4), "-w", 1, "-k", 1))
            s.down()
    show("first contact, one at a time, p50 (Sallyport's includes the pinhole)", results, "p50_us", " us", 1)
    show("first contact, one at a time, p99", results, "p99_us", " us", 1)


def memory():
    """Memory with 100,000 names in the cache."""
    results = {"sallyport": [], "unbound": []}
    for _ in range(min(RUNS, 3)):
        for make in (Sallyport, Unbound):
            s = make()
            before = pss_mib(s.pids)
            load(s, "-x", "bench.test", "-n", 100000, "-f", 3000000, "-l", 60, "-o", "-w", 64)
            time.sleep(2)  # the historian writes what came last
            after = pss_mib(s.pids)
            results[s.name].append({"mib": after, "idle": before})
            s.down()
    show("memory of all processes at 100,000 cached names (PSS)", results, "mib", " MiB", 1)
    for name, rows in results.items():
        print(f"  {name:10} idle {statistics.median([r['idle'] for r in rows]):.1f} MiB")


def count_with_perf(pid, work):
    """Counted by the kernel, which costs the counted process nothing."""
    names = ("epoll_wait", "epoll_pwait", "recvmmsg", "sendmmsg")
    events = ["raw_syscalls:sys_enter"] + ["syscalls:sys_enter_" + n for n in names]
    perf = h.start(["perf", "stat", "-x", ",", "-e", ",".join(events), "-p", str(pid)], log=h.work("perf.log"))
    time.sleep(1)
    got = work()
    perf.send_signal(2)
    perf.wait(10)
    rows = re.findall(r"^(\d+),,(?:raw_)?syscalls:sys_enter_?(\w*),", open(h.work("perf.log")).read(), re.M)
    return got, {name or "all": int(n) for n, name in rows}


def count_with_strace(pid, work):
    strace = h.start(["strace", "-f", "-c", "-p", str(pid)], log=h.work("strace.log"))
    time.sleep(1)
    got = work()
    strace.send_signal(2)
    strace.wait(10)
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) (?: *\d+)? *(\w+)$", open(h.work("strace.log")).read(), re.M)
    return got, {"all" if name == "total" else name: int(n) for n, name in rows}


def syscalls():
    """What the cached path asks of the kernel: each call of the resolver, counted."""
    s = Sallyport()
    for _ in range(2):
        load(s, "-x", "bench.test", "-n", NAMES, "-l", 30, "-o", "-w", 64)
    count = count_with_perf if shutil.which("perf") else count_with_strace
    got, counts = count(s.sp.role_pid("resolver"), lambda: load(s, "-x", "bench.test", "-n", NAMES, "-l", min(SECS, 3)))
    s.down()
    print(f"\nsystem calls of the resolver, cached, under load ({got['received']:.0f} answers, with a second of idling)")
    print("  " + ", ".join(f"{k} {v}" for k, v in counts.items() if v))
    print(f"  {counts['all'] / got['received']:.3f} system calls an answer, {got['received'] / counts['recvmmsg']:.1f} answers a batch")


for ns in ("sallyport", "unbound"):
    h.host(ns)
    pinned(ns, 1, [ANSWERER, "127.0.0.1", "5301", "3600"], f"answerer-{ns}.log")
    h.until("the upstream answers", lambda: asked(ns, "n1.bench.test", 5301))
cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
commit = h.run(["git", "-C", h.ROOT, "rev-parse", "--short", "HEAD"], check=False).stdout.strip()
print(f"Sallyport {commit}, Linux {platform.release()}, {cpu.group(1) if cpu else '?'}; {RUNS} rounds of {SECS:.0f} s")
for what in sys.argv[1:] or ["cached", "miss", "first", "memory", "syscalls"]:
    {"cached": cached, "miss": miss, "first": first, "memory": memory, "syscalls": syscalls}[what]()
