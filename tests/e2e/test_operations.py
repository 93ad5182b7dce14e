"""Operations: reloads and new programs under load, and a start that cannot be: each says what is wrong
and what would help."""
import os, re, shutil, signal, socket, subprocess, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=300)
n.build()
up = n.answerer(ttl=300)
build = n.programs("build")  # a copy, whose files a test may replace
sp = h.Sallyport("gw", n.CONFIG, build=build).up()
sp.apply(n.POLICY)


def status():
    return sp.json("status")[0]


def role_pids():
    return {r["role"]: r["pid"] for r in status()["roles"]}


class Knocker(threading.Thread):
    """Keeps asking from `app`, one fresh socket a query, UDP and TCP in turn, and counts how each ended.
    A port that nobody listens on answers a datagram with ICMP and a SYN with RST: `refused`."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended, self.refused, self.answered, self.silent, self.longest = False, [], 0, 0, 0.0

    def run(self):
        with h.inside("app"):
            i = 0
            while not self.ended:
                i += 1
                begin = time.monotonic()
                try:
                    self.one(i, tcp=i % 2 == 0)
                except ConnectionRefusedError as e:
                    self.refused.append(f"{'TCP' if i % 2 == 0 else 'UDP'} {e}")
                self.longest = max(self.longest, time.monotonic() - begin)

    def one(self, i, tcp):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        q = h.question(f"k{i % 500}.good.test", qid=i & 0xffff)
        with s:
            s.settimeout(4)
            s.connect((n.DNS4, 53))
            try:
                s.sendall(len(q).to_bytes(2, "big") + q if tcp else q)
                got = s.recv(65535)
            except socket.timeout:
                got = b""
            except ConnectionResetError:
                got = b""  # a connection of the resolver before: its client asks again
        self.answered += bool(got)
        self.silent += not got

    def end(self):
        self.ended = True
        self.join(10)


def replace_programs(folder):
    """What a package's upgrade does: new files under the old names."""
    for name in os.listdir(folder):
        new = os.path.join(folder, name + ".new")
        shutil.copy2(os.path.join(folder, name), new)
        os.rename(new, os.path.join(folder, name))


def exe(pid):
    return os.stat(f"/proc/{pid}/exe").st_ino


def file_of(name):
    return os.stat(os.path.join(build, "bin", name)).st_ino


@h.case
def ten_reloads_under_load_lose_no_query():
    h.same(n.asker("app", prefix="r", first=0, count=1500, types="a", window=16, timeout_ms=4000)["lost"], 0)
    before = status()["counters"]
    runs = [n.asker(ns, prefix="r", first=0, count=1500, types="a", window=1, timeout_ms=4000, wait=False)
            for ns in ("app", "app2") for _ in range(3)]
    for i in range(10):
        # Another file each time: one more listener, then one less, and another limit.
        extra = "  - {address: 10.66.0.1, port: 5300}\n" if i % 2 == 0 else ""
        sp.configure(n.CONFIG.replace("upstreams:", extra + "upstreams:") + f"limits: {{in_flight: {4000 + i}}}\n")
        h.same(sp.json("reload")[0]["reloaded"], True)
        time.sleep(0.05)
    got = [n.asker_result(r) for r in runs]
    for g in got:
        h.same((g["lost"], g["answered"]), (0, g["asked"]), str(g))
    after = status()["counters"]
    h.same(after["kernel_drops"], before["kernel_drops"])
    h.same({r["restarts"] for r in status()["roles"]}, {0})
    sp.configure(n.CONFIG)
    sp.cli("reload")


