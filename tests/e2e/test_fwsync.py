"""The firewall role against the real kernel: the table's rules, with packets; pinholes that open,
renew, expire and close; strangers' changes; a death and a successor."""
import ipaddress, json, os, random, signal, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
import netlink

h.enter(os.path.abspath(__file__), seconds=300)

# app 10.1.0.2, fd00:1::2 - gw - net 198.51.100.7, 2001:db8::7 (and .8); eve 10.2.0.2 is not guarded.
for name in ("gw", "app", "eve", "net"):
    h.host(name)
h.wire("gw", ["10.1.0.1/24", "fd00:1::1/64"], "app", ["10.1.0.2/24", "10.1.0.3/24", "fd00:1::2/64"])
h.wire("gw", ["10.2.0.1/24"], "eve", ["10.2.0.2/24"])
h.wire("gw", ["198.51.100.1/24", "2001:db8::1/64"], "net",
       ["198.51.100.7/24", "198.51.100.8/24", "2001:db8::7/64"])
for ns, four, six in (("app", "10.1.0.1", "fd00:1::1"), ("eve", "10.2.0.1", None),
                      ("net", "198.51.100.1", "2001:db8::1")):
    h.route(ns, "default", four)
    if six:
        h.route(ns, "default", six)
h.forwarding("gw")
NET4, NET4B, NET6 = "198.51.100.7", "198.51.100.8", "2001:db8::7"
APP = [{"name": "app", "sources": ["10.1.0.0/24", "fd00:1::/64"],
        "ports": [(k.PORT, k.TCP, 1, 65535), (k.PORT, k.UDP, 1, 65535), (k.PROTO, k.ICMP, 0, 0)]}]
POLICY = dict(workloads=APP, guarded=["10.1.0.0/24", "fd00:1::/64"])
CONF = dict(dns=[("10.1.0.1", 53)], prefixes=["10.1.0.0/24", "fd00:1::/64"])

_up = []


def fresh(policy=True, program="sallyport-fwsync", env=None, ledger_rows=8192, **kw):
    """A new role with a new ledger on an empty kernel."""
    while _up:
        f = _up.pop()
        if f.p and f.p.poll() is None:
            f.end()
        f.netlink.close()
    h.nft("gw", "flush", "ruleset", check=False)
    h.run(["conntrack", "-F"], ns="gw", check=False)
    f = k.Fwsync("gw", program=program, env=env, ledger_rows=ledger_rows, **dict(CONF, **kw))
    _up.append(f)
    f.up()
    if policy:
        f.policy(1, **POLICY)
    return f


# ---- packets


def family(a):
    return socket.AF_INET6 if ":" in a else socket.AF_INET


class Tcp:
    """A TCP service in `server`, and a connection to it from `client`."""

    def __init__(self, client, server, address, port, source=None):
        with h.inside(server):
            self.listener = socket.socket(family(address))
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.listener.listen(8)
        with h.inside(client):
            self.c = socket.socket(family(address))
            if source:
                self.c.bind((source, 0))
        self.c.settimeout(1.0)
        self.address = (address, port)
        self.s = None

    def connect(self):
        """"open", "refused" (RST or ICMP at once) or "silence"."""
        try:
            self.c.connect(self.address)
        except socket.timeout:
            return "silence"
        except OSError:
            return "refused"
        self.listener.settimeout(1.0)
        self.s, _ = self.listener.accept()
        self.s.settimeout(1.0)
        return "open"

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
        for s in (self.c, self.s, self.listener):
            if s:
                s.close()


class Udp:
    def __init__(self, client, server, address, port, source=None):
        with h.inside(server):
            self.s = socket.socket(family(address), socket.SOCK_DGRAM)
            self.s.bind((address, port))
        with h.inside(client):
            self.c = socket.socket(family(address), socket.SOCK_DGRAM)
            if source:
                self.c.bind((source, 0))
        self.c.connect((address, port))
        for s in (self.s, self.c):
            s.settimeout(0.4)

    def reaches(self):
        """The service hears us."""
        token = os.urandom(8)
        for _ in range(2):  # an earlier rejection is reported by the first call
            try:
                self.c.send(token)
                break
            except OSError:
                continue
        try:
            while True:
                data, self.peer = self.s.recvfrom(64)
                if data == token:
                    return True
        except OSError:
            return False

    def answered(self):
        token = os.urandom(8)
        try:
            self.s.sendto(token, self.peer)
            while True:
                if self.c.recv(64) == token:
                    return True
        except OSError:
            return False

    def end(self):
        self.s.close()
        self.c.close()


def tcp(address, port, client="app", server="net", **kw):
    t = Tcp(client, server, address, port, **kw)
    try:
        return t.connect()
    finally:
        t.end()


def udp(address, port, client="app", server="net", **kw):
    u = Udp(client, server, address, port, **kw)
    try:
        return u.reaches() and u.answered()
    finally:
        u.end()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(ns, address, kind=None):
    """Send an ICMP message (an echo request unless `kind` says another); is it answered?"""
    v6 = ":" in address
    kind = (128 if v6 else 8) if kind is None else kind
    token = struct.pack("!HH", os.getpid() & 0xFFFF, struct.unpack("H", os.urandom(2))[0])
    body = struct.pack("!BBH", kind, 0, 0) + token + b"\0" * 12
    if not v6:  # for IPv6 the kernel fills it in
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with h.inside(ns), socket.socket(family(address), socket.SOCK_RAW, 58 if v6 else 1) as s:
        s.sendto(body, (address, 0))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            s.settimeout(max(0.01, end - time.monotonic()))
            try:
                data = s.recv(1500)
            except OSError:
                return False
            at = 0 if v6 else (data[0] & 15) * 4
            if data[at] == (129 if v6 else kind - 8 if kind == 8 else kind + 1) and data[at + 4:at + 8] == token:
                return True
    return False


