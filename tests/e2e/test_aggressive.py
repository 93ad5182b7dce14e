"""Validated NSEC and NSEC3 records answer for names that were not asked yet (RFC 8198), and for no
other."""
import os, re, sys, time

import dns.rdatatype, dns.rrset

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
import signed

h.enter(os.path.abspath(__file__), seconds=180)
n.build()

MINIMUM = 8  # of each SOA: what is denied is denied for so long
tree = signed.Tree({
    "": ("test NS ns.test.\nns.test A 44.128.0.54\n", "ecdsa"),
    "test": ("good NS ns\nthree NS ns\nns A 44.128.0.54\n", "ecdsa"),
    "good.test": ("b A 44.128.1.1\nm A 44.128.1.2\nw A 44.128.1.3\n*.wild A 44.128.1.4\n", "ecdsa"),
    "three.test": ("b A 44.128.1.5\nm A 44.128.1.6\n", "nsec3"),
    "corp.test": ("www A 44.128.1.7\n", None),
}, soa=f"3600 900 604800 {MINIMUM}")
asked = signed.Liar("44.128.0.55")  # an honest one: it counts
POLICY = """\
version: 1
hosts: [{name: printer.test, address: 44.128.9.9}]
profiles:
  p:
    pinhole: {floor: 1s, grace: 5s}
    allow: [{zone: test, ports: [tcp/443]}]
    deny: [{name: secret.good.test}]
  few: {pinhole: {floor: 1s, grace: 5s}, allow: [{name: may.good.test}]}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: few}
"""
CONFIG = n.CONFIG.replace("44.128.0.53", "44.128.0.55").replace(
    "dnssec: {mode", "  - {zone: corp.test, dnssec: off, servers: [{address: 44.128.0.54, port: 53}]}\ndnssec: {mode").replace(
    "dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{tree.anchor}]}}")
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)


def ask(name, qtype="A", ns="app", server="10.1.0.1", **kw):
    with h.inside(ns):
        return h.ask(server, name, qtype, **kw)


def dig(name, qtype="A", *options):
    return h.run(["dig", "@10.1.0.1", "+time=2", "+tries=3", *options, name, qtype], ns="app").stdout


def counter(name):
    return sp.json("status")[0]["counters"][name]


def questions(zone):
    """How many have come for names below the zone since it was last looked at."""
    names = [x for x in asked.names() if x.endswith("." + zone)]
    asked.log.clear()
    return len(names)


def flood(zone, prefix, count=300, do=True):
    for i in range(count):
        answer = ask(f"{prefix}{i * 7919 % 1000003:x}.{zone}", do=do)
        assert answer.status == "NXDOMAIN" and answer.authority, (i, answer.status, answer.ede)
        assert answer.ad or not do, i


@h.case
def a_flood_of_random_names_asks_a_handful_of_questions():
    questions("good.test")
    flood("good.test", "r")
    several = questions("good.test")
    assert several <= 6, f"{several} questions for 300 names"
    assert counter("dnssec_synthesized") >= 290
    answer = ask("m.good.test")
    h.same(answer.addresses, ["44.128.1.2"], "a name that exists")


@h.case
def the_same_with_hashed_names():
    questions("three.test")
    flood("three.test", "r")
    several = questions("three.test")
    assert several <= 12, f"{several} questions for 300 names"
    h.same(ask("m.three.test").addresses, ["44.128.1.6"], "a name that exists")


@h.case
def the_proof_goes_along_and_the_history_says_so():
    sp.cli("flush", "--all")
    answer = ask("ra.good.test")
    h.same((answer.status, answer.ede), ("NXDOMAIN", []), "not proven by anything else")
    text = dig("rb.good.test", "A", "+dnssec")
    assert "NXDOMAIN" in text and re.search(r"flags:[^;]* ad", text) and "EDE: 29" in text, text.strip()
    assert "SOA" in text and "\tNSEC\t" in text and text.count("RRSIG") >= 3, text.strip()
    text = dig("rc.good.test", "A")
    assert "NXDOMAIN" in text and "SOA" in text and "NSEC" not in text, text.strip()
    row = h.until("the history has it", lambda: sp.json("history", "--name", "rb.good.test"))[0]
    h.same((row["rcode"], row["dnssec"], row["cached"], row["ede"]), ("NXDOMAIN", "secure", True, 29), "row")
    assert "synthesized" in row["flags"], row
    row = h.until("the history has it", lambda: sp.json("history", "--name", "ra.good.test"))[0]
    assert "synthesized" not in row["flags"] and not row["cached"], row


