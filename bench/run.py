"""Sallyport beside Debian's Unbound, in one run, taking turns.

usage: run.py [cached] [miss] [first] [memory] [syscalls] [validated]      default: all
Each server has a network namespace with an upstream of its own, so that Unbound does not pay for
Sallyport's firewall: server (all its processes) on CPU 0 with one worker, load generator and upstream
on CPU 1. Sallyport keeps its history and holds pinholes; Unbound logs nothing. `validated` adds BIND and
Knot Resolver, and Sallyport without a firewall: like beside like.
On a machine that others use, the rates blur and the processor time of an answer tells more.
Environment: BENCH_SECS (5) a measurement, BENCH_RUNS (5) rounds.
Prints medians, spread, and the ratio of the medians; only ratios travel between machines.
"""
import os, platform, re, shutil, statistics, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "e2e"))
import harness as h

h.enter(os.path.abspath(__file__), seconds=1800)
SECS, RUNS = float(os.environ.get("BENCH_SECS", "5")), int(os.environ.get("BENCH_RUNS", "5"))
from servers import *

SIGNED = os.path.join(h.BUILD, "bench", "bench_signed")
SIGNED_NAMES, SIGNED_ZONES = 60000, 30000
ANCHOR = h.work("anchor")

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
    names = list(results)
    for other in names[1:]:
        to = f" to {other}" if len(names) > 2 else ""
        ratios = [a[key] / b[key] for a, b in zip(results[names[0]], results[other])]
        print(f"  ratio of medians{to} {medians[names[0]] / medians[other]:.2f} x (rounds {min(ratios):.2f} - {max(ratios):.2f})", flush=True)
        if key == "qps":  # what the rates would be if nobody else were on the machine
            cost = {name: [r["cpu_us"] for r in results[name]] for name in (names[0], other)}
            ratios = [b / a for a, b in zip(cost[names[0]], cost[other])]
            middle = statistics.median(cost[other]) / statistics.median(cost[names[0]])
            print(f"  by processor time an answer{to} {middle:.2f} x (rounds {min(ratios):.2f} - {max(ratios):.2f})", flush=True)


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


def cold(title, suffix, count):
    """Every name once; the keys of the zones above are cached."""
    results = {}
    for _ in range(RUNS):
        for make in validators(ANCHOR, "n999999.names.bench"):
            s = make()
            load(s, "-a", "-x", suffix, "-n", 50, "-f", count - 50, "-l", 5, "-o", "-w", 8)
            got = load(s, "-a", "-x", suffix, "-n", count - 50, "-l", min(SECS, 3), "-o", "-w", 96)
            assert got["ad"] == got["noerror"], f"{s.name}: {got['noerror'] - got['ad']:.0f} answers without AD"
            results.setdefault(s.name, []).append(got)
            s.down()
    show(title, results, "qps")


def cached_validated():
    """Is an answer from the cache slower because it was validated?"""
    results = {}
    for _ in range(RUNS):
        for name, config in (("validated", VALIDATE), ("not", UNVALIDATED)):
            s = validating(name, ANCHOR, config)
            for _ in range(2):
                load(s, "-a", "-x", "names.bench", "-n", NAMES, "-l", 30, "-o", "-w", 64)
            got = load(s, "-a", "-x", "names.bench", "-n", NAMES, "-l", SECS)
            assert got["ad"] == (got["noerror"] if name == "validated" else 0), f"AD in {got['ad']:.0f} of {got['noerror']:.0f}"
            results.setdefault(name, []).append(got)
            s.down()
    show("cached answers/s of Sallyport, validated and not", results, "qps")


def validated():
    """Validation, beside three others."""
    for ns in ("bind", "kresd"):
        h.host(ns)
    names = ("sallyport", "unbound", "bind", "kresd")
    pinned("sallyport", 1, [SIGNED, "127.0.0.1", "5302", str(SIGNED_NAMES), str(SIGNED_ZONES), ANCHOR, *names], "signed.log")
    h.until("the upstream has signed", lambda: os.path.exists(ANCHOR) and open(ANCHOR).read(), 90, 0.2)
    cold("validated answers/s, every name new, keys cached (P-256)", "names.bench", SIGNED_NAMES)
    cold("validated answers/s, a new signed zone each (DS, DNSKEY and A of it)", "zones.bench", SIGNED_ZONES)
    cached_validated()


for ns in ("sallyport", "unbound"):
    h.host(ns)
    pinned(ns, 1, [ANSWERER, "127.0.0.1", "5301", "3600"], f"answerer-{ns}.log")
    h.until("the upstream answers", lambda: asked(ns, "n1.bench.test", 5301))
cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
commit = h.run(["git", "-C", h.ROOT, "rev-parse", "--short", "HEAD"], check=False).stdout.strip()
print(f"Sallyport {commit}, Linux {platform.release()}, {cpu.group(1) if cpu else '?'}; {RUNS} rounds of {SECS:.0f} s")
measurements = {f.__name__: f for f in (cached, miss, first, memory, syscalls, validated)}
for what in sys.argv[1:] or measurements:
    measurements[what]()
