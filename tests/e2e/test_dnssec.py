"""Validation in the whole system: a signed tree from Knot DNS, and between it and Sallyport somebody
who changes what he likes. What is bogus opens nothing (P1, P3)."""
import json, os, re, signal, sys, threading, time, xml.etree.ElementTree

import dns.rdata, dns.rdatatype

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
import signed

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

# Zone -> (records, signed?). The root is the anchor; plain.test is a delegation without DS.
ZONES = {
    "": ("test NS ns.test.\nns.test A 44.128.0.54\n", "ecdsa"),
    "test": ("good NS ns\nplain NS ns\nthree NS ns\nrsa NS ns\nns A 44.128.0.54\n", "ecdsa"),
    "good.test": ("www A 44.128.1.1\nwww AAAA 2a00:ffff::101\n*.wild A 44.128.1.2\nc CNAME www\n"
                  "out CNAME www.plain.test.\nlure CNAME www.secret.test.\na.b.c.ent TXT x\nd DNAME rsa.test.\nforged A 44.128.1.8\n"
                  "slow A 44.128.1.9\nmany A 44.128.1.10\nown A 44.128.1.11\n"
                  + "".join(f"h{i} CNAME h{i + 1}\n" for i in range(11)) + "h11 A 44.128.1.7\n", "ecdsa"),
    "plain.test": ("www A 44.128.1.3\n", None),
    "three.test": ("www A 44.128.1.4\n*.wild A 44.128.1.5\n", "nsec3"),
    "rsa.test": ("www A 44.128.1.6\n", "rsa"),
}
POLICY = """\
version: 1
profiles:
  p:
    pinhole: {floor: 1s, grace: 5s}
    allow:
      - {zone: test, ports: [tcp/443]}
      - {name: www.plain.test, ports: [tcp/443], require: [dnssec]}
    deny: [{zone: secret.test}]
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
"""
tree = signed.Tree(ZONES)


def forge(answer):
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.A:
            rrset.clear()
            rrset.add(dns.rdata.from_text("IN", "A", "44.128.6.6"))


def strip(answer):
    if answer.question[0].rdtype != dns.rdatatype.A:
        return
    for section in (answer.answer, answer.authority):
        section[:] = [r for r in section if r.rdtype not in (dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3)]


def slow(answer):
    time.sleep(0.8)


def many(answer):
    """No signature verifies, and each is looked at."""
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.RRSIG:
            given = rrset[0].to_text().split()
            rrset.clear()
            for tag in range(250):
                rrset.add(dns.rdata.from_text("IN", "RRSIG", " ".join(given[:6] + [str(tag)] + given[7:])))


def empty(answer):
    answer.answer[:] = []


liar = signed.Liar("44.128.0.55")
liar.lies = {"forged.good.test.": forge, "www.rsa.test.": strip, "nope2.good.test.": strip, "three.test.": empty,
             "slow.good.test.": slow, "many.good.test.": many}
CONFIG = n.CONFIG.replace("dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{tree.anchor}]}}")
sp = h.Sallyport("gw", CONFIG.replace("44.128.0.53", "44.128.0.54")).up()
sp.apply(POLICY)


def dig(name, qtype="A", *options):
    return h.run(["dig", "@10.1.0.1", "+time=2", "+tries=3", *options, name, qtype], ns="app").stdout


def opened():
    return str(h.elements("gw", "pinhole4"))


@h.case
def signed_data_is_secure_and_says_so():
    for name in ("www.good.test", "x.wild.good.test", "c.good.test", "www.three.test", "y.wild.three.test", "www.rsa.test", "www.d.good.test"):
        text = dig(name, "A", "+adflag")
        assert "NOERROR" in text and re.search(r"flags:[^;]* ad", text) and "44.128.1." in text, text


@h.case
def a_question_for_the_cname_that_a_dname_makes_is_secure():
    text = dig("www.d.good.test", "CNAME", "+adflag")
    assert "NOERROR" in text and re.search(r"flags:[^;]* ad", text) and "www.rsa.test." in text, text


@h.case
def unsigned_data_below_a_proven_insecure_delegation_is_answered_without_ad():
    text = dig("c.plain.test", "A", "+adflag")
    assert "NXDOMAIN" in text and not re.search(r"flags:[^;]* ad", text), text