@h.case
def a_new_binary_takes_over_under_load_and_no_port_is_ever_closed():
    with h.inside("app"):
        held = h.ask(n.DNS4, "pinned.good.test")
    address = held.addresses[0]
    before, pids, table = status(), role_pids(), h.nft("gw", "list", "tables")
    assert address in str(h.elements("gw", "pinhole4"))
    replace_programs(os.path.join(build, "bin"))
    knockers = [Knocker() for _ in range(4)]
    for k in knockers:
        k.start()
    time.sleep(0.3)
    answers = []
    for _ in range(2):
        answers.append(sp.json("restart")[0])
        time.sleep(0.3)
    for k in knockers:
        k.end()
    after = status()
    refused = sum((k.refused for k in knockers), [])
    print(f"# {sum(k.answered for k in knockers)} answered, {sum(k.silent for k in knockers)} to ask again, "
          f"longest wait {max(k.longest for k in knockers):.2f} s, took {[round(a['seconds'], 2) for a in answers]} s")
    h.same(refused, [], "refused")
    assert sum(k.answered for k in knockers) > 100
    assert sum(k.silent for k in knockers) <= 4 * len(knockers), "queries were lost, not delayed"
    assert max(k.longest for k in knockers) < 3.9, "somebody waited for a whole retry"
    # The same process to its supervisor, everything else is new.
    h.same((after["pid"], after["takeovers"]), (before["pid"], before["takeovers"] + 2))
    new = role_pids()
    assert not set(pids.values()) & set(new.values()), (pids, new)
    h.same(exe(after["pid"]), file_of("sallyportd"))
    for role in ("resolver", "historian", "fwsync"):
        h.same(exe(new[role]), file_of("sallyport-" + role), role)
    # The firewall has not moved: the table, and what was open.
    h.same(h.nft("gw", "list", "tables"), table)
    assert address in str(h.elements("gw", "pinhole4")), "the pinhole is gone"
    assert n.udp_passes("app", address, 4000)
    rows = [r for r in sp.json("pinholes") if r["destination"] == address]
    assert any(r["name"] == "pinned.good.test." for r in rows), rows
    h.same((after["policy_applied"], before["policy_version"]), (1, 1))


@h.case
def what_was_asked_during_takeovers_is_in_the_history_once():
    first = n.asker("app", prefix="once", first=0, count=3000, types="a", window=8, timeout_ms=4000, wait=False)
    time.sleep(0.1)
    sp.cli("restart")
    got = n.asker_result(first)
    h.same((got["answered"], got["lost"]), (3000, 0), str(got))

    def counted():
        rows = [r for r in sp.json("history", "--limit", "0", "--name", "once*.good.test") if "verdict" in r]
        return sum(r["count"] for r in rows) >= 3000 and rows
    rows = h.until("all rows are written", counted, 20, 0.5)
    h.same(sum(r["count"] for r in rows), 3000)
    h.same(len({r["name"] for r in rows}), 3000)
    h.same(len({r["id"] for r in rows}), len(rows), "ids are unique over takeovers")


@h.case
def a_new_program_that_would_not_start_is_refused_and_nothing_changes():
    pids, path = role_pids(), os.path.join(build, "bin", "sallyportd")
    os.rename(path, path + ".good")
    try:
        for text, want in (("#!/bin/sh\necho 'libfoo.so.9: cannot open shared object file' >&2\nexit 127\n", "libfoo.so.9"),
                           (None, "would not start")):
            if os.path.exists(path):
                os.unlink(path)
            if text:
                with open(path, "w") as f:
                    f.write(text)
                os.chmod(path, 0o755)
            p = sp.cli("restart", check=False)
            h.same(p.returncode, 2, p.stderr)
            assert want in p.stderr and "everything stays as it is" in p.stderr, p.stderr
    finally:
        os.rename(path + ".good", path)
    h.same(role_pids(), pids)
    with h.inside("app"):
        assert h.ask(n.DNS4, "still.good.test").addresses


@h.case
def a_configuration_that_cannot_be_taken_over_is_refused_with_the_remedy():
    pids = role_pids()
    for config, want in ((n.CONFIG + "workers: 1\n" if os.cpu_count() > 1 else n.CONFIG + "workers: 2\n", "workers has changed"),
                         (n.CONFIG + "upstrems: []\n", "upstreams")):
        sp.configure(config)
        p = sp.cli("restart", check=False)
        h.same(p.returncode, 2, p.stderr)
        assert want in p.stderr, p.stderr
    sp.configure(n.CONFIG)
    h.same(role_pids(), pids)
    actions = [(r["action"], r["detail"]) for r in sp.json("audit", "--limit", "5")]
    assert ("restart", "refused: the new program would not start") in actions, actions


