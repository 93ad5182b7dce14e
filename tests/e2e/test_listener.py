"""Workloads that are known by the address at which they ask: who is who over UDP and TCP, IPv4 and IPv6,
at listeners of one address and of all; whose pinholes are opened, and when they go."""
import os, re, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=120)
n.build()
up = n.answerer()
WILDCARDS = re.sub(r"listen:\n(  - .*\n)+", 'listen: [{address: 0.0.0.0}, {address: "::"}]\n', n.CONFIG)
POLICY = """\
version: 1
profiles:
  open: {allow: [{zone: good.test, ports: [udp/4000]}]}
  lan: {allow: [{zone: lan.test, ports: [udp/4000]}]}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: open}
  lan: {listener: [10.1.1.1, "fd00:2::1"], profile: lan}
"""
sp = h.Sallyport("gw", n.CONFIG).up()
# Who asks where, and what becomes of a name of each profile. app2 and stranger are listed nowhere.
WHO = [
    # from, at (IPv4, IPv6), good.test, lan.test
    ("app2", ("10.1.1.1", "fd00:2::1"), "NXDOMAIN 15", "NOERROR"),
    ("app2", ("10.1.0.1", "fd00:1::1"), "REFUSED 18", "REFUSED 18"),
    ("app", ("10.1.0.1", "fd00:1::1"), "NOERROR", "NXDOMAIN 15"),
    ("app", ("10.1.1.1", "fd00:2::1"), "NOERROR", "NXDOMAIN 15"),  # a source goes first
    ("stranger", ("10.66.0.1",), "REFUSED 18", "REFUSED 18"),
    ("stranger", ("10.1.1.1",), "NXDOMAIN 15", "NOERROR"),  # who reaches a listener may choose it
]


def dig(ns, at, name, qtype=None, tcp=False):
    """What a real client makes of the answer: "STATUS EDE", addresses."""
    qtype = qtype or ("AAAA" if ":" in at else "A")
    out = h.run(["dig", "@" + at, "+time=2", "+tries=2", "+tcp" if tcp else "+notcp", name, qtype], ns=ns).stdout
    ede = re.search(r"EDE: (\d+)", out)
    return (re.search(r"status: (\w+)", out).group(1) + (" " + ede.group(1) if ede else ""),
            re.findall(r"[ \t]IN[ \t]+A(?:AAA)?[ \t]+(\S+)", out))


def anew(config):
    """The daemon stopped and started with another configuration: listeners of one address do not become
    those of all while it runs."""
    sp.down()
    sp.configure(config)
    sp.up()
    h.until("the policy is in force", lambda: sp.json("status")[0]["policy_applied"], 10)


def opened(ns, at, name, **kw):
    status, addresses = dig(ns, at, name, **kw)
    assert status == "NOERROR" and len(addresses) == 1, f"{name} at {at}: {status} {addresses}"
    return addresses[0]


def passes(ns, address):
    return n.udp_passes(ns, address, 4000, timeout=0.3)


def everybody_is_who_he_is():
    for ns, listeners, good, lan in WHO:
        for at in listeners:
            for tcp in (False, True):
                got = [dig(ns, at, "x1." + zone, tcp=tcp)[0] for zone in ("good.test", "lan.test")]
                h.same(got, [good, lan], f"{ns} at {at} by {'TCP' if tcp else 'UDP'}")


@h.case
def who_asks_at_a_listener_of_its_own_is_that_workload():
    h.same(sp.apply(POLICY).stderr.count("where nobody can ask"), 0, "warnings")
    everybody_is_who_he_is()


@h.case
def its_packets_pass_and_nobody_elses():
    for at, tcp in (("10.1.1.1", False), ("fd00:2::1", False), ("10.1.1.1", True), ("fd00:2::1", True)):
        address = opened("app2", at, f"x{10 + 2 * tcp}.lan.test", tcp=tcp)
        h.same([passes("app2", address), n.udp_passes("app2", address, 4001, timeout=0.1), passes("app", address)],
               [True, False, False], f"to {address}: app2, another port, app")
    told = {(p["workload"], p["source"], p["listener"]) for p in sp.json("pinholes", "--workload", "lan")}
    h.same(told, {("lan", "10.1.1.2", "10.1.1.1"), ("lan", "fd00:2::2", "fd00:2::1"),
                  ("lan", "10.66.0.7", "10.1.1.1")}, "pinholes")
    # An answer of the other family would open for nobody whom we know.
    h.same(dig("app2", "10.1.1.1", "x14.lan.test", "AAAA"), ("NOERROR 17", []), "AAAA over IPv4")


@h.case
def another_workloads_source_opens_nothing_at_a_listener():
    address = opened("app2", "10.1.1.1", "x20.lan.test")
    # app itself, and app2 in app's name: the resolver takes both for app.
    h.same(dig("app", "10.1.1.1", "x20.lan.test")[0], "NXDOMAIN 15", "app at the listener")
    h.run(["ip", "addr", "add", "10.1.0.2/32", "dev", "to-gw"], ns="app2")
    h.run(["dig", "@10.1.1.1", "-b", "10.1.0.2", "+time=1", "+tries=1", "+notcp", "x20.lan.test"], ns="app2",
          check=False)
    h.run(["ip", "addr", "del", "10.1.0.2/32", "dev", "to-gw"], ns="app2")
    h.same([p for p in sp.json("pinholes", "--workload", "lan") if p["source"] == "10.1.0.2"], [], "app's pinholes")
    h.same((passes("app", address), passes("app2", address)), (False, True), "app's and app2's packets")


