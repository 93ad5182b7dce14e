"""What a workload tries beside its pinholes, shown by packets: addresses that it gives itself, another
workload's address, the gateway's own ports and addresses, and servers that keep sending when the
pinhole's mark has been withdrawn."""
import os, socket, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=150)
n.build()
up = n.answerer(ttl=300)
POLICY = n.POLICY.replace("tcp/4001]", "tcp/4001, icmp]").replace("      - {zone: good.test", """\
      - {zone: other.test, ports: [udp/4000, tcp/4001]}
      - {zone: good.test""")
WITHOUT_OTHER = POLICY.replace("      - {zone: other.test, ports: [udp/4000, tcp/4001]}\n", "")
sp = h.Sallyport("gw", n.CONFIG).up()
sp.apply(POLICY)
OWN4, OWN6, PEER4, PEER6 = "10.1.0.2", "fd00:1::2", "10.1.1.2", "fd00:2::2"
CHOSEN4 = ["10.1.0.77", "10.99.0.9", "169.254.7.7", "172.31.0.1", "44.128.255.9"]
CHOSEN6 = ["fd00:1::77", "fd00:99::9", "2a00:ffff::7:7", "fd00:ff::1"]


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def address_of(name, qtype="A", ns="app"):
    with h.inside(ns):
        m = h.ask({"app": n.DNS4, "app2": "10.1.1.1"}[ns], name, qtype)
    assert m and m.addresses, f"{name}: {m and (m.status, m.ede)}"
    return m.addresses[0]


class Wire:
    """Everything that arrives at one interface, by the tokens in it."""

    def __init__(self, ns, dev):
        with h.inside(ns):
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.s.bind((dev, 0))
        self.s.settimeout(0.05)
        self.seen, self.ended = [], False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.ended:
            try:
                data, (_, _, kind, _, _) = self.s.recvfrom(65535)
                if kind != 4:  # PACKET_OUTGOING: our own side's
                    self.seen.append(data)
            except OSError:
                pass

    def saw(self, token):
        return any(token in data for data in list(self.seen))

    def from_address(self, address):
        """Packets with this source (in the Ethernet frame's IP header)."""
        raw, v6 = socket.inet_pton(family(address), address), ":" in address
        return [d for d in list(self.seen) if d[12:14] == (b"\x86\xdd" if v6 else b"\x08\x00") and
                d[22 if v6 else 26:][:len(raw)] == raw and not (v6 and d[20] == 58 and d[54] in range(130, 138))]

    def end(self):
        self.ended = True
        self.thread.join()
        self.s.close()


def give(ns, dev, address):
    with_len = address + ("/128" if ":" in address else "/32")
    h.run(["ip", "addr", "add", with_len, "dev", dev] + (["nodad"] if ":" in address else []), ns=ns)
    return with_len


def send_from(source, to, port, ns="app"):
    """A datagram, a SYN and a ping with a chosen source; returns the token of the first and the last."""
    token = os.urandom(12)
    kind, proto = (128, 58) if ":" in to else (8, 1)
    echo = struct.pack("!BBHHH", kind, 0, 0, 7, 7) + token
    echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    with h.inside(ns), socket.socket(family(to), socket.SOCK_RAW, proto) as s:
        s.bind((source, 0))
        try:
            s.sendto(echo, (to, 0))
        except OSError:
            pass
    with h.inside(ns):
        u, t = socket.socket(family(to), socket.SOCK_DGRAM), socket.socket(family(to))
    for s in (u, t):
        s.bind((source, 0))
    try:
        u.sendto(token, (to, port))
    except OSError:
        pass
    t.setblocking(False)
    try:
        t.connect((to, port + 1))
    except OSError:
        pass
    time.sleep(0.02)
    u.close()
    t.close()
    return token


@h.case
def a_self_chosen_address_reaches_nothing():
    open4, open6 = address_of("x1.good.test"), address_of("x1.good.test", "AAAA")
    address_of("x2.good.test", ns="app2")
    wire = Wire("net", "to-gw")
    try:
        token = send_from(OWN4, open4, 4000)
        h.until("its own address", lambda: wire.saw(token) and wire.from_address(OWN4), 2)
        token = send_from(OWN6, open6, 4000)
        h.until("its own IPv6 address", lambda: wire.saw(token) and wire.from_address(OWN6), 2)
        for source in CHOSEN4 + CHOSEN6:
            given = give("app", "to-gw", source)
            before, v6 = len(wire.from_address(source)), ":" in source
            tokens = [send_from(source, to, 4000)
                      for to in ([open6, "2a00:ffff::fafa"] if v6 else [open4, "44.128.255.250"])]
            time.sleep(0.05)
            h.same([wire.saw(t) for t in tokens], [False, False], f"from {source}")
            h.same(len(wire.from_address(source)), before, f"packets from {source}")
            h.run(["ip", "addr", "del", given, "dev", "to-gw"], ns="app")
    finally:
        wire.end()


