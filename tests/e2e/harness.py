"""Hosts, networks and a running Sallyport for tests, on one machine.

Everything happens inside namespaces of our own (network, mount, process): enter() starts the calling
script again inside them. When the script ends, however it ends, the kernel removes every process,
network namespace, nftables table and mount that it made; only the temporary folder has to be
removed, which the outer process does.

A test file looks like this:

    import harness as h
    h.enter(__file__)

    @h.case
    def a_promise_in_words(): ...

    h.main()
"""
import atexit, ctypes, json, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile
import threading, time, traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SALLYPORT_BUILD", os.path.join(ROOT, "build", "release"))
BIN = os.path.join(BUILD, "bin")

# ---------------------------------------------------------------- namespaces


def enter(script, seconds=600, interactive=False):
    """Run `script` again as the first process of fresh namespaces; does not return outside. It gets
    a process group of its own, unless it wants the terminal (interactive)."""
    if os.environ.get("SALLYPORT_INSIDE") == "1":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.check_call(["mount", "-t", "tmpfs", "tmpfs", "/run"])
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.check_call(["ip", "link", "set", "lo", "up"])
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return
    if os.geteuid() != 0:
        sys.exit("this test makes network namespaces: run it as root")
    work = tempfile.mkdtemp(prefix="sallyport-test.")
    env = dict(os.environ, SALLYPORT_INSIDE="1", SALLYPORT_WORK=work, PYTHONUNBUFFERED="1",
               PYTHONDONTWRITEBYTECODE="1")
    env.pop("NOTIFY_SOCKET", None)
    os.chmod(work, 0o755)
    child = subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
         "/usr/bin/python3", script] + sys.argv[1:], env=env,
        process_group=None if interactive else 0)
    code = 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends in `finally`, too
    try:
        code = child.wait(timeout=seconds)
    except KeyboardInterrupt:
        code = 130
    except subprocess.TimeoutExpired:
        print(f"not ok {os.path.basename(script)}: over its {seconds} s")
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(code)


def work(*parts):
    """A path in this run's temporary folder."""
    return os.path.join(os.environ["SALLYPORT_WORK"], *parts)


def run(cmd, ns=None, timeout=30, check=True, user=None, input=None, env=None):
    """Run a command (a list) in a namespace; returns the CompletedProcess with text output."""
    if ns:
        cmd = ["ip", "netns", "exec", ns] + cmd
    if user:
        cmd = cmd[:4] * bool(ns) + ["setpriv", "--reuid", str(user), "--clear-groups"] + cmd[4 if ns else 0:]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=input,
                       stdin=None if input is not None else subprocess.DEVNULL,
                       timeout=timeout, env=env)
    if check and p.returncode:
        raise AssertionError(f"{' '.join(cmd)}: exit {p.returncode}\n{p.stdout}{p.stderr}")
    return p


_started = []


def start(cmd, ns=None, log=None, env=None, **kw):
    """Start a long-running process; it ends with the test."""
    if ns:
        cmd = ["ip", "netns", "exec", ns] + cmd
    out = open(log, "ab") if log else subprocess.DEVNULL
    p = subprocess.Popen(cmd, stdout=out, stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL, env=env, **kw)
    _started.append(p)
    return p


def stop(p, seconds=10):
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    if p in _started:
        _started.remove(p)
    return p.returncode


@atexit.register
def _stop_all():
    for p in reversed(list(_started)):
        if p.poll() is None:
            p.kill()
            p.wait()


def host(name):
    """A network namespace with loopback up."""
    run(["ip", "netns", "add", name])
    run(["ip", "link", "set", "lo", "up"], ns=name)
    run(["sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"],
        ns=name)
    return name


