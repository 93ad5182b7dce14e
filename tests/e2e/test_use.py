"""How much a pinhole is used: live connections, counted when somebody asks, and never at the cost of who
waits for a pinhole."""
import os, signal, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
from fwsync_net import Tcp, Udp

h.enter(os.path.abspath(__file__), seconds=240)
ENTRIES = int(os.environ.get("ENTRIES", "20000"))
n.build()
for i in (1, 2, 5):  # where TCP and UDP listen; binding to a routed address takes one that is the host's
    h.run(["ip", "addr", "add", f"2a00:ffff::{i}/128", "dev", "lo", "nodad"], ns="net")
up = n.answerer(ttl=3600)
sp = h.Sallyport("gw", n.CONFIG).up()
sp.apply(f"""\
version: 1
profiles:
  open:
    pinhole: {{per_workload: {ENTRIES}, floor: 1s, grace: 60s, max: 2d}}
    allow:
      - {{zone: good.test, ports: [udp/4000, tcp/4001]}}
      - {{zone: wide.test, ports: ["tcp/*", "udp/*"]}}
      - {{zone: all.test, ports: any}}
workloads:
  app: {{source: [10.1.0.2, "fd00:1::2"], profile: open}}
  app2: {{source: [10.1.1.2, "fd00:2::2"], profile: open}}
""")


def sysctl(**values):
    for key, value in values.items():
        h.run(["sysctl", "-qw", f"net.netfilter.nf_conntrack_{key}={value}"], ns="gw")


def opened(name, ns="app", v6=False):
    """Ask for the name; its address."""
    with h.inside(ns):
        m = h.ask(n.DNS4 if ns == "app" else "10.1.1.1", name, "AAAA" if v6 else "A")
    assert m and m.addresses, f"{name}: {m and m.status} {m and m.ede}"
    return m.addresses[0]


def uses(address, workload="app"):
    """{(name, proto, port): use} of one workload's pinholes to one address."""
    return {(p["name"], p["proto"], p["port"]): p["use"] for p in sp.json("pinholes", "--workload", workload)
            if p["destination"] == address}


def flows(address, workload="app"):
    """The same, flows only, without those that have none; there is nothing unknown."""
    got = uses(address, workload)
    assert got and all(got.values()), got
    return {k: u["flows"] for k, u in got.items() if u["flows"]}


def counters():
    return sp.json("status")[0]["counters"]


@h.case
def none_before_as_many_as_are_open_and_none_when_they_are_closed():
    for v6 in (False, True):
        address = opened("a1.good.test", v6=v6)
        h.same(flows(address), {}, "before")
        held = []
        for i in range(3):
            t = Tcp("app", "net", address, 4001)
            h.same((t.connect(), t.talks()), ("open", True), address)
            t.listener.close()
            held.append(t)
            h.same(flows(address), {("a1.good.test.", "tcp", 4001): i + 1}, address)
        held.pop().end()
        h.until("two are left", lambda: flows(address) == {("a1.good.test.", "tcp", 4001): 2}, 3)
        while held:
            held.pop().end()
        h.until("none is left", lambda: flows(address) == {}, 3)


@h.case
def udp_counts_until_the_kernel_forgets_it():
    for v6 in (False, True):
        address = opened("a2.good.test", v6=v6)
        sysctl(udp_timeout=2, udp_timeout_stream=2)
        u = Udp("app", "net", address, 4000)
        h.same((flows(address), u.reaches(), u.answered()), ({}, True, True), "before")
        h.same(flows(address), {("a2.good.test.", "udp", 4000): 1}, address)
        u.end()
        h.until("it is forgotten", lambda: flows(address) == {}, 6)
        sysctl(udp_timeout=60, udp_timeout_stream=60)


@h.case
def another_workloads_connection_is_its_own():
    address = opened("a3.good.test")
    h.same(opened("a3.good.test", ns="app2"), address)
    t = Tcp("app2", "net", address, 4001)
    h.same(t.connect(), "open")
    h.same((flows(address), flows(address, "app2")), ({}, {("a3.good.test.", "tcp", 4001): 1}))
    t.end()


@h.case
def an_entry_without_our_bit_does_not_count():
    address = opened("a4.good.test")
    entry = ["conntrack", "-I", "-p", "udp", "-s", "10.1.0.2", "-d", address, "--dport", "4000", "-t", "60"]
    h.run(entry + ["--sport", "1001"], ns="gw")
    h.run(entry + ["--sport", "1002", "--mark", str(0x20000000)], ns="gw")
    h.same(flows(address), {}, "no bit, and the other one")
    h.run(entry + ["--sport", "1003", "--mark", str(0x10000000)], ns="gw")
    h.same(flows(address), {("a4.good.test.", "udp", 4000): 1}, "the bit")


@h.case
def a_pinhole_without_a_port_or_a_protocol_counts_what_it_lets_through():
    for v6 in (False, True):
        address = opened("a5.wide.test", v6=v6)
        t, u = Tcp("app", "net", address, 5001), Udp("app", "net", address, 5002)
        h.same((t.connect(), u.reaches()), ("open", True), address)
        h.same(flows(address), {("a5.wide.test.", "tcp", None): 1, ("a5.wide.test.", "udp", None): 1}, "tcp/* and udp/*")
        h.same(opened("a5.all.test", v6=v6), address)
        both = {("a5.wide.test.", "tcp", None): 1, ("a5.wide.test.", "udp", None): 1, ("a5.all.test.", "any", None): 2}
        h.same(flows(address), both, "any beside them")
        h.same(opened("a5.good.test", v6=v6), address)
        h.same(flows(address), both, "ports that nobody uses")
        t2 = Tcp("app", "net", address, 4001)
        h.same(t2.connect(), "open")
        h.same(flows(address), {("a5.wide.test.", "tcp", None): 2, ("a5.wide.test.", "udp", None): 1,
                                ("a5.all.test.", "any", None): 3, ("a5.good.test.", "tcp", 4001): 1}, "each that lets it in")
        for x in (t, u, t2):
            x.end()


