"""Promises P7 and P8 without memory: each role in turn gets no more of it, under load. RLIMIT_AS alone
would not be felt, for malloc() has reserved addresses beforehand; RLIMIT_DATA counts what it uses. Fewer
answers, never more reach; who dies comes back, with a back-off; and all is well again when the limit is
lifted. That a limit was felt is told by an error with its name, or the case shows nothing."""
import os, re, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=200)
n.build()
n.answerer()
CONFIG = n.CONFIG.replace("  guard:", "  ack_timeout: 2s\n  guard:") + "workers: 1\n"
POLICY = n.POLICY.replace("per_workload: 20000", "per_workload: 100000")
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)
ROLES = ("resolver", "historian", "fwsync")
_first = [0]


def used_kib(pid, what):
    return int(re.search(rf"{what}:\s*(\d+)", open(f"/proc/{pid}/status").read()).group(1))


def limit(pid, addresses, data="unlimited"):
    """The soft limits; set by the process's own user, who may where root without CAP_SYS_RESOURCE may not."""
    uid, gid = (re.search(rf"^{k}:\s*(\d+)", open(f"/proc/{pid}/status").read(), re.M).group(1) for k in ("Uid", "Gid"))
    h.run(["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "prlimit", "--pid", str(pid),
           f"--as={addresses}:", f"--data={data}:"])


def squeeze(pid, spare_kib):
    """From now on the process gets so much more and nothing beyond."""
    limit(pid, (used_kib(pid, "VmSize") + spare_kib) << 10, (used_kib(pid, "VmData") + spare_kib) << 10)


def lift(pid):
    if os.path.exists(f"/proc/{pid}"):  # else it has died of it; its successor has no limit
        limit(pid, "unlimited")


def load(count, timeout_ms=800):
    """New names, so that everything has to be allocated; the first packet to every address that was
    given is sent at once. (answered, addresses, packets that arrived)"""
    sink = n.Sink()
    try:
        got = n.asker("app", first=_first[0], count=count, window=64, sink=4000, timeout_ms=timeout_ms)
        _first[0] += count
        time.sleep(0.2)
        return got["noerror"], got["addresses"], sink.count()
    finally:
        h.stop(sink.p)


def said(since):
    """What the roles have logged since then."""
    with open(sp.log) as f:
        f.seek(since)
        return f.read()


def restarts():
    return {r["role"]: r["restarts"] for r in sp.json("status")[0]["roles"]}


def whole_again(what):
    def all_answered():
        answered, addresses, arrived = load(50)
        return answered == addresses == arrived == 50
    h.until(f"{what}: every answer again", all_answered, 15, 0.2)


def squeezed(role, spare_kib, count=4000):
    """Load on one role without memory; the promise that must hold is P1."""
    pid, before = sp.role_pid(role), restarts()
    squeeze(pid, spare_kib)
    try:
        answered, addresses, arrived = load(count)
        died = {r: n_now - before[r] for r, n_now in restarts().items() if n_now != before[r]}
        print(f"  {role} with {spare_kib} KiB: {answered} of {count} answered, {arrived} first packets of {addresses}"
              f"; deaths: {died}")
        h.same(arrived, addresses, "first packets that passed, of addresses given")
        with h.inside("app"):
            m = h.ask(n.DNS4, "denied.test", timeout=2.0)
        assert m is None or m.status in ("NXDOMAIN", "SERVFAIL") and not m.addresses, m.status
        assert not n.udp_passes("app", "44.128.255.250", 4000, timeout=0.2), "what was never given is open"
        assert set(died) <= {role} and sum(died.values()) <= 3, f"deaths {died}"
        return answered
    finally:
        lift(pid)
        whole_again(role)


@h.case
def the_resolver_without_memory_gives_fewer_answers_and_no_reach():
    assert squeezed("resolver", 256) < 4000, "no memory was missing"


@h.case
def the_firewall_role_without_memory_goes_on_with_what_it_has():
    pid = sp.role_pid("fwsync")
    squeezed("fwsync", 0)
    h.same(sp.role_pid("fwsync"), pid, "all that opening needs it has had since its start")


def many(count):
    """A policy with so many workloads more that a guard table needs memory."""
    return POLICY + "".join(f'  w{i}: {{source: [10.77.{i >> 8}.{i & 255}, "fd00:77::{i:x}"], profile: open}}\n'
                            for i in range(count))


@h.case
def a_policy_that_the_firewall_role_has_no_memory_for_costs_its_life_and_opens_nothing():
    pid, before, since = sp.role_pid("fwsync"), restarts(), os.path.getsize(sp.log)
    squeeze(pid, 0)
    out = sp.apply(many(4000))
    h.same((out.returncode, restarts()["fwsync"]), (0, before["fwsync"] + 1), "in force with a successor's help")
    assert re.search(r"fwsync: .*: Cannot allocate memory", said(since)), said(since)
    assert not n.udp_passes("app", "44.128.255.250", 4000, timeout=0.2), "what was never given is open"
    whole_again("fwsync")
    sp.apply(POLICY)