def wire(a, a_addrs, b, b_addrs, a_if=None, b_if=None):
    """A veth pair between hosts a and b, with addresses ("10.1.0.1/24", "fd00:1::1/64")."""
    a_if, b_if = a_if or f"to-{b}", b_if or f"to-{a}"
    run(["ip", "link", "add", a_if, "netns", a, "type", "veth", "peer", "name", b_if, "netns", b])
    for ns, dev, addrs in ((a, a_if, a_addrs), (b, b_if, b_addrs)):
        for addr in addrs:
            extra = ["nodad"] if ":" in addr else []
            run(["ip", "addr", "add", addr, "dev", dev] + extra, ns=ns)
        run(["ip", "link", "set", dev, "up"], ns=ns)


def route(ns, dest, via):
    run(["ip", "-6" if ":" in via else "-4", "route", "add", dest, "via", via], ns=ns)


def resolver(ns, address, options="timeout:2 attempts:1"):
    """What the C library of programs in `ns` asks: an /etc/resolv.conf of its own (the folder that
    `ip netns exec` mounts over /etc lies in a private copy of /etc)."""
    if not os.path.exists("/run/etc"):
        run(["cp", "-a", "/etc", "/run/etc"])
        run(["mount", "--bind", "/run/etc", "/etc"])
    os.makedirs(f"/etc/netns/{ns}", exist_ok=True)
    with open(f"/etc/netns/{ns}/resolv.conf", "w") as f:
        f.write(f"nameserver {address}\noptions {options}\n")


def forwarding(ns):
    run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"], ns=ns)


_libc = ctypes.CDLL(None, use_errno=True)


