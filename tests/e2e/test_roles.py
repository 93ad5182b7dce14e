"""Promise P6 and the keeper's duties: what each role holds, how roles are replaced, what a reload,
an end and the keeper's death do."""
import os, re, signal, socket, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

h.enter(os.path.abspath(__file__), seconds=240)
h.host("gw")
for address in ("10.1.0.1/32", "10.1.0.2/32", "10.1.0.3/32"):
    h.run(["ip", "addr", "add", address, "dev", "lo"], ns="gw")

CONFIG = """\
workers: 2
listen: [{address: 10.1.0.1, port: 53}]
upstreams: [{zone: ".", servers: [{address: 10.1.0.9}]}]
dnssec: {mode: off}
firewall: {guard: {prefixes: [10.1.0.2/32]}}
"""
POLICY = """\
version: 1
profiles: {app: {allow: [{name: www.test}]}}
workloads: {app: {source: 10.1.0.2, profile: app}}
"""
sp = h.Sallyport("gw", CONFIG).up()
try:
    sp.apply(POLICY)
except AssertionError:
    print(sp.logs())
    raise
ROLES = ("resolver", "historian", "fwsync")


def denied(server="10.1.0.1", timeout=1.0):
    """Ask what the policy denies: the whole way of a query, without an upstream."""
    with h.inside("gw"):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("10.1.0.2", 0))
        s.connect((server, 53))
        try:
            m = h.ask(server, "no.test", sock=s, timeout=timeout)
            return m and m.status
        except OSError:
            return None
        finally:
            s.close()


def status_of(pid):
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", open(f"/proc/{pid}/status").read(), re.M))


def alive(pid):
    try:
        return status_of(pid)["State"][0] != "Z"
    except OSError:
        return False


@h.case
def roles_run_as_their_user_without_capabilities_in_a_root_of_their_own():
    for role in ROLES:
        pid = sp.role_pid(role)
        s = status_of(pid)
        h.same(set(s["Uid"].split()), {"65534"}, role)
        h.same(s["Groups"].strip(), "", role)
        want = 1 << 12 if role == "fwsync" else 0  # CAP_NET_ADMIN
        for which in ("CapPrm", "CapEff"):
            h.same(int(s[which], 16), want, f"{role} {which}")
        for which in ("CapInh", "CapAmb", "CapBnd"):
            h.same(int(s[which], 16), 0, f"{role} {which}")
        h.same((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), role)
        root = os.readlink(f"/proc/{pid}/root")
        if role == "historian":
            h.same(root, sp.dir + "/state/history", role)
        else:
            assert root.endswith("(deleted)"), f"{role} has the root {root}"


@h.case
def roles_hold_no_descriptor_that_they_do_not_need():
    allowed = {
        "resolver": r"socket:|anon_inode:|pipe:|/memfd:",
        "fwsync": r"socket:|anon_inode:|pipe:|/memfd:",
        "historian": r"socket:|anon_inode:|pipe:|/memfd:|" + re.escape(sp.dir) + "/state/history",
    }
    for role in ROLES:
        pid = sp.role_pid(role)
        for fd in sorted(map(int, os.listdir(f"/proc/{pid}/fd"))):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if fd == 0:
                h.same(target, "/dev/null", role)
            elif fd in (1, 2):
                h.same(target, sp.log, role)
            else:
                assert re.match(allowed[role], target), f"{role} holds {fd} -> {target}"
        sockets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        if role == "historian":  # its channel, and no other socket
            h.same(sum(s.startswith("socket:") for s in sockets), 1, role)


@h.case
def the_keeper_keeps_only_what_starting_roles_needs():
    s = status_of(sp.process.pid)
    kept = {2, 5, 6, 7, 8, 10, 12, 18}
    for which in ("CapPrm", "CapEff", "CapBnd"):
        have = {bit for bit in range(64) if int(s[which], 16) >> bit & 1}
        assert have <= kept, f"{which}: {have - kept} too much"
    h.same(s["NoNewPrivs"], "1")


@h.case
def a_killed_role_is_back_in_under_a_second_and_the_policy_with_it():
    for role in ROLES:
        pid = sp.role_pid(role)
        begin = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        h.until(f"a new {role}", lambda: sp.role_pid(role) not in (0, pid), 1.0)
        h.until(f"answers after the death of {role}", lambda: denied() == "NXDOMAIN", 1.0)
        took = time.monotonic() - begin
        assert took < 1.5, f"{role}: {took:.2f} s"
        h.until("in force again", lambda: sp.json("status")[0]["policy_applied"] == 1, 3.0)


@h.case
def a_query_waits_while_the_resolver_is_replaced():
    os.kill(sp.role_pid("resolver"), signal.SIGKILL)
    h.same(denied(timeout=3.0), "NXDOMAIN", "asked into the gap")