@h.case
def what_is_not_there_is_proven():
    for name, qtype, rcode in (("nope.good.test", "A", "NXDOMAIN"), ("nope.three.test", "A", "NXDOMAIN"),
                               ("www.good.test", "TXT", "NOERROR"), ("b.c.ent.good.test", "A", "NOERROR"),
                               ("z.wild.three.test", "AAAA", "NOERROR"), ("www.three.test", "AAAA", "NOERROR")):
        text = dig(name, qtype, "+adflag")
        if qtype == "TXT":
            continue
        assert rcode in text and re.search(r"flags:[^;]* ad", text), text


@h.case
def a_rule_that_requires_dnssec_denies_what_is_insecure():
    text = dig("www.plain.test")
    assert "requires DNSSEC" in text and "44.128.1.3" not in text, text
    assert not h.elements("gw", "pinhole4") or "44.128.1.3" not in str(h.elements("gw", "pinhole4"))


def upstreams(*servers):
    listed = ", ".join(f"{{address: {s}, port: 53}}" for s in servers)
    sp.configure(CONFIG.replace("{address: 44.128.0.53, port: 53}", listed))
    sp.cli("reload")
    sp.cli("flush", "--all")


def explain(name, qtype="A", code=0):
    r = sp.cli("explain", "app", name, qtype, "--dnssec", "--json", check=False)
    h.same(r.returncode, code, "exit status\n" + r.stdout + r.stderr)
    return json.loads(r.stdout)["dnssec"] if r.stdout else r.stderr


def steps(link, step, **fields):
    return [s for s in link["steps"] if s["step"] == step and all(s[k] == v for k, v in fields.items())]


@h.case
def a_chain_is_explained_link_by_link():
    x = explain("own.good.test")
    h.same((x["outcome"], x["state"], x["rcode"], x["ede"], x["cut"]), ("answered", "secure", "NOERROR", None, False), "end")
    link, = x["links"]
    h.same((link["name"], link["type"], link["kind"], link["state"], link["zone"], link["attempt"]),
           ("own.good.test.", "A", "data", "secure", "good.test.", 1), "link")
    anchored = steps(link, "anchor", name=".")
    h.same(["."] + [str(anchored[0]["tag"])] , open(tree.anchor).read().split()[0:3:2], "anchor")
    h.same([s["name"] for s in steps(link, "trust", outcome="secure")], [".", "test.", "good.test."], "zones on the way")
    for zone in ("test.", "good.test."):
        ds, = steps(link, "ds", name=zone)
        match, = steps(link, "match", name=zone, type="DS", verified=True)
        assert ds["tag"] == match["tag"] and ds["algorithm_name"] == "ECDSAP256SHA256", (ds, match)
        assert ds["tag"] in [k["tag"] for k in steps(link, "key", name=zone)], zone
    signature, = steps(link, "signature", name="own.good.test.", type="A")
    h.same((signature["signer"], signature["tag"], signature["verified"]), ("good.test.", link["tag"], True), "signature")
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    assert signature["inception"] < now < signature["expiration"], signature
    assert "44.128.1.11" not in opened(), opened()


@h.case
def what_is_not_there_or_not_signed_is_explained_with_its_proof():
    link, = explain("nope.good.test")["links"]
    assert link["state"] == "secure" and link["kind"] == "nxdomain" and steps(link, "denial", name="nope.good.test.", outcome="denied"), link
    assert steps(link, "proof", type="NSEC", fit="covers", name="nope.good.test."), link
    link, = explain("nope.three.test")["links"]
    assert steps(link, "proof", type="NSEC3", fit="covers", name="nope.three.test.") and "RFC 5155" in link["rfc"], link
    link, = explain("c.plain.test")["links"]
    h.same((link["state"], link["why"], link["rfc"]), ("insecure", "no_ds", "RFC 4035, section 5.2"), "insecure")
    assert steps(link, "proof", type="NSEC", fit="matches", name="plain.test."), link
    first, second = explain("out.good.test")["links"]
    h.same((first["target"], first["state"], second["state"]), ("www.plain.test.", "secure", "insecure"), "chain")
    x = explain("www.plain.test", code=1)  # its rule requires DNSSEC
    h.same((x["outcome"], x["state"]), ("answered", "insecure"), "required")


