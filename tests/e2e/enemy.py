"""An upstream that lies: messages built octet by octet, and sent as it pleases.

A way is a function (enemy, query, tcp) -> what to send back: None, octets, a list of them, or pairs
(delay in seconds, octets). Names choose their way by the letters that they begin with: "late17-x.good.test" goes the way "late".
"""
import os, re, socket, struct, threading, time, traceback
import harness as h

GOOD, BAD = "44.128.7.1", "44.128.66.6"  # BAD: only ever in messages that must not be believed


def parts(q):
    """The name in lower case without the final dot, the type, the question's octets as they came."""
    pos = 12
    while q[pos]:
        pos += 1 + q[pos]
    name = h.read_name(q, 12)[0].lower().rstrip(".")
    return name, struct.unpack(">H", q[pos + 1:pos + 3])[0], q[12:pos + 5]


def way_of(name):
    return re.match("[a-z]*", name).group()


def message(q, answer=(), authority=(), additional=(), rcode=0, flags=0x8180, question=None, counts=None):
    question = parts(q)[2] if question is None else question
    counts = counts or (1, len(answer), len(authority), len(additional))
    return q[:2] + struct.pack(">HHHHH", flags | rcode, *counts) + question + b"".join((*answer, *authority, *additional))


def a(owner, address=GOOD, ttl=60):
    return h.rr(owner, "A", ttl, address)


def raw_rr(owner, rtype, data, ttl=60, rclass=1):
    """The same of octets: owner is a wire name, or a pointer."""
    return owner + struct.pack(">HHIH", rtype, rclass, ttl, len(data)) + data


def pointer(offset):
    return struct.pack(">H", 0xc000 | offset)


def opt(options=b"", rcode=0, version=0):
    return b"\0" + struct.pack(">HHBBHH", 41, 1232, rcode >> 4, version, 0x8000, len(options)) + options


def option(code, data):
    return struct.pack(">HH", code, len(data)) + data


class Enemy:
    def __init__(self, ns, address, answer, port=53):
        self.ns, self.address, self.port, self.answer = ns, address, port, answer
        self.asked, self.lock = [], threading.Lock()  # (name, type, "udp" or "tcp", time, who)
        self.udp = self.tcp = None
        self.open()

    def open(self):
        with h.inside(self.ns):
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
            self.udp.bind((self.address, self.port))
            self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.tcp.bind((self.address, self.port))
            self.tcp.listen(512)
        self.conns = set()
        for target, sock in ((self._udp, self.udp), (self._tcp, self.tcp)):
            threading.Thread(target=target, args=(sock,), daemon=True).start()

    def close(self):
        """Dead: its ports are closed, its connections reset."""
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        with self.lock:
            for conn in self.conns:
                try:
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.udp = self.tcp = None

    def names(self):
        with self.lock:
            return [name for name, *_ in self.asked]

    def count(self, name):
        return self.names().count(name)

    def _said(self, q, proto, who):
        name, qtype, _ = parts(q)
        with self.lock:
            self.asked.append((name, qtype, proto, time.monotonic(), who))
        try:
            said = self.answer(self, q, proto == "tcp")
        except Exception:
            traceback.print_exc()
            said = None
        said = said if isinstance(said, list) else [] if said is None else [said]
        return [s if isinstance(s, tuple) else (0, s) for s in said]

    def _send(self, sock, out, who):
        try:
            sock.sendto(out[:65507], who)
        except OSError:
            pass

    def _udp(self, sock):
        while True:
            try:
                q, who = sock.recvfrom(65535)
            except OSError:
                return
            if not q:  # shut down
                return
            for delay, out in self._said(q, "udp", who):
                if delay:
                    threading.Timer(delay, self._send, (sock, out, who)).start()
                else:
                    self._send(sock, out, who)

    def _tcp(self, sock):
        while True:
            try:
                conn, who = sock.accept()
            except OSError:
                return
            with self.lock:
                self.conns.add(conn)
            threading.Thread(target=self._conversation, args=(conn, who), daemon=True).start()

    def _conversation(self, conn, who):
        with conn:
            conn.settimeout(20)
            try:
                while True:
                    head = h._exactly(conn, 2)
                    if not head:
                        break
                    q = h._exactly(conn, struct.unpack(">H", head)[0])
                    if q is None:
                        break
                    for delay, out in self._said(q, "tcp", who):
                        time.sleep(delay)
                        if callable(out):  # writes to the connection as it likes
                            out(conn)
                        else:
                            conn.sendall(struct.pack(">H", len(out)) + out)
            except OSError:
                pass
            with self.lock:
                self.conns.discard(conn)


class Spoofer:
    """Datagrams with any source, from a host's raw socket."""

    def __init__(self, ns, source, target, sport=53):
        self.source, self.target, self.sport = socket.inet_aton(source), socket.inet_aton(target), sport
        self.to = (target, 0)
        with h.inside(ns):
            self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.raw.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)  # SO_SNDBUFFORCE

    def send(self, dport, payload):
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, self.source, self.target)
        self.raw.sendto(head + struct.pack(">HHHH", self.sport, dport, 8 + len(payload), 0) + payload, self.to)


# ---------------------------------------------------------------- looking at a role

def rss(pid):
    """What is its own; pages of the shared history rings are written in turn."""
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024


def cpu(pid):
    """Seconds of processor time of all its threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return total / 1e9