@h.case
def a_source_that_is_somebody_elses_is_told_nothing_that_would_reach_him():
    """A refusal, an echo or a DNS answer goes to the packet's source, and has its words in it."""
    wire = Wire("net", "to-gw")
    try:
        for source, gateway in (("44.128.255.9", "10.1.0.1"), ("2a00:ffff::7:7", "fd00:1::1")):
            given = give("app", "to-gw", source)
            tokens = [send_from(source, gateway, port) for port in (4000, 53)]
            name = os.urandom(8).hex()
            with h.inside("app"), socket.socket(family(source), socket.SOCK_DGRAM) as s:
                s.bind((source, 0))
                s.sendto(h.question(name + ".test"), (gateway, 53))
            time.sleep(0.1)
            h.same([wire.saw(t) for t in tokens + [name.encode()]], [False] * 3, f"towards {source}")
            h.run(["ip", "addr", "del", given, "dev", "to-gw"], ns="app")
        counters = h.nft("gw", "list", "counter", "inet", "sallyport", "spoofed")
        assert "packets 0" not in counters, counters
    finally:
        wire.end()


@h.case
def another_workloads_address_opens_none_of_its_pinholes():
    open4, open6 = address_of("x5.good.test", ns="app2"), address_of("x5.good.test", "AAAA", ns="app2")
    address_of("x5.good.test"), address_of("x5.good.test", "AAAA")
    wire = Wire("net", "to-gw")
    try:
        for source, to in ((PEER4, open4), (PEER6, open6)):
            token = send_from(source, to, 4000, ns="app2")
            h.until("the workload itself", lambda: wire.saw(token), 2)
            given = give("app", "to-gw", source)
            token = send_from(source, to, 4000)
            time.sleep(0.05)
            h.same(wire.saw(token), False, f"app in the name of {source}")
            h.run(["ip", "addr", "del", given, "dev", "to-gw"], ns="app")
    finally:
        wire.end()


