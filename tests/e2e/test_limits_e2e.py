"""Promise P8 on the whole system: over each limit there is a clear error, a counter that `status`
shows, no address, and everybody else is served."""
import os, re, select, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=180)
n.build()

# One worker, for each worker counts for itself. Patient, so that a busy machine is no limit, too.
CONFIG = n.CONFIG.replace("  guard:", "  set_size: 64\n  ack_timeout: 2s\n  guard:") + """\
workers: 1
limits: {in_flight: 40, in_flight_workload: 20, in_flight_client: 10, query_time: 3s,
         tcp_connections: 12, tcp_connections_client: 4, tcp_idle: 600ms}
"""
POLICY = """\
version: 1
profiles:
  few:
    pinhole: {floor: 1s, grace: 1s, max: 1h, addresses: 8, per_workload: 10}
    allow: [{zone: good.test, ports: [udp/4000]}]
  many:
    pinhole: {floor: 1s, grace: 1s, max: 1h, addresses: 8, per_workload: 20000}
    allow: [{zone: good.test, ports: [udp/4000]}]
workloads:
  app: {source: [10.1.0.0/24], profile: few}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: many}
"""


def signature(name, i):
    return h.rr(name, "RRSIG", 60, struct.pack(">HBBIIIH", 5, 13, 3, 60, 2 ** 31 - 1, 0, i) + h.name_wire("good.test") +
                bytes([i]) * 1000)


def answers(name, qtype):
    first, _, zone = name.partition(".")
    if zone == "silent.good.test":
        return None
    if first == "loop":
        return 0, [h.rr(name, "CNAME", 60, "loop2.good.test"), h.rr("loop2.good.test", "CNAME", 60, "loop.good.test")]
    if first.startswith("link"):  # a chain without end
        return 0, [h.rr(name, "CNAME", 60, f"link{int(first[4:]) + 1}.good.test")]
    if first.startswith("heavy"):  # each link has 52 KiB of signatures
        after = f"heavy{int(first[5:]) + 1}.good.test" if first != "heavy2" or zone == "more.good.test" else \
            "x.silent.good.test"
        after = after.replace("good.test", zone) if zone == "more.good.test" else after
        return 0, [h.rr(name, "CNAME", 60, after)] + [signature(name, i) for i in range(52)]
    if first.startswith("user"):
        return 0, [h.rr(name, "CNAME", 60, "heavy1.good.test")]
    if first == "targets" and qtype == 65:
        return 0, [h.https_rr(name, 60, f"t{i}.good.test", priority=i + 1) for i in range(20)]
    if first == "many" and qtype == 15:
        return 0, [h.rr(name, "CNAME", 60, "manyx.good.test")] + \
            [h.rr("manyx.good.test", "MX", 60, f"{i} m{i}.good.test") for i in range(256)]
    if qtype != 1:
        return 0, [], [h.soa("good.test")]
    if first.startswith("wide"):
        return 0, [h.rr(name, "A", 60, f"44.128.100.{i}") for i in range(int(first[4:]))]
    i = int(first[1:])
    ttl = 1 if first[0] == "s" else 600
    return 0, [h.rr(name, "A", ttl, f"44.128.{i >> 8}.{i & 255}")]


class Upstream(h.Upstream):
    """Names under stuck.good.test are for TCP, where the first connection ends and the others hang."""
    n_conversations = 0

    def reply(self, q, tcp):
        if b"\5stuck" not in q.lower():
            return super().reply(q, tcp)
        if tcp:
            return None
        end = q.index(b"\0", 12) + 5
        return q[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + q[12:end]

    def _conversation(self, conn):
        self.n_conversations += 1
        if self.n_conversations == 1:
            conn.recv(100)
            conn.close()
            return
        super()._conversation(conn)


up = Upstream("net", "44.128.0.53", answers)
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)
for extra in ("10.1.0.3", "10.1.0.4", "10.1.0.5"):
    h.run(["ip", "addr", "add", f"{extra}/24", "dev", "to-gw"], ns="app")


def counter(name):
    return sp.json("status")[0]["counters"][name]


