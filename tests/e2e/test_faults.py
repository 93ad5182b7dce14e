"""What people get wrong and who may do what: faults of policy and configuration with their places,
exit statuses, analysts and strangers, a reload under load, and the closed table before the start."""
import json, os, re, signal, socket, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=180)
n.build()
up = n.answerer(ttl=300)
sp = h.Sallyport("gw", n.CONFIG)
DAEMON = os.path.join(sp.bin, "sallyportd")

# Eleven mistakes, twelve faults: a rule whose key is misspelt names nothing, either.
POLICY = """\
version: 1
profiles:
  app:
    mode: enforced
    extends: [bas]
    denied: servfail
    pinhole: {floor: 30, grace: 60s}
    allow:
      - {name: www..test}
      - {name: db.test, ports: [tcp/0]}
      - {nam: api.test}
      - {name: x.test, types: [AAAAA]}
      - {name: y.test, follow: always}
    reuse: 1
workloads:
  app: {source: 10.1.0.300, profile: app}
"""
POLICY_FAULTS = [(4, 11, "enforced"), (5, 15, "bas"), (6, 13, "servfail"), (7, 22, "30"), (9, 16, "www..test"),
                 (10, 33, "tcp/0"), (11, 9, "names nothing"), (11, 10, "nam"), (12, 32, "AAAAA"), (13, 32, "always"), (14, 5, "reuse"),
                 (16, 17, "10.1.0.300")]

CONFIG = """\
state_dir: relative/path
run_dir: /run/sallyport
user: nosuchuser
worker: 3
listen:
  - {address: 10.1.0.999}
  - {address: 10.1.0.1, port: 70000}
upstreams:
  - zone: "."
    servers: []
firewall:
  mode: locl
  ack_timeout: 1h
  gateway_ports: [tcp/0]
cache: {size: 1KiB}
access: {admin_group: nosuchgroup}
"""
CONFIG_FAULTS = [(1, "state_dir"), (3, "nosuchuser"), (4, "workers"), (6, "10.1.0.999"), (7, "70000"),
                 (10, "servers"), (12, "locl"), (13, "ack_timeout"), (14, "tcp/0"), (15, "1KiB"), (16, "nosuchgroup")]

LATER = ["firewall: {hook: output}",
         "firewall: {hook: both}", "firewall: {remote: {}}", "history: {retention: {max_size: 1GiB}}",
         "history: {retention: {deny_min: 30d}}", "history: {per_workload_rows: 1000}"]
SMALLEST = "listen: [{address: 10.1.0.1}]\nupstreams: [{zone: \".\", servers: [{address: 44.128.0.53}]}]\n"