@h.case
def a_hung_role_is_replaced():
    pid = sp.role_pid("resolver")
    os.kill(pid, signal.SIGSTOP)
    h.until("a new resolver", lambda: sp.role_pid("resolver") not in (0, pid), 8.0)
    h.until("answers", lambda: denied() == "NXDOMAIN", 2.0)


@h.case
def a_reload_moves_listeners_and_loses_no_query():
    lost, end = [], threading.Event()

    def ask_on():
        while not end.is_set():
            if denied(timeout=2.0) != "NXDOMAIN":
                lost.append(time.monotonic())

    asker = threading.Thread(target=ask_on)
    asker.start()
    try:
        for _ in range(5):
            sp.configure(CONFIG.replace("[{address: 10.1.0.1, port: 53}]",
                                        "[{address: 10.1.0.1, port: 53}, {address: 10.1.0.3}]"))
            sp.cli("reload")
            h.until("the new listener answers", lambda: denied("10.1.0.3", 0.3) == "NXDOMAIN", 3.0)
            sp.configure(CONFIG)
            sp.cli("reload")
            h.until("the old listener is closed", lambda: denied("10.1.0.3", 0.2) is None, 3.0)
    finally:
        end.set()
        asker.join()
    h.same(lost, [], "queries lost")


@h.case
def a_wrong_configuration_is_not_taken():
    sp.configure(CONFIG + "cach: {size: 1GiB}\n")
    try:
        out = sp.cli("reload", check=False)
    finally:
        sp.configure(CONFIG)
    h.same(out.returncode, 2)
    assert 'did you mean "cache"' in out.stderr, out.stderr
    h.same(denied(), "NXDOMAIN")


@h.case
def a_second_daemon_and_a_taken_port_are_told_clearly():
    def start(config):
        path = h.work("second.yaml")
        with open(path, "w") as f:
            f.write(config)
        return h.run([os.path.join(sp.bin, "sallyportd"), "-c", path], ns="gw", check=False)
    own = open(sp.conf).read()
    out = start(own)
    h.same(out.returncode, 2)
    assert "another sallyportd" in out.stderr, out.stderr
    out = start(own.replace(sp.dir + "/state", h.work("state2")).replace(sp.dir + "/run", h.work("run2")))
    h.same(out.returncode, 2)
    assert "taken by another program" in out.stderr, out.stderr
    out = start(own.replace(sp.dir + "/state", h.work("state2")).replace("10.1.0.1, port: 53", "10.1.0.3, port: 53"))
    h.same(out.returncode, 2, "the same run_dir")
    assert "another sallyportd" in out.stderr, out.stderr
    h.same(sp.json("status")[0]["pid"], sp.process.pid, "who answers on the control socket")
    out = start(own.replace("user: nobody", "user: nosuchuser"))
    h.same(out.returncode, 2)
    assert "adduser --system" in out.stderr, out.stderr


@h.case
def strangers_are_turned_away_from_the_control_socket():
    out = h.run(["setpriv", "--reuid", "daemon", "--regid", "daemon", "--clear-groups",
                 os.path.join(sp.bin, "sallyport"), "-c", sp.conf, "status"], ns="gw", check=False)
    h.same(out.returncode, 2)
    assert "not permitted" in out.stderr, out.stderr


@h.case
def sigterm_drains_and_leaves_the_table_closed():
    h.same(denied(), "NXDOMAIN")
    h.same(sp.down(), 0)
    assert "sallyport" in h.nft("gw", "list", "tables"), "the table is gone"
    rows = sp.json("history", "--limit", "1000000")
    assert any(r.get("name") == "no.test." for r in rows), "the last queries are not in the history"


@h.case
def what_was_in_force_is_in_force_after_a_start():
    sp.up()
    h.same(denied(), "NXDOMAIN")
    h.same(sp.json("status")[0]["policy_applied"], 1)


@h.case
def the_keepers_death_ends_everybody_and_leaves_the_table_closed():
    pids = [sp.role_pid(role) for role in ROLES]
    sp.process.kill()
    sp.process.wait()
    h.until("all roles ended", lambda: not any(alive(pid) for pid in pids), 5.0)
    assert "sallyport" in h.nft("gw", "list", "tables"), "the table is gone"
    h.same(denied(timeout=0.3), None, "an answer without a keeper")


@h.case
def a_start_right_after_the_keepers_death_goes_on():
    sp.up()
    for _ in range(3):
        h.same(denied(), "NXDOMAIN")
        sp.process.kill()
        sp.process.wait()
        sp.up()
    h.same(denied(), "NXDOMAIN")
    rows = sp.json("history", "--limit", "1000000")
    assert sum(r.get("count", 0) for r in rows if r.get("name") == "no.test.") >= 4, rows[-5:]
    h.same(sp.down(), 0)