@h.case
def what_is_denied_is_not_asked():
    upstreams("44.128.0.55")
    r = sp.cli("explain", "app", "secret.example", "A", "--dnssec", check=False)
    h.same(r.returncode, 1, "exit status")
    assert r.stdout.startswith("deny  secret.example. A") and "nothing was asked" in r.stdout, r.stdout
    sp.cli("explain", "app", "www.good.test", "A", "--dnssec")
    asked = [name for name, _ in liar.checked]
    assert "www.good.test." in asked and "secret.example." not in asked, asked
    for words in (["nobody", "www.good.test"], ["app", "www.good.test", "A", "--at", "2h"], ["app", "bad..name"]):
        r = sp.cli("explain", *words, "--dnssec", check=False)
        assert r.returncode == 2 and r.stderr and not r.stdout, r
    upstreams("44.128.0.54")


@h.case
def validation_asks_about_what_was_allowed_and_about_nothing_else():
    """P2: DS and DNSKEY of the names themselves and of those above them; of a denied target nothing at all."""
    upstreams("44.128.0.55")
    liar.asked.clear()
    assert "44.128.1.1" in dig("c.good.test")
    chain = {("c.good.test.", "A"), ("www.good.test.", "A")}
    above = {".", "test.", "good.test.", "c.good.test.", "www.good.test."}
    asked = set(liar.asked)
    h.same([a for a in asked - chain if a[0] not in above or a[1] not in ("DS", "DNSKEY")], [], "beside the chain")
    assert ("test.", "DNSKEY") in asked and ("good.test.", "DS") in asked, asked
    liar.asked.clear()
    text = dig("lure.good.test")
    assert "EDE: 15" in text and "ANSWER: 0" in text, text
    h.same(set(liar.asked) - {(".", "DNSKEY")}, {("lure.good.test.", "A")}, "when its target is denied")
    upstreams("44.128.0.54")


@h.case
def a_switch_keeps_what_still_has_its_reason():
    """A target that was asked by itself stands on its chain's beginning, a rule that requires DNSSEC on
    the validation of that time."""
    sp.apply(POLICY.replace("{zone: test, ports", "{zone: good.test, ports").replace("      - {name: www.plain",
             "      - {name: www.rsa.test, ports: [tcp/443], require: [dnssec]}\n      - {name: www.plain"))
    sp.cli("flush", "--all")
    assert "44.128.1.6" in dig("www.d.good.test")      # a DNAME leads to www.rsa.test
    assert "44.128.1.6" in dig("www.rsa.test")
    assert "44.128.1.3" in dig("out.good.test") and "44.128.1.3" in opened()
    before = opened()
    sp.apply(POLICY.replace("{zone: test, ports", "{zone: good.test, ports").replace("      - {name: www.plain",
             "      - {name: unrelated.test}\n      - {name: www.rsa.test, ports: [tcp/443], require: [dnssec]}\n      - {name: www.plain"))
    assert "44.128.1.6" in opened() and "44.128.1.3" in opened(), (before, opened())
    sp.apply(POLICY)


@h.case
def names_that_ask_for_a_key_of_the_root_are_told():
    """RFC 8509: is it a trust anchor here? Only a secure answer tells, and only without CD."""
    tag = open(tree.anchor).read().split()[2]
    other = "00001" if int(tag) != 1 else "00002"
    tag = f"{int(tag):05d}"
    names = {f"root-key-sentinel-{kind}-{t}": (kind == "is-ta") == (t == tag) for kind in ("is-ta", "not-ta") for t in (tag, other)}
    last = list(names)[-1]
    tree.add("plain.test", f"root-key-sentinel-is-ta-{other}.out A 44.128.1.9\n", f"root-key-sentinel-is-ta-{other}.out.plain.test")
    tree.add("good.test", "".join(f"{n} A 44.128.1.9\n" for n in names), last + ".good.test")
    for _ in range(2):  # what is remembered of one may not answer the other
        for name, answered in names.items():
            text = dig(name.upper() + ".good.test")
            assert ("44.128.1.9" in text) == answered and ("SERVFAIL" in text) != answered, text
            assert answered or f"RFC 8509): {name[-5:]} is" in text, text
            text = dig(name + ".good.test", "A", "+cdflag")
            assert "44.128.1.9" in text, text
            text = dig(name + ".good.test", "MX")
            assert "NOERROR" in text, text
    text = dig(f"root-key-sentinel-is-ta-{other}.out.plain.test")
    assert "44.128.1.9" in text, text  # insecure data tells nothing
    text = open(sp.conf).read()
    sp.configure(text.replace("mode: validate", "mode: validate, sentinel: false"))
    sp.cli("reload")
    h.until("the resolver goes by it", lambda: "44.128.1.9" in dig(f"root-key-sentinel-is-ta-{other}.good.test"))
    sp.configure(text)
    sp.cli("reload")
    h.until("the resolver goes by it", lambda: "SERVFAIL" in dig(f"root-key-sentinel-is-ta-{other}.good.test"))