# ---- the table


@h.case
def an_installed_table_lets_a_guarded_source_reach_nothing():
    fresh()
    h.same(tcp(NET4, 443), "refused", "TCP is answered with RST")
    h.same(udp(NET4, 443), False, "UDP")
    h.same(tcp(NET6, 443), "refused", "TCP over IPv6")
    h.same(udp(NET6, 443), False, "UDP over IPv6")
    h.same(ping("app", NET4), False, "echo")


@h.case
def others_are_not_filtered():
    h.same(tcp(NET4, 443, client="eve"), "open", "an unguarded host")
    h.same(udp(NET4, 443, client="eve"), True, "an unguarded host by UDP")


@h.case
def an_open_pinhole_passes_and_only_it():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PORT, k.TCP, 443), (k.PORT, k.UDP, 443)]), k.OPEN, "status")
    h.same(tcp(NET4, 443), "open", "the pinhole")
    h.same(udp(NET4, 443), True, "the pinhole by UDP, and its answer")
    h.same(tcp(NET4, 444), "refused", "another port")
    h.same(tcp(NET4B, 443), "refused", "another address")
    h.same(tcp(NET4, 443, source="10.1.0.3"), "refused", "another source")
    h.same(ping("app", NET4), False, "another protocol")
    h.same(f.open(NET6, src=["fd00:1::2"], ports=[(k.PORT, k.TCP, 443)]), k.OPEN, "IPv6 status")
    h.same(tcp(NET6, 443), "open", "IPv6")
    h.same(tcp(NET6, 444), "refused", "IPv6, another port")


@h.case
def icmp_means_echo_requests_only():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PROTO, k.ICMP, 0)]), k.OPEN, "status")
    h.same(f.open(NET6, src=["fd00:1::2"], ports=[(k.PROTO, k.ICMP, 0)]), k.OPEN, "status, IPv6")
    h.same((ping("app", NET4), ping("app", NET6)), (True, True), "echo passes")
    h.same(ping("app", NET4B), False, "elsewhere it does not")
    h.same(ping("eve", NET4, kind=13), True, "a timestamp request (RFC 792) would be answered")
    h.same(ping("app", NET4, kind=13), False, "but is not let through")


def refused(counter):
    out = json.loads(h.nft("gw", "-j", "list", "counter", "inet", "sallyport", counter))
    return [o["counter"]["packets"] for o in out["nftables"] if "counter" in o][0]


@h.case
def refusals_are_counted():
    fresh()
    before = refused("refused_forward")
    tcp(NET4, 443)
    h.until("the counter moves", lambda: refused("refused_forward") > before)


@h.case
def a_connection_from_outside_needs_a_syn():
    fresh()
    h.same(tcp("10.1.0.2", 8080, client="net", server="app"), "open", "TCP from outside")
    t = Tcp("net", "app", "10.1.0.2", 8081)
    h.same((t.connect(), t.talks()), ("open", True), "both ways")
    t.end()
    h.same(udp("10.1.0.2", 8080, client="net", server="app"), False, "UDP from outside")


@h.case
def an_entry_born_without_us_passes_nothing_in_either_direction():
    while _up:
        _up.pop().end()
    h.nft("gw", "flush", "ruleset")
    # conntrack must know them as established before our table comes
    h.nft("gw", "add table ip t; add chain ip t c { type filter hook forward priority 0; }; "
          "add rule ip t c ct state established counter")
    old, old_udp = Tcp("app", "net", NET4, 8443), Udp("app", "net", NET4, 8444)
    h.same(old.connect(), "open", "before the table")
    h.same((old_udp.reaches(), old_udp.answered()), (True, True), "before the table, UDP")
    f = k.Fwsync("gw", **CONF)
    _up.append(f)
    f.up()
    f.policy(1, **POLICY)
    h.same(f.open(NET4, ports=[(k.PORT, k.TCP, 8443), (k.PORT, k.UDP, 8444)]), k.OPEN, "status")
    h.same(old.talks(), False, "established is not enough, not even with a pinhole")
    h.same(old_udp.reaches(), False, "UDP, outwards")
    h.same(old_udp.answered(), False, "UDP, inwards")
    old.end()
    old_udp.end()


