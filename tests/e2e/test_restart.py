"""The whole daemon restarts, by SIGTERM and by kill -9 of everything, while pinholes are open: they are
explained and counted as before, connections go on, and what a version revokes is closed even when
the keeper died between storing it and closing."""
import os, signal, socket, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=180)
n.build()
up = n.answerer(ttl=300)
POLICY = """\
version: 1
profiles:
  open:
    pinhole: {per_workload: 40, floor: 1s, grace: 60s, max: 2d}
    allow:
      - {zone: good.test, ports: [udp/4000, tcp/4001]}
      - {zone: other.test, ports: [udp/4000, tcp/4001]}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: open}
"""
WITHOUT_GOOD = POLICY.replace("      - {zone: good.test, ports: [udp/4000, tcp/4001]}\n", "")
sp = h.Sallyport("gw", n.CONFIG)
LEDGER = os.path.join(sp.dir, "run", "ledger")


def clean():
    """A daemon on an empty state, whatever came before."""
    if sp.process and sp.process.poll() is None:
        sp.down()
    h.nft("gw", "flush", "ruleset")
    h.run(["conntrack", "-F"], ns="gw", check=False)
    h.run(["rm", "-rf", os.path.join(sp.dir, "state"), LEDGER])
    sp.configure(n.CONFIG)
    sp.up()
    sp.apply(POLICY)


def address_of(name, ns="app"):
    with h.inside(ns):
        m = h.ask(n.DNS4, name)
    assert m and m.addresses, f"{name}: {m and (m.status, m.ede)}"
    return m.addresses[0]


class Flow:
    """A TCP connection of app through a pinhole."""

    def __init__(self, address, port=4001):
        with h.inside("net"):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(1)
        with h.inside("app"):
            self.c = socket.socket()
        self.c.settimeout(1.0)
        self.c.connect((address, port))
        self.s, _ = listener.accept()
        self.s.settimeout(1.0)
        listener.close()

    def talks(self):
        try:
            self.c.sendall(b"ping")
            if self.s.recv(16) != b"ping":
                return False
            self.s.sendall(b"pong")
            return self.c.recv(16) == b"pong"
        except OSError:
            return False

    def end(self):
        self.c.close()
        self.s.close()


def told():
    """What `pinholes` says of each: {(destination, proto, port): (name, rule, version, query)}."""
    return {(p["destination"], p["proto"], p["port"]): (p["name"], p["rule"], p["policy_version"], p["query_id"])
            for p in sp.json("pinholes")}


def kill_all():
    """The keeper by -9; its roles follow. The next start must wait for nobody."""
    sp.process.kill()
    sp.process.wait()


def restarts(end):
    clean()
    a, b = address_of("x1.good.test"), address_of("x2.other.test")
    for i in range(20):
        address_of(f"m{100 + i}.good.test")
    flow, before = Flow(a), told()
    h.same(len(before), 44, "pinholes")
    assert all(p[1] and p[2] == 1 and p[3] for p in before.values()), before
    end()
    h.same((flow.talks(), n.udp_passes("app", b, 4000), n.udp_passes("app", "44.128.255.250", 4000)),
           (True, True, False), "while nobody is there")
    sp.up()
    h.same(told(), before, "the same pinholes, with the same query, rule and version")
    h.same((flow.talks(), n.udp_passes("app", b, 4000)), (True, True), "afterwards")
    assert "table adopted" in sp.logs() and "what an earlier ledger" not in sp.logs(), sp.logs()
    # 22 destinations are counted: 18 more, and the workload is full.
    got = []
    for i in range(19):
        with h.inside("app"):
            m = h.ask(n.DNS4, f"n{200 + i}.other.test")
        got.append(m and m.status)
    h.same(got, ["NOERROR"] * 18 + ["SERVFAIL"], "per_workload: 40")
    # And they are revoked like any others.
    sp.apply(WITHOUT_GOOD)
    h.same((flow.talks(), n.udp_passes("app", a, 4000), n.udp_passes("app", b, 4000)), (False, False, True),
           "revoked after the restart")
    h.same({p[0] for p in told().values() if not p[0].endswith("other.test.")}, set(), "what is left")
    flow.end()


@h.case
def after_a_stop_and_a_start_every_pinhole_is_explained_counted_and_revocable():
    restarts(lambda: h.same(sp.down(), 0, "exit"))


@h.case
def after_a_kill_of_the_keeper_every_pinhole_is_explained_counted_and_revocable():
    restarts(kill_all)


@h.case
def a_version_that_was_stored_but_not_closed_is_closed_at_the_next_start():
    clean()
    a, b = address_of("x1.good.test"), address_of("x2.other.test")
    flow, stays = Flow(a), Flow(b)
    # fwsync does not get to close anything: the version is stored, and then everything dies.
    os.kill(sp.role_pid("fwsync"), signal.SIGSTOP)
    path = h.work("without.yaml")
    with open(path, "w") as f:
        f.write(WITHOUT_GOOD)
    apply = h.start([os.path.join(sp.bin, "sallyport"), "-c", sp.conf, "policy", "apply", path], ns="gw")
    h.until("version 2 is stored", lambda: any(v["version"] == 2 for v in sp.json("policy", "versions")))
    kill_all()
    h.stop(apply)
    h.same((flow.talks(), n.udp_passes("app", a, 4000)), (True, True), "not closed yet: or this shows nothing")
    begin = time.monotonic()
    sp.up()
    h.until("closed", lambda: not n.udp_passes("app", a, 4000, timeout=0.2), 2)
    h.same(sp.json("status")[0]["policy_version"], 2, "policy version")
    h.same((flow.talks(), stays.talks(), n.udp_passes("app", b, 4000)), (False, True, True), "connections")
    assert time.monotonic() - begin < 5, "too late"
    flow.end()
    stays.end()