def over(name, before):
    """The counter went up, and `status` names it among the limits hit."""
    status = sp.json("status")[0]
    assert status["counters"][name] > before, f"{name} is {status['counters'][name]}, before {before}"
    assert name in status["limits_hit"], f"{name} is not among the limits hit: {status['limits_hit']}"


def ask(ns, name, server=None, qtype="A", **kw):
    with h.inside(ns):
        return h.ask(server or {"app": n.DNS4, "app2": "10.1.1.1"}[ns], name, qtype, **kw)


def refused(m, word, what):
    assert m, f"{what}: no answer"
    h.same((m.status, m.addresses), ("SERVFAIL", []), what)
    assert m.ede and word in m.ede[0][1], f"{what}: {m.ede}"


@h.case
def a_workload_opens_so_many_addresses_renews_them_and_gets_room_when_they_end():
    before = counter("fw_limit_workload")
    for i in range(10):
        h.same(len(ask("app", f"s{i}.good.test").addresses), 1, f"address {i}")
    refused(ask("app", "s10.good.test"), "limit per_workload", "one more")
    over("fw_limit_workload", before)
    assert not n.udp_passes("app", "44.128.0.10", 4000, timeout=0.2), "the eleventh is open"
    h.same(len(ask("app", "s3.good.test").addresses), 1, "one of the ten again")
    h.same(len(ask("app2", "s10.good.test").addresses), 1, "another workload")
    h.until("room for others when they have ended", lambda: ask("app", "s10.good.test").addresses, 8, 0.3)


@h.case
def an_answer_opens_so_many_addresses():
    before = counter("limit_addresses")
    h.same(len(ask("app2", "wide8.good.test").addresses), 8, "as many as the profile has")
    refused(ask("app2", "wide9.good.test"), "limit addresses", "one more")
    refused(ask("app2", "wide200.good.test", tcp=True), "limit addresses", "many more, by TCP")
    over("limit_addresses", before)


@h.case
def a_full_set_refuses_what_does_not_fit_and_takes_it_later():
    before = counter("fw_set_full")
    got = [ask("app2", f"s{i}.good.test") for i in range(1000, 1090)]
    good, bad = [m for m in got if m.addresses], [m for m in got if not m.addresses]
    assert good and bad, f"{len(good)} answered, {len(bad)} not"
    for m in bad:
        refused(m, "no room", m.qname)
    over("fw_set_full", before)
    have = {".".join(map(str, e["elem"]["val"]["concat"][1:2])) for e in h.elements("gw", "pinhole4")}
    missing = [m.addresses[0] for m in good[-20:] if m.addresses[0] not in have]
    h.same(missing, [], "addresses that were given and are not open")
    h.until("room again", lambda: ask("app2", "s1089.good.test").addresses, 8, 0.3)


@h.case
def a_client_and_a_workload_wait_for_so_many_answers_at_once():
    before = counter("limit_in_flight")
    h.until("the set that the case before filled has room again",
            lambda: len(ask("app2", "a2001.good.test").addresses) == 1, 20, 0.3)
    time.sleep(2.5)  # and what else expires with it has been collected

    def flood(source, count, first):
        """Ask what nobody answers; how many of them are refused at once."""
        with h.inside("app"):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((source, 0))
        s.connect((n.DNS4, 53))
        for i in range(count):
            s.send(h.question(f"q{first + i}.silent.good.test", qid=i + 1))
        s.settimeout(0.4)
        told = []
        try:
            while True:
                told.append(h.Message(s.recv(4096)))
        except socket.timeout:
            pass
        return s, told
    s1, told = flood("10.1.0.2", 25, 0)
    h.same(len(told), 15, "of one client refused at once")
    for m in told:
        refused(m, "limit in_flight_client", m.qname)
    s2, told = flood("10.1.0.3", 25, 100)
    h.same(len(told), 15, "of the second client")
    s3, told = flood("10.1.0.4", 25, 200)
    h.same(len(told), 25, "of the third client: the workload has 20")
    for m in told:
        refused(m, "limit in_flight_workload", m.qname)
    # Others, and what needs no upstream, go on.
    m = ask("app2", "a2000.good.test")
    h.same((m.status, len(m.addresses)), ("NOERROR", 1), f"another workload: {m.ede}")
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("10.1.0.5", 0))
        s.connect((n.DNS4, 53))
        h.same(h.ask(n.DNS4, "denied.test", sock=s).status, "NXDOMAIN", "a denial")
    over("limit_in_flight", before)
    # What waits ends by itself, with an answer.
    s1.settimeout(5.0)
    late = [h.Message(s1.recv(4096)) for _ in range(10)]
    for m in late:
        h.same((m.status, m.addresses), ("SERVFAIL", []), m.qname)
    h.until("room again", lambda: len(ask("app", "s3.good.test").addresses) == 1, 4.0, 0.2)
    for sock in (s, s1, s2, s3):
        sock.close()