@h.case
def the_gateways_own_ports_are_closed_on_all_of_its_addresses():
    heard, sockets = [], []

    def listen(kind, fam, port, proto=0):
        with h.inside("gw"):
            s = socket.socket(fam, kind, proto)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if fam == socket.AF_INET6 and kind != socket.SOCK_RAW:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(("::" if fam == socket.AF_INET6 else "0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            s.listen(16)
        s.setblocking(False)
        sockets.append(s)
        return s
    addresses = ["10.1.0.1", "10.1.1.1", "10.66.0.1", "172.31.0.1", "fd00:1::1", "fd00:2::1", "fd00:ff::1"]
    ports = (22, 443, 4000, 4001, 5353, 8080)
    udp = {(f, p): listen(socket.SOCK_DGRAM, f, p) for f in (socket.AF_INET, socket.AF_INET6) for p in ports}
    tcp = {(f, p): listen(socket.SOCK_STREAM, f, p) for f in (socket.AF_INET, socket.AF_INET6) for p in ports}
    raw = [listen(socket.SOCK_RAW, f, 0, p) for f in (socket.AF_INET, socket.AF_INET6) for p in (47, 132, 253)]
    icmp4 = listen(socket.SOCK_RAW, socket.AF_INET, 0, 1)

    def reach(to, port):
        """What of app's got through to a socket of the gateway."""
        got = []
        token = os.urandom(12)
        with h.inside("app"):
            u, t = socket.socket(family(to), socket.SOCK_DGRAM), socket.socket(family(to))
        t.settimeout(0.3)
        try:
            u.sendto(token, (to, port))
        except OSError:
            pass
        try:
            t.connect((to, port))
            got.append("tcp")
        except OSError:
            pass
        try:
            if udp[family(to), port].recv(100) == token:
                got.append("udp")
        except OSError:
            pass
        u.close()
        t.close()
        return got
    try:
        # The listeners do hear whom nobody guards.
        with h.inside("net"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            u.sendto(b"hello", ("172.31.0.1", 8080))
        h.until("the listener hears others", lambda: readable(udp[socket.AF_INET, 8080]), 2)
        for to in addresses:
            for port in ports:
                h.same(reach(to, port), [], f"app reaches {to} port {port}")
        # DNS only where it is served: not on the address towards the network.
        with h.inside("app"):
            h.same((h.ask("10.1.0.1", "x1.good.test", timeout=1).status, h.ask("172.31.0.1", "x1.good.test", timeout=0.5)),
                   ("NOERROR", None), "port 53")
        for to in addresses:
            for proto in (47, 132, 253):
                with h.inside("app"):
                    s = socket.socket(family(to), socket.SOCK_RAW, proto)
                try:
                    s.sendto(b"forbidden-protocol", (to, 0))
                except OSError:
                    pass
                s.close()
        for kind in (13, 15, 17):  # timestamp, information, mask requests
            body = struct.pack("!BBHHH", kind, 0, 0, 7, 7) + b"forbidden-kind"
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
            with h.inside("app"), socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) as s:
                s.sendto(body, ("10.1.0.1", 0))
        time.sleep(0.1)
        for s in raw + [icmp4]:
            heard += drain(s)
        h.same([d for d in heard if b"forbidden" in d], [], "other protocols and kinds of ICMP")
    finally:
        for s in sockets:
            s.close()
    h.run(["ping", "-c1", "-W1", "10.1.0.1"], ns="app", check=False)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def readable(s):
    try:
        return s.recv(2000)
    except OSError:
        return None


def drain(s):
    out = []
    while True:
        data = readable(s)
        if data is None:
            return out
        out.append(data)


class Stream:
    """A server that, once asked, sends to app without end."""

    def __init__(self, address, kind):
        self.ended, self.at = False, []
        with h.inside("net"):
            s = socket.socket(family(address), kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family(address) == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
            s.bind((address, 4000 if kind == socket.SOCK_DGRAM else 4001))
        with h.inside("app"):
            self.c = socket.socket(family(address), kind)
        self.c.settimeout(1)
        if kind == socket.SOCK_STREAM:
            s.listen(1)
            self.c.connect((address, 4001))
            self.s, _ = s.accept()
            s.close()
            self.to = None
        else:
            self.c.connect((address, 4000))
            self.c.send(b"go")
            s.settimeout(1)
            _, self.to = s.recvfrom(10)
            self.s = s
        self.s.settimeout(0.1)
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._read)]
        for t in self.threads:
            t.start()

    def _send(self):
        while not self.ended:
            try:
                self.s.send(b"x" * 100) if self.to is None else self.s.sendto(b"x" * 100, self.to)
            except OSError:
                pass
            time.sleep(0.002)

    def _read(self):
        while not self.ended:
            try:
                if self.c.recv(65536):
                    self.at.append(time.monotonic())
            except OSError:
                time.sleep(0.001)

    def end(self):
        self.ended = True
        for t in self.threads:
            t.join()
        self.s.close()
        self.c.close()


@h.case
def from_outside_datagrams_reach_inbound_ports_alone():
    h.same(n.udp_passes("net", OWN4, 7000, listener="app"), False, "without the key")
    sp.apply(POLICY.replace("  open:\n", "  open:\n    inbound: [udp/7000-7001]\n"))
    for address in (OWN4, OWN6):
        h.same([n.udp_passes("net", address, port, listener="app") for port in (7000, 7001, 7002)],
               [True, True, False], f"ports of {address}")
    sp.apply(POLICY)
    h.same(n.udp_passes("net", OWN4, 7000, listener="app"), False, "with the policy before")


@h.case
def a_server_that_keeps_sending_is_not_heard_after_its_pinhole_is_withdrawn():
    streams, kept = [], None
    wire = Wire("net", "to-gw")
    try:
        for qtype, name in (("A", "x11.other.test"), ("AAAA", "x12.other.test")):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                streams.append(Stream(address_of(name, qtype), kind))
        kept = Stream(address_of("x13.good.test"), socket.SOCK_DGRAM)
        h.until("all of them are heard", lambda: all(len(s.at) > 20 for s in streams + [kept]), 5)
        begin = time.monotonic()
        sp.apply(WITHOUT_OTHER)
        applied = time.monotonic()
        time.sleep(1.0)
        for s in streams:
            late = [t - applied for t in s.at if t > applied + 0.02]
            h.same(late, [], f"heard after the switch ({applied - begin:.2f} s)")
        assert len([t for t in kept.at if t > applied + 0.5]) > 50, "another connection goes on"
        # Nor does the workload get a word out to it.
        tokens = []
        for s in streams:
            tokens.append(os.urandom(12))
            try:
                s.c.send(tokens[-1])
            except OSError:
                pass
        time.sleep(0.1)
        h.same([wire.saw(t) for t in tokens], [False] * 4, "words to it")
    finally:
        for s in streams + ([kept] if kept else []):
            s.end()
        wire.end()


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