@h.case
def errors_about_a_marked_connection_come_back():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PORT, k.UDP, 9)]), k.OPEN, "status")
    with h.inside("app"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((NET4, 9))  # nobody listens: port unreachable
        s.settimeout(1.0)
        s.send(b"x")
        try:
            s.recv(10)
            raise AssertionError("an answer?")
        except ConnectionRefusedError:
            pass


@h.case
def the_gateway_is_closed_but_for_its_services():
    fresh(gateway_ports=[(k.TCP, 8022)])
    h.same(udp("10.1.0.1", 53, server="gw"), True, "DNS by UDP")
    h.same(tcp("10.1.0.1", 53, server="gw"), "open", "DNS by TCP")
    h.same(tcp("10.1.0.1", 8022, server="gw"), "open", "gateway_ports")
    h.same(ping("app", "10.1.0.1"), True, "echo")
    h.same(ping("app", "fd00:1::1"), True, "echo, and neighbour discovery")
    h.same(tcp("10.1.0.1", 22, server="gw"), "refused", "another service")
    h.same(tcp("198.51.100.1", 53, server="gw"), "refused", "DNS on another address of the gateway")
    h.same(udp("10.1.0.1", 123, server="gw"), False, "another service by UDP")
    h.same(tcp("fd00:1::1", 22, server="gw"), "refused", "another service, IPv6")
    h.same(tcp("10.1.0.2", 8080, client="gw", server="app"), "open", "the gateway may call a workload")
    h.same(udp("10.1.0.2", 8080, client="gw", server="app"), True, "by UDP, too")
    h.same(tcp("10.2.0.1", 22, client="eve", server="gw"), "open", "others reach the gateway")


@h.case
def a_guarded_interface_filters_whatever_the_source():
    fresh(policy=False, interfaces=["to-app"], prefixes=[])
    h.same(tcp(NET4, 443), "refused", "an address of its own")
    h.run(["ip", "addr", "add", "10.77.0.9/32", "dev", "to-gw"], ns="app")
    h.run(["ip", "route", "add", "10.77.0.9/32", "dev", "to-app"], ns="gw")
    h.same(tcp(NET4, 443, source="10.77.0.9"), "refused", "an address that it gave itself")
    h.same(tcp("10.1.0.1", 22, server="gw", source="10.77.0.9"), "refused", "on the gateway, too")


@h.case
def observed_sources_pass_and_are_counted():
    f = fresh()
    f.policy(2, observed=["10.1.0.2"], **POLICY)
    before = refused("observed")
    h.same(tcp(NET4, 443), "open", "observed")
    assert refused("observed") > before, "not counted"
    h.same(tcp(NET4, 443, source="10.1.0.3"), "refused", "its neighbour is not observed")
    f.policy(3, **POLICY)
    h.same(tcp(NET4, 443), "refused", "observing is over")


@h.case
def a_policy_switch_changes_whom_the_table_guards():
    f = fresh()
    h.same(tcp(NET4, 443, client="eve"), "open", "not guarded yet")
    f.policy(2, workloads=APP, guarded=["10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "10.2.0.2", "10.2.1.0/24"])
    h.same(tcp(NET4, 443, client="eve"), "refused", "guarded")
    f.policy(3, workloads=APP, guarded=["0.0.0.0/0", "::/0"])
    h.same(tcp(NET4, 443, client="eve"), "refused", "everybody is guarded")
    f.policy(4, **POLICY)
    h.same(tcp(NET4, 443, client="eve"), "open", "no longer")


def kernel_ranges(name):
    out = []
    for item in json.loads(h.nft("gw", "-j", "list", "set", "inet", "sallyport", name))["nftables"]:
        for e in item.get("set", {}).get("elem", []):
            if isinstance(e, dict) and "range" in e:
                out.append(tuple(int(ipaddress.ip_address(a)) for a in e["range"]))
                continue
            net = ipaddress.ip_network(e if isinstance(e, str) else "%s/%d" % (e["prefix"]["addr"], e["prefix"]["len"]))
            out.append((int(net[0]), int(net[-1])))
    return sorted(out)


def merged(nets):
    out = []
    for a, b in sorted((int(n[0]), int(n[-1])) for n in nets):
        if out and a <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out


@h.case
def after_any_switch_the_guarded_sets_are_exactly_the_policys():
    f = fresh(policy=False, prefixes=[])
    rnd = random.Random(3)

    def nets(base, bits):
        sizes = [rnd.randrange(5) for _ in range(rnd.randrange(40))]
        return [ipaddress.ip_network((base | rnd.randrange(512) & ~((1 << s) - 1), bits - s)) for s in sizes]

    for v in range(1, 61):
        four, six = nets(10 << 24, 32), nets(0xFD << 120, 128)
        if v % 17 == 0:
            four.append(ipaddress.ip_network("0.0.0.0/0"))
        f.policy(v, workloads=[], guarded=map(str, four + six), observed=map(str, four[:5]))
        for name, want in (("guarded4", four), ("guarded6", six), ("observed4", four[:5])):
            h.same(kernel_ranges(name), merged(want), f"{name}, switch {v}")
    h.same(f.counter("fw_lost"), 0, "switched without rebuilding")


# ---- requests


@h.case
def what_the_guard_table_does_not_permit_is_refused():
    f = fresh()
    f.policy(2, workloads=[{"name": "app", "sources": ["10.1.0.2"], "ports": [(k.PORT, k.TCP, 443, 445)],
                            "internals": ["198.51.100.7"], "life": 100, "pinholes": 3}], guarded=["10.1.0.0/24"])
    p443 = [(k.PORT, k.TCP, 443)]
    for title, want, kw in (
            ("all as permitted", k.OPEN, {}),
            ("another source", k.OUTSIDE, dict(src=["10.1.0.3"])),
            ("one source more", k.OUTSIDE, dict(src=["10.1.0.2", "10.1.0.3"])),
            ("another port", k.OUTSIDE, dict(ports=[(k.PORT, k.TCP, 446)])),
            ("another protocol", k.OUTSIDE, dict(ports=[(k.PORT, k.UDP, 443)])),
            ("every port", k.OUTSIDE, dict(ports=[(k.PROTO, k.TCP, 0)])),
            ("everything", k.OUTSIDE, dict(ports=[(k.ANY, 0, 0)])),
            ("another internal address", k.OUTSIDE, dict(dst=[NET4B])),
            ("a global address", k.OPEN, dict(dst=["44.1.2.3"])),
            ("the resolver says internal", k.OUTSIDE, dict(dst=[NET4B], flags=1)),
            ("loopback", k.OUTSIDE, dict(dst=["127.0.0.1"])),
            ("multicast", k.OUTSIDE, dict(dst=["224.0.0.1"])),
            ("cloud metadata", k.OUTSIDE, dict(dst=["169.254.169.254"])),
            ("longer than permitted", k.OUTSIDE, dict(life=101)),
            ("an unknown workload", k.OUTSIDE, dict(workload=1)),
            ("an older version", k.STALE, dict(version=1)),
            ("a newer version", k.STALE, dict(version=3)),
            ("no source of that family", k.MALFORMED, dict(dst=["2001:db8::7"]))):
        kw = dict(dict(dst=[NET4], ports=p443), **kw)
        h.same(f.open(*kw.pop("dst"), **kw), want, title)
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.7 . 6 . 443", "10.1.0.2 . 44.1.2.3 . 6 . 443"], "what the kernel has")
    h.same(k.element_set("gw", "pinhole4_any"), {}, "nothing else")


@h.case
def malformed_and_late_batches_open_nothing():
    f = fresh()
    f.batch([], raw=b"\0" * 40)
    f.batch([f.request([NET4])], deadline=-1)
    h.same([r[0] for r in f.results()], [k.LATE], "a deadline that has passed")
    h.same(f.results(0.3), None, "a malformed message gets no answer")
    h.same(f.counter("fw_refused_malformed"), 1, "but is counted")
    h.same(k.element_set("gw", "pinhole4"), {}, "the set")


@h.case
def a_stopped_role_refuses_stale_batches_when_it_goes_on():
    f = fresh()
    f.p.send_signal(signal.SIGSTOP)
    f.batch([f.request([NET4])], deadline=0.25)
    h.same(f.results(0.5), None, "stopped")
    f.p.send_signal(signal.SIGCONT)
    h.same([r[0] for r in f.results()], [k.LATE], "too late")
    h.same(k.element_set("gw", "pinhole4"), {}, "nothing was opened")


@h.case
def a_workload_may_open_so_many_addresses_and_renew_them():
    f = fresh()
    f.policy(2, workloads=[dict(APP[0], pinholes=3)], guarded=["10.1.0.0/24"])
    h.same(f.open("44.0.0.1", "44.0.0.2"), k.OPEN, "two")
    h.same(f.open("44.0.0.3", "44.0.0.4", names=(b"other",)), k.WORKLOAD_FULL, "two more are too many")
    h.same(f.open("44.0.0.3"), k.OPEN, "one more")
    h.same(f.open("44.0.0.1", life=300), k.OPEN, "renewing")
    h.same(f.open("44.0.0.1", ports=[(k.PORT, k.TCP, 80)]), k.OPEN, "another port of one that is open")
    h.same(f.counter("fw_limit_workload"), 1, "counted")
    h.same(len(k.element_set("gw", "pinhole4")), 4, "elements")


@h.case
def timeouts_are_at_least_the_life_asked_for():
    f = fresh()
    for i, life in enumerate((1, 30, 61, 3600, 86400)):
        h.same(f.open(f"44.0.1.{i}", life=life), k.OPEN, "status")
    got = k.element_set("gw", "pinhole4")
    for i, life in enumerate((1, 30, 61, 3600, 86400)):
        timeout, expires = got[f"10.1.0.2 . 44.0.1.{i} . 6 . 443"]
        assert timeout >= life and expires >= life - 1, (life, timeout, expires)


def comments(name="pinhole4"):
    """{key: comment} of a set's elements, as nft tells it."""
    out = {}
    for item in json.loads(h.nft("gw", "-n", "-j", "list", "set", "inet", "sallyport", name))["nftables"]:
        for e in item.get("set", {}).get("elem", []):
            out[" . ".join(map(str, e["elem"]["val"]["concat"]))] = e["elem"].get("comment")
    return out


@h.case
def an_element_names_its_query_and_rule_and_nothing_else():
    f = fresh(owner=0)
    h.same(f.open(NET4, query=2 ** 63 + 5, rule=4000000000), k.OPEN, "the largest ids")
    h.same(f.open(NET6, src=("fd00:1::2",), ports=((k.PORT, k.UDP, 53), (k.ANY, 0, 0)), query=42), k.OUTSIDE, "any")
    h.same(f.open(NET6, src=("fd00:1::2",), ports=((k.PORT, k.UDP, 53), (k.PROTO, k.ICMP, 0)), query=42), k.OPEN, "IPv6")
    key4, want = "10.1.0.2 . 198.51.100.7 . 6 . 443", {f"10.1.0.2 . {NET4} . 6 . 443": f"q{2 ** 63 + 5} v1 r4000000000"}
    h.same(comments(), want, "pinhole4")
    h.same((set(comments("pinhole6").values()), set(comments("pinhole6_proto").values())),
           ({"q42 v1 r7"}, {"q42 v1 r7"}), "IPv6")
    h.same(f.open(NET4, life=900, query=9), k.OPEN, "renewed")
    h.same(comments(), want, "renewing keeps the comment")
    h.nft("gw", "flush", "ruleset")
    h.until("put back with its newest ids", lambda: comments_or_none() == {key4: "q9 v1 r7"}, 2)
    # As many as go into one transaction, with the longest ids and keys.
    h.same(f.open(*[f"2001:db8::{i:x}" for i in range(1, 1500)], src=("fd00:1::2",), query=2 ** 64 - 1,
                  rule=2 ** 32 - 1), k.OPEN, "many at once")
    h.same(sum(c == f"q{2 ** 64 - 1} v1 r{2 ** 32 - 1}" for c in comments("pinhole6").values()), 1499, "all have them")


def comments_or_none():
    try:
        return comments()
    except AssertionError:
        return None


@h.case
def renewing_lengthens_and_never_shortens():
    f = fresh()
    key = "10.1.0.2 . 44.0.0.1 . 6 . 443"
    h.same(f.open("44.0.0.1", life=30), k.OPEN, "first")
    h.same(f.open("44.0.0.1", life=600), k.OPEN, "longer")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600 - 1
    before = f.counter("fw_batches")
    h.same(f.open("44.0.0.1", life=10, names=(b"another",)), k.OPEN, "another reason, shorter")
    h.same(f.counter("fw_batches"), before, "which needs no kernel")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600 - 2, "another reason shortened it"
    time.sleep(1.2)
    h.same(f.open("44.0.0.1", life=600), k.OPEN, "the same life again starts the clock again")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600, "not renewed"


@h.case
def an_expired_pinhole_stops_new_connections_not_old_ones():
    f = fresh()
    h.same(f.open(NET4, life=1), k.OPEN, "status")
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "in time")
    h.until("the element is gone", lambda: not k.element_set("gw", "pinhole4"), seconds=6)
    h.same(tcp_again(), "refused", "a new connection")
    h.same(t.talks(), True, "the old one goes on")
    h.until("its row lingers", lambda: len(f.rows()) == 1, seconds=1)
    # Its reason can still be revoked, with the connection.
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "revoked")
    t.end()


def tcp_again():
    with h.inside("app"), socket.socket() as c:
        c.settimeout(1.0)
        try:
            c.connect((NET4, 443))
            return "open"
        except socket.timeout:
            return "silence"
        except OSError:
            return "refused"


@h.case
def revoking_stops_live_connections_at_once():
    f = fresh()
    ports = [(k.PORT, k.TCP, 443), (k.PORT, k.UDP, 443)]
    h.same(f.open(NET4, ports=ports, names=(b"evil",)), k.OPEN, "status")
    h.same(f.open(NET4B, ports=ports, names=(b"good",)), k.OPEN, "status")
    t, u = Tcp("app", "net", NET4, 443), Udp("app", "net", NET4, 443)
    t2, u2 = Tcp("app", "net", NET4B, 443), Udp("app", "net", NET4B, 443)
    for x in (t, t2):
        h.same((x.connect(), x.talks()), ("open", True), "before")
    for x in (u, u2):
        h.same((x.reaches(), x.answered()), (True, True), "before, UDP")
    epoch = f.epoch()
    f.policy(2, **POLICY)
    begin = time.monotonic()
    f.close(2, [i for i, r in f.rows().items() if b"evil" in r[2]])
    took = time.monotonic() - begin
    h.same((t.talks(), u.reaches(), u.answered()), (False, False, False), "revoked")
    h.same((t2.talks(), u2.reaches(), u2.answered()), (True, True, True), "not revoked")
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.8 . 17 . 443", "10.1.0.2 . 198.51.100.8 . 6 . 443"], "elements")
    assert f.epoch() > epoch, "the epoch was not raised"
    assert took < 1, f"took {took:.3f} s"
    assert f.counter("fw_flows_cut") >= 2, "flows cut are not counted"
    h.same(f.counter("fw_closed"), 2, "elements closed")
    for x in (t, u, t2, u2):
        x.end()


@h.case
def revoking_one_of_two_reasons_leaves_the_other_its_life():
    f = fresh()
    key = "10.1.0.2 . 44.0.0.1 . 6 . 443"
    f.open("44.0.0.1", life=3000, names=(b"long",))
    f.open("44.0.0.1", life=100, names=(b"short",))
    f.policy(2, **POLICY)
    f.close(2, [i for i, r in f.rows().items() if b"long" in r[2]])
    left = k.element_set("gw", "pinhole4")[key][1]
    assert 90 <= left <= 102, f"left {left}"
    f.close(2, [i for i, r in f.rows().items() if b"short" in r[2]])
    h.same(k.element_set("gw", "pinhole4"), {}, "the last reason")


@h.case
def a_row_that_the_new_version_has_opened_again_is_not_closed_by_the_old_list():
    f = fresh()
    f.open("44.0.0.1")
    rows = f.rows()
    f.policy(2, **POLICY)
    h.same(f.open("44.0.0.1"), k.OPEN, "judged again")
    f.close(2, rows)
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")


@h.case
def a_list_made_before_a_row_became_another_pinholes_does_not_close_it():
    f = fresh()
    h.same(f.open("44.0.0.1"), k.OPEN, "first")
    rows = f.rows()
    f.close(1, list(rows))
    h.same(f.open("44.0.0.2"), k.OPEN, "in its place")
    h.same(list(f.rows()), list(rows), "the row's number")
    f.close(1, rows)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 44.0.0.2 . 6 . 443"], "elements")
    f.close(1, f.rows())
    h.same(k.element_set("gw", "pinhole4"), {}, "a list of its own closes it, under the same version")


@h.case
def a_full_set_refuses_what_does_not_fit_and_only_that():
    f = fresh(set_size=64)
    for i in range(60):
        h.same(f.open(f"44.1.0.{i}"), k.OPEN, "filling")
    # Eight requests in one message: some of them are a renewal, four fit.
    f.batch([f.request([f"44.1.1.{i}"]) for i in range(6)] + [f.request(["44.1.0.1"], life=500),
                                                             f.request(["44.1.0.2"], life=500)])
    got = [r[0] for r in f.results()]
    h.same(sorted(got), [k.OPEN] * 6 + [k.FULL] * 2, "results")
    h.same(got[6:], [k.OPEN, k.OPEN], "renewals")
    h.same(len(k.element_set("gw", "pinhole4")), 64, "elements")
    h.same(f.counter("fw_set_full"), 2, "counted")
    h.same(len(f.rows()), 64, "rows that explain them")


@h.case
def room_comes_back_when_elements_expire():
    f = fresh(set_size=16)
    for i in range(16):
        f.open(f"44.1.0.{i}", life=1)
    h.same(f.open("44.1.1.1"), k.FULL, "full")
    h.until("room again", lambda: f.open("44.1.1.1") == k.OPEN, seconds=8, step=0.3)


@h.case
def two_workers_share_transactions_and_get_their_own_results():
    f = fresh()
    for round in range(50):
        for w in (0, 1):
            f.batch([f.request([f"44.{w}.{round}.{i}"], names=(b"n%d" % i,)) for i in range(20)], worker=w)
    got = [f.results(worker=w) for w in (0, 1) for _ in range(50)]
    h.same(all(r[0] == k.OPEN for rs in got for r in rs), True, "all open")
    h.same(sum(len(g) for g in got), 2000, "results")
    h.same(f.counter("fw_elements"), 2000, "elements")
    assert f.counter("fw_batches") <= 100, f.counter("fw_batches")


# ---- strangers


@h.case
def an_owned_table_cannot_be_flushed():
    f = fresh()
    f.open(NET4)
    h.nft("gw", "flush", "ruleset")
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    out = h.run(["nft", "delete", "element", "inet", "sallyport", "pinhole4",
                 "{ 10.1.0.2 . 198.51.100.7 . 6 . 443 }"], ns="gw", check=False)
    assert out.returncode != 0, "a stranger deleted an element of an owned table"
    h.same((f.counter("fw_lost"), tcp(NET4, 443), tcp(NET4B, 443)), (0, "open", "refused"), "as before")


@h.case
def a_flushed_table_is_put_back_with_its_pinholes():
    f = fresh(owner=0)
    f.open(NET4)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    epoch, lost, done = f.epoch(), f.counter("fw_lost"), netlink.transactions("gw")
    h.nft("gw", "flush", "ruleset")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    h.same(netlink.transactions("gw") - done, 2, "transactions: the flush, and the table with its pinholes")
    assert f.epoch() > epoch, "the epoch was not raised"
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    h.same((tcp(NET4B, 443), tcp_again(), t.talks()), ("refused", "open", True), "as before")
    assert f.counter("fw_lost") >= 1
    h.same(f.open(NET4), k.OPEN, "asked again in the new epoch")
    t.end()


@h.case
def what_passed_while_the_table_was_gone_is_cut():
    f = fresh(owner=0)
    f.open(NET4)
    h.nft("gw", "add table ip evil; add chain ip evil c { type filter hook forward priority -5; }; "
          "add rule ip evil c ct mark set 0x10000000")
    t = Tcp("app", "net", NET4B, 8080)
    # A stranger's mark lets a connection in that no row explains, until the next look.
    h.same(t.connect(), "open", "by a forged mark")
    h.nft("gw", "delete table ip evil")
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "delete table inet sallyport")
    h.until("put back", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.until("cut", lambda: not t.talks(), seconds=2)
    t.end()


@h.case
def an_element_deleted_by_hand_comes_back_and_one_added_goes():
    f = fresh(owner=0)
    f.open(NET4)
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "delete", "element", "inet", "sallyport", "pinhole4", "{ 10.1.0.2 . 198.51.100.7 . 6 . 443 }")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.same(len(k.element_set("gw", "pinhole4")), 1, "put back")
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "add", "element", "inet", "sallyport", "pinhole4",
          "{ 10.1.0.2 . 198.51.100.8 . 6 . 443 timeout 1h }")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 198.51.100.7 . 6 . 443"], "the set")