@h.case
def lies_are_servfail_with_the_reason_and_open_nothing():
    upstreams("44.128.0.55")
    for name, why in (("forged.good.test", "does not verify"), ("www.rsa.test", "no signature"),
                      ("nope2.good.test", "nothing proves|no signature"), ("www.three.test", "")):
        text = dig(name)
        assert "SERVFAIL" in text and "ANSWER: 0" in text and re.search(why, text) and "EDE: " in text, text
    assert "44.128.6.6" not in opened() and "44.128.1.8" not in opened(), opened()
    row = h.until("the history has it", lambda: sp.json("history", "--name", "forged.good.test"))[0]
    assert (row["rcode"], row["dnssec"], row["reason"]) == ("SERVFAIL", "bogus", "bogus"), row


@h.case
def bogus_data_is_asked_elsewhere_and_then_with_checking_enabled():
    asked = [cd for name, cd in liar.checked if name == "forged.good.test."]
    h.same(asked, [True, True, False], "CD in the questions upstream")


@h.case
def a_lie_is_explained():
    for name, why, rfc in (("forged.good.test", "signature", "RFC 4035, section 5.3"), ("www.rsa.test", "rrsig_missing", "RFC 4035, section 5.3"),
                           ("nope2.good.test", "rrsig_missing", "RFC 4035, section 5.3")):
        x = explain(name, code=1)
        h.same((x["outcome"], x["state"], x["rcode"]), ("bogus", "bogus", "SERVFAIL"), name)
        h.same([l["attempt"] for l in x["links"]], [1, 2, 3], "asked again, then with CD=0")
        assert all(l["state"] == "bogus" and (l["why"], l["rfc"]) == (why, rfc) for l in x["links"]), x["links"]
    text = sp.cli("explain", "app", "forged.good.test", "--dnssec", check=False).stdout
    assert re.search(r"DNSSEC: bogus, answered SERVFAIL, EDE 6: forged\.good\.test\. A, key tag \d+: the signature does not verify", text), text
    assert "signature over forged.good.test. A by good.test. key" in text and "not verified: the signature does not verify" in text, text
    assert "44.128.6.6" not in opened()
    assert "app forged.good.test. A" in str(sp.json("audit", "--limit", "5"))


@h.case
def status_counts_by_verdict_and_reason():
    def counted():
        x = sp.json("status")[0]["dnssec"]
        return x, {k: x["reasons"].get(k, 0) for k in ("signature", "rrsig_missing", "no_ds")}
    sp.cli("flush", "--all")
    x, before = counted()
    h.same(x["mode"], "validate", "mode")
    verdicts = [x[k] for k in ("secure", "insecure", "indeterminate", "bogus")]
    dig("forged.good.test"), dig("www.rsa.test"), dig("c.plain.test"), dig("own.good.test")
    x, after = counted()
    h.same({k: after[k] - before[k] for k in after}, {"signature": 1, "rrsig_missing": 1, "no_ds": 1}, "reasons")
    h.same([x[k] - n for k, n in zip(("secure", "insecure", "indeterminate", "bogus"), verdicts)], [1, 1, 0, 2], "verdicts")
    assert f"dnssec     {x['secure']} secure, {x['insecure']} insecure, 0 indeterminate, {x['bogus']} bogus; " in sp.cli("status").stdout


