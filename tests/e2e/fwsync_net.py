"""The network of the firewall role's own tests, connections in it, and a role on an empty kernel.

    app 10.1.0.2, fd00:1::2 - gw - net 198.51.100.7, 2001:db8::7 (and .8); eve 10.2.0.2, fd00:2::2 is not
    guarded.
"""
import ipaddress, json, os, socket, struct, time
import harness as h
import fwsync_keeper as k

NET4, NET4B, NET6 = "198.51.100.7", "198.51.100.8", "2001:db8::7"
APP = [{"name": "app", "sources": ["10.1.0.0/24", "fd00:1::/64"],
        "ports": [(k.PORT, k.TCP, 1, 65535), (k.PORT, k.UDP, 1, 65535), (k.PROTO, k.ICMP, 0, 0)]}]
POLICY = dict(workloads=APP, guarded=["10.1.0.0/24", "fd00:1::/64"])
CONF = dict(dns=[("10.1.0.1", 53)], prefixes=["10.1.0.0/24", "fd00:1::/64"])

roles = []  # started by fresh(), and by cases that need another one beside it


def build():
    for name in ("gw", "app", "eve", "net"):
        h.host(name)
    h.wire("gw", ["10.1.0.1/24", "fd00:1::1/64"], "app", ["10.1.0.2/24", "10.1.0.3/24", "fd00:1::2/64"])
    h.wire("gw", ["10.2.0.1/24", "fd00:2::1/64"], "eve", ["10.2.0.2/24", "fd00:2::2/64"])
    h.wire("gw", ["198.51.100.1/24", "2001:db8::1/64"], "net",
           ["198.51.100.7/24", "198.51.100.8/24", "2001:db8::7/64"])
    for ns, four, six in (("app", "10.1.0.1", "fd00:1::1"), ("eve", "10.2.0.1", "fd00:2::1"),
                          ("net", "198.51.100.1", "2001:db8::1")):
        h.route(ns, "default", four)
        h.route(ns, "default", six)
    h.forwarding("gw")


def fresh(policy=True, program="sallyport-fwsync", env=None, ledger_rows=8192, **kw):
    """A new role with a new ledger on an empty kernel."""
    while roles:
        f = roles.pop()
        if f.p and f.p.poll() is None:
            f.end()
        f.netlink.close()
    h.nft("gw", "flush", "ruleset", check=False)
    h.run(["conntrack", "-F"], ns="gw", check=False)
    f = k.Fwsync("gw", program=program, env=env, ledger_rows=ledger_rows, **dict(CONF, **kw))
    roles.append(f)
    f.up()
    if policy:
        f.policy(1, **POLICY)
    return f


# ---- packets


def family(a):
    return socket.AF_INET6 if ":" in a else socket.AF_INET


class Tcp:
    """A TCP service in `server`, and a connection to it from `client`."""

    def __init__(self, client, server, address, port, source=None):  # an address, or that and a port
        with h.inside(server):
            self.listener = socket.socket(family(address))
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.listener.listen(8)
        with h.inside(client):
            self.c = socket.socket(family(address))
            if source:
                self.c.bind(source if isinstance(source, tuple) else (source, 0))
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
                self.c.bind(source if isinstance(source, tuple) else (source, 0))
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


def forge(ns, source, to, syn=False):
    """A datagram, or a SYN, from `ns` in somebody's name; source and to: (address, port)."""
    v6, proto = ":" in to[0], 6 if syn else 17
    a, b = (socket.inet_pton(family(x[0]), x[0]) for x in (source, to))
    size = 20 if syn else 12
    pseudo = a + b + (struct.pack("!II", size, proto) if v6 else struct.pack("!BBH", 0, proto, size))
    part = struct.pack("!HHIIBBHHH", source[1], to[1], 1, 0, 0x50, 2, 65535, 0, 0) if syn else \
        struct.pack("!HHHHI", source[1], to[1], size, 0, 0)
    at = 16 if syn else 6
    part = part[:at] + struct.pack("!H", checksum(pseudo + part)) + part[at + 2:]
    head = struct.pack("!IHBB", 6 << 28, size, proto, 64) if v6 else \
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 1, 0, 64, proto, 0)
    if not v6:
        head = head[:10] + struct.pack("!H", checksum(head + a + b)) + head[12:]
    with h.inside(ns), socket.socket(family(to[0]), socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
        s.sendto(head + a + b + part, (to[0], 0))


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


def end(failed):
    """After the last case."""
    while roles:
        f = roles.pop()
        if failed:
            print(f.log()[-3000:])
        if f.p and f.p.poll() is None:
            f.end()