class inside:
    """with inside("app"): sockets made in this block (and thread) belong to that namespace."""

    def __init__(self, ns):
        self.ns = ns

    def __enter__(self):
        self.back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        fd = os.open(f"/run/netns/{self.ns}", os.O_RDONLY)
        if _libc.setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def __exit__(self, *_):
        if _libc.setns(self.back, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(self.back)


# ---------------------------------------------------------------- DNS, by hand

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "NULL": 10, "PTR": 12, "HINFO": 13, "MX": 15,
         "TXT": 16, "AAAA": 28, "SRV": 33, "DNAME": 39, "OPT": 41, "DS": 43, "RRSIG": 46,
         "DNSKEY": 48, "SVCB": 64, "HTTPS": 65, "IXFR": 251, "AXFR": 252, "ANY": 255}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def name_wire(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def question(name, qtype="A", qid=0x1234, edns=True, do=False, cd=False, options=b"", rd=True):
    """The octets of a query."""
    qtype = TYPES.get(qtype, qtype)
    flags = (0x0100 if rd else 0) | (0x10 if cd else 0)
    out = struct.pack(">HHHHHH", qid, flags, 1, 0, 0, 1 if edns else 0)
    out += name_wire(name) + struct.pack(">HH", qtype, 1)
    if edns:
        out += struct.pack(">BHHBBHH", 0, 41, 1232, 0, 0, 0x8000 if do else 0, len(options)) + options
    return out


def read_name(msg, pos):
    labels, jumped, hops = [], None, 0
    while True:
        n = msg[pos]
        if n & 0xC0 == 0xC0:
            hops += 1
            assert hops < 100, "compression loop"
            if jumped is None:
                jumped = pos + 2
            pos = (n & 0x3F) << 8 | msg[pos + 1]
        elif n == 0:
            return ".".join(labels) + ".", jumped if jumped is not None else pos + 1
        else:
            labels.append(msg[pos + 1:pos + 1 + n].decode("latin-1"))
            pos += 1 + n


class Message:
    """A parsed message: id, flags, rcode, question, answer/authority/additional, ede, addresses."""

    def __init__(self, msg):
        self.raw = msg
        self.id, self.flags, qd, an, ns, ar = struct.unpack(">HHHHHH", msg[:12])
        self.rcode = self.flags & 15
        self.tc, self.ad = bool(self.flags & 0x200), bool(self.flags & 0x20)
        pos, self.question, self.ede, self.edns = 12, None, [], False
        for _ in range(qd):
            self.qname, pos = read_name(msg, pos)
            self.question = (self.qname, *struct.unpack(">HH", msg[pos:pos + 4]))
            pos += 4
        self.answer, self.authority, self.additional = [], [], []
        for count, where in ((an, self.answer), (ns, self.authority), (ar, self.additional)):
            for _ in range(count):
                owner, pos = read_name(msg, pos)
                rtype, rclass, ttl, n = struct.unpack(">HHIH", msg[pos:pos + 10])
                pos += 10
                data = msg[pos:pos + n]
                if rtype == 41:
                    self.edns = True
                    self.rcode |= (ttl >> 24) << 4
                    p = 0
                    while p < n:
                        code, size = struct.unpack(">HH", data[p:p + 4])
                        if code == 15:
                            self.ede.append((struct.unpack(">H", data[p + 4:p + 6])[0],
                                             data[p + 6:p + 4 + size].decode()))
                        p += 4 + size
                if rtype == 1:
                    value = socket.inet_ntop(socket.AF_INET, data)
                elif rtype == 28:
                    value = socket.inet_ntop(socket.AF_INET6, data)
                elif rtype in (2, 5, 12, 39):
                    value = read_name(msg, pos)[0]
                else:
                    value = data
                where.append((owner, rtype, ttl, value))
                pos += n
        assert pos == len(msg), "octets behind the message"
        self.status = RCODES.get(self.rcode, str(self.rcode))
        self.addresses = [v for _, t, _, v in self.answer if t in (1, 28)]


def ask(server, name, qtype="A", port=53, timeout=3.0, tcp=False, sock=None, **kw):
    """One query from the present namespace; a Message, or None when nothing came in time."""
    qid = struct.unpack(">H", os.urandom(2))[0]
    q = question(name, qtype, qid, **kw)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    s = sock or socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    try:
        s.settimeout(timeout)
        if not sock:
            s.connect((server, port))
        if tcp:
            s.sendall(struct.pack(">H", len(q)) + q)
            head = _exactly(s, 2)
            return Message(_exactly(s, struct.unpack(">H", head)[0])) if head else None
        s.send(q)
        end = time.monotonic() + timeout
        while True:
            msg = s.recv(65535)
            if len(msg) >= 12 and msg[:2] == q[:2]:
                return Message(msg)
            s.settimeout(max(0.001, end - time.monotonic()))
    except (socket.timeout, ConnectionError):
        return None
    finally:
        if not sock:
            s.close()


def _exactly(s, n):
    out = b""
    while len(out) < n:
        more = s.recv(n - len(out))
        if not more:
            return None
        out += more
    return out


def rr(owner, rtype, ttl, data):
    """One record's octets; data: octets, or text of an address or name for the usual types."""
    number = TYPES.get(rtype, rtype)
    if isinstance(data, str):
        if rtype == "A":
            data = socket.inet_pton(socket.AF_INET, data)
        elif rtype == "AAAA":
            data = socket.inet_pton(socket.AF_INET6, data)
        elif rtype in ("CNAME", "NS", "PTR", "DNAME"):
            data = name_wire(data)
        elif rtype == "TXT":
            data = bytes([len(data)]) + data.encode()
        elif rtype == "SRV":
            prio, weight, port, target = data.split()
            data = struct.pack(">HHH", int(prio), int(weight), int(port)) + name_wire(target)
        elif rtype == "MX":
            prio, target = data.split()
            data = struct.pack(">H", int(prio)) + name_wire(target)
    return name_wire(owner) + struct.pack(">HHIH", number, 1, ttl, len(data)) + data


def https_rr(owner, ttl, target=".", priority=1, v4=(), v6=(), rtype="HTTPS"):
    """An SVCB or HTTPS record with hints (RFC 9460)."""
    data = struct.pack(">H", priority) + name_wire(target)
    if v4:
        data += struct.pack(">HH", 4, 4 * len(v4)) + b"".join(socket.inet_pton(socket.AF_INET, a) for a in v4)
    if v6:
        data += struct.pack(">HH", 6, 16 * len(v6)) + b"".join(socket.inet_pton(socket.AF_INET6, a) for a in v6)
    return rr(owner, rtype, ttl, data)


def soa(zone, ttl=300, minimum=300):
    data = name_wire("ns." + zone) + name_wire("h." + zone) + struct.pack(">IIIII", 1, 3600, 900, 604800, minimum)
    return rr(zone, "SOA", ttl, data)


class Upstream:
    """A DNS server that answers what a function says and remembers every octet it was asked.

    `answers(name, qtype)` gets the name in lower case without the final dot; it returns
      None                          no answer at all
      (rcode, [answer RRs])         with optional third element: authority RRs
      bytes                         that message, with the ID put in
    RRs are octets made by rr(). `log` holds raw queries; `names()` the names asked.
    """

    def __init__(self, ns, address, answers, port=53, delay=0):
        self.answers, self.log, self.delay = answers, [], delay
        self.closing = False
        with inside(ns):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self.udp = socket.socket(family, socket.SOCK_DGRAM)
            self.udp.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            self.udp.bind((address, port))
            self.tcp = socket.socket(family, socket.SOCK_STREAM)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.tcp.bind((address, port))
            self.tcp.listen(64)
        for target in (self._udp, self._tcp):
            threading.Thread(target=target, daemon=True).start()

    def names(self):
        return [Message(q).qname.lower().rstrip(".") for q, _ in self.log]

    def reply(self, q, tcp):
        pos = 12
        while q[pos]:
            pos += 1 + q[pos]
        end = pos + 5
        labels, p = [], 12
        while q[p]:
            labels.append(q[p + 1:p + 1 + q[p]])
            p += 1 + q[p]
        name = b".".join(labels).decode("latin-1").lower()
        said = self.answers(name, struct.unpack(">H", q[pos + 1:pos + 3])[0])
        if said is None:
            return None
        if isinstance(said, bytes):
            return q[:2] + said[2:]
        rcode, answer, authority = said if len(said) == 3 else (*said, [])
        opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0x8000, 0)
        msg = q[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, len(answer), len(authority), 1)
        msg += q[12:end] + b"".join(answer) + b"".join(authority) + opt
        if not tcp and len(msg) > 1232:
            msg = q[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + q[12:end]
        return msg

    def _udp(self):
        while not self.closing:
            try:
                q, who = self.udp.recvfrom(65535)
            except OSError:
                return
            self.log.append((q, "udp"))
            try:
                out = self.reply(q, False)
            except Exception:
                traceback.print_exc()
                continue
            if out is None:
                continue
            if self.delay:
                threading.Timer(self.delay, self._send, (out, who)).start()
            else:
                self._send(out, who)

    def _send(self, out, who):
        try:
            self.udp.sendto(out, who)
        except OSError:
            pass

    def _tcp(self):
        while not self.closing:
            try:
                conn, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._conversation, args=(conn,), daemon=True).start()

    def _conversation(self, conn):
        with conn:
            conn.settimeout(20)
            try:
                while True:
                    head = _exactly(conn, 2)
                    if not head:
                        return
                    q = _exactly(conn, struct.unpack(">H", head)[0])
                    self.log.append((q, "tcp"))
                    out = self.reply(q, True)
                    if out is not None:
                        conn.sendall(struct.pack(">H", len(out)) + out)
            except OSError:
                return

    def close(self):
        self.closing = True
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