@h.case
def what_analysts_see():
    workloads = {w["workload"]: w for w in sp.json("workload", "list")}
    h.same((workloads["lan"]["sources"], workloads["lan"]["listeners"]), ([], ["10.1.1.1", "fd00:2::1"]), "lan")
    h.same(workloads["app"]["listeners"], [], "app")
    assert workloads["lan"]["pinholes"] >= 5, workloads
    assert "10.1.1.1 fd00:2::1" in sp.cli("workload", "list").stdout
    for who in ("lan", "10.1.1.1"):
        explained = sp.json("explain", who, "x1.lan.test")[0]
        h.same((explained["workload"], explained["verdict"]), ("lan", "allow"), who)
    h.same(sp.json("explain", "10.1.1.2", "x1.lan.test", check=False)[0]["reason"], "no workload", "a client's")
    h.until("the history has lan's",
            lambda: {r["client"] for r in sp.json("history", "--workload", "lan", "--since", "5m")} >=
            {"10.1.1.2", "fd00:2::2", "10.66.0.7"}, 5)


@h.case
def wildcard_listeners_tell_the_address_that_was_asked():
    anew(WILDCARDS)
    everybody_is_who_he_is()
    for at in ("10.1.1.1", "fd00:2::1"):
        for tcp in (False, True):
            address = opened("app2", at, f"x{40 + tcp}.lan.test", tcp=tcp)
            h.same((passes("app2", address), passes("app", address)), (True, False), f"to {address}")


@h.case
def a_policy_switch_asks_the_listener_again():
    addresses = [opened("app2", at, "x30.lan.test") for at in ("10.1.1.1", "fd00:2::1")]
    sp.apply(POLICY + "# the same again\n")
    h.same([passes("app2", a) for a in addresses], [True, True], "the listener stays the workload's")
    # Only one of both is left: the other one's pinholes go.
    sp.apply(POLICY.replace('[10.1.1.1, "fd00:2::1"]', '["fd00:2::1", 10.66.0.1]'))
    h.same([passes("app2", a) for a in addresses], [False, True], "one listener less")
    h.same(dig("app2", "10.1.1.1", "x30.lan.test")[0], "REFUSED 18", "who asks there")
    # Whom a workload lists now is that one, wherever it asked.
    sp.apply(POLICY.replace('"fd00:1::2"]', '"fd00:1::2", "fd00:2::2"]'))
    h.same([passes("app2", a) for a in addresses], [False, False], "listed now")
    sp.apply(POLICY)
    h.same(passes("app2", opened("app2", "10.1.1.1", "x31.lan.test")), True, "the first policy again")


@h.case
def pinholes_outlive_the_daemon():
    address = opened("app2", "10.1.1.1", "x32.lan.test")
    anew(WILDCARDS)
    time.sleep(1.5)  # the ledger is judged within a second
    h.same((passes("app2", address), passes("app", address)), (True, False), "after a start")


@h.case
def explain_validates_in_the_name_of_a_listeners_client():
    with open(h.work("elsewhere.ds"), "w") as f:
        f.write("elsewhere.test. IN DS 1 13 2 " + "00" * 32 + "\n")
    anew(WILDCARDS.replace("{mode: off}", "{mode: validate, trust_anchors: [%s]}" % h.work("elsewhere.ds")))
    for who in ("lan", "fd00:2::1"):
        explained = sp.json("explain", who, "x50.lan.test", "--dnssec")[0]
        h.same((explained["workload"], explained["dnssec"]["outcome"]), ("lan", "answered"), who)
    h.same(sp.json("explain", "lan", "x50.good.test", "--dnssec", check=False)[0]["verdict"], "deny", "a denied name")


@h.case
def what_the_configuration_lacks_is_a_warning():
    text = POLICY.replace("10.1.1.1,", "10.99.0.1,")
    lacks = "workload 'lan' is to be known at 10.99.0.1, where nobody can ask"
    told = sp.apply(text).stderr
    h.same(told.count(lacks), 0, "with a wildcard")
    anew(n.CONFIG)
    assert any(lacks in w for w in sp.json("status")[0]["warnings"]), sp.json("status")[0]["warnings"]
    told = sp.apply(text).stderr
    assert lacks in told, told
    told = sp.cli("check", check=False).stdout
    assert lacks in told, told
    # Before there is a daemon, and with nobody to say whom to filter.
    with open(h.work("policy.yaml"), "w") as f:
        f.write(text)
    with open(h.work("other.yaml"), "w") as f:
        f.write(open(sp.conf).read().replace(sp.dir, h.work("nowhere")).split("firewall:")[0])
    told = h.run([os.path.join(h.BIN, "sallyport"), "-c", h.work("other.yaml"), "check", h.work("policy.yaml")],
                 ns="gw", check=False).stdout
    for word in (lacks, "'lan' lists no source and firewall.guard is not set"):
        assert word in told, told
    sp.apply(POLICY)
    h.same([w for w in sp.json("status")[0]["warnings"] if "'lan'" in w], [], "warnings at last")


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    h.same(sp.down(), 0, "sallyportd's end")


h.main()
