"""Plays the keeper and the resolver's workers for one sallyport-fwsync: configuration, guard tables
and ledger as its headers describe them, requests over the workers' pairs, and what comes back.

The formats are those of include/sallyport/{role,guard_table,ledger,pinhole,counter}.h.
"""
import ctypes, fcntl, itertools, json, mmap, os, re, select, signal, socket, struct, subprocess, sys, time

import harness as h

F_ADD_SEALS, SEALS = 1033, 1 | 2 | 4
ROLE_MAGIC, CONF_MAGIC, GUARD_MAGIC, PINHOLE_MAGIC = 0x31454C52, 0x31434657, 0x31445247, 0x31504853
(CONFIG, STATS, PINHOLE, EPOCH, LEDGER, NETLINK, END, GUARD, CLOSE, DRAIN) = \
    (1, 2, 6, 7, 8, 9, 11, 13, 15, 17)
READY, APPLIED, CLOSED, FAILED = 64, 65, 66, 67
PORT, PROTO, ANY, FROM_OUTSIDE = 1, 2, 3, 4
OPEN, OUTSIDE, STALE, LATE, WORKLOAD_FULL, FULL, MALFORMED = 1, 2, 3, 4, 5, 6, 7
TCP, UDP, ICMP = 6, 17, 1
EGRESS, INBOUND = 0x10000000, 0x20000000
HEAD, ROW, CELL, NEAR, LONG = 304, 64, 192, 88, 1000  # octets of the ledger's parts

_logs = itertools.count()


def _role_types():
    """The numbers of ROLE_MSG_*, read from the header, so that a new one cannot shift them here."""
    text = open(os.path.join(h.ROOT, "include/sallyport/role.h")).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    body = re.search(r"enum role_msg_type \{(.*?)\}", text, re.S).group(1)
    value, out = 0, {}
    for item in re.findall(r"ROLE_MSG_(\w+)(?:\s*=\s*(\d+))?", body):
        value = int(item[1]) if item[1] else value + 1
        out[item[0]] = value
    return out


for _name, _value in _role_types().items():
    if _name in globals():
        globals()[_name] = _value


def _counters():
    text = open(os.path.join(h.ROOT, "include/sallyport/counter.h")).read()
    return re.findall(r"^\s*X\(\w+, \"(\w+)\"", text, re.M)


COUNTERS = _counters()
LANE = (8 + 8 * len(COUNTERS) + 63) // 64 * 64
N_LANES = 65
UPSTREAM_WORDS = 8 * 256 * 16  # octets behind the lanes, the resolver's


def addr(text):
    if ":" in text:
        return socket.inet_pton(socket.AF_INET6, text)
    return b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, text)


def prefix(text):
    a, _, n = text.partition("/")
    v4 = ":" not in a
    n = int(n) if n else (32 if v4 else 128)
    return addr(a) + struct.pack("Bxxx", n + 96 if v4 else n)


def holds(whole, part):
    """Is the prefix `part` a smaller one inside `whole`?"""
    bits = whole[16]
    return bits < part[16] and int.from_bytes(whole[:16], "big") >> (128 - bits) == \
        int.from_bytes(part[:16], "big") >> (128 - bits)


def memfd(data, seal=True):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, len(data))
    os.pwrite(fd, data, 0)
    fcntl.fcntl(fd, F_ADD_SEALS, SEALS | (8 if seal else 0))
    return fd