@h.case
def the_audit_trail_is_shown_newest_first_with_who_and_what():
    sp.cli("flush", "x.good.test")
    sp.cli("flush", "--all")
    rows = sp.json("audit")
    ids = [r["id"] for r in rows]
    h.same(ids, sorted(ids, reverse=True))
    h.same([(r["action"], r["detail"], r["user"]) for r in rows[:2]],
           [("flush", "--all", "root"), ("flush", "x.good.test", "root")])
    assert {"start", "takeover", "restart", "reload", "policy apply"} <= {r["action"] for r in rows}, rows
    h.same([r["policy_version"] for r in rows if r["action"] == "policy apply"], [1])
    h.same(len(sp.json("audit", "--limit", "2")), 2)
    h.same(sp.json("audit", "--since", "2100-01-01"), [])
    text = sp.cli("audit", "--limit", "1").stdout
    assert re.search(r"root\s+flush\s+1\s+--all", text), text
    h.same(sp.cli("audit", "--limit", "x", check=False).returncode, 2)


# ---------------------------------------------------------------- a start that cannot be

def without_netfilter():
    """For a child to come: socket(AF_NETLINK, *, NETLINK_NETFILTER) fails as on a kernel that was built
    without it. The filter stays for everything that it starts."""
    import ctypes
    errno_93, allow = 0x00050000 | 93, 0x7fff0000  # SECCOMP_RET_ERRNO EPROTONOSUPPORT, SECCOMP_RET_ALLOW
    nr = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    ld, jeq, ret = 0x20, 0x15, 0x06
    code = [(ld, 0, 0, 0), (jeq, 0, 5, nr), (ld, 0, 0, 16), (jeq, 0, 3, 16), (ld, 0, 0, 32), (jeq, 0, 1, 12),
            (ret, 0, 0, errno_93), (ret, 0, 0, allow)]
    raw = b"".join(c.to_bytes(2, "little") + bytes([t, f]) + k.to_bytes(4, "little") for c, t, f, k in code)
    libc, buf = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(raw)

    class Program(ctypes.Structure):
        _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_void_p)]
    program = Program(len(code), ctypes.addressof(buf))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        os._exit(99)


def attempt(config, *args, before=(), preexec=None, name="attempt", ns="net", seconds=15):
    """Start sallyportd where nobody else runs; its exit status and what it said."""
    t = h.Sallyport(ns, config, name=name)
    cmd = ["ip", "netns", "exec", ns, *before, os.path.join(h.BIN, "sallyportd"), "-c", t.conf, *args]
    p = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                       timeout=seconds, preexec_fn=preexec)
    return p.returncode, p.stdout


LONE = """\
listen: [{address: 127.0.0.1, port: 5353}]
upstreams: [{zone: ".", servers: [{address: 192.0.2.53}]}]
dnssec: {mode: off}
firewall: {guard: {interfaces: [to-gw]}}
"""


def refused(config, words, check=None, **kw):
    """Both ways: --check says it (status 1), and a start ends with it (status 2)."""
    for args in (["--check"], []) if check is None else ([] if not check else ["--check"],):
        code, said = attempt(config, *args, **kw)
        h.same(code, 1 if args else 2, f"{args}: {said}")
        for word in words:
            assert word in said, f"{args}: no {word!r} in {said}"


