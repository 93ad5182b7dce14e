"""Promises P7 and P8 without memory: each role in turn gets no more of it, under load. RLIMIT_AS alone
would not be felt, for malloc() has reserved addresses beforehand; RLIMIT_DATA counts what it uses. Fewer answers, never more reach; who dies comes back, with a back-off; and all is well again when
the limit is lifted."""
import os, re, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=200)
n.build()
n.answerer()
CONFIG = n.CONFIG.replace("  guard:", "  ack_timeout: 2s\n  guard:") + "workers: 1\n"
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(n.POLICY)
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
def the_firewall_role_without_memory_opens_less_and_no_answer_precedes_it():
    squeezed("fwsync", 0)


@h.case
def the_historian_without_memory_delays_no_answer():
    h.same(squeezed("historian", 0), 4000, "answers")
    mark = f"x{_first[0]}.good.test"
    load(1)
    h.until("the history goes on", lambda: sp.json("history", "--name", mark, "--limit", "5"), 10, 0.3)


@h.case
def the_keeper_and_the_compiler_without_memory_refuse_and_change_nothing():
    keeper, version = sp.process.pid, sp.json("status")[0]["policy_version"]
    rules = "".join(f"      - {{name: n{i}.big.test}}\n" for i in range(20000))
    big = n.POLICY.replace("    allow:\n", "    allow:\n" + rules)
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


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
