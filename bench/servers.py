"""The servers that are measured, each in a namespace and on CPU 0, and the load, on CPU 1.

Whoever imports this has called harness.enter() before, and made a namespace for each server's name.
"""
import os, re, time

import harness as h
import unbound

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
UNBOUND_CACHE = ("verbosity: 0", "msg-cache-size: 256m", "rrset-cache-size: 512m")
UNBOUND = unbound.config("{dir}", 5301, *UNBOUND_CACHE, 'module-config: "iterator"')
# Validation: the upstream is at port 5302, its root's key the trust anchor.
VALIDATE = CONFIG.replace("5301", "5302").replace("{mode: off}", "{mode: validate, trust_anchors: [ANCHOR], nsec3_iterations: ITERATIONS}")
UNVALIDATED = CONFIG.replace("5301", "5302")
VALIDATING_UNBOUND = unbound.config(
    "{dir}", 5302, *UNBOUND_CACHE, 'module-config: "validator iterator"', 'trust-anchor-file: "{anchor}"',
    'val-nsec3-keysize-iterations: "1024 {iterations} 2048 {iterations} 4096 {iterations}"')
BIND = """\
options {{
    directory "{dir}";
    listen-on port 5312 {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    pid-file none; session-keyfile none;
    forward only;
    forwarders {{ 127.0.0.1 port 5302; }};
    dnssec-validation yes;
    empty-zones-enable no;
    qname-minimization off;
    recursive-clients 4000;
    max-cache-size 512m;
}};
controls {{ }};
trust-anchors {{ . static-key 257 3 13 "{key}"; }};
"""
KRESD = """\
net.listen('127.0.0.1', 5313, {{ kind = 'dns' }})
cache.open(256 * MB, 'lmdb://{dir}')
trust_anchors.add_file('{anchor}', true)
policy.add(policy.all(policy.FORWARD({{'127.0.0.1@5302'}})))
modules.unload('ta_sentinel'); modules.unload('priming'); modules.unload('detect_time_skew'); modules.unload('detect_time_jump')
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
    port = 5310

    def __init__(self, config=CONFIG, ns="sallyport", name="sallyport", policy=POLICY):
        self.name, self.ns = name, ns
        self.sp = h.Sallyport(ns, config, name=f"sp{time.monotonic_ns()}")
        os.sched_setaffinity(0, {0})  # inherited by all its processes
        try:
            self.sp.up()
        finally:
            os.sched_setaffinity(0, {1})
        self.sp.apply(policy)
        self.pids = tree(self.sp.process.pid)

    def down(self):
        self.sp.down()


class Peer:
    """Another resolver: one process, its configuration in a folder of its own."""

    def __init__(self, name, port, conf, command, probe="n0.bench.test", anchor="", iterations=0):
        self.name = self.ns = name
        self.port, folder = port, h.work(f"{name}{time.monotonic_ns()}")
        os.makedirs(folder)
        with open(f"{folder}/conf", "w") as f:
            f.write(conf.format(dir=folder, anchor=anchor, iterations=iterations,
                                key=open(anchor).read().split()[-1] if anchor else ""))
        self.process = pinned(name, 0, [part.format(dir=folder) for part in command.split()], f"{name}.log")
        h.until(f"{name} answers", lambda: asked(name, probe, port), 10)
        self.pids = [self.process.pid]

    def down(self):
        h.stop(self.process)


def Unbound():
    return Peer("unbound", 5311, UNBOUND, "unbound -d -p -c {dir}/conf")


def validating(name, anchor, config=VALIDATE, iterations=50):
    """A Sallyport that validates; everything below bench. and the zones of attacks are allowed."""
    config = config.replace("ANCHOR", anchor).replace("ITERATIONS", str(iterations))
    allow = "[{zone: bench, ports: [tcp/443]}, {zone: trap, ports: [tcp/443]}, {zone: deep, ports: [tcp/443]}]"
    return Sallyport(config, name=name, policy=POLICY.replace("[{zone: bench.test, ports: [tcp/443]}]", allow))


def without_firewall(config):
    return "".join("firewall: {mode: none}\n" if line.startswith("firewall:") else line + "\n" for line in config.splitlines())


def validators(anchor, probe, iterations=50):
    """What makes each resolver, Sallyport first, with and without its firewall."""
    kw = {"probe": probe, "anchor": anchor, "iterations": iterations}
    return (lambda: validating("sallyport", anchor, iterations=iterations),
            lambda: validating("no firewall", anchor, without_firewall(VALIDATE), iterations),
            lambda: Peer("unbound", 5311, VALIDATING_UNBOUND, "unbound -d -p -c {dir}/conf", **kw),
            lambda: Peer("bind", 5312, BIND, "named -g -n 1 -c {dir}/conf", **kw),
            lambda: Peer("kresd", 5313, KRESD, "kresd -n -c {dir}/conf {dir}", **kw))


def load(server, *args):
    before = cpu_ns(server.pids)
    p = h.run(["taskset", "-c", "1", GEN, "-s", "127.0.0.1", "-p", str(server.port), "-b", SOURCE, *map(str, args)],
              ns=server.ns, timeout=300)
    got = {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", p.stdout)}
    got["cpu_us"] = (cpu_ns(server.pids) - before) / 1000 / max(got["received"], 1)
    assert got["received"] and got["noerror"] == got["received"] - got["servfail"] and not got["empty"] - got["servfail"], \
        f"{server.name} did not give every name its address: {p.stdout}"
    return got


