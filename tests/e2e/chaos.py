"""Chaos: a daemon that is ill-treated at random under load, and a checker that looks on.

The checker (tests/chaos/) is told what is done and sees packets, the kernel's sets and the history;
of the load it knows nothing. A run follows from its seed: what is done, when, and what is asked.
"""
import json, os, random, shutil, signal, struct, subprocess, threading, time

import harness as h
import network as n

OWN = "10.1.0.1,fd00:1::1,10.1.1.1,fd00:2::1,172.31.0.1,fd00:ff::1"
SOURCES = {"app": "10.1.0.2,fd00:1::2", "app2": "10.1.1.2,fd00:2::2"}
BOTH, ONE = (4000, 4001), (4000,)
# (workload, zone, ports) and the grace: good.test is always allowed, flip.test and a port come and go.
POLICIES = [
    ([("app", "good.test", BOTH), ("app", "flip.test", BOTH), ("app2", "good.test", BOTH)], 4),
    ([("app", "good.test", BOTH), ("app2", "good.test", BOTH), ("app2", "flip.test", BOTH)], 4),
    ([(w, z, BOTH) for w in SOURCES for z in ("good.test", "flip.test")], 6),
    ([("app", "good.test", ONE), ("app", "flip.test", ONE), ("app2", "good.test", ONE)], 4),
    ([(w, "good.test", BOTH) for w in SOURCES], 5),
]
ROLES = {"resolver": "sallyport-resol", "historian": "sallyport-histo", "fwsync": "sallyport-fwsyn"}


def text(policy):
    allows, grace = policy
    out = "version: 1\nprofiles:\n"
    for w in SOURCES:
        out += f"  {w}:\n    pinhole: {{per_workload: 20000, floor: 1s, grace: {grace}s, max: 2d}}\n    allow:\n"
        out += "".join(f"      - {{zone: {z}, ports: [{', '.join(f'udp/{p}' for p in ports)}]}}\n"
                       for who, z, ports in allows if who == w)
    out += "workloads:\n"
    for w, sources in SOURCES.items():
        four, six = sources.split(",")
        out += f'  {w}: {{source: [{four}, "{six}"], profile: {w}}}\n'
    return out


def words(policy):
    allows, grace = policy
    return " ".join(f"allow {SOURCES[w]} {z}. {','.join(f'udp/{p}' for p in ports)} {grace}"
                    for w, z, ports in allows)