@h.case
def rules_and_guarded_sets_changed_by_hand_are_put_right():
    f = fresh(owner=0)
    for change in ("insert rule inet sallyport forward accept", "flush chain inet sallyport egress",
                   "flush set inet sallyport guarded4", "add chain inet sallyport extra",
                   "add rule inet sallyport open accept"):
        epoch, lost = f.epoch(), f.counter("fw_lost")
        h.nft("gw", change)
        h.until(f"{change}: noticed", lambda: f.counter("fw_lost") > lost, seconds=1)
        assert f.epoch() > epoch, "the epoch was not raised"
        h.same(tcp(NET4, 443), "refused", change)


@h.case
def other_peoples_tables_are_not_our_business():
    f = fresh(owner=0)
    epoch = f.epoch()
    h.nft("gw", "add table inet other; add set inet other s { type ipv4_addr; }; "
          "add element inet other s { 192.0.2.1 }; delete table inet other")
    time.sleep(0.3)
    h.same((f.epoch(), f.counter("fw_lost")), (epoch, 0), "epoch")


# ---- death and successor


def succession(f, owner):
    ports = [(k.PORT, k.TCP, 443)]
    h.same(f.open(NET4, ports=ports), k.OPEN, "status")
    f.open("44.0.0.9", life=2)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    epoch = f.epoch()
    f.kill()
    h.same((tcp_again(), tcp(NET4B, 443), t.talks()), ("open", "refused", True), "while nobody is there")
    f.up()
    f.policy(1, **POLICY)
    assert f.epoch() > epoch, "what was held before must be asked again"
    h.same((tcp_again(), tcp(NET4B, 443), t.talks()), ("open", "refused", True), "adopted")
    h.same(f.open(NET4, ports=ports), k.OPEN, "asked again")
    assert any(dst.endswith(socket.inet_aton(NET4)) for dst, *_ in f.rows().values()), "row adopted"
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "what a predecessor opened can be revoked")
    h.same(k.element_set("gw", "pinhole4"), {}, "elements")
    t.end()


