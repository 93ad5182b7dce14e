"""The units that are installed: how systemd itself rates them, and that all of it works under them."""
import json, os, pwd, re, shutil, signal, socket, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=200)
UNITS = os.path.join(h.ROOT, "packaging", "systemd")
UNDER = os.path.join(h.HERE, "under_unit.py")
CONF = "/etc/sallyport/sallyport.yaml"
ROLES = {"resolver": "sallyport-resolver", "historian": "sallyport-historian", "fwsync": "sallyport-fwsync"}


@h.case
def systemd_rates_each_unit_at_most_2_1():
    for name in ("sallyport.service", "sallyport-guard.service"):
        out = h.run(["systemd-analyze", "security", "--offline=true", "--no-pager", os.path.join(UNITS, name)]).stdout
        score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", out).group(1))
        print(f"# {name}: {score}")
        assert score <= 2.1, out


@h.case
def systemd_reads_each_unit_without_a_word():
    folder = h.work("units")
    os.makedirs(folder)
    for name in ("sallyport.service", "sallyport-guard.service"):
        text = open(os.path.join(UNITS, name)).read()
        # The programs are not installed here: any will do.
        text = re.sub(r"^(Exec\w+=\+?)/usr/\S+", r"\1/bin/true", text, flags=re.M)
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
    p = h.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
               *(os.path.join(folder, u) for u in os.listdir(folder))], check=False)
    h.same((p.returncode, [l for l in p.stderr.splitlines() if "sallyport" in l]), (0, []), p.stderr)


class Installed:
    """What the package makes of a machine: users, directories, configuration; in a private /etc, /var/lib and
    /run. The programs lie in /run, which the sandbox does not hide."""

    def __init__(self):
        shutil.copytree("/etc", "/run/etc", symlinks=True)
        h.run(["mount", "--bind", "/run/etc", "/etc"])
        h.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib"])
        h.run(["systemd-sysusers", os.path.join(UNITS, "sysusers.conf")])
        h.run(["systemd-tmpfiles", "--create", os.path.join(UNITS, "tmpfiles.conf")])
        shutil.copytree(h.BIN, "/run/programs")
        shutil.copy2(UNDER, "/run/programs/")
        shutil.copytree(UNITS, "/run/units")
        text = open(os.path.join(h.ROOT, "packaging", "sallyport.yaml")).read()
        # The packaged file, with this network's addresses.
        text = text.replace("{address: 127.0.0.1, port: 53}", "{address: 10.1.0.1, port: 53}")
        text = text.replace("mode: validate", "mode: off")  # nobody signs here
        text = text.replace("192.0.2.53", "44.128.0.53").replace("interfaces: []", "interfaces: [to-app, to-app2]")
        with open(CONF, "w") as f:
            f.write(text)

    def command(self, *command, unit="sallyport.service"):
        return ["/usr/bin/python3", "/run/programs/under_unit.py", f"/run/units/{unit}", *command]

    def start(self):
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists("/run/notify"):
            os.unlink("/run/notify")
        notify.bind("/run/notify")
        os.chmod("/run/notify", 0o666)
        notify.settimeout(20)
        self.process = h.start(self.command("/run/programs/sallyportd", "-c", CONF), ns="gw", log="/run/log",
                               env=dict(os.environ, NOTIFY_SOCKET="/run/notify"))
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except socket.timeout:
            raise AssertionError("not ready:\n" + open("/run/log").read()) from None
        notify.close()

    def cli(self, *args, user=None, check=True):
        return h.run(["ip", "netns", "exec", "gw"] + (["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--groups",
                     user] if user else []) + ["/run/programs/sallyport", "-c", CONF, *args], check=check)

    def json(self, *args, **kw):
        return [json.loads(l) for l in self.cli(*args, "--json", **kw).stdout.splitlines()]


def privileges(pid):
    """Names of user, effective capabilities, and whether it is filtered."""
    text = open(f"/proc/{pid}/status").read()
    get = lambda key: re.search(rf"^{key}:\s*(.*)$", text, re.M).group(1).split()
    return pwd.getpwuid(int(get("Uid")[0])).pw_name, int(get("CapEff")[0], 16), get("Seccomp")[0], get("NoNewPrivs")[0]


n.build()
up = n.answerer(ttl=300)
box = Installed()
NET_ADMIN = 1 << 12