def written(name, text):
    path = h.work(name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.chmod(path, 0o644)
    return path


def places(text, path):
    """{(line, column): text} of all complaints about a file."""
    found = re.findall(r"^" + re.escape(path) + r":(\d+):(\d+): error: (.*)$", text, re.M)
    return {(int(line), int(col)): what for line, col, what in found}


def check_config(path, **kw):
    return h.run([DAEMON, "-c", path, "--check"], ns="gw", check=False, **kw)


def running():
    """Start the daemon, unless an earlier case has."""
    if not sp.process:
        sp.up()
        sp.apply(n.POLICY)


# ---- before anything runs


@h.case
def every_fault_of_a_configuration_is_told_with_its_place():
    path = written("faulty.yaml", CONFIG)
    out = check_config(path)
    h.same(out.returncode, 1, out.stderr)
    for text in (out.stdout + out.stderr, h.run([os.path.join(sp.bin, "sallyport"), "-c", path, "check"],
                                                ns="gw", check=False).stdout):
        told = places(text, path)
        for line, word in CONFIG_FAULTS:
            at = [what for (l, c), what in told.items() if l == line and c > 0]
            assert any(word in what for what in at), f"line {line}: nothing about {word} in:\n{text}"
        h.same(len(told), len(CONFIG_FAULTS), text)
    assert 'did you mean "workers"' in out.stdout + out.stderr
    out = h.run([DAEMON, "-c", path], ns="gw", check=False)
    h.same(out.returncode, 2, "a start with a faulty configuration")


@h.case
def empty_lists_are_told_beside_other_faults():
    path = written("empty.yaml", "cache: {size: 1KiB}\nlisten: []\nupstreams: []\n")
    out = check_config(path)
    told = places(out.stdout + out.stderr, path)
    h.same([(at, what.split(";")[0]) for at, what in sorted(told.items())][1:],
           [((2, 1), "listen is empty"), ((3, 1), "upstreams is empty")], out.stderr)


@h.case
def keys_and_verbs_of_later_say_so():
    for text in LATER:
        out = check_config(written("later.yaml", SMALLEST + text + "\n"))
        h.same(out.returncode, 1, text)
        assert "not built in yet" in out.stdout + out.stderr, f"{text}: {out.stdout}{out.stderr}"
    for verb in (["grant", "app", "x.test"], ["grants"], ["revoke", "1"], ["flows"], ["learn", "app"],
                 ["replay", "x"], ["policy", "test", "x"]):
        out = sp.cli(*verb, check=False)
        h.same(out.returncode, 2, str(verb))
        assert "not built in yet" in out.stderr, f"{verb}: {out.stderr}"


@h.case
def a_text_that_yaml_libraries_hang_on_is_refused_at_once():
    for text, word in ((b"%a\xef b\n", "directive"), (b"listen: \xef b\n", "UTF-8"), (b"a: \x1b[2J\n", "control")):
        path = written("hostile.yaml", text)
        for out in (check_config(path, timeout=5), h.run([DAEMON, "-c", path], ns="gw", check=False, timeout=5)):
            assert out.returncode in (1, 2), f"{text}: {out.returncode}"
            assert word in out.stdout + out.stderr, f"{text}: {out.stdout}{out.stderr}"
        out = h.run([os.path.join(sp.bin, "sallyport"), "-c", path, "status"], ns="gw", check=False, timeout=5)
        h.same(out.returncode, 2, f"{text}: status")


@h.case
def the_guard_closes_before_the_start_and_the_daemon_adopts_what_it_made():
    raw = n.Raw()
    try:
        h.until("without a guard everything passes", lambda: raw.arrived, 2)
        # The table needs no trust anchors; the daemon does.
        sp.configure(n.CONFIG.replace("dnssec: {mode: off}", "dnssec: {mode: validate, trust_anchors: [lost.ds]}"))
        assert "lost.ds cannot be read" in h.run([DAEMON, "-c", sp.conf, "--check"], ns="gw", check=False).stderr
        h.run([DAEMON, "-c", sp.conf, "--guard"], ns="gw")
        closed = time.monotonic()
        sp.configure(n.CONFIG)
        time.sleep(0.3)
        sp.up()
        sp.apply(n.POLICY)
        time.sleep(0.3)
        late = [t - closed for t in raw.arrived if t > closed + 0.02]
        h.same(late, [], "raw packets that passed after --guard had ended")
        assert "table adopted" in sp.logs(), sp.logs()
        with h.inside("app"):
            m = h.ask(n.DNS4, "x7.good.test")
        assert m and m.addresses, "no answer"
        assert n.udp_passes("app", m.addresses[0], 4000), "what the policy opens does not pass"
        h.run([DAEMON, "-c", sp.conf, "--guard"], ns="gw")  # beside a running daemon: nothing changes
        assert n.udp_passes("app", m.addresses[0], 4000), "a guard beside the daemon closed a pinhole"
    finally:
        raw.end()


# ---- a policy's faults


@h.case
def every_fault_of_a_policy_is_told_with_its_place_and_nothing_changes():
    running()
    path = written("faulty-policy.yaml", POLICY)
    before = sp.json("status")[0]["policy_version"]
    apply, check = sp.cli("policy", "apply", path, check=False), sp.cli("check", path, check=False)
    h.same((apply.returncode, check.returncode), (2, 1), apply.stderr + check.stderr)
    for text in (apply.stderr, check.stdout):
        told = places(text, path)
        for line, col, word in POLICY_FAULTS:
            what = told.get((line, col))
            assert what and word in what, f"{line}:{col}: not about {word}: {what}\n{text}"
        h.same(len(told), len(POLICY_FAULTS), text)
    objects = [json.loads(l) for l in sp.cli("check", path, "--json", check=False).stdout.splitlines()]
    h.same(sorted((o["line"], o["col"]) for o in objects if o["severity"] == "error" and o["file"] == path),
           sorted((l, c) for l, c, _ in POLICY_FAULTS), "--json")
    h.same(sp.json("status")[0]["policy_version"], before, "policy version")


@h.case
def a_feed_that_cannot_be_read_is_a_fault_in_its_line():
    running()
    path = written("feed-policy.yaml", n.POLICY + "feeds:\n  bad: {file: missing.txt, format: domains}\n")
    out = sp.cli("policy", "apply", path, check=False)
    h.same(out.returncode, 2)
    assert any(line == n.POLICY.count("\n") + 2 and "missing.txt" in what
               for (line, _), what in places(out.stderr, path).items()), out.stderr


# ---- exit statuses


@h.case
def exit_statuses_are_0_yes_1_no_2_failure():
    running()
    same = written("same.yaml", n.POLICY)
    other = written("other.yaml", n.POLICY.replace("good.test", "other.test"))
    for want, verb in ((0, ["status"]), (0, ["check", same]), (0, ["policy", "diff", same]), (1, ["policy", "diff", other]),
                       (0, ["policy", "versions"]), (0, ["policy", "show", "1"]), (2, ["policy", "show", "99"]),
                       (2, ["policy", "rollback", "99"]), (2, ["policy", "apply", "/nonexistent"]),
                       (0, ["explain", "app", "x1.good.test"]), (1, ["explain", "app", "denied.test"]),
                       (2, ["explain", "nobody", "x1.good.test"]), (0, ["workload", "list"]), (0, ["profile", "list"]),
                       (0, ["history", "--name", "never.asked.test"]), (0, ["top", "names"]),
                       (0, ["who", "203.0.113.7"]), (0, ["pinholes"]), (2, ["pinholes", "--workload"]),
                       (2, ["no-such-verb"]), (2, ["history", "--no-such-option"]), (2, ["history", "--since", "soon"]),
                       (0, ["flush", "--all"]), (0, ["reload"]), (0, ["--help"]), (0, ["history", "--help"])):
        out = sp.cli(*verb, check=False)
        h.same(out.returncode, want, f"{' '.join(verb)}: {out.stderr[-200:]}")
        if want == 2:
            assert out.stderr and not out.stdout, f"{' '.join(verb)}: a failure belongs on stderr"


# ---- who may do what

ANALYST = ["setpriv", "--reuid", "daemon", "--regid", "daemon", "--groups", "nogroup"]
STRANGER = ["setpriv", "--reuid", "daemon", "--regid", "daemon", "--clear-groups"]


def as_user(who, *verb):
    return h.run(who + [os.path.join(sp.bin, "sallyport"), "-c", sp.conf, *verb], ns="gw", check=False)


def names_read(who):
    out = as_user(who, "history", "--json", "--limit", "100000")
    return out.returncode, {json.loads(l).get("name") for l in out.stdout.splitlines()}


def history_is_for_analysts_alone(name, when):
    def there():
        code, seen = names_read(ANALYST)
        return code == 0 and name in seen
    h.until(f"{when}: {name} in the analyst's history", there, 3.0)
    code, seen = names_read(STRANGER)
    assert code == 2 and not seen, f"{when}: a stranger reads {code} {seen}"


def denied(name):
    with h.inside("app"):
        m = h.ask(n.DNS4, name)
    h.same(m and m.status, "NXDOMAIN", name)


@h.case
def an_analyst_reads_and_changes_nothing_and_a_stranger_neither():
    running()
    same = written("same.yaml", n.POLICY)
    for verb in (["status"], ["pinholes"], ["workload", "list"], ["profile", "list"], ["policy", "show"],
                 ["policy", "versions"], ["explain", "app", "x1.good.test"], ["top", "names"], ["who", "203.0.113.7"]):
        out = as_user(ANALYST, *verb)
        h.same(out.returncode, 0, f"analyst, {' '.join(verb)}: {out.stderr}")
    version = sp.json("status")[0]["policy_version"]
    for verb in (["policy", "apply", same], ["policy", "rollback", "1"], ["flush", "--all"], ["reload"]):
        for who, why in ((ANALYST, "is for root and the admin group"), (STRANGER, "become root or a member of")):
            begin = time.monotonic()
            out = as_user(who, *verb)
            h.same(out.returncode, 2, f"{' '.join(verb)}: {out.stdout}{out.stderr}")
            assert why in out.stderr, out.stderr
            assert time.monotonic() - begin < 3, "a refusal waits for nothing"
    for verb in (["status"], ["pinholes"], ["policy", "show"]):
        h.same(as_user(STRANGER, *verb).returncode, 2, f"stranger, {' '.join(verb)}")
    h.same(sp.json("status")[0]["policy_version"], version, "policy version")


@h.case
def who_changed_what_is_kept():
    running()
    sp.apply(n.POLICY.replace("floor: 1s", "floor: 2s"), check=True)
    newest = sp.json("policy", "versions")[0]
    h.same((newest["uid"], newest["current"]), (0, True), str(newest))


@h.case
def history_is_readable_while_running_stopped_and_after_a_kill():
    running()
    denied("running.test")
    history_is_for_analysts_alone("running.test.", "running")
    denied("stopped.test")
    h.same(sp.down(), 0)
    history_is_for_analysts_alone("stopped.test.", "stopped")
    out = as_user(ANALYST, "status")
    h.same(out.returncode, 2, "status of a stopped daemon")
    sp.up()
    denied("killed.test")
    time.sleep(1.2)  # what a kill may lose is the last second
    pids = [sp.role_pid(r) for r in ("resolver", "historian", "fwsync")] + [sp.process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    sp.process.wait()
    history_is_for_analysts_alone("killed.test.", "killed")
    sp.up()
    history_is_for_analysts_alone("running.test.", "started again")


# ---- reload


@h.case
def reloads_by_signal_and_by_command_lose_no_query():
    running()
    second = n.CONFIG.replace("upstreams:", "  - {address: 10.1.0.1, port: 5353}\nupstreams:", 1)

    def answers_on(port):
        with h.inside("app"):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.connect(("10.1.0.1", port))
            try:
                return h.ask("10.1.0.1", "x1.good.test", sock=s, timeout=0.3)
            except OSError:
                return None
            finally:
                s.close()
    # Cached and first-time names at full speed; both runs last longer than the reloads.
    load = [n.asker("app", first=0, count=60000, window=32, wait=False),
            n.asker("app2", first=0, count=60000, window=32, wait=False)]
    for k in range(6):
        sp.configure(second if k % 2 == 0 else n.CONFIG)
        if k < 3:
            sp.cli("reload")
        else:
            sp.process.send_signal(signal.SIGHUP)
        want = k % 2 == 0
        h.until(f"reload {k}: the listener {'answers' if want else 'has ended'}",
                lambda: (answers_on(5353) is not None) == want, 3.0)
    # One that is wrong changes nothing, neither by command nor by signal.
    sp.configure(n.CONFIG + "cach: {size: 1GiB}\n")
    h.same(sp.cli("reload", check=False).returncode, 2, "a wrong configuration")
    with open(sp.conf, "wb") as f:
        f.write(b"%a\xef b\n")
    sp.process.send_signal(signal.SIGHUP)
    h.until("the refusal is logged", lambda: "directive" in sp.logs(), 2.0)
    sp.configure(n.CONFIG)
    busy = [p.poll() is None for p in load]
    got = [n.asker_result(p) for p in load]
    for g in got:
        h.same((g["lost"], g["answered"]), (0, g["asked"]), f"queries lost: {g}")
    assert any(busy), f"the load ended before the reloads did: {got}"
    h.same(sp.json("status")[0]["policy_applied"], sp.json("status")[0]["policy_version"], "policy in force")


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
