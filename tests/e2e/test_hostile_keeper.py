"""Promises P1, P6 and P7 among processes that have been taken over: the resolver under a firewall role
that confirms what it was not asked, the keeper under roles that say anything, and the control socket
under an analyst who would like to be an administrator. tests/e2e/tools/rogue.py is the intruder."""
import json, os, re, shutil, struct, subprocess, sys, time

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


@h.case
def a_role_that_babbles_hides_no_line_for_long():
    """What one role makes another one say is so many lines a second; the next one tells of the rest."""
    sp = _running[0]
    had = sp.logs().count("malformed message")
    order(sp, "babble")
    for i in range(4):
        ask(f"x{2000 + i}.good.test", timeout=1.0)
    time.sleep(1.1)
    ask("x2010.good.test", timeout=1.0)
    text = open(sp.log).read()
    said = text.count("malformed message") - had
    told = sum(map(int, re.findall(r"role=resolver .*lines_dropped=(\d+)", text)))
    print(f"  {said} lines, and {told} that are told by number")
    assert said < 1600 and told > 400, (said, told)
    order(sp, "true")
    h.until("served again", lambda: getattr(ask("x2020.good.test"), "addresses", None), 5, 0.05)


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
    for _ in range(6):
        began = time.monotonic()
        unharmed(sp, role, others, before, "flood")
        slow = max(slow, time.monotonic() - began)
        time.sleep(0.15)
    assert "descriptors are let in" not in sp.logs()
    dropped = sum(map(int, re.findall(r"lines_dropped=(\d+)", open(sp.log).read())))
    h.same(dropped, 0, "lines of others that the role's flood has displaced from the log")
    h.same(role_of(sp, role)["pid"], pid, "replaced for nothing but odd words")
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
    order(sp, "scribble")
    time.sleep(0.5)
    unharmed(sp, "historian", others, before, "a scribbled page")
    h.until("a scribbled page is either sound again or its role is another's",
            lambda: role_of(sp, "historian")["state"] == "running", 12, 0.3)
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


# ---- a hostile analyst and the control socket

ANALYST = r"""
import array, json, os, socket, struct, sys, time
path, what = sys.argv[1:3]

def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(20)
    s.connect(path)
    return s

def frame(words, kind=1):
    payload = b"".join(w.encode() + b"\0" for w in words)
    return struct.pack("=II", len(payload), kind) + payload

def answer(s):
    out = b""
    try:
        while True:
            more = s.recv(1 << 16)
            if not more:
                return out
            out += more
    except OSError:
        return out

def send(s, data, fds=()):
    try:
        s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
        return True
    except OSError:
        return False

if what == "words":
    for words in json.load(sys.stdin):
        s = connect()
        send(s, frame(words))
        print(json.dumps(answer(s).decode("latin-1")))
elif what == "frames":
    heads = [(n, 1) for n in (0, 1, 2, 7, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 32) - 1)] + \
            [(4, kind) for kind in (0, 2, 3, 4, 5, 255, (1 << 32) - 1)]
    for n, kind in heads:
        for body in (b"", b"\0", b"status\0", b"\0" * n if n <= 1 << 20 else b"", b"x" * min(n, 1 << 20)):
            s = connect()
            send(s, struct.pack("=II", n, kind) + body)
            s.shutdown(socket.SHUT_WR)
            answer(s)
    for cut in range(1, 15):
        s = connect()
        send(s, frame(["status"])[:cut])
        s.shutdown(socket.SHUT_WR)
        answer(s)
    s = connect()
    send(s, frame(["explain"] + ["x"] * 5000))
    answer(s)
elif what == "descriptors":
    # As many as a message takes, of every kind, on as many connections as there are; kept.
    kinds = [os.pipe()[0], os.open("/", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), socket.socket().fileno()]
    sparse = os.open("/tmp/sparse.%d" % os.getpid(), os.O_RDWR | os.O_CREAT)
    os.unlink("/tmp/sparse.%d" % os.getpid())
    os.ftruncate(sparse, 1 << 42)
    held, n = [], 0
    for _ in range(50):
        s = connect()
        n += send(s, frame(["status"])[:9], (kinds + [sparse]) * 13)
        held.append(s)
    print(json.dumps(n), flush=True)
    sys.stdin.read()
elif what == "linger":
    # A connection to somebody who does not read, with octets unsent; its last descriptor is in the
    # message. Who throws it away waits for it.
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    c = socket.socket()
    c.connect(server.getsockname())
    c.setblocking(False)
    try:
        while True:
            c.send(b"x" * 65536)
    except BlockingIOError:
        pass
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 4))
    s = connect()
    sent = send(s, frame(["status"])[:9], [c.fileno()])
    os.close(c.detach())
    send(s, frame(["status"])[9:])
    print(json.dumps(sent), flush=True)
    sys.stdin.read()
elif what == "unread":
    held = []
    for _ in range(50):
        s = connect()
        send(s, frame(["policy-show", "current"]))
        held.append(s)
    began = 0
    for s in held:
        try:
            began += len(s.recv(1))
        except OSError:
            pass  # dropped
    print(json.dumps(began), flush=True)
    sys.stdin.read()
"""