@h.case
def without_a_policy_what_an_earlier_run_opened_is_closed():
    clean()
    a = address_of("x1.good.test")
    flow = Flow(a)
    h.same(sp.down(), 0)
    h.run(["rm", "-rf", os.path.join(sp.dir, "state")])
    sp.up()
    h.until("closed", lambda: not flow.talks(), 3)
    h.same((told(), n.udp_passes("app", a, 4000)), ({}, False), "nothing is open")
    flow.end()


@h.case
def a_table_lost_while_nobody_was_there_comes_back_with_what_the_policy_still_wants():
    clean()
    a, b = address_of("x1.good.test"), address_of("x2.other.test")
    before = told()
    kill_all()
    time.sleep(0.2)  # the owner's socket goes with the last role
    h.nft("gw", "flush", "ruleset")
    sp.up()
    h.until("put back", lambda: n.udp_passes("app", a, 4000, timeout=0.2), 2)
    h.same((told(), n.udp_passes("app", b, 4000), n.udp_passes("app", "44.128.255.250", 4000)),
           (before, True, False), "as it was")


@h.case
def a_ledger_that_is_no_good_is_made_anew_and_the_start_says_so():
    clean()
    address_of("x1.good.test")
    h.same(oct(os.stat(LEDGER).st_mode & 0o7777), "0o600", "mode")
    whole = None

    def rotten(change, words):
        nonlocal whole
        h.same(sp.down(), 0)
        whole = whole or open(LEDGER, "rb").read()
        change()
        sp.up()
        assert words in sp.logs(), f"not told: {words}\n{sp.logs()}"
        assert address_of("x3.good.test"), "no answer"
        h.same(os.stat(LEDGER).st_size, len(whole), "size")
        h.same((os.stat(LEDGER).st_mode & 0o777, os.path.islink(LEDGER)), (0o600, False), "what it is now")

    def damage(at, octets):
        with open(LEDGER, "r+b") as f:
            f.seek(at)
            f.write(octets)

    def link():
        os.unlink(LEDGER)
        os.symlink("/etc/passwd", LEDGER)

    def folder():
        os.unlink(LEDGER)
        os.mkfifo(LEDGER)
    passwd = open("/etc/passwd", "rb").read()
    rotten(lambda: damage(0, b"\0" * 8), "damaged")
    rotten(lambda: damage(8, b"\xff" * 4), "damaged")
    rotten(lambda: os.truncate(LEDGER, 100), "damaged")
    rotten(lambda: damage(32, b"\x5a" * 16), "another boot")
    rotten(lambda: damage(48, b"\x5a" * 8), "another boot or another network namespace")
    rotten(lambda: os.chmod(LEDGER, 0o666), "others may")
    rotten(lambda: os.chown(LEDGER, 65534, -1), "others may")
    rotten(link, "not a file")
    rotten(folder, "not a file")
    h.same(open("/etc/passwd", "rb").read(), passwd, "/etc/passwd")
    # Rows of any octets are dropped one by one.
    h.same(sp.down(), 0)
    damage(64, os.urandom(64 * 64))
    damage(28, b"\x40\0\0\0")
    sp.up()
    h.same(address_of("x4.good.test") and told() is not None, True, "after any octets")


@h.case
def a_larger_set_takes_the_ledgers_rows_along():
    clean()
    a = address_of("x1.good.test")
    before, size = told(), os.stat(LEDGER).st_size
    for i, want in ((400000, 1), (1000, 0)):
        h.same(sp.down(), 0)
        sp.configure(n.CONFIG + f"  set_size: {i}\n")
        sp.up()
        h.until("the table is there with its pinholes", lambda: n.udp_passes("app", a, 4000, timeout=0.2), 2)
        h.same(told(), before, f"set_size {i}")
        grown = os.stat(LEDGER).st_size > size
        h.same(grown, True, "the ledger is larger, and stays so")


@h.case
def a_full_file_system_costs_answers_and_no_process():
    clean()
    run = os.path.join(sp.dir, "run")
    h.same(sp.down(), 0)
    h.run(["rm", "-f", LEDGER])
    h.run(["mount", "-o", "remount,size=512k", run])
    sp.configure(n.CONFIG)
    sp.up()
    sp.apply(POLICY.replace("per_workload: 40", "per_workload: 100000"))
    address_of("x1.good.test")
    pids = [sp.role_pid(r) for r in ("resolver", "fwsync", "historian")] + [sp.process.pid]
    filler = os.open(os.path.join(run, "filler"), os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, b"x" * 4096)
    except OSError:
        os.close(filler)
    got = n.asker("app", count=8000, types="a", window=64)
    assert got["servfail"] > 0 and got["noerror"] > 0, got
    h.same(got["noerror"] + got["servfail"], 8000, str(got))
    status = sp.json("status")[0]
    assert status["counters"]["fw_set_full"] > 0, status["counters"]
    sp.cli("pinholes")
    h.same([sp.role_pid(r) for r in ("resolver", "fwsync", "historian")] + [sp.process.pid], pids, "who lives")
    os.unlink(os.path.join(run, "filler"))
    h.until("room again", lambda: (lambda m: m and m.addresses)(ask("z9.good.test")), 3)
    h.run(["mount", "-o", "remount,size=64m", run])


def ask(name):
    with h.inside("app"):
        return h.ask(n.DNS4, name)


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