def connect(ns, source=None):
    with h.inside(ns):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if source:
            s.bind((source, 0))
        s.settimeout(2.0)
        s.connect(({"app": n.DNS4, "app2": "10.1.1.1"}[ns], 53))
    return s


def answered(s, name="denied.test"):
    """The status that a connection gets, or None when it was closed."""
    try:
        q = h.question(name)
        s.sendall(struct.pack(">H", len(q)) + q)
        head = h._exactly(s, 2)
        return h.Message(h._exactly(s, struct.unpack(">H", head)[0])).status if head else None
    except OSError:
        return None


@h.case
def a_client_holds_so_many_TCP_connections_and_idle_ones_end():
    before = counter("limit_tcp")
    mine = [connect("app") for _ in range(4)]
    h.same([answered(s) for s in mine], ["NXDOMAIN"] * 4, "four connections")
    h.same(answered(connect("app")), None, "the fifth")
    over("limit_tcp", before)
    h.same(answered(connect("app2")), "NXDOMAIN", "another client")
    h.same([answered(s) for s in mine], ["NXDOMAIN"] * 4, "the four of before")
    began = time.monotonic()
    assert select.select(mine, [], [], 3.0)[0], "an idle connection stays"
    assert 0.4 < time.monotonic() - began < 1.5, f"idle for {time.monotonic() - began:.1f} s"
    time.sleep(0.2)
    h.same(answered(connect("app")), "NXDOMAIN", "room again")


@h.case
def in_all_so_many_TCP_connections_and_idle_ones_give_way():
    held = [connect("app", source) for source in ("10.1.0.2", "10.1.0.3", "10.1.0.4") for _ in range(4)]
    h.same([answered(s) for s in held], ["NXDOMAIN"] * 12, "twelve connections")
    h.same(answered(connect("app2")), "NXDOMAIN", "the thirteenth: an idle one gave way (RFC 7766, section 6.2.2)")
    h.same([answered(s) for s in held].count(None), 1, "of the twelve closed")
    for s in held:
        s.close()


@h.case
def a_message_that_does_not_end_costs_its_connection():
    before = counter("limit_tcp_timeout")
    with connect("app") as s:
        s.sendall(b"\0")
        s.settimeout(8.0)
        h.same(s.recv(10), b"", "the slow connection is closed")
    over("limit_tcp_timeout", before)


@h.case
def chains_end():
    before = counter("limit_chain")
    for name in ("loop.good.test", "link0.good.test"):
        asked = len(up.log)
        refused(ask("app2", name), "limit chain", name)
        assert len(up.log) - asked <= 33, f"{name} cost {len(up.log) - asked} questions upstream"
    over("limit_chain", before)


@h.case
def an_answer_leads_to_so_many_targets():
    before = counter("limit_targets")
    m = ask("app2", "targets.good.test", qtype="HTTPS", tcp=True)
    h.same((m.status, len(m.answer)), ("NOERROR", 16), "records of 20")
    over("limit_targets", before)


@h.case
def an_answer_of_many_records_is_told_in_part():
    m = ask("app2", "many.good.test", qtype="MX", tcp=True)
    h.same((m.status, len(m.answer)), ("NOERROR", 257), "records for the client")

    def rows():
        return [r for r in sp.json("history", "--name", "many.good.test", "--limit", "10") if r.get("answers")]
    row = h.until("its row", rows, 3.0, 0.1)[0]
    h.same((len(row["answers"]), row.get("answers_cut")), (256, True), "records in the history")