def conf(set_size=4096, owner=1, dns=(), gateway_ports=(), interfaces=(), prefixes=(), uid=0xFFFFFFFF,
         track_dns=0):
    out = struct.pack("=IIII", uid, uid, 0, 2)
    out += struct.pack("=IIIIIIIII", 0, 2, EGRESS, INBOUND, set_size, owner, track_dns, len(dns), len(gateway_ports))
    out += b"".join(addr(a) + struct.pack("=HBB", p, a in ("0.0.0.0", "::"), 0) for a, p in dns).ljust(64 * 20, b"\0")
    out += b"".join(struct.pack("=BBH", proto, 0, p) for proto, p in gateway_ports).ljust(64 * 4, b"\0")
    out += struct.pack("=II", len(interfaces), len(prefixes))
    out += b"".join(i.encode().ljust(16, b"\0") for i in interfaces).ljust(64 * 16, b"\0")
    out += b"".join(map(prefix, prefixes)).ljust(1024 * 20, b"\0")
    return struct.pack("=II", CONF_MAGIC, len(out) + 8) + out


def guard(version, workloads, guarded=(), observed=(), interfaces=()):
    """workloads: dicts name, sources, ports [(kind, proto, first, last)], internals, life, pinholes, and
    listeners: the families of those (1: IPv4, 2: IPv6, 3: both) at which whoever nobody names is theirs."""
    sources, ports, internals, table = [], [], [], []
    every = [prefix(s) for w in workloads for s in w["sources"]]
    named = sorted({s for s in every if not any(holds(other, s) for other in every)})
    n_sources = len(every)
    for w in workloads:
        s, p, i = (w["sources"], w.get("ports", [(PORT, TCP, 1, 65535), (PORT, UDP, 1, 65535)]),
                   w.get("internals", ["198.51.100.0/24", "2001:db8::/32"]))
        table.append(w["name"].encode().ljust(64, b"\0") +
                     struct.pack("=IIIIII", len(sources), len(s), len(ports), len(p), len(internals), len(i)) +
                     struct.pack("=II", n_sources, len(named) if w.get("listeners") else 0) +
                     struct.pack("=III", w.get("listeners", 0), w.get("life", 90000), w.get("pinholes", 4096)))
        sources += map(prefix, s)
        ports += [struct.pack("=BBHHH", k, proto, a, b, 0) for k, proto, a, b in p]
        internals += map(prefix, i)
    sources += named
    parts = [table, sources, ports, internals, list(map(prefix, guarded)), list(map(prefix, observed)),
             [i.encode().ljust(16, b"\0") for i in interfaces]]
    head, body, at = b"", b"", 16 + 8 * len(parts)
    for p in parts:
        data = b"".join(p)
        head += struct.pack("=II", at, len(p))
        data = data.ljust((len(data) + 7) // 8 * 8, b"\0")
        body += data
        at += len(data)
    return struct.pack("=IIII", GUARD_MAGIC, 2, version, at) + head + body


class Fwsync:
    """One firewall role and everything that its keeper holds for it."""

    def __init__(self, ns, program="sallyport-fwsync", ledger_rows=8192, env=None, **kw):
        self.ns, self.program, self.env = ns, program, env
        self.conf_args = kw
        self.p = None
        self.log_path = h.work(f"fwsync-{next(_logs)}.log")  # one of its own, for all its lives
        self.seq = 0
        self.n_rows = ledger_rows
        n_reasons = max(1, ledger_rows // 4)
        n_more = max(1, n_reasons // 4)
        head = struct.pack("=QIIIIII", 0x3452474445475053, ledger_rows, n_reasons, n_more, 0, 0, 0).ljust(HEAD, b"\0")
        self.ledger = memfd(head + b"\0" * (ROW * ledger_rows + CELL * n_reasons + LONG * n_more), seal=False)
        self.stats = memfd(struct.pack("=Q", 0x3153544154535053).ljust(64 + N_LANES * LANE + UPSTREAM_WORDS, b"\0"), seal=False)
        self.epoch_fd = memfd(struct.pack("=QQ", 0x31504F5048534550, 1).ljust(4096, b"\0"), seal=False)
        self.maps = {fd: mmap.mmap(fd, 0) for fd in (self.stats, self.epoch_fd, self.ledger)}
        with h.inside(ns):
            self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
            self.netlink.bind((0, 0))
        self.pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
                      for _ in range(2)]
        for a, b in self.pairs:
            for s in (a, b):
                s.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)  # SO_SNDBUFFORCE
        self.version = 0

    # the channel

    def send(self, kind, a=0, b=0, payload=b"", fds=()):
        head = struct.pack("=IHHQQQ", ROLE_MAGIC, kind, len(fds), a, b, len(payload))
        socket.send_fds(self.channel, [head + payload], list(fds))

    def receive(self, seconds=10.0):
        if not select.select([self.channel], [], [], seconds)[0]:
            raise AssertionError("fwsync said nothing in time")
        data = self.channel.recv(65536)
        if not data:
            raise AssertionError(f"fwsync is gone (exit {self.p.wait()}); its log:\n{self.log()}")
        _, kind, _, a, b, n = struct.unpack("=IHHQQQ", data[:32])
        if kind == FAILED:
            raise AssertionError("fwsync failed: " + data[32:].decode())
        return kind, a, b

    def expect(self, kind, seconds=10.0):
        got = self.receive(seconds)
        assert got[0] == kind, f"message {got}, wanted {kind}"
        return got

    def log(self):
        try:
            return open(self.log_path).read()
        except OSError:
            return ""

    def spawn(self, *args):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = ours
        fd = theirs.fileno()
        out = open(self.log_path, "ab")

        def child():
            os.dup2(fd, 3)

        self.p = subprocess.Popen(["ip", "netns", "exec", self.ns, os.path.join(h.BIN, self.program), *args],
                                  preexec_fn=child, pass_fds=[3, fd], stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, env=dict(os.environ, **(self.env or {})))
        out.close()
        theirs.close()
        h._started.append(self.p)
        return self

    def configure(self, pairs=True):
        c = memfd(conf(**self.conf_args))
        self.send(CONFIG, fds=[c])
        os.close(c)
        self.send(STATS, fds=[self.stats])
        self.send(EPOCH, fds=[self.epoch_fd])
        self.send(LEDGER, fds=[self.ledger])
        self.send(NETLINK, fds=[self.netlink.fileno()])
        for i, (_, theirs) in enumerate(self.pairs if pairs else ()):
            self.send(PINHOLE, a=i, fds=[theirs.fileno()])

    def up(self, version=None, **policy):
        """Start (again); with a version as a keeper that has one starts a successor: its guard table
        is there before the table is made. policy: keyword arguments of guard()."""
        self.spawn()
        self.configure()
        if version is not None:
            self.tell_policy(version, **policy)
        self.send(END)
        self.expect(READY)
        if version is not None:
            self.expect(APPLIED)
        return self

    def tell_policy(self, version, **kw):
        g = memfd(guard(version, **kw))
        self.send(GUARD, a=version, fds=[g])
        os.close(g)
        self.version = version

    def policy(self, version, seconds=10.0, **kw):
        self.tell_policy(version, **kw)
        self.expect(APPLIED, seconds)

    def guard_only(self):
        self.spawn("--guard")
        self.configure(pairs=False)
        self.send(END)
        kind = self.receive()
        assert kind[0] == READY, kind
        return self.p.wait(10)

    def kill(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait(10)
        self.channel.close()
        h._started.remove(self.p)

    def end(self):
        """As the keeper's death: the channel closes; the socket that owns the table goes, too."""
        self.channel.close()
        code = self.p.wait(10)
        h._started.remove(self.p)
        return code

    # shared memory

    def counter(self, name):
        return struct.unpack_from("=Q", self.maps[self.stats], 64 + 8 + 8 * COUNTERS.index(name))[0]

    def heartbeat(self):
        return struct.unpack_from("=Q", self.maps[self.stats], 64)[0]

    def epoch(self):
        return struct.unpack_from("=Q", self.maps[self.epoch_fd], 8)[0]

    def rows(self):
        """{index: (dst, port, reason's names, seconds left, opened, policy version)} of the ledger."""
        m, out = self.maps[self.ledger], {}
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        cells = HEAD + ROW * self.n_rows
        for i in range(struct.unpack_from("=I", m, 28)[0]):
            version, reason, opened, expires = struct.unpack_from("=IIQQ", m, HEAD + ROW * i)
            if reason == 0xFFFFFFFF:
                continue
            dst = m[HEAD + ROW * i + 40:HEAD + ROW * i + 56]
            port = struct.unpack_from("=BBH", m, HEAD + ROW * i + 56)
            at = cells + CELL * reason
            n, _, more = struct.unpack_from("=HHI", m, at + 32)
            names = at + 104 if n <= NEAR else cells + CELL * max(1, self.n_rows // 4) + LONG * more
            judged = struct.unpack_from("=I", m, HEAD + ROW * i + 60)[0]
            out[i] = (dst, port, bytes(m[names:names + n]), (expires - now) / 1e9, opened, judged)
        return out

    # a worker

    def request(self, dst, src=("10.1.0.2",), ports=((PORT, TCP, 443),), life=60, workload=0, version=None,
                names=(b"q",), flags=0, query=99, rule=7):
        blob = b"".join(struct.pack("=H", len(n)) + n for n in names)
        body = b"".join(map(addr, src)) + b"".join(map(addr, dst)) + \
            b"".join(struct.pack("=BBH", *p) for p in ports) + blob
        n = (48 + len(body) + 7) // 8 * 8
        head = struct.pack("=IIIIQIHHHHHHI", n, self.version if version is None else version, workload, rule, query, life,
                           flags, len(src), len(dst), len(ports), len(blob), 0, 0)
        head = head.ljust(48, b"\0")
        return (head + body).ljust(n, b"\0")

    def batch(self, requests, deadline=2.0, worker=0, raw=None):
        """Send a batch; returns its sequence number."""
        self.seq += 1
        end = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(deadline * 1e9)
        body = b"".join(requests)
        msg = struct.pack("=IHHQQII", PINHOLE_MAGIC, 1, len(requests), self.seq, end, 32 + len(body), 0) + body
        self.pairs[worker][0].send(raw if raw is not None else msg)
        return self.seq

    def results(self, seconds=5.0, worker=0):
        """[(status, detail, epoch)] of the next batch, or None when nothing comes."""
        s = self.pairs[worker][0]
        if not select.select([s], [], [], seconds)[0]:
            return None
        data = s.recv(65536)
        magic, _, n, seq = struct.unpack("=IHHQ", data[:16])
        h.same(magic, PINHOLE_MAGIC, "magic of the results")
        self.last_seq = seq
        return [struct.unpack_from("=IIQ", data, 16 + 16 * i) for i in range(n)]

    def open(self, *dst, **kw):
        """Open one request's pinholes; returns its status."""
        worker = kw.pop("worker", 0)
        self.batch([self.request(dst, **kw)], worker=worker)
        got = self.results(worker=worker)
        assert got is not None, "no result"
        return got[0][0]

    def close(self, version, rows, seconds=5.0):
        """Close rows: numbers, as they are now, or {number: row} as rows() has told them before."""
        now = rows if isinstance(rows, dict) else {i: r for i, r in self.rows().items() if i in rows}
        self.send(CLOSE, a=version, b=1,
                  payload=b"".join(struct.pack("=QII", r[4], i, r[5]) for i, r in now.items()))
        return self.expect(CLOSED, seconds)


def element_set(ns, name):
    """{"10.1.0.2 . 198.51.100.7 . 6 . 443": seconds left} of one pinhole set, as nft tells it."""
    out = {}
    data = json.loads(h.nft(ns, "-n", "-j", "list", "set", "inet", "sallyport", name) or "{}")
    for item in data["nftables"]:
        for e in item.get("set", {}).get("elem", []):
            e = e["elem"]
            key = e["val"]["concat"] if isinstance(e["val"], dict) else [e["val"]]
            out[" . ".join(map(str, key))] = (e["timeout"], e["expires"])
    return out