def analyst(sp, what, input=None):
    """Another user, who may only read, does one of the above. With input: to its end, what it printed;
    else it goes on until its .stdin is closed, and has printed .said."""
    p = subprocess.Popen(["ip", "netns", "exec", "gw", "setpriv", "--reuid", "daemon", "--regid", "daemon", "--groups",
                          "nogroup", "/usr/bin/python3", "-c", ANALYST, sp.dir + "/run/control.sock", what],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    h._started.append(p)
    if input is not None:
        out, _ = p.communicate(input, timeout=60)
        h._started.remove(p)
        h.same(p.returncode, 0, f"the analyst's {what}")
        return out
    p.said = json.loads(p.stdout.readline())
    return p


def leave(p):
    p.stdin.close()
    p.wait(30)
    h._started.remove(p)


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def plain():
    while _running:
        _running.pop().down()
    h.nft("gw", "flush", "ruleset", check=False)
    sp = h.Sallyport("gw", n.CONFIG + "workers: 1\n", name="plain").up()
    _running.append(sp)
    sp.apply(n.POLICY)
    return sp


@h.case
def an_analyst_changes_nothing_and_no_frame_harms_the_keeper():
    sp = plain()
    source = open(os.path.join(h.ROOT, "keeper/request.c")).read()
    changing = re.findall(r'\[VERB_\w+\] = \{ "([a-z-]+)", true \}', source)
    reading = re.findall(r'\[VERB_\w+\] = \{ "([a-z-]+)", false \}', source)
    assert len(changing) >= 5 and len(reading) >= 5, (changing, reading)
    asked = [[verb, *args] for verb in changing for args in ([], ["1"], ["--all"], ["a", "b", "c"], ["x"] * 60)]
    said = [json.loads(line) for line in analyst(sp, "words", json.dumps(asked)).splitlines()]
    h.same(len(said), len(asked))
    for words, text in zip(asked, said):
        assert f"{words[0]} is for root and the admin group" in text, f"{words}: {text!r}"
    said = analyst(sp, "words", json.dumps([[verb, *args] for verb in reading for args in ([], ["x"] * 60)]))
    h.same(len(said.splitlines()), 2 * len(reading))
    before = rss_kb(sp.process.pid)
    analyst(sp, "frames", "")
    h.same(status(sp)["policy_applied"], 1)
    assert rss_kb(sp.process.pid) - before < 16 << 10, f"{rss_kb(sp.process.pid) - before} KiB more"


@h.case
def what_an_analyst_leaves_in_the_audit_trail_is_bounded():
    """Nothing is ever taken out of it, so who may only read has a budget; an administrator has none."""
    sp = plain()
    begin = max(row["id"] for row in sp.json("audit"))

    def trail():
        return [row for row in sp.json("audit", "--limit", "1000") if row["id"] > begin]

    said = analyst(sp, "words", json.dumps([["flush", "--all"]] * 200)).splitlines()
    assert len(said) == 200 and all("is for root and the admin group" in text for text in said), said
    refused = trail()
    assert 60 <= len(refused) <= 62, f"{len(refused)} rows"
    counted = status(sp)["counters"]["limit_audit"]
    h.same(counted, 200 - len(refused), "counted")
    for _ in range(3):
        sp.cli("flush", "--all")
    h.same(len(trail()), len(refused) + 3, "the administrator's rows")
    time.sleep(6.1)
    analyst(sp, "words", json.dumps([["flush", "--all"]]))
    rows = [row for row in trail() if row["action"] == "left-out"]
    h.same([row["detail"] for row in rows], [f"{counted} refusals before this one"])


@h.case
def an_analysts_descriptors_are_not_let_in():
    sp = _running[0]
    before = open_fds(sp.process.pid)
    p = analyst(sp, "descriptors")
    h.until("its messages were looked at", lambda: status(sp) and True, 2)
    grown = open_fds(sp.process.pid) - before
    print(f"  {p.said} messages with 65 descriptors went out; the keeper has {grown} more")
    assert grown <= 60, f"{grown} descriptors more: connections are 50"
    leave(p)
    h.until("given back", lambda: open_fds(sp.process.pid) <= before + 2, 5)


@h.case
def an_analysts_socket_that_lingers_does_not_hold_the_keeper_up():
    sp = _running[0]
    p = analyst(sp, "linger")
    began = time.monotonic()
    status(sp, limit=20)
    took = time.monotonic() - began
    print(f"  the message {'went out' if p.said else 'was refused'}; status took {took:.2f} s")
    assert took < 2, f"the keeper stood still for {took:.1f} s"
    leave(p)


@h.case
def answers_that_analysts_do_not_read_take_a_bounded_room():
    sp = _running[0]
    rules = "".join(f"      - {{name: name-{i}.example.test, reason: \"{'long ' * 20}\"}}\n" for i in range(14000))
    sp.apply(n.POLICY.replace("    allow:\n", "    allow:\n" + rules))
    status(sp)
    before = rss_kb(sp.process.pid)
    p = analyst(sp, "unread")
    grown = rss_kb(sp.process.pid) - before
    print(f"  {p.said} of 50 unread answers of {len(rules) >> 10} KiB began: the keeper has {grown} KiB more")
    assert grown < 88 << 10, f"{grown} KiB more"
    assert "too many answers are unread" in sp.logs(), "no word of it"
    h.same(sp.cli("policy", "show", "current").returncode, 0, "an administrator gets his")
    leave(p)


@h.after
def end(failed):
    for sp in _running:
        if failed:
            print(sp.logs())
        sp.down()


h.main()