@h.case
def a_successor_adopts_the_table_and_the_ledger():
    succession(fresh(), 1)


@h.case
def a_successor_adopts_without_ownership():
    succession(fresh(owner=0), 0)


@h.case
def a_row_that_the_kernel_does_not_have_is_dropped_at_adoption():
    f = fresh(owner=0)
    f.open("44.0.0.1")
    f.open("44.0.0.2")
    f.kill()
    h.nft("gw", "delete", "element", "inet", "sallyport", "pinhole4", "{ 10.1.0.2 . 44.0.0.1 . 6 . 443 }")
    f.up()
    h.until("the row is gone", lambda: len(f.rows()) == 1, seconds=2)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 44.0.0.2 . 6 . 443"], "the set")


@h.case
def a_table_lost_between_two_lives_is_built_from_the_ledger():
    f = fresh(owner=0)
    f.open(NET4)
    f.kill()
    h.nft("gw", "flush", "ruleset")
    f.up(version=1, **POLICY)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 198.51.100.7 . 6 . 443"], "the set")
    h.same((tcp(NET4, 443), tcp(NET4B, 443)), ("open", "refused"), "packets")


@h.case
def what_an_older_version_opened_is_put_back_only_when_it_has_been_judged():
    f = fresh(owner=0)
    f.open(NET4, names=(b"stays",))
    f.open(NET4B, names=(b"goes",))
    f.kill()
    h.nft("gw", "flush", "ruleset")
    f.up(version=2, **POLICY)
    h.same((k.element_set("gw", "pinhole4"), tcp(NET4, 443)), ({}, "refused"), "not judged yet")
    h.same(f.open("44.0.0.3"), k.OPEN, "what is asked now is judged")
    f.close(2, [i for i, r in f.rows().items() if b"goes" in r[2]])
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.7 . 6 . 443", "10.1.0.2 . 44.0.0.3 . 6 . 443"], "judged")
    h.same((tcp(NET4, 443), tcp(NET4B, 443)), ("open", "refused"), "packets")