@h.case
def the_history_knows_every_verdict():
    names = {"forged.good.test.": ("bogus", 6), "own.good.test.": ("secure", None), "c.plain.test.": ("insecure", None),
             "www.plain.test.": ("insecure", 15)}  # denied: its rule requires DNSSEC
    for name, want in names.items():
        row = h.until("the history has it", lambda: sp.json("history", "--name", name, "--last", "1"))[0]
        h.same((row["dnssec"], row["ede"]), want, name)
    bogus = sp.json("history", "--state", "bogus", "--limit", "0")
    assert bogus and {r["dnssec"] for r in bogus} == {"bogus"} and all(r["ede"] for r in bogus), bogus
    assert "own.good.test." in [r["name"] for r in sp.json("history", "--state", "secure", "--limit", "0")]
    r = sp.cli("history", "--state", "safe", check=False)
    assert r.returncode == 2 and "'safe'" in r.stderr and "insecure" in r.stderr, r.stderr


@h.case
def a_chain_is_drawn():
    def drawn(name, code=0, *options):
        r = sp.cli("explain", "app", name, "--svg", "-", *options, check=False)
        h.same(r.returncode, code, r.stderr)
        svg = xml.etree.ElementTree.fromstring(r.stdout)
        return ["".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}text")], r.stdout
    texts, svg = drawn("forged.good.test", 1)
    for text in (". (root)", "test.", "good.test.", "forged.good.test. A", "bogus", "the signature does not verify"):
        assert text in texts, (text, texts)
    assert 'class="arrow bogus broken"' in svg and sum(t.startswith("DS ") for t in texts) == 2, svg
    texts, svg = drawn("out.good.test")
    assert "www.plain.test. A" in texts and "the delegation is proven to have no DS" in texts, texts
    texts, _ = drawn('x<&">y.good.test')
    assert 'x<&\\">y.good.test. A' in texts, texts
    path = h.work("chain.svg")
    with open(path, "w") as f:
        f.write("old")
    r = sp.cli("explain", "app", "own.good.test", "--svg", path, "--json")
    assert json.loads(r.stdout)["dnssec"]["state"] == "secure" and open(path).read().endswith("</svg>\n"), r.stdout
    h.same([f for f in os.listdir(h.work()) if f.startswith("chain.svg")], ["chain.svg"], "files beside it")
    r = sp.cli("explain", "app", "own.good.test", "--svg", h.work("none", "chain.svg"), check=False)
    assert r.returncode == 2 and "No such file" in r.stderr, r


@h.case
def one_is_explained_at_a_time():
    told = []
    slow = threading.Thread(target=lambda: told.append(explain("slow.good.test")))
    slow.start()
    h.until("the upstream is asked", lambda: "slow.good.test." in [name for name, _ in liar.checked])
    r = sp.cli("explain", "app", "www.good.test", "--dnssec", check=False)
    h.same((r.returncode, r.stdout), (2, ""), "the second")
    assert "another explanation is under way" in r.stderr, r.stderr
    slow.join()
    h.same(told[0]["state"], "secure", "the first")
    h.same(sp.json("status")[0]["limits_hit"].get("limit_explain"), 1, "counter")
    sp.cli("explain", "app", "www.good.test", "--dnssec")


def explain_while(act):
    """What the command says when act(pid of the resolver) comes while it waits."""
    said, pid = [], sp.role_pid("resolver")
    sp.cli("flush", "--all")
    liar.asked.clear()
    waiting = threading.Thread(target=lambda: said.append(sp.cli("explain", "app", "slow.good.test", "--dnssec", check=False)))
    waiting.start()
    h.until("the upstream is asked", lambda: ("slow.good.test.", "A") in liar.asked)
    act(pid)
    waiting.join()
    return said[0]


@h.case
def a_resolver_that_dies_while_it_explains_is_told_of_and_its_successor_explains():
    began = time.monotonic()
    r = explain_while(lambda pid: os.kill(pid, signal.SIGKILL))
    h.same((r.returncode, r.stdout), (2, ""), r.stderr)
    assert "the resolver ended before it had explained; try again" in r.stderr, r.stderr
    assert time.monotonic() - began < 5, "told as soon as it is known"
    h.until("its successor explains", lambda: sp.cli("explain", "app", "slow.good.test", "--dnssec", check=False).returncode == 0)


