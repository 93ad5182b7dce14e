"""Run a command as a unit's [Service] section says, where no systemd is process 1.

usage (as root, in a mount namespace of one's own): under_unit.py UNIT COMMAND [ARGUMENT ...]

User, capabilities, system calls, address families, memory, namespaces, set-user-id bits, resource limits
and the view of the file system are made as systemd 252 makes them (the same calls; system call groups
are expanded by systemd-analyze). Every directive must be known here: one that is neither made nor said
to be of no effect is an error, so that the unit cannot be tightened past what a test has run under.
"""
import ctypes, os, pwd, grp, re, resource, subprocess, sys

# Made below.
MADE = {"User", "Group", "SupplementaryGroups", "AmbientCapabilities", "CapabilityBoundingSet", "NoNewPrivileges",
        "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality",
        "MemoryDenyWriteExecute", "ProtectSystem", "ProtectHome", "PrivateTmp", "ProtectProc", "ProcSubset",
        "ProtectKernelTunables", "PrivateDevices", "SystemCallFilter", "SystemCallErrorNumber", "LimitNOFILE",
        "LimitCORE", "UMask", "StateDirectory", "RuntimeDirectory", "PrivateMounts", "ProtectControlGroups"}
# The supervisor's own, or without a counterpart outside it; their system calls are not in the filter.
ELSEWHERE = {"Type", "NotifyAccess", "ExecStart", "ExecStartPre", "ExecReload", "Restart", "RestartSec", "WatchdogSec",
             "TimeoutStartSec", "TimeoutStopSec", "KillMode", "StateDirectoryMode", "RuntimeDirectoryMode",
             "RuntimeDirectoryPreserve", "ConfigurationDirectory", "TasksMax", "SyslogIdentifier", "RemainAfterExit",
             "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "RemoveIPC",
             "SystemCallArchitectures", "IPAddressDeny"}
CLONE_NAMESPACES = {0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000}
libc = ctypes.CDLL(None, use_errno=True)


def parse(path):
    service, section = {}, None
    for line in open(path).read().replace("\\\n", " ").splitlines():
        line = line.strip()
        if re.fullmatch(r"\[\w+\]", line):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            key, value = line.split("=", 1)
            service.setdefault(key, []).append(value.strip())
    unknown = service.keys() - MADE - ELSEWHERE
    if unknown:
        sys.exit(f"under_unit.py: what does {', '.join(sorted(unknown))} do? Make it here, or say why not")
    return service


def words(service, key):
    return " ".join(service.get(key, [])).split()


def yes(service, key):
    return service.get(key, ["no"])[-1] in ("yes", "strict", "invisible", "pid", "true")


# ---------------------------------------------------------------- as root: mounts, then the user


def mount(*args):
    subprocess.check_call(["mount", *args])


def make_mounts(service):
    if libc.unshare(0x00020000):
        sys.exit("under_unit.py: no mount namespace")
    mount("--make-rprivate", "/")
    keep = ["/var/lib/" + d for d in words(service, "StateDirectory")] + \
           ["/run/" + d for d in words(service, "RuntimeDirectory")]
    for path in keep:
        mount("--bind", path, path)
    if yes(service, "PrivateTmp"):
        for path in ("/tmp", "/var/tmp"):
            mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev", "tmpfs", path)
    if yes(service, "ProtectHome"):
        for path in ("/home", "/root"):
            mount("-t", "tmpfs", "-o", "ro,mode=0", "tmpfs", path)
    if yes(service, "PrivateDevices"):
        old = {n: os.stat("/dev/" + n).st_rdev for n in ("null", "zero", "full", "random", "urandom", "tty")}
        mount("-t", "tmpfs", "-o", "mode=755,nosuid,noexec", "tmpfs", "/dev")
        for name, device in old.items():
            os.mknod("/dev/" + name, 0o20666, device)
            os.chmod("/dev/" + name, 0o666)
        mount("-o", "remount,ro", "/dev")
    mount("-t", "proc", "-o", "hidepid=invisible,subset=pid,nosuid,nodev,noexec", "proc", "/proc")
    if service.get("ProtectSystem", [""])[-1] == "strict":
        points = [l.split()[1] for l in open("/proc/self/mounts")]
        for point in sorted(set(points)):
            if not point.startswith(("/dev", "/proc", "/sys", "/tmp", "/var/tmp")) and point not in keep:
                # Some are hidden below another mount; what cannot be reached needs no shutting.
                subprocess.call(["mount", "-o", "remount,bind,ro", point], stderr=subprocess.DEVNULL)
        assert os.statvfs("/").f_flag & os.ST_RDONLY and os.statvfs("/usr").f_flag & os.ST_RDONLY
        assert not any(os.statvfs(k).f_flag & os.ST_RDONLY for k in keep)