@h.case
def rows_that_a_dying_role_left_half_written_are_closed_with_the_next_version():
    f = fresh()
    f.open(NET4)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    f.kill()
    i = next(iter(f.rows()))
    f.maps[f.ledger][k.HEAD + k.ROW * i] |= 1  # its version counter: odd
    f.up(version=1, **POLICY)
    f.close(1, [])
    h.same((f.rows(), t.talks()), ({}, True), "nobody can explain it; it goes on under its version")
    f.policy(2, **POLICY)
    f.close(2, [])
    h.same((t.talks(), k.element_set("gw", "pinhole4")), (False, {}), "not under another")
    t.end()


@h.case
def a_new_keeper_takes_over_an_orphaned_table():
    f = fresh()
    f.open(NET4, life=600)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    h.same(f.end(), 0, "exit at the keeper's end")
    f.netlink.close()
    h.same((tcp_again(), tcp(NET4B, 443)), ("open", "refused"), "nobody is there: the table stays")
    g = k.Fwsync("gw", **CONF)
    _up.append(g)
    g.up()
    g.policy(5, **POLICY)
    h.same((t.talks(), tcp(NET4B, 443)), (True, "refused"), "a restart leaves connections alone")
    g.close(5, [])
    h.same(t.talks(), True, "its first version is the policy that was there before")
    g.policy(6, **POLICY)
    g.close(6, [])
    h.same((t.talks(), tcp_again()), (False, "refused"),
           "what nobody can explain does not survive a policy switch")
    t.end()