@h.case
def one_server_has_so_many_connections_of_ours():
    before = counter("limit_upstream")
    sp.configure(re.sub(r"in_flight: 40, in_flight_workload: 20, in_flight_client: 10",
                        "in_flight: 400, in_flight_workload: 400, in_flight_client: 400", CONFIG))
    sp.cli("reload")
    with h.inside("app2"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.1.1.1", 53))
    for i in range(150):
        s.send(h.question(f"q{i}.stuck.good.test", qid=i + 1))
    h.until("over the limit", lambda: counter("limit_upstream") > before, 4.0, 0.2)
    over("limit_upstream", before)
    open_now = h.run(["ss", "-Htn", "state", "established", "dst", "44.128.0.53"], ns="gw").stdout.count("\n")
    assert 32 < open_now <= 64, f"{open_now} connections"
    s.settimeout(5.0)
    h.same(h.Message(s.recv(4096)).status, "SERVFAIL", "what they get")
    s.close()


@h.case
def what_waiting_queries_hold_is_bounded():
    before = counter("limit_waiting")
    refused(ask("app2", "heavy1.more.good.test", qtype="MX", timeout=5.0), "limit", "one query's links")
    over("limit_waiting", before)
    before = counter("limit_waiting")
    with h.inside("app2"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("10.1.1.1", 53))
    for i in range(380):
        s.send(h.question(f"user{i}.good.test", "MX", qid=i + 1))
        if i % 20 == 19:
            time.sleep(0.02)
    h.until("all queries together", lambda: counter("limit_waiting") > before, 3.0, 0.1)
    m = ask("app2", "a3100.good.test")
    h.same((m.status, len(m.addresses)), ("NOERROR", 1), f"one that holds little goes on: {m.ede}")
    s.close()
    sp.configure(CONFIG)
    sp.cli("reload")
    h.until("served again", lambda: ask("app2", "a3000.good.test").addresses, 8, 0.3)


@h.case
def control_connections_are_bounded():
    path = os.path.join(sp.dir, "run", "control.sock")
    held = []
    for _ in range(80):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A full backlog refuses at once: the keeper takes what waits in its next turn.
        h.until("there is room in the backlog", lambda: s.connect_ex(path) == 0, 2.0)
        s.settimeout(1.0)
        held.append(s)
    readable = lambda: select.select(held, [], [], 0)[0]
    h.until("those over 64 are turned away", lambda: len(readable()) >= 16, 2.0)
    h.same(len(readable()), 16, "connections turned away")
    for s in readable():
        assert b"too many callers" in s.recv(1000), "no word of the reason"
    h.same(ask("app", "denied.test").status, "NXDOMAIN", "queries meanwhile")
    for s in held:
        s.close()
    h.until("the command works again", lambda: sp.cli("status", check=False).returncode == 0, 3.0)


HOLDER = """
import socket, sys, time
held = []
for _ in range(80):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(sys.argv[1])
    held.append(s)
print("held", flush=True)
time.sleep(60)
"""


@h.case
def analysts_cannot_keep_administrators_out():
    log = h.work("holder.log")
    holder = h.start(["setpriv", "--reuid", "daemon", "--regid", "daemon", "--groups", "nogroup", "/usr/bin/python3",
                      "-c", HOLDER, os.path.join(sp.dir, "run", "control.sock")], log=log)
    h.until("the analyst holds 80 connections", lambda: "held" in open(log).read(), 5.0)
    try:
        reader = h.run(["setpriv", "--reuid", "daemon", "--regid", "daemon", "--groups", "nogroup",
                        os.path.join(sp.bin, "sallyport"), "-c", sp.conf, "status"], ns="gw", check=False)
        h.same(reader.returncode, 2, "another analyst")
        assert "too many callers" in reader.stderr, reader.stderr
        h.same(sp.cli("flush", "--all", check=False).returncode, 0, "an administrator")
    finally:
        h.stop(holder)


@h.case
def nobody_died_of_any_of_it():
    for role in sp.json("status")[0]["roles"]:
        h.same(role["restarts"], 0, role["role"])


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