@h.case
def guard_installs_the_closed_table_and_ends():
    h.nft("gw", "delete", "table", "inet", "sallyport")
    h.run([os.path.join(sp.bin, "sallyportd"), "-c", sp.conf, "--guard"], ns="gw")
    rules = h.nft("gw", "list", "table", "inet", "sallyport")
    assert "10.1.0.2" in rules, rules


def guarded():
    return "10.1.0.2" in h.nft("gw", "list", "set", "inet", "sallyport", "guarded4", check=False)


@h.case
def whom_the_policy_alone_guards_is_guarded_before_there_is_a_policy_again():
    if sp.process.poll() is None:
        sp.down()
    sp.configure(CONFIG.replace("firewall: {guard: {prefixes: [10.1.0.2/32]}}\n", ""))
    sp.up()
    h.until("guarded by the policy", guarded, 3.0)
    warnings = sp.json("status")[0]["warnings"]
    assert any("firewall.guard is not set" in w for w in warnings), f"status does not warn: {warnings}"
    h.same(sp.down(), 0)
    h.nft("gw", "delete", "table", "inet", "sallyport")
    h.run([os.path.join(sp.bin, "sallyportd"), "-c", sp.conf, "--guard"], ns="gw")
    assert guarded(), "nobody is guarded at boot"
    aside = sp.dir + "/policy.aside"
    h.nft("gw", "delete", "table", "inet", "sallyport")
    os.rename(sp.dir + "/state/policy.db", aside)
    try:
        sp.up()
        h.until("guarded without a policy", guarded, 3.0)
        h.same(sp.down(), 0)
    finally:
        os.rename(aside, sp.dir + "/state/policy.db")
    with open(sp.dir + "/state/guarded", "r+b") as f:
        f.truncate(40)
    h.nft("gw", "delete", "table", "inet", "sallyport")
    out = h.run([os.path.join(sp.bin, "sallyportd"), "-c", sp.conf, "--guard"], ns="gw")
    assert "nobody is guarded" in out.stderr, out.stderr
    assert "sallyport" in h.nft("gw", "list", "tables")
    sp.up()
    h.until("guarded by the policy", guarded, 3.0)
    h.same(sp.down(), 0)


@h.case
def a_faulty_configuration_closes_what_it_says_or_whom_was_guarded_last():
    whole = CONFIG.replace("{prefixes: [10.1.0.2/32]}", "{interfaces: [lan0], prefixes: [10.9.0.3/32]}")
    silent = CONFIG.replace("firewall: {guard: {prefixes: [10.1.0.2/32]}}\n", "")

    def guard(text, status, *told):
        sp.configure(text)
        h.nft("gw", "delete", "table", "inet", "sallyport", check=False)
        out = h.run([os.path.join(sp.bin, "sallyportd"), "-c", sp.conf, "--guard"], ns="gw", check=False)
        h.same(out.returncode, status, "exit status\n" + out.stderr)
        for word in told:
            assert word in out.stderr, (word, out.stderr)
        return h.nft("gw", "list", "table", "inet", "sallyport")
    fault = "cache: {size: lots}\n"
    assert "10.1.0.2" in guard(silent + fault, 1, "cache.size", "closed is whom the last policy guarded")
    rules = guard(whole + fault, 1, "cache.size", "what can be read of its firewall.guard and whom the last")
    assert all(x in rules for x in ("10.1.0.2", "10.9.0.3", "lan0")), rules
    rules = guard(whole.replace("10.9.0.3/32", "10.9.0.3/8, 10.9.0.7/32"), 1, "firewall.guard.prefixes")
    assert all(x in rules for x in ("10.1.0.2", "10.9.0.7", "lan0")), rules
    # What was in force with interfaces; then a text of which nothing can be read but where the state lies.
    sp.configure(whole)
    sp.up()
    h.same(sp.down(), 0)
    rules = guard("listen: [\n", 1, "not valid YAML", "closed is whom the last policy guarded")
    assert "10.9.0.3" in rules and "lan0" in rules and "10.1.0.2" not in rules, rules
    os.unlink(sp.dir + "/state/guarded")
    assert "10.9.0.3" in guard(whole + fault, 1, "closed is what can be read of its firewall.guard; mend it")
    guard("listen: [\n", 2, "NOBODY is guarded")
    guard(silent + fault, 2, "NOBODY is guarded")
    h.same(guard(whole, 0).count("lan0") > 0, True)
    sp.configure(CONFIG)
    sp.up()
    h.until("guarded by the policy", guarded, 3.0)
    h.same(sp.down(), 0)


@h.after
def show_log(failed):
    if failed:
        print(sp.logs())


h.main()