@h.case
def packets_and_octets_are_told_if_the_kernel_keeps_account():
    address, key = opened("a6.good.test"), ("a6.good.test.", "udp", 4000)
    sysctl(acct=0)
    off = Udp("app", "net", address, 4000)
    h.same((off.reaches(), off.answered()), (True, True))
    h.same(uses(address)[key], {"flows": 1, "packets": None, "octets": None}, "off")
    off.end()
    h.run(["conntrack", "-D", "-d", address], ns="gw")
    sysctl(acct=1)
    on = Udp("app", "net", address, 4000)
    h.same((on.reaches(), on.answered(), on.answered()), (True, True, True))
    h.same(uses(address)[key], {"flows": 1, "packets": 3, "octets": 3 * (20 + 8 + 8)}, "on: one there, two back")
    on.end()
    sysctl(acct=0)


def frame(kind, payload):
    return struct.pack("=II", len(payload), kind) + payload


class Asker:
    """`pinholes` over the control socket, without a process of its own."""

    def __init__(self, workload=""):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(os.path.join(sp.dir, "run", "control.sock"))
        words = ["pinholes"] + ([workload] if workload else [])
        self.s.sendall(frame(1, b"".join(w.encode() + b"\0" for w in words)))

    def end(self):
        """The whole answer: it ends with the exit status, which is 0."""
        data = b""
        while True:
            more = self.s.recv(1 << 20)
            if not more:
                self.s.close()
                assert data.endswith(frame(4, b"\0")), data[-200:]
                return data
            data += more


@h.case
def who_asks_at_the_same_time_shares_a_count():
    pid = sp.role_pid("fwsync")
    before = counters()
    os.kill(pid, signal.SIGSTOP)
    try:
        askers = [Asker("app") for _ in range(8)]
        gone = Asker("app")
        time.sleep(0.3)
        gone.s.close()
    finally:
        os.kill(pid, signal.SIGCONT)
    for a in askers:
        data = a.end()
        assert b'"use":{"flows":' in data and b'"use":null' not in data, data[:2000]
    after = counters()
    h.same(after["fw_use_counts"] - before["fw_use_counts"], 2, "counts: the first one's, and one for the others")
    h.same(after["limit_use"], before["limit_use"], "limit_use")


@h.case
def what_nobody_can_count_is_unknown_and_told_once():
    """A role that has stopped is replaced after 5 s; until then everything else goes on."""
    pid = sp.role_pid("fwsync")
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        asker = Asker("app")
        text = sp.cli("pinholes", "--workload", "app")
        data = asker.end()
        took = time.monotonic() - begin
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # as it should
    lines = text.stdout.splitlines()
    at = lines[0].index("USE")
    h.same({line[at:at + 3].strip() for line in lines[1:]}, {"?"}, text.stdout)
    said = "how much the pinholes are used is not known"
    h.same((text.stderr.count(said), data.count(said.encode())), (1, 1), text.stderr)
    h.same((data.count(b'"use":null'), data.count(b'"use":{')), (len(lines) - 1, 0), "rows")
    assert len(lines) > 10 and took < 7, f"{len(lines)} lines, {took:.1f} s"
    h.until("it is known again", lambda: sp.cli("pinholes").stderr == "", 5)


@h.case
def at_thousands_of_entries_a_pinhole_is_confirmed_in_time_while_others_ask_for_use_in_a_loop():
    n_asked, took, ended = 3000, [], threading.Event()
    sysctl(udp_timeout=600)
    for ns in ("app", "app2"):
        got = n.asker(ns, prefix=ns.replace("2", "b"), first=1000, count=ENTRIES // 2, window=128, sink=4000)
        h.same((got["noerror"], got["sent"]), (ENTRIES // 2, ENTRIES // 2), str(got))
    entries = int(h.run(["conntrack", "-C"], ns="gw").stdout)
    assert entries >= ENTRIES, f"{entries} entries"

    def loop():
        while not ended.is_set():
            begin = time.monotonic()
            Asker("nobody").end()
            took.append(time.monotonic() - begin)

    threads = [threading.Thread(target=loop, daemon=True) for _ in range(3)]
    alone = n.asker("app", prefix="q", first=100000, count=n_asked, types="6", window=16)
    before = counters()
    for t in threads:
        t.start()
    got = n.asker("app", prefix="l", first=200000, count=n_asked, types="6", window=16)
    ended.set()
    for t in threads:
        t.join()
    after = counters()
    counts = after["fw_use_counts"] - before["fw_use_counts"]
    took.sort()
    print(f"    {entries} entries: {counts} counts, an asker waits {took[len(took) // 2] * 1000:.0f} ms (median); "
          f"new names p50 {got['p50_us']} us, p99 {got['p99_us']} us, alone {alone['p50_us']} and {alone['p99_us']}",
          flush=True)
    h.same((got["noerror"], got["lost"]), (n_asked, 0), str(got))
    h.same(after["pinhole_timeouts"], before["pinhole_timeouts"], "pinhole_timeouts")
    assert counts >= 1, f"{counts} counts"


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