@h.case
def a_resolver_that_gives_no_explanation_is_not_waited_for():
    text = open(sp.conf).read()
    sp.configure(text + "limits: {query_time: 1s}\n")
    sp.cli("reload")
    began = time.monotonic()
    r = explain_while(lambda pid: os.kill(pid, signal.SIGSTOP))
    took = time.monotonic() - began
    os.kill(sp.role_pid("resolver"), signal.SIGCONT)
    h.same((r.returncode, r.stdout), (2, ""), r.stderr)
    assert "the resolver gave no explanation in time" in r.stderr and took > 3, (took, r.stderr)
    sp.configure(text)
    sp.cli("reload")
    # What it says late finds nobody, and the next one is explained.
    h.until("it explains again", lambda: sp.cli("explain", "app", "slow.good.test", "--dnssec", check=False).returncode == 0)


@h.case
def what_is_told_is_bounded_but_the_verdict_is_told():
    x = explain("many.good.test", code=1)
    assert x["cut"] and x["outcome"] == "bogus" and x["links"] and len(json.dumps(x)) < 500000, x
    assert "many.good.test. A: " in x["text"], x["text"]


@h.case
def who_sets_cd_gets_bogus_data_that_opens_nothing():
    text = dig("forged.good.test", "A", "+cdflag")
    assert "NOERROR" in text and "44.128.6.6" in text and "EDE: 6" in text and not re.search(r"flags:[^;]* ad", text), text
    assert "44.128.6.6" not in opened(), opened()
    text = dig("www.good.test", "A", "+cdflag", "+adflag")
    assert "44.128.1.1" in text and "44.128.1.1" in opened(), text


def twice_spoilt(name):
    """One link a message, and its signature is good at the third asking only."""
    def lie(answer):
        if answer.question[0].rdtype != dns.rdatatype.A:
            return
        answer.answer[:] = [r for r in answer.answer if r.name.to_text().lower() == name]
        spoilt[name] = spoilt.get(name, 0) + 1
        for rrset in answer.answer if spoilt[name] <= 2 else []:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                signatures = [rd.replace(signature=rd.signature[::-1]) for rd in rrset]
                rrset.clear()
                for rd in signatures:
                    rrset.add(rd)
    return lie


spoilt = {}


@h.case
def a_chain_whose_every_link_is_asked_for_again_meets_a_limit():
    liar.lies.update({f"h{i}.good.test.": twice_spoilt(f"h{i}.good.test.") for i in range(12)})
    before = sp.json("status")[0]["counters"]["limit_subqueries"]
    text = dig("h0.good.test")
    # Twelve questions for the links, and two more for each of the first ten.
    assert "SERVFAIL" in text and "limit subqueries: " in text and "ANSWER: 0" in text, text
    h.same(sum(spoilt.values()), 32, "questions upstream")
    h.same(sp.json("status")[0]["counters"]["limit_subqueries"] - before, 1, "counted")
    assert "44.128.1.7" not in opened(), opened()
    sp.cli("flush", "--all")
    text = dig("h0.good.test", "A", "+adflag")  # the rest of what has to be asked again is little enough
    assert "44.128.1.7" in text and re.search(r"flags:[^;]* ad", text), text


def servfail(name):
    text = dig(name, "A", "+adflag")
    assert "SERVFAIL" in text, text


def answered_unchecked(name, address):
    text = dig(name, "A", "+adflag")
    assert "NOERROR" in text and address in text and not re.search(r"flags:[^;]* ad", text), text


@h.case
def a_negative_trust_anchor_excepts_a_name_until_it_is_removed():
    """At once, without a question that would tell of it, over a restart, and with who did it and why."""
    servfail("www.rsa.test")
    liar.asked.clear()
    added = sp.json("nta", "add", "RSA.test", "--for", "1h", "--reason", "ticket 4711")[0]
    h.same((added["name"], added["source"], added["uid"], added["reason"]), ("rsa.test.", "command", 0, "ticket 4711"))
    answered_unchecked("www.rsa.test", "44.128.1.6")
    answered_unchecked("www.d.good.test", "44.128.1.6")  # a chain that leads there
    assert "44.128.1.6" in opened(), opened()
    assert ("www.rsa.test.", "A") in liar.asked, liar.asked
    h.same([a for a in liar.asked if a[0].endswith("rsa.test.") and a[1] in ("DS", "DNSKEY")], [], "questions below the NTA")
    h.same(liar.checked[-1][1], True, "CD upstream")
    assert "NOERROR" in dig("www.good.test") and re.search(r"flags:[^;]* ad", dig("www.good.test", "A", "+adflag"))
    servfail("forged.good.test")
    h.same([(n["name"], n["source"]) for n in sp.json("nta", "list")], [("rsa.test.", "command")])
    assert "rsa.test." in sp.cli("status").stdout and "rsa.test." in sp.cli("nta", "list").stdout
    assert [f for f in sp.json("check", check=False) if "nta: rsa.test." in f["text"] and f["severity"] == "warning"], sp.cli("check").stdout
    row = [a for a in sp.json("audit") if a["action"] == "nta add"][0]
    assert row["uid"] == 0 and "rsa.test." in row["detail"] and "ticket 4711" in row["detail"], row
    sp.down()
    sp.up()
    answered_unchecked("www.rsa.test", "44.128.1.6")
    h.same(sp.json("nta", "remove", "rsa.test")[0]["removed"], True)
    servfail("www.rsa.test")
    h.same(sp.json("nta", "list"), [])
    assert [a for a in sp.json("audit") if a["action"] == "nta remove"]


