"""Promises P1, P6 and P7 among processes that have been taken over: the resolver under a firewall role
that confirms what it was not asked, the keeper under roles that say anything, and the control socket
under an analyst who would like to be an administrator. tests/e2e/tools/rogue.py is the intruder."""
import os, re, shutil, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=300)
n.build()
ROGUE = os.path.join(h.ROOT, "tests/e2e/tools/rogue.py")
ROLES = ("resolver", "historian", "fwsync")
_running = []


def daemon(role, name, config=n.CONFIG):
    """Sallyport with that role taken over, which does nothing yet. Its orders go to sp.orders."""
    while _running:
        _running.pop().down()
    h.nft("gw", "flush", "ruleset", check=False)
    build = n.programs(name + ".programs")
    program = os.path.join(build, "bin", "sallyport-" + role)
    os.unlink(program)
    shutil.copy(ROGUE, program)
    os.chmod(program, 0o755)
    orders = h.work(name + ".orders")
    open(orders, "w").close()
    sp = h.Sallyport("gw", config + "workers: 1\n", name=name, build=build, env={"SALLYPORT_TEST_SHIM": orders})
    sp.orders = orders
    _running.append(sp)
    sp.up()
    sp.apply(n.POLICY)
    return sp


def order(sp, *words):
    with open(sp.orders + ".new", "w") as f:
        f.write(" ".join(words))
    os.rename(sp.orders + ".new", sp.orders)


def ask(name, qtype="A", **kw):
    with h.inside("app"):
        return h.ask(n.DNS4, name, qtype, **kw)


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", open(f"/proc/{pid}/status").read()).group(1))


def status(sp, limit=1.0):
    """What the keeper says of itself, in time."""
    began = time.monotonic()
    said = sp.json("status")[0]
    took = time.monotonic() - began
    assert took < limit, f"status took {took:.2f} s"
    return said


def role_of(sp, role):
    return next(r for r in status(sp)["roles"] if r["role"] == role)


# ---- a hostile firewall role and the resolver


@h.case
def the_resolver_believes_no_confirmation_but_that_of_its_own_request():
    up = h.Upstream("net", "44.128.0.53", lambda name, qtype: (0, [h.rr(name, "A", 300, "44.128.9.9")])
                    if qtype == 1 else (0, [], [h.soa("good.test")]))
    sp = daemon("fwsync", "lying", n.CONFIG.replace("  guard:", "  ack_timeout: 120ms\n  guard:"))
    resolver = sp.role_pid("resolver")
    order(sp, "true")
    h.until("the rogue confirms", lambda: ask("x0.good.test").addresses, 5, 0.1)
    counts = {}
    for i, how in enumerate(("sequence", "count", "head", "cut", "huge", "status", "late", "flood", "swallow")):
        order(sp, how)
        for j in range(3):
            m = ask(f"x{100 * i + j + 1}.good.test")
            assert m, f"{how}: no answer"
            h.same((m.status, m.addresses), ("SERVFAIL", []), f"{how}: {m.qname}")
            assert m.ede, f"{how}: no extended error"
        began = time.monotonic()
        h.same(ask("denied.test").status, "NXDOMAIN", f"{how}: a denial meanwhile")
        assert time.monotonic() - began < 0.5, f"{how}: a denial took {time.monotonic() - began:.2f} s"
        # The next batch's number is no secret to whom the last one was sent: what was said too early
        # must not count as said.
        order(sp, "true")
        got = h.until(f"{how}: believed again when true",
                      lambda: getattr(ask(f"x{100 * i + 50}.good.test"), "addresses", None), 5, 0.05)
        h.same(got, ["44.128.9.9"], f"{how}: the true one's answer")
    counters = status(sp)["counters"]
    assert counters["pinhole_late"] > 0 and counters["pinhole_timeouts"] > 0, counters
    h.same(sp.role_pid("resolver"), resolver, "the resolver lives")
    assert rss_kb(resolver) < 200 << 10, f"{rss_kb(resolver)} KiB"


# ---- hostile roles and the keeper


def unharmed(sp, role, others, before, what):
    said = status(sp)
    for r in said["roles"]:
        if r["role"] != role:
            h.same((r["role"], r["pid"], r["restarts"]), (r["role"], others[r["role"]], 0), f"{what}: a neighbour")
    grown = rss_kb(sp.process.pid) - before
    assert grown < 8 << 10, f"{what}: the keeper has {grown} KiB more"
    h.same(sp.process.poll(), None, f"{what}: the keeper")


def hostile(role, *malformed):
    sp = daemon(role, "rogue-" + role)
    others = {r: sp.role_pid(r) for r in ROLES if r != role}
    before = rss_kb(sp.process.pid)
    pid = sp.role_pid(role)
    # What is well-formed is heard, whatever it says.
    order(sp, "odd")
    time.sleep(0.3)
    unharmed(sp, role, others, before, "odd messages")
    order(sp, "linger")
    time.sleep(0.2)
    order(sp, "flood-keeper")
    slow = 0.0
    for _ in range(8):
        began = time.monotonic()
        unharmed(sp, role, others, before, "flood")
        slow = max(slow, time.monotonic() - began)
        time.sleep(0.15)
    assert "descriptors are let in" not in sp.logs()
    dropped = sum(map(int, re.findall(r"lines_dropped=(\d+)", open(sp.log).read())))
    h.same(dropped, 0, "lines of others that the role's flood has displaced from the log")
    h.same(role_of(sp, role)["pid"], pid, "replaced for nothing but odd words")
    order(sp, "scribble")
    time.sleep(0.5)
    unharmed(sp, role, others, before, "a scribbled page")
    h.until("a scribbled page is either sound again or its role is another's",
            lambda: role_of(sp, role)["state"] == "running", 12, 0.3)
    # What is not well-formed ends the role.
    for how in malformed:
        was = h.until("running", lambda: role_of(sp, role)["pid"], 8, 0.1)
        order(sp, how)
        h.until(f"{how}: replaced", lambda: role_of(sp, role)["pid"] not in (0, was), 12, 0.1)
        unharmed(sp, role, others, before, how)
    print(f"  {role}: status during the flood at most {slow * 1e3:.0f} ms")
    return sp, others, before


@h.case
def the_keeper_outlives_a_hostile_resolver():
    hostile("resolver", "short", "close")


@h.case
def the_keeper_outlives_a_hostile_historian():
    sp, others, before = hostile("historian", "promises-descriptors")
    was = role_of(sp, "historian")["pid"]
    order(sp, "forge")
    h.until("replaced", lambda: role_of(sp, "historian")["pid"] not in (0, was), 12, 0.1)
    forged = [line for line in sp.logs().splitlines() if line.startswith("level=info") and "version 99" in line]
    h.same(forged, [], "lines that the role has written in the keeper's name")
    assert "\x1b" not in sp.logs(), "a terminal's escapes in the log"


@h.case
def the_keeper_outlives_a_hostile_firewall_role():
    sp, others, before = hostile("fwsync", "long")
    # A heartbeat beyond all clocks excuses nobody.
    h.until("running", lambda: role_of(sp, "fwsync")["state"] == "running", 15, 0.2)
    was = role_of(sp, "fwsync")["pid"]
    order(sp, "ever-after")
    h.until("replaced", lambda: role_of(sp, "fwsync")["pid"] not in (0, was), 9, 0.2)
    unharmed(sp, "fwsync", others, before, "a heartbeat of the far future")


@h.after
def end(failed):
    for sp in _running:
        if failed:
            print(sp.logs())
        sp.down()


h.main()