@h.case
def a_second_daemon_on_one_state_directory_is_refused_also_after_a_kill_9():
    code, said = attempt(LONE + f"state_dir: {sp.dir}/state\n", name="second")
    h.same(code, 2, said)
    assert f"in use by another sallyportd (pid {status()['pid']})" in said and "state_dir" in said, said
    first = h.Sallyport("net", LONE, name="first").up()
    os.kill(first.json("status")[0]["pid"], signal.SIGKILL)
    first.process.wait(10)
    assert os.path.exists(f"{first.dir}/state/lock") and os.path.exists(f"{first.dir}/run/control.sock")
    again = h.Sallyport("net", LONE, name="first").up()  # neither the file nor the socket is in the way
    code, said = attempt(LONE, name="first")
    h.same(code, 2, said)
    assert "in use by another sallyportd" in said, said
    h.same(again.down(), 0)


@h.case
def a_read_only_state_directory_is_told_with_the_remedy():
    path = h.work("readonly")
    os.makedirs(path)
    h.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", path])
    try:
        refused(LONE + f"state_dir: {path}\n", ["state_dir", "read-only file system", "ReadWritePaths="])
        refused(LONE + f"state_dir: {path}/state\n", ["state_dir", "read-only file system"])
        refused(LONE + f"run_dir: {path}\n", ["run_dir", "read-only file system"])
    finally:
        h.run(["umount", path])


@h.case
def a_state_directory_of_somebody_else_or_of_everybody_is_told_with_the_remedy():
    path = h.work("foreign")
    os.makedirs(path)
    os.chown(path, 12345, 12345)
    refused(LONE + f"state_dir: {path}\n", ["belongs to uid 12345", "chown"], check=False)
    code, said = attempt(LONE + f"state_dir: {path}\n", "--check")
    assert code == 0 and "must run as that user" in said, said
    os.chown(path, 0, 0)
    os.chmod(path, 0o777)
    refused(LONE + f"state_dir: {path}\n", ["everybody may write", "chmod o-w"])


@h.case
def too_few_descriptors_are_told_with_the_remedy():
    few = ["prlimit", "--nofile=60:60", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
    refused(LONE, ["open files:", "60 are allowed", "LimitNOFILE=", "ulimit -n"], before=few)
    some = ["prlimit", "--nofile=1000:1000", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]
    code, said = attempt(LONE, "--check", before=some)
    assert code == 0 and "warning" in said and "limits.tcp_connections" in said, said


@h.case
def a_port_that_is_taken_is_told_with_the_remedy():
    with h.inside("net"):
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("127.0.0.1", 5353))
    with taken:
        # Also when a daemon that was killed has left its control socket.
        os.makedirs(h.work("attempt", "run"), exist_ok=True)
        with socket.socket(socket.AF_UNIX) as s:
            path = h.work("attempt", "run", "control.sock")
            if not os.path.exists(path):
                s.bind(path)
        refused(LONE, ["127.0.0.1 port 5353 (UDP) is taken", "ss -lnp"])


@h.case
def a_missing_user_or_group_is_told_with_the_remedy():
    refused(LONE + "user: nosuchuser\n", ['no user "nosuchuser"', "adduser --system"])
    refused(LONE + "access: {admin_group: nosuchgroup}\n", ["nosuchgroup", "addgroup"])


@h.case
def a_kernel_without_nf_tables_or_a_container_without_the_right_is_told_with_the_remedy():
    refused(LONE, ["no nf_tables", "modprobe", "firewall.mode: none"], preexec=without_netfilter)
    refused(LONE, ["CAP_NET_ADMIN", "firewall.mode: none"],
            before=["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
    code, said = attempt(LONE.replace("firewall:", "firewall: {mode: none}\n#"), "--check", preexec=without_netfilter)
    h.same(code, 0, said)


@h.case
def roles_as_root_are_warned_of_by_check_too():
    t = h.Sallyport("net", LONE, name="attempt")
    text = open(t.conf).read()
    for user, want in (("", "user is not set: roles run as root without capabilities"),
                       ("user: {resolver: nobody}\n", "user.historian is not set")):
        with open(t.conf, "w") as f:
            f.write(re.sub(r"^user:.*\n", user, text, flags=re.M))
        p = h.run([os.path.join(h.BIN, "sallyportd"), "-c", t.conf, "--check"], ns="net")
        assert want in p.stderr and "fine" in p.stdout, p.stderr


h.main()