@h.case
def a_negative_trust_anchor_ends_by_itself():
    sp.cli("nta", "add", "rsa.test", "--for", "3s")
    answered_unchecked("www.rsa.test", "44.128.1.6")
    h.until("it is validated again", lambda: "SERVFAIL" in dig("www.rsa.test"), 8, step=0.2)
    h.until("it is gone from the list", lambda: not sp.json("nta", "list"), 3)
    row = [a for a in sp.json("audit") if a["action"] == "nta end"][0]
    h.same((row["uid"], row["detail"]), (None, "rsa.test."))


@h.case
def the_configuration_has_negative_trust_anchors_too():
    text = open(sp.conf).read()
    sp.configure(text.replace("mode: validate", "mode: validate, negative_trust_anchors: "
                              "[{name: rsa.test, until: 2100-01-01T00:00:00Z, reason: in the file}]"))
    sp.cli("reload")
    h.until("the resolver goes by it", lambda: "NOERROR" in dig("www.rsa.test"))
    answered_unchecked("www.rsa.test", "44.128.1.6")
    h.same([(n["source"], n["reason"]) for n in sp.json("nta", "list")], [("file", "in the file")])
    out = sp.cli("nta", "remove", "rsa.test", check=False)
    assert out.returncode == 2 and "the configuration has it" in out.stderr, out.stderr
    sp.configure(text)
    sp.cli("reload")
    h.until("the resolver goes by it", lambda: "SERVFAIL" in dig("www.rsa.test"))


@h.case
def what_a_negative_trust_anchor_may_not_be_is_told():
    for words, why in ((["a.test", "--for", "8d"], "7 days at most"), (["a.test"], "--for"), (["a..b", "--for", "1h"], "not a domain name"),
                       (["*.a.test", "--for", "1h"], "it and all below it is meant"),
                       ([".", "--for", "1h"], "dnssec.mode: off"), (["a.test", "--for", "1h", "--reason", "x" * 201], "longer than 200")):
        out = sp.cli("nta", "add", *words, check=False)
        assert out.returncode == 2 and why in out.stderr, (words, out.stderr)
    out = sp.cli("nta", "remove", "a.test", check=False)
    assert out.returncode == 2 and "no negative trust anchor" in out.stderr, out.stderr
    for i in range(64):
        sp.cli("nta", "add", f"n{i}.test", "--for", "1h")
    out = sp.cli("nta", "add", "more.test", "--for", "1h", check=False)
    assert out.returncode == 2 and "64 negative trust anchors" in out.stderr, out.stderr
    for i in range(64):
        sp.cli("nta", "remove", f"n{i}.test")
    h.same(sp.json("nta", "list"), [])


@h.case
def an_honest_server_beside_the_liar_is_believed():
    upstreams("44.128.0.55", "44.128.0.54")
    for _ in range(4):
        sp.cli("flush", "--all")
        for name, address in (("forged.good.test", "44.128.1.8"), ("www.rsa.test", "44.128.1.6"), ("www.three.test", "44.128.1.4")):
            text = dig(name, "A", "+adflag")
            assert "NOERROR" in text and address in text and re.search(r"flags:[^;]* ad", text), text
    assert "44.128.6.6" not in opened() and "44.128.1.8" in opened(), opened()


h.after(lambda failed: print(sp.logs() if failed else "", end=""))
h.main()