@h.case
def types_that_are_not_there_and_wildcards_that_are():
    sp.cli("flush", "--all")
    assert ask("m.good.test", "AAAA").status == "NOERROR" and ask("x.wild.good.test", "AAAA").status == "NOERROR"
    questions("good.test")
    for name in ("m.good.test", "y.wild.good.test"):
        answer = ask(name, "HTTPS")
        h.same((answer.status, answer.answer, questions("good.test")), ("NOERROR", [], 0), name)
    h.same(ask("y.wild.good.test").addresses, ["44.128.1.4"], "below the wildcard")


@h.case
def who_sets_cd_is_told_what_the_upstream_says():
    assert ask("rd.good.test").status == "NXDOMAIN"
    questions("good.test")
    assert ask("re.good.test", cd=True).status == "NXDOMAIN" and questions("good.test") == 1


@h.case
def what_is_forged_is_not_learnt():
    """A record that nobody signed beside honest ones, and an answer that is bogus as a whole."""
    def add(answer):
        answer.authority.append(dns.rrset.from_text("b.good.test.", MINIMUM, "IN", "NSEC", "zz.good.test. A RRSIG NSEC"))

    def spoil(answer):
        add(answer)
        answer.authority[:] = [r for r in answer.authority if r.rdtype != dns.rdatatype.RRSIG]

    sp.cli("flush", "--all")
    asked.lies = {"na.good.test.": add, "ga.good.test.": spoil}
    answer = ask("na.good.test", do=True)  # proven by what lies around it
    assert answer.status == "NXDOMAIN" and answer.ad, answer.status
    h.same(ask("ga.good.test").status, "SERVFAIL", "an answer without signatures")
    asked.lies = {}
    questions("good.test")
    answer = ask("c.good.test", do=True)
    h.same((answer.status, answer.ad, questions("good.test")), ("NXDOMAIN", True, 1), "a name that only the forged record denied")
    assert ask("d.good.test").status == "NXDOMAIN" and questions("good.test") == 0


@h.case
def an_internal_zone_and_hosts_stay_where_they_are():
    """test.'s NSEC records say that there is no corp.test, and no printer.test."""
    sp.cli("flush", "--all")
    for name in ("corq.test", "cor.test", "printed.test", "zz.test"):
        assert ask(name).status == "NXDOMAIN"
    questions("test")
    assert ask("corr.test").status == "NXDOMAIN" and questions("test") == 0
    h.same(ask("www.corp.test").addresses, ["44.128.1.7"], "an internal name")
    assert ask("nope.corp.test").status == "NXDOMAIN"
    h.same(ask("printer.test").addresses, ["44.128.9.9"], "a name of hosts")


@h.case
def the_policy_judges_first():
    sp.cli("flush", "--all")
    assert ask("sea.good.test").status == "NXDOMAIN"
    answer = ask("secret.good.test")
    h.same(answer.ede[0][0], 15, "extended error of a denied name")
    answer = ask("other.good.test", ns="app2", server="10.1.1.1")
    h.same(answer.ede[0][0], 15, "extended error of a denied name")
    questions("good.test")
    assert ask("lost.good.test").status == "NXDOMAIN"
    answer = ask("may.good.test", ns="app2", server="10.1.1.1")
    h.same((answer.status, answer.ede[0][0]), ("NXDOMAIN", 29), "what it may ask")


@h.case
def a_new_name_appears_when_the_denial_has_run_out():
    sp.cli("flush", "--all")
    assert ask("late.good.test").status == "NXDOMAIN"
    began = time.monotonic()
    tree.add("good.test", "later A 44.128.1.8\n", "later.good.test")
    if time.monotonic() - began < MINIMUM - 2:
        assert ask("later.good.test").status == "NXDOMAIN"
    h.until("it is there", lambda: ask("later.good.test").addresses == ["44.128.1.8"], MINIMUM + 3, step=0.2)


@h.case
def it_can_be_switched_off():
    sp.configure(CONFIG.replace("{mode: validate,", "{mode: validate, aggressive: false,"))
    sp.cli("reload")
    before = counter("dnssec_synthesized")
    questions("good.test")
    flood("good.test", "s", 20)
    h.same((questions("good.test"), counter("dnssec_synthesized") - before), (20, 0), "questions")


h.after(lambda failed: print(sp.logs() if failed else "", end=""))
h.main()