@h.case
def the_firewall_role_that_cannot_start_leaves_no_answer_without_its_pinhole():
    keeper, since = sp.process.pid, os.path.getsize(sp.log)
    vm, own = used_kib(sp.role_pid("fwsync"), "VmSize"), used_kib(sp.role_pid("fwsync"), "VmData")
    limit(keeper, (vm - own // 2) << 10)  # the ledger can be mapped, its index not be made
    try:
        os.kill(sp.role_pid("fwsync"), 9)
        h.until("it tells why", lambda: "fwsync: no memory for the ledger's index: " in said(since), 5)
        answered, addresses, arrived = load(30, timeout_ms=3000)
        h.same((answered, addresses, arrived), (0, 0, 0), "answers with addresses")
        assert not n.udp_passes("app", "44.128.255.250", 4000, timeout=0.2), "what was never given is open"
    finally:
        lift(keeper)
    whole_again("a firewall role that could not start")


@h.case
def the_historian_without_memory_delays_no_answer_and_loses_no_row():
    old = sp.role_pid("historian")
    os.kill(old, 9)  # a new one has nothing to spare of what others were given before
    h.until("a new historian", lambda: sp.role_pid("historian") != old, 5)
    since, errors = os.path.getsize(sp.log), sp.json("status")[0]["counters"]["history_errors"]
    first, count = _first[0], 12000
    h.same(squeezed("historian", 0, count), count, "answers")
    assert sp.json("status")[0]["counters"]["history_errors"] > errors, "no memory was missing"
    assert "the history cannot be written" in said(since), said(since)

    def rows():
        return sum(r["count"] for r in sp.json("history", "--name", "x*.good.test", "--type", "A", "--limit", "1000000")
                   if "count" in r and first <= int(r["name"][1:].split(".")[0]) < first + count)
    h.until("every row is written when the limit is lifted", lambda: rows() == count, 15, 0.5)


@h.case
def the_keeper_and_the_compiler_without_memory_refuse_and_change_nothing():
    keeper, version = sp.process.pid, sp.json("status")[0]["policy_version"]
    rules = "".join(f"      - {{name: n{i}.big.test}}\n" for i in range(20000))
    big = POLICY.replace("    allow:\n", "    allow:\n" + rules)
    squeeze(keeper, 1024)  # inherited by the compiler, which needs more
    try:
        out = sp.apply(big, check=False)
        print(f"  apply: exit {out.returncode}, {out.stderr.strip().splitlines()[-1][:120]!r}")
        h.same(out.returncode, 2, "a policy for which there is no memory")
        assert out.stderr.strip(), "no word of it"
        h.same(load(200)[:2], (200, 200), "answers meanwhile")
    finally:
        lift(keeper)
    h.same(sp.process.poll(), None, "the keeper lives")
    h.until("the version in force", lambda: sp.json("status")[0]["policy_version"] == version, 5)
    h.same(sp.apply(big).returncode, 0, "when the limit is lifted")
    whole_again("keeper")


@h.case
def who_cannot_even_start_waits_longer_each_time_and_comes_back():
    keeper = sp.process.pid
    # Enough for a fork and an exec, not for its libraries and a thread's stack.
    limit(keeper, 28 << 20)
    try:
        os.kill(sp.role_pid("resolver"), 9)
        time.sleep(4)
    finally:
        lift(keeper)
    said = {r["role"]: r for r in sp.json("status")[0]["roles"]}["resolver"]
    print(f"  after 4 s: {said['state']}, {said['restarts']} restarts")
    starts = len(re.findall(r"resolver (?:died|ended), pid", open(sp.log).read()[-20000:]))
    assert said["state"] != "running", "it did start: the limit was none"
    assert starts <= 12, f"{starts} starts in 4 s: no back-off"
    assert not n.udp_passes("app", "44.128.255.251", 4000, timeout=0.2), "open without a resolver"
    whole_again("a start without memory")


@h.case
def a_table_that_is_lost_is_put_back_without_memory():
    global sp
    h.same(sp.down(), 0, "exit")
    sp = h.Sallyport("gw", CONFIG.replace("  guard:", "  owner: off\n  guard:"), name="ownerless").up()
    sp.apply(POLICY)
    whole_again("a daemon without ownership")
    pid = sp.role_pid("fwsync")
    squeeze(pid, 0)
    for _ in range(3):
        lost = sp.json("status")[0]["counters"]["fw_table_lost"]
        h.nft("gw", "flush", "ruleset")
        h.until("noticed and put back", lambda: sp.json("status")[0]["counters"]["fw_table_lost"] > lost, 1, 0.02)
        assert not n.udp_passes("app", "44.128.255.250", 4000, timeout=0.2), "what was never given is open"
    h.same(sp.role_pid("fwsync"), pid, "nobody had to die for it")
    whole_again("after the losses")


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