# ---------------------------------------------------------------- Sallyport

class Sallyport:
    """sallyportd in a namespace, with its configuration, state and command line."""

    def __init__(self, ns, config, name="sallyport", build=None, env=None):
        self.ns, self.dir, self.bin = ns, work(name), os.path.join(build or BUILD, "bin")
        os.makedirs(os.path.join(self.dir, "run"), exist_ok=True)
        os.chmod(self.dir, 0o755)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", os.path.join(self.dir, "run")])
        self.conf, self.log = os.path.join(self.dir, "sallyport.yaml"), os.path.join(self.dir, "log")
        self.env = dict(os.environ, **(env or {}))
        self.configure(config)
        self.process = None

    def configure(self, config):
        base = (f"state_dir: {self.dir}/state\nrun_dir: {self.dir}/run\nuser: nobody\n"
                "access: {admin_group: root, analyst_group: nogroup}\n")
        keys = {line.split(":")[0] for line in config.splitlines() if line and line[0].isalpha()}
        base = "".join(l + "\n" for l in base.splitlines() if l.split(":")[0] not in keys)
        with open(self.conf, "w") as f:
            f.write(base + config)

    def up(self, wait=10):
        """Start and wait until the daemon says READY (sd_notify)."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.dir, "notify")
        if os.path.exists(path):
            os.unlink(path)
        sock.bind(path)
        self.process = start([os.path.join(self.bin, "sallyportd"), "-c", self.conf], ns=self.ns,
                             log=self.log, env=dict(self.env, NOTIFY_SOCKET=path))
        end = time.monotonic() + wait
        sock.settimeout(0.2)
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"sallyportd ended with {self.process.returncode}:\n{self.logs()}")
            try:
                if b"READY=1" in sock.recv(4096):
                    sock.close()
                    return self
            except socket.timeout:
                continue
        raise AssertionError("sallyportd did not get ready:\n" + self.logs())

    def down(self):
        return stop(self.process) if self.process else None

    def logs(self):
        try:
            return open(self.log, errors="replace").read()[-8000:]
        except OSError:
            return ""

    def cli(self, *args, check=True, timeout=60, user=None):
        return run([os.path.join(self.bin, "sallyport"), "-c", self.conf, *args], ns=self.ns,
                   check=check, timeout=timeout, user=user)

    def json(self, *args, **kw):
        """Objects that `sallyport ARGS --json` prints."""
        out = self.cli(*args, "--json", **kw).stdout
        return [json.loads(line) for line in out.splitlines() if line.strip()]

    def apply(self, policy, **kw):
        path = os.path.join(self.dir, "policy.yaml")
        with open(path, "w") as f:
            f.write(policy)
        return self.cli("policy", "apply", path, **kw)

    def role_pid(self, role, seconds=5):
        """The role's present process; waits while there is none (its number would be 0, and a signal
        to process 0 goes to the whole group)."""
        def pid():
            for r in self.json("status")[0]["roles"]:
                if r["role"] == role:
                    return r["pid"]
            raise AssertionError(f"status names no role {role}")
        return until(f"{role} runs", pid, seconds, 0.05)


def nft(ns, *args, check=True):
    return run(["nft", *args], ns=ns, check=check).stdout


def elements(ns, name):
    """The elements of one of our sets, as nft's JSON says; only for small sets."""
    out = json.loads(nft(ns, "-j", "list", "set", "inet", "sallyport", name))
    for item in out["nftables"]:
        if "set" in item:
            return item["set"].get("elem", [])
    return []


def until(what, condition, seconds=10.0, step=0.02):
    """Wait until condition() is true; its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)


# ---------------------------------------------------------------- cases

_cases, _after = [], []


def case(function):
    _cases.append(function)
    return function


def after(function):
    """What runs when all cases have: for instance, show a log on failure."""
    _after.append(function)
    return function


class Skip(Exception):
    """Raised by a case that this machine cannot run: raise Skip("why")."""


def same(got, want, what=""):
    assert got == want, f"{what}: got {got!r}, wanted {want!r}"


def main():
    """Run the cases in their order; one line each, a summary, and the exit status."""
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    passed = failed = skipped = 0
    for function in _cases:
        title = function.__name__.replace("_", " ")
        if pattern and not re.search(pattern, function.__name__):
            continue
        begin = time.monotonic()
        try:
            function()
            print(f"ok {title} ({time.monotonic() - begin:.1f} s)", flush=True)
            passed += 1
        except Skip as e:
            print(f"skip {title}: {e}", flush=True)
            skipped += 1
        except Exception as e:
            print(f"not ok {title}: {e}", flush=True)
            if not isinstance(e, AssertionError):
                traceback.print_exc()
            failed += 1
    for function in _after:
        function(failed)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not (passed or skipped) else 0)