def become_user(service, unit, command):
    user = pwd.getpwnam(service["User"][-1])
    groups = ",".join([str(grp.getgrnam(service["Group"][-1]).gr_gid)] +
                      [str(grp.getgrnam(g).gr_gid) for g in words(service, "SupplementaryGroups")])
    lower = lambda key: ",".join("+" + c.lower()[4:] for c in words(service, key))
    # Downwards in any case; upwards only if this machine lets us.
    files = min(int(service.get("LimitNOFILE", ["1024"])[-1]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(int(service["UMask"][-1], 8))
    os.chdir("/")
    os.environ["UNDER_UNIT"] = "2"
    os.execvp("setpriv", [
        "setpriv", "--reuid", str(user.pw_uid), "--regid", str(grp.getgrnam(service["Group"][-1]).gr_gid),
        "--groups", groups, "--inh-caps", "-all," + lower("AmbientCapabilities"),
        "--ambient-caps", "-all," + lower("AmbientCapabilities"),
        "--bounding-set", "-all," + lower("CapabilityBoundingSet"), "--no-new-privs",
        "/usr/bin/python3", os.path.abspath(__file__), unit, *command])


# ---------------------------------------------------------------- as the user: system calls, then exec


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


EQ, MASKED_EQ = 4, 7
ALLOW, EPERM, EAFNOSUPPORT = 0x7fff0000, 0x00050001, 0x00050000 | 97


class Filter:
    def __init__(self, action):
        self.lib = ctypes.CDLL("libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.ctx = ctypes.c_void_p(self.lib.seccomp_init(ctypes.c_uint32(action)))

    def rule(self, name, action, *compares):
        nr = self.lib.seccomp_syscall_resolve_name(name.encode())
        if nr < 0:
            return  # this architecture has no such call
        array = (Compare * max(1, len(compares)))(*[Compare(*c) for c in compares])
        r = self.lib.seccomp_rule_add_array(self.ctx, ctypes.c_uint32(action), nr, len(compares), array)
        if r:
            sys.exit(f"under_unit.py: no rule for {name}: {r}")

    def load(self):
        if self.lib.seccomp_load(self.ctx):
            sys.exit("under_unit.py: the filter cannot be loaded")


def expand(word, seen=None):
    if not word.startswith("@"):
        return {word}
    out, text = set(), subprocess.check_output(["systemd-analyze", "--no-pager", "syscall-filter", word], text=True)
    for line in text.splitlines()[1:]:
        line = line.strip()
        if line and not line.startswith("#"):
            out |= expand(line)
    return out


def allowed(service):
    out = set()
    for line in service["SystemCallFilter"]:
        names = set().union(*(expand(w) for w in line.lstrip("~").split()))
        out = out - names if line.startswith("~") else out | names
    return out | expand("@default")


def confine(service, calls):
    main = Filter(EPERM)
    for name in sorted(calls):
        main.rule(name, ALLOW)
    more = Filter(ALLOW)
    families = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
    if "RestrictAddressFamilies" in service:
        kept = {families[w] for w in words(service, "RestrictAddressFamilies")}
        for family in set(range(46)) - kept:
            more.rule("socket", EAFNOSUPPORT, (0, EQ, family, 0))
    if yes(service, "MemoryDenyWriteExecute"):
        more.rule("mmap", EPERM, (2, MASKED_EQ, 6, 6))
        for name in ("mprotect", "pkey_mprotect"):
            more.rule(name, EPERM, (2, MASKED_EQ, 4, 4))
    if yes(service, "RestrictNamespaces"):
        for flag in CLONE_NAMESPACES:
            more.rule("clone", EPERM, (0, MASKED_EQ, flag, flag))
        more.rule("unshare", EPERM)
        more.rule("setns", EPERM)
        more.rule("clone3", 0x00050000 | 38)
    if yes(service, "RestrictSUIDSGID"):
        for bit in (0o4000, 0o2000):
            for name, arg in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("creat", 1),
                              ("mknod", 1), ("mknodat", 2)):
                more.rule(name, EPERM, (arg, MASKED_EQ, bit, bit))
            more.rule("open", EPERM, (1, MASKED_EQ, os.O_CREAT, os.O_CREAT), (2, MASKED_EQ, bit, bit))
            more.rule("openat", EPERM, (2, MASKED_EQ, os.O_CREAT, os.O_CREAT), (3, MASKED_EQ, bit, bit))
    if yes(service, "RestrictRealtime"):
        for policy in (1, 2, 6):
            more.rule("sched_setscheduler", EPERM, (1, EQ, policy, 0))
    if yes(service, "LockPersonality"):
        more.rule("personality", EPERM, (0, EQ, 8, 0))
    more.load()
    main.load()


unit, command = sys.argv[1], sys.argv[2:]
service = parse(unit)
if os.environ.pop("UNDER_UNIT", "1") == "1":
    make_mounts(service)
    become_user(service, unit, command)
calls = allowed(service)
confine(service, calls)
os.execvp(command[0], command)
