"""Promises P4 and P7, first round: exact counts, and what a kill -9 and a flush do not change."""
import os, signal, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=300)
n.build()
up = n.answerer(ttl=300)
sp = h.Sallyport("gw", n.CONFIG).up()
sp.apply(n.POLICY)


def counts(**filters):
    """Sum of `count` by (type, verdict) over all rows of the history."""
    args = [a for k, v in filters.items() for a in ("--" + k, v)]
    sums = {}
    for row in sp.json("history", "--limit", "10000000", *args):
        if "verdict" in row:
            key = (row["type"], row["verdict"])
            sums[key] = sums.get(key, 0) + row["count"]
    return sums


@h.case
def fifty_thousand_mixed_queries_are_in_the_history_with_exact_counts():
    runs = [n.asker("app", prefix="a", first=0, count=5000, types="a6", window=128, wait=False),
            n.asker("app2", prefix="b", first=5000, count=5000, types="a", window=128, wait=False),
            n.asker("app", prefix="no", suffix="bad.test", count=10000, types="a", window=128, wait=False),
            n.asker("app2", prefix="a", first=0, count=5000, types="a", window=128, wait=False),
            n.asker("app2", prefix="no", suffix="bad.test", count=10000, types="6", window=128, wait=False),
            n.asker("stranger", prefix="s", count=10000, types="a", window=128, wait=False)]
    got = [n.asker_result(r) for r in runs]
    for g in got:
        h.same((g["answered"], g["lost"]), (g["asked"], 0), str(g))
    status = sp.json("status")[0]
    h.same(status["counters"]["kernel_drops"], 0)

    def complete():
        c = counts()
        return c if sum(c.values()) >= 50000 else None
    try:
        c = h.until("all rows are written", complete, 20, 0.5)
    except AssertionError as e:
        raise AssertionError(f"{e}: {counts()}, {sp.json('status')[0]['counters']}") from None
    h.same(c, {("A", "allow"): 15000, ("AAAA", "allow"): 5000, ("A", "deny"): 20000, ("AAAA", "deny"): 10000})
    one = counts(workload="app")
    h.same(one, {("A", "allow"): 5000, ("AAAA", "allow"): 5000, ("A", "deny"): 10000})


def load(seconds):
    """Two workloads ask, in the background; the result of each."""
    # Names repeat, so that the cache, the history and pinholes are all at work.
    return [n.asker(ns, prefix="k", first=100, count=int(6000 * seconds), types="a", window=4, wait=False,
                    timeout_ms=400) for ns in ("app", "app2")]


def back_within(seconds, role, old):
    """Until a new process of the role answers to status, and a new name is answered."""
    begin = time.monotonic()

    def answered():
        with h.inside("app"):
            m = h.ask(n.DNS4, f"r{int(time.monotonic() * 1000) % 1000000}.good.test", timeout=0.1)
        return m and m.addresses
    h.until(f"service after the death of {role}", answered, seconds + 1, 0.01)
    took = time.monotonic() - begin
    assert took < seconds, f"{role}: service came back after {took:.2f} s"
    new = h.until("a new process", lambda: (lambda p: p if p and p != old else None)(sp.role_pid(role)), 3, 0.05)
    return took, new


@h.case
def service_is_back_in_under_a_second_after_kill_9_of_each_role_under_load():
    for role in ("resolver", "historian", "fwsync"):
        runs = load(0.5)
        time.sleep(0.1)
        pid = sp.role_pid(role)
        with h.inside("app"):
            address = h.ask(n.DNS4, "x77.good.test").addresses[0]
        os.kill(pid, signal.SIGKILL)
        assert n.udp_passes("app", address, 4000), f"{role}: an open pinhole closed"
        took, _new = back_within(1.0, role, pid)
        for r in runs:
            g = n.asker_result(r)
            h.same(g["refused"] + g["nxdomain"] + g["other"], 0, f"{role}: answers other than an answer or SERVFAIL: {g}")
        assert not n.udp_passes("app", "44.128.255.251", 4000), f"{role}: a raw address is open"
        print(f"    {role}: back after {took * 1000:.0f} ms", flush=True)


@h.case
def a_killed_historian_loses_and_repeats_nothing():
    before = counts()
    pid = sp.role_pid("historian")
    run = n.asker("app", prefix="h", first=60000, count=5000, types="a", window=32, wait=False)
    for _ in range(5):
        time.sleep(0.15)
        try:
            os.kill(sp.role_pid("historian"), signal.SIGKILL)
        except ProcessLookupError:
            pass
    got = n.asker_result(run)
    h.same(got["answered"], 5000, str(got))

    def complete():
        c = counts(name="h*.good.test")
        return c if sum(c.values()) >= 5000 else None
    h.same(h.until("all rows", complete, 10, 0.5), {("A", "allow"): 5000})
    assert pid != sp.role_pid("historian")
    assert sum(counts().values()) >= sum(before.values()) + 5000


@h.case
def a_foreign_flush_changes_nothing_while_the_table_has_an_owner():
    with h.inside("app"):
        address = h.ask(n.DNS4, "x78.good.test").addresses[0]
    h.nft("gw", "flush", "ruleset", check=False)
    assert "table inet sallyport" in h.nft("gw", "list", "tables")
    assert n.udp_passes("app", address, 4000), "an open pinhole closed"
    assert not n.udp_passes("app", "44.128.255.252", 4000), "a raw address is open"


@h.case
def the_keepers_death_leaves_everything_closed():
    pids = [sp.role_pid(r) for r in ("resolver", "historian", "fwsync")]
    sp.process  # `ip netns exec` became sallyportd itself
    os.kill(sp.process.pid, signal.SIGKILL)
    sp.process.wait(5)
    h.until("the roles end", lambda: all(not alive(p) for p in pids), 5)
    assert "table inet sallyport" in h.nft("gw", "list", "tables")
    assert not n.udp_passes("app", "44.128.255.253", 4000), "a raw address is open"
    with h.inside("app"):
        assert h.ask(n.DNS4, "x79.good.test", timeout=0.5) is None
    time.sleep(0.2)
    rows = sum(counts().values())
    assert rows >= 55000, "the history reads after the keeper's death"
    sp.up()
    with h.inside("app"):
        h.until("service again, with the stored policy", lambda: (lambda m: m and m.addresses)(
            h.ask(n.DNS4, "x80.good.test", timeout=0.3)), 5)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@h.case
def SIGTERM_drains_and_leaves_the_table_closed():
    pids = [sp.role_pid(r) for r in ("resolver", "historian", "fwsync")]
    h.same(sp.down(), 0, "exit status")
    assert not any(alive(p) for p in pids), "a role outlived the keeper"
    assert not n.udp_passes("app", "44.128.255.254", 4000), "a raw address is open"


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