class Chaos:
    def __init__(self, name, seed, env=None, **replaced):
        self.rng, self.seed, self.name = random.Random(seed), seed, name
        self.lock, self.applied, self.n_policies, self.lines = threading.Lock(), None, 0, []
        self.stopped, self.refused, self.starting = set(), 0, None
        self.clock = h.work(f"{name}.clock")
        with open(self.clock, "wb") as f:
            f.write(bytes(8))
        os.chmod(self.clock, 0o644)
        build = n.programs(f"{name}.programs", **replaced)
        preload = os.path.join(n.TOOLS, "libwallclock.so")
        os.mkdir(os.path.join(build, "real"))
        for role in ("resolver", "historian"):  # whoever writes a time down
            program = os.path.join(build, "bin", "sallyport-" + role)
            real = os.path.join(build, "real", "sallyport-" + role)
            shutil.move(program, real)
            with open(program, "w") as f:
                f.write(f"#!/bin/sh\nLD_PRELOAD={preload} WALLCLOCK={self.clock} exec {real}\n")
            os.chmod(program, 0o755)
        h.nft("gw", "flush", "ruleset", check=False)
        h.run(["conntrack", "-F"], ns="gw", check=False)
        self.sp = h.Sallyport("gw", n.CONFIG, name=name, build=build,
                              env={"LD_PRELOAD": preload, "WALLCLOCK": self.clock, **(env or {})})
        self.state = os.path.join(self.sp.dir, "state")
        os.makedirs(self.state)
        h.run(["mount", "-t", "tmpfs", "-o", "size=4g,mode=0755", "tmpfs", self.state])
        self.up = n.answerer(ttl=3)
        self.echo = h.start([os.path.join(n.TOOLS, "crowd"), "echo"], ns="net")
        self.sp.up()
        self.checker = subprocess.Popen(
            [os.path.join(n.TOOLS, "chaos-checker"), "gw", os.path.join(self.state, "history"),
             "to-app,to-app2,to-stranger", "to-net", OWN],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        h._started.append(self.checker)
        h.same(self.checker.stdout.readline(), "ready\n")
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.checker.stdout), daemon=True)
        self.reader.start()
        for w, sources in SOURCES.items():
            self.tell(f"workload {w} {sources}")
        self.apply(POLICIES[0])

    # ------------------------------------------------------------ deeds

    def tell(self, what):
        self.checker.stdin.write(f"{time.time_ns()} {what}\n")

    def apply(self, policy):
        """At most one at a time; with roles dead or stopped it may take long, or fail."""
        with self.lock:
            self.n_policies += 1
            number = self.n_policies
            self.tell(f"begin {number} {words(policy)}")
            done = self.sp.apply(text(policy), check=False, timeout=90)
            self.tell(f"end {number}" if done.returncode == 0 else f"apply {number} said {done.stderr[:60]!r}")
            self.refused += done.returncode != 0
            return done.returncode == 0

    def pids(self):
        """Role -> process; a role that is not there is left out."""
        out = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    comm, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue
            if int(rest.split()[1]) == self.sp.process.pid and rest.split()[0] not in "ZX":
                out.update({role: int(pid) for role, name in ROLES.items() if comm == name})
        return out

    def signal(self, role, number):
        pid = self.sp.process.pid if role == "keeper" else self.pids().get(role)
        if pid is None:
            return None
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def kill(self, role, _):
        self.signal(role, signal.SIGKILL)

    def stop(self, role, seconds):
        pid = self.signal(role, signal.SIGSTOP)
        if pid:
            self.stopped.add(pid)
            return seconds, self.go_on, pid

    def go_on(self, pid):
        self.stopped.discard(pid)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def policy(self, which, _):
        if self.applied and self.applied.is_alive():
            return
        self.applied = threading.Thread(target=self.apply, args=(POLICIES[which],))
        self.applied.start()

    def flush(self, what, _):
        if what == "ruleset":
            h.nft("gw", "flush", "ruleset", check=False)
        elif what == "conntrack":
            h.run(["conntrack", "-F"], ns="gw", check=False)
        else:
            threading.Thread(target=lambda: self.sp.cli("flush", "--all", check=False)).start()

    def fill(self, _, seconds):
        for _ in range(100):  # what is written meanwhile needs more than was asked for: refused
            used = shutil.disk_usage(self.state).used
            if h.run(["mount", "-o", f"remount,size={max(used, 4096)}", self.state], check=False).returncode == 0:
                return seconds, self.room, None
        raise AssertionError("the disk cannot be filled")

    def room(self, _):
        h.run(["mount", "-o", "remount,size=4g", self.state])

    def outage(self, _, seconds):
        self.up.send_signal(signal.SIGSTOP)
        return seconds, lambda _: self.up.send_signal(signal.SIGCONT), None

    def jump(self, seconds, _):
        with open(self.clock, "r+b") as f:
            f.write(struct.pack("q", int(seconds * 1e9)))

    def keeper(self, _, seconds):
        """The daemon dies; a new one comes later."""
        if self.starting:
            self.starting.join()
        self.sp.process.kill()
        self.sp.process.wait()
        return seconds, self.restart, None

    def restart(self, _):
        """It may have to wait for the last historian; what else is done goes on meanwhile."""
        if self.starting:
            self.starting.join()
        if self.sp.process.poll() is None:
            return  # it died twice before it was started once
        self.starting = threading.Thread(target=self.sp.up, args=(30,))
        self.starting.start()

    def reload(self, _what, _seconds):
        self.sp.process.send_signal(signal.SIGHUP)

    def count(self, _what, _seconds):
        pass  # the checker hears of each deed; this one makes it read the history

    def schedule(self, seconds):
        """What is done: (moment, verb, argument, for how long)."""
        rng, out, at = self.rng, [], 1.0
        roles = sorted(ROLES)
        while at < seconds - 2:
            what = rng.choices(["kill", "stop", "policy", "flush", "fill", "outage", "jump", "keeper", "reload"],
                               [20, 16, 30, 10, 6, 8, 6, 3, 4])[0]
            argument, length = None, rng.uniform(0.1, 2)
            if what in ("kill", "stop"):
                argument = rng.choice(roles + ["keeper"] * (what == "stop"))
                if what == "stop" and argument != "keeper" and rng.random() < 0.1:
                    length = 6.5  # over the heartbeat's patience
            elif what == "policy":
                argument = rng.randrange(len(POLICIES))
            elif what == "flush":
                argument = rng.choice(["ruleset", "conntrack", "cache"])
            elif what == "fill":
                length = rng.uniform(0.5, 4)
            elif what == "jump":
                argument = rng.choice([-1, 1]) * rng.choice([0.5, 30, 3600, 86400])
            elif what == "keeper":
                length = rng.uniform(0, 1)
            out.append((at, what, argument, length))
            at += rng.uniform(0.2, 1.8)
        return out

    # ------------------------------------------------------------ a run

    def crowd(self, seconds, window=16):
        return [h.start([os.path.join(n.TOOLS, "crowd"), server, str(self.rng.randrange(1 << 30)), str(int(seconds)),
                         str(window), "44.128.0.53"], ns=ns)
                for ns, server in (("app", n.DNS4), ("app2", "10.1.1.1"))]

    def run(self, seconds, schedule, say=None):
        """Do what the schedule says; returns when load and deeds are over and all runs again."""
        crowd = self.crowd(seconds)
        begin, ends = time.monotonic(), []
        todo = [(at, lambda f=getattr(self, what), a=a, d=d: f(a, d), f"{what} {a} {d:.1f}")
                for at, what, a, d in schedule]
        todo.append((seconds, lambda: None, "over"))
        for at, act, line in todo:
            while True:
                soonest = min([at] + [e[0] for e in ends])
                time.sleep(max(0.0, begin + soonest - time.monotonic()))
                if soonest == at:
                    break
                e = min(ends, key=lambda e: e[0])
                ends.remove(e)
                e[1](e[2])
            self.tell(line)
            if say:
                say(f"    {time.monotonic() - begin:.1f} {line}")
            if self.sp.process.poll() is not None and line.split()[0] not in ("keeper", "over"):
                continue  # there is no daemon to ill-treat
            later = act()
            if later:
                ends.append((time.monotonic() - begin + later[0], later[1], later[2]))
        for e in ends:
            e[1](e[2])
        for pid in list(self.stopped):
            self.go_on(pid)
        for thread in (self.starting, self.applied):
            if thread:
                thread.join()
        for p in crowd:
            h.same(p.wait(20), 0, "the crowd's exit status")
            h._started.remove(p)

    def end(self, settle=2, before=None):
        """The history is complete; what does the checker say? (its lines, its summary)"""
        h.until("all roles run", lambda: len(self.pids()) == len(ROLES), 40, 0.1)
        time.sleep(settle)
        if before:
            before()
        self.tell("done")
        code = self.checker.wait(90)
        self.reader.join(5)
        h._started.remove(self.checker)
        summary = [json.loads(l.split(" ", 1)[1]) for l in self.lines if l.startswith("summary ")]
        assert summary, f"the checker ended with {code}: {''.join(self.lines)[-2000:]}"
        return [l.rstrip() for l in self.lines if not l.startswith("summary ")], summary[0]

    def close(self):
        self.sp.down()
        for p in (self.up, self.echo):
            h.stop(p)
        h.run(["umount", "-l", self.state], check=False)