@h.case
def whom_the_last_policy_guarded_stays_guarded_until_the_next_policy():
    f = fresh(prefixes=[])
    h.same((tcp(NET4, 443), tcp(NET4, 443, client="eve")), ("refused", "open"), "guarded by the policy alone")
    f.kill()
    f.up()
    h.same(tcp(NET4, 443), "refused", "a successor without a policy yet")
    f.end()
    f.netlink.close()
    g = k.Fwsync("gw", **dict(CONF, prefixes=[]))
    _up.append(g)
    g.up()
    h.same(tcp(NET4, 443), "refused", "a new keeper's")
    g.policy(0, workloads=[], guarded=[])
    h.same(tcp(NET4, 443), "refused", "it says that there is no policy yet")
    g.configure()
    g.send(k.END)
    g.expect(k.READY)
    h.same(tcp(NET4, 443), "refused", "a new configuration")
    g.policy(5, workloads=APP, guarded=["10.2.0.0/24"])
    h.same((tcp(NET4, 443), tcp(NET4, 443, client="eve")), ("open", "refused"), "its policy")
    for name, want in (("guarded4", ["10.2.0.0/24"]), ("guarded6", [])):
        h.same(kernel_ranges(name), merged(map(ipaddress.ip_network, want)), name)
    h.same(g.counter("fw_lost"), 0, "without rebuilding")