@h.case
def the_sandbox_bites_here_as_it_would_there():
    probe = ("import os, socket, ctypes, sys\n"
             "def no(f, *a):\n"
             "    try: f(*a)\n"
             "    except OSError: return\n"
             "    sys.exit(f'{f} {a} works')\n"
             "no(open, '/etc/sallyport/x', 'w'); no(open, '/usr/x', 'w'); no(os.listdir, '/root'); no(os.chroot, '/')\n"
             "no(open, '/proc/sys/net/ipv4/ip_forward'); no(os.chown, '/tmp', 1, 1); no(socket.socket, 17, 3, 0)\n"
             "no(os.mkdir, '/var/lib/sallyport/s', 0o4755) or os.path.exists('/var/lib/sallyport/s') and sys.exit('suid')\n"
             "libc = ctypes.CDLL(None); sys.exit('unshare') if libc.unshare(0x10000000) == 0 else None\n"
             "open('/var/lib/sallyport/w', 'w').close(); os.unlink('/var/lib/sallyport/w'); print('held')\n")
    h.same(h.run(["ip", "netns", "exec", "gw", *box.command("/usr/bin/python3", "-c", probe)]).stdout, "held\n")


@h.case
def the_guard_unit_closes_the_table_before_anything_runs():
    h.run(["ip", "netns", "exec", "gw",
           *box.command("/run/programs/sallyportd", "--guard", "-c", CONF, unit="sallyport-guard.service")])
    assert "table inet sallyport" in h.nft("gw", "list", "tables")


@h.case
def the_daemon_serves_under_its_unit_with_each_role_confined():
    box.start()
    for role, user in ROLES.items():
        pid = {r["role"]: r["pid"] for r in box.json("status")[0]["roles"]}[role]
        h.same(privileges(pid), (user, NET_ADMIN if role == "fwsync" else 0, "2", "1"), role)
    keeper = privileges(box.json("status")[0]["pid"])
    h.same((keeper[0], keeper[3]), ("sallyport", "1"))
    caps = sum(1 << c for c in (5, 6, 7, 8, 10, 12))  # KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_ADMIN
    h.same(keeper[1], caps)
    with open("/run/policy.yaml", "w") as f:
        f.write(n.POLICY)
    box.cli("policy", "apply", "/run/policy.yaml")
    with h.inside("app"):
        m = h.ask(n.DNS4, "a.good.test")
    assert m and m.addresses, m and m.ede
    assert n.udp_passes("app", m.addresses[0], 4000) and not n.udp_passes("app", "44.128.9.9", 4000)


@h.case
def roles_come_back_and_a_hung_one_is_replaced():
    for role in ROLES:
        old = {r["role"]: r["pid"] for r in box.json("status")[0]["roles"]}[role]
        os.kill(old, signal.SIGKILL)
        h.until(f"{role} is back", lambda: all(r["state"] == "running" and r["pid"] not in (0, old)
                                               for r in box.json("status")[0]["roles"] if r["role"] == role), 10, 0.1)
    pid = {r["role"]: r["pid"] for r in box.json("status")[0]["roles"]}["historian"]
    os.kill(pid, signal.SIGSTOP)  # CAP_KILL is what ends it: it is another user's
    h.until("the stopped one is replaced", lambda: not os.path.exists(f"/proc/{pid}"), 15, 0.2)


@h.case
def reload_and_restart_work_under_it():
    box.cli("reload")
    before = box.json("status")[0]
    box.cli("restart")
    after = box.json("status")[0]
    h.same((after["pid"], after["takeovers"], after["policy_applied"]), (before["pid"], 1, 1))
    h.same(privileges(after["pid"])[:2], privileges(before["pid"])[:2])
    for role, user in ROLES.items():
        pid = {r["role"]: r["pid"] for r in after["roles"]}[role]
        h.same(privileges(pid)[:2], (user, NET_ADMIN if role == "fwsync" else 0), role)
    with h.inside("app"):
        assert h.ask(n.DNS4, "b.good.test").addresses


@h.case
def an_analyst_reads_and_only_reads():
    h.until("both rows", lambda: len(box.json("history", "--name", "*.good.test", user="sallyport-analyst")) >= 2, 10, 0.2)
    h.same(box.cli("flush", "--all", user="sallyport-analyst", check=False).returncode, 2)
    h.same(box.cli("flush", "--all", user="sallyport-admin", check=False).returncode, 0)


@h.case
def it_ends_when_told_and_leaves_the_table_closed():
    pid = box.json("status")[0]["pid"]
    os.kill(pid, signal.SIGTERM)
    h.same(box.process.wait(30), 0, open("/run/log").read()[-2000:])
    assert not n.udp_passes("app", "44.128.9.9", 4000)


@h.after
def show_the_log(failed):
    if failed:
        print(open("/run/log").read()[-4000:] if os.path.exists("/run/log") else "no log")


h.main()
