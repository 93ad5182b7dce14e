"""The network that most tests use, and the tools that run in it.

    app  10.1.0.2, fd00:1::2 --.                   .-- net: every address of 44.128.0.0/16 and
    app2 10.1.1.2, fd00:2::2 --+-- gw (Sallyport) -'        2a00:ffff::/32, DNS at 44.128.0.53
    stranger 10.66.0.7 -------'
"""
import os, re, shutil, socket, struct, subprocess, threading, time
import harness as h

TOOLS = os.path.join(h.BUILD, "tests")
DNS4, DNS6 = "10.1.0.1", "fd00:1::1"


def build():
    for name in ("gw", "app", "app2", "stranger", "net"):
        h.host(name)
    h.wire("gw", ["10.1.0.1/24", "fd00:1::1/64"], "app", ["10.1.0.2/24", "fd00:1::2/64"])
    h.wire("gw", ["10.1.1.1/24", "fd00:2::1/64"], "app2", ["10.1.1.2/24", "fd00:2::2/64"])
    h.wire("gw", ["10.66.0.1/24"], "stranger", ["10.66.0.7/24"])
    h.wire("gw", ["172.31.0.1/24", "fd00:ff::1/64"], "net", ["172.31.0.2/24", "fd00:ff::2/64"])
    for ns, four, six in (("app", "10.1.0.1", "fd00:1::1"), ("app2", "10.1.1.1", "fd00:2::1"),
                          ("stranger", "10.66.0.1", None), ("net", "172.31.0.1", "fd00:ff::1")):
        h.route(ns, "default", four)
        if six:
            h.route(ns, "default", six)
    h.forwarding("gw")
    h.route("gw", "44.128.0.0/16", "172.31.0.2")
    h.route("gw", "2a00:ffff::/32", "fd00:ff::2")
    # Any address: what is routed here is local.
    h.run(["ip", "route", "add", "local", "44.128.0.0/16", "dev", "lo"], ns="net")
    h.run(["ip", "-6", "route", "add", "local", "2a00:ffff::/32", "dev", "lo"], ns="net")
    # Many destinations at once: neighbours and conntrack entries must not be the limit.
    h.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_max=1000000"], ns="gw", check=False)


CONFIG = """\
listen:
  - {address: 10.1.0.1, port: 53}
  - {address: "fd00:1::1", port: 53}
  - {address: 10.1.1.1, port: 53}
  - {address: "fd00:2::1", port: 53}
  - {address: 10.66.0.1, port: 53}
upstreams:
  - zone: "."
    servers: [{address: 44.128.0.53, port: 53}]
dnssec: {mode: off}
firewall:
  guard: {interfaces: [to-app, to-app2, to-stranger]}
"""

POLICY = """\
version: 1
profiles:
  open:
    pinhole: {per_workload: 20000, floor: 1s, grace: 60s, max: 2d}
    allow:
      - {zone: good.test, ports: [udp/4000, tcp/4001]}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: open}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: open}
"""


def answerer(ttl=300, log=None, address="44.128.0.53"):
    cmd = [os.path.join(TOOLS, "answerer"), address, "53", str(ttl)] + ([log] if log else [])
    p = h.start(cmd, ns="net", log=h.work("answerer.log"))

    def answers():
        with h.inside("net"):
            return h.ask(address, "x1.good.test", timeout=0.3)
    h.until("the answerer answers", answers)
    return p


def asked(log):
    """Names in an answerer's log, as they came (raw messages: see raw_asked)."""
    return [h.Message(m).qname for m in raw_asked(log)]


def raw_asked(log):
    out, data, pos = [], open(log, "rb").read(), 0
    while pos + 2 <= len(data):
        n = data[pos] << 8 | data[pos + 1]
        out.append(data[pos + 2:pos + 2 + n])
        pos += 2 + n
    return out


def asker(ns, prefix="x", suffix="good.test", first=0, count=1000, types="a", window=64, sink=0,
          server=None, timeout_ms=2000, wait=True, limit=120):
    server = server or {"app": "10.1.0.1", "app2": "10.1.1.1", "stranger": "10.66.0.1"}[ns]
    cmd = ["ip", "netns", "exec", ns, os.path.join(TOOLS, "asker"), server, "53", prefix, suffix,
           str(first), str(count), types, str(window), str(sink), str(timeout_ms)]
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    h._started.append(p)
    return asker_result(p, limit) if wait else p


def asker_result(p, limit=120):
    out, _ = p.communicate(timeout=limit)
    h._started.remove(p)
    assert p.returncode == 0, f"asker ended with {p.returncode}"
    return {k: float(v) if "." in v else int(v) for k, v in re.findall(r"(\w+)=([\d.]+)", out)}


class Sink:
    """Counts distinct first packets that arrive in `net`."""

    def __init__(self, port=4000):
        self.p = subprocess.Popen(["ip", "netns", "exec", "net", os.path.join(TOOLS, "sink"), str(port)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        h._started.append(self.p)
        assert self.p.stdout.readline().strip() == "ready"

    def command(self, word):
        self.p.stdin.write(word + "\n")
        self.p.stdin.flush()
        return int(self.p.stdout.readline())

    def count(self):
        return self.command("count")

    def reset(self):
        return self.command("reset")


def programs(name, **replaced):
    """A copy of the programs' folder in which some are replaced: fwsync="sallyport-fwsync-shim"."""
    folder = h.work(name, "bin")
    shutil.copytree(h.BIN, folder)
    for role, program in replaced.items():
        shutil.copy2(os.path.join(h.BIN, program), os.path.join(folder, "sallyport-" + role))
    return h.work(name)


def udp_passes(ns, address, port, listener="net", timeout=0.6):
    """Does a datagram from `ns` reach address:port in `listener`?"""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with h.inside(listener):
        server = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        server.bind((address, port))
    with h.inside(ns):
        client = socket.socket(family, socket.SOCK_DGRAM)
    server.settimeout(timeout)
    token = os.urandom(8)
    try:
        client.sendto(token, (address, port))
        return server.recv(100) == token
    except OSError:
        return False
    finally:
        server.close()
        client.close()


SO_TIMESTAMPNS = 35


class Raw:
    """Datagrams to an address that no answer gave, from app, all the time; when each arrived, by the
    kernel's word (time.monotonic()): whoever reads them here may be late. Each is a new flow; with
    `flow` another one, of always the same port, is kept going beside them."""

    def __init__(self, address="44.128.255.250", port=4000, every=0.002, flow=False):
        self.to, self.every, self.arrived, self.ended = (address, port), every, [], False
        with h.inside("net"):
            self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.server.bind(self.to)
            self.server.settimeout(0.05)
            self.server.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.flow = None
        if flow:
            with h.inside("app"):
                self.flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.flow.bind(("", 45000))
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._read)]
        for t in self.threads:
            t.start()

    def _send(self):
        with h.inside("app"):
            while not self.ended:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as new:
                    for s in (new, self.flow) if self.flow else (new,):
                        try:
                            s.sendto(b"raw", self.to)
                        except OSError:
                            pass  # the ICMP error of the last one
                time.sleep(self.every)

    def _read(self):
        while not self.ended:
            try:
                _, told, _, _ = self.server.recvmsg(100, 100)
            except OSError:
                continue
            seconds, ns = struct.unpack("=qq", told[0][2])
            ago = time.time() - (seconds + ns / 1e9)
            self.arrived.append(time.monotonic() - ago)

    def end(self):
        self.ended = True
        for t in self.threads:
            t.join()
        for s in (self.server, self.flow):
            if s:
                s.close()