@h.case
def set_size_and_ownership_may_change_across_a_restart():
    f = fresh(owner=0, set_size=64)
    f.open(NET4)
    f.kill()
    f.conf_args = dict(CONF, owner=1, set_size=128)
    f.up(version=1, **POLICY)
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    assert "size 128" in h.nft("gw", "list", "set", "inet", "sallyport", "pinhole4")
    h.nft("gw", "flush", "ruleset")
    h.same(len(k.element_set("gw", "pinhole4")), 1, "owned now")


@h.case
def a_new_configuration_is_taken_over_by_a_running_role():
    f = fresh()
    f.open(NET4)
    h.same(tcp("10.1.0.1", 8022, server="gw"), "refused", "not yet")
    f.conf_args = dict(CONF, gateway_ports=[(k.TCP, 8022)])
    f.configure()
    f.send(k.END)
    f.expect(k.READY)
    h.same(tcp("10.1.0.1", 8022, server="gw"), "open", "now")
    h.same((f.open(NET4), tcp(NET4, 443)), (k.OPEN, "open"), "pinholes stay")


# ---- guard


@h.case
def guard_installs_a_table_that_lets_nothing_pass_and_keeps_a_live_one():
    while _up:
        f = _up.pop()
        f.end()
        f.netlink.close()
    h.nft("gw", "flush", "ruleset")
    g = k.Fwsync("gw", **CONF)
    h.same(g.guard_only(), 0, "exit status")
    g.netlink.close()
    h.same((tcp(NET4, 443), udp("10.1.0.1", 53, server="gw")), ("refused", True), "guarding")
    f = k.Fwsync("gw", **CONF)
    _up.append(f)
    f.up()
    f.policy(1, **POLICY)
    f.open(NET4)
    g = k.Fwsync("gw", **CONF)
    h.same(g.guard_only(), 0, "beside a running daemon")
    g.netlink.close()
    h.same((tcp(NET4, 443), f.counter("fw_lost")), ("open", 0), "the daemon's table is as it was")


@h.case
def a_table_owned_by_somebody_else_is_an_error_in_words():
    f = fresh()
    g = k.Fwsync("gw", **CONF)
    try:
        g.up()
        raise AssertionError("two daemons on one table")
    except AssertionError as e:
        assert "another process owns the table" in str(e), str(e)
    h.same(f.open(NET4), k.OPEN, "the first one goes on")


# ---- the shim, time, privileges


@h.case
def a_held_acknowledgement_delays_the_result_and_an_error_is_one():
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "hold=100"})
    begin = time.monotonic()
    h.same(f.open(NET4), k.OPEN, "held")
    assert time.monotonic() - begin >= 0.1
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "swallow"})
    f.batch([f.request([NET4])])
    h.same(f.results(0.5), None, "swallowed")
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "errno=1"})
    h.same((f.open(NET4), k.element_set("gw", "pinhole4"), f.rows()), (0, {}, {}), "EPERM")
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "errno=23"})
    h.same((f.open(NET4), f.rows()), (k.FULL, {}), "ENFILE")


@h.case
def the_heart_beats_and_the_role_is_confined():
    f = fresh()
    a = f.heartbeat()
    time.sleep(0.5)
    assert f.heartbeat() > a, "no heartbeat in 500 ms"
    status = open(f"/proc/{f.p.pid}/status").read()
    h.same([line.split()[1] for line in status.splitlines() if line.startswith("CapEff")],
           ["0000000000001000"], "CAP_NET_ADMIN alone")
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert os.listdir(f"/proc/{f.p.pid}/root/") == [], "its root is not empty"


@h.case
def the_heart_beats_while_a_hundred_thousand_ranges_are_filled_in():
    f = fresh(policy=False, prefixes=[])
    hung, filled = [], threading.Event()

    def listen():
        while not filled.wait(0.02):
            hung.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - f.heartbeat())

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        f.policy(1, seconds=60, workloads=APP, guarded=[f"10.{i >> 15}.{i >> 7 & 255}.{(i & 127) * 2}" for i in range(100000)])
    finally:
        filled.set()
        listener.join()
    assert max(hung) < 5e9, f"no heartbeat for {max(hung) / 1e9:.1f} s"
    h.same((tcp(NET4, 443), f.open(NET4)), ("refused", k.OPEN), "guarded")


@h.case
def it_works_as_another_user():
    f = fresh(uid=65534)
    h.same(os.stat(f"/proc/{f.p.pid}").st_uid in (0, 65534), True, "owner")
    status = open(f"/proc/{f.p.pid}/status").read()
    assert "Uid:\t65534\t65534\t65534\t65534" in status, status
    h.same((f.open(NET4), tcp(NET4, 443)), (k.OPEN, "open"), "open")
    t = Tcp("app", "net", NET4, 443)
    h.same(t.connect(), "open", "before")
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "conntrack is in reach, too")
    t.end()
    f.kill()
    f.up()
    h.same(f.heartbeat() > 0, True, "a successor on the same sockets")


@h.after
def logs(failed):
    while _up:
        f = _up.pop()
        if failed:
            print(f.log()[-3000:])
        if f.p and f.p.poll() is None:
            f.end()


h.main()
