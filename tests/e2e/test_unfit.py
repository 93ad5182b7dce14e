"""Upstreams that give no signatures: passed over while another is fit, named, and never a reason to
believe what is unsigned."""
import os, re, sys, time

import dns.message, dns.rdatatype

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
import signed

h.enter(os.path.abspath(__file__), seconds=180)
n.build()

many = "".join(f"w{i} A 44.128.1.{i % 200 + 1}\n" for i in range(60))
tree = signed.Tree({
    "": ("test NS ns.test.\nns.test A 44.128.0.54\n", "ecdsa"),
    "test": ("good NS ns\nplain NS ns\nns A 44.128.0.54\n", "ecdsa"),
    "good.test": (many, "ecdsa"),
    "plain.test": ("www A 44.128.1.3\n", None),
    "corp.test": ("www A 44.128.1.4\n", None),
})
SIGNATURES = (dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.NSEC3)


def strip(answer):
    for section in (answer.answer, answer.authority):
        section[:] = [r for r in section if r.rdtype not in SIGNATURES]


def without_edns(answer):
    strip(answer)
    answer.use_edns(False)


bad, worse, corp = (signed.Liar(f"44.128.0.{i}") for i in (55, 56, 57))
bad.always, worse.always, corp.always = strip, without_edns, without_edns
POLICY = """\
version: 1
profiles:
  p: {pinhole: {floor: 1s, grace: 5s}, allow: [{zone: test, ports: [tcp/443]}]}
workloads:
  app: {source: 10.1.0.2, profile: p}
"""


def config(*servers, more=""):
    listed = ", ".join(f"{{address: {s}, port: 53}}" for s in servers)
    text = n.CONFIG.replace("{address: 44.128.0.53, port: 53}", listed).replace("dnssec: {mode", more + "dnssec: {mode")
    return text.replace("dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{tree.anchor}]}}")


sp = h.Sallyport("gw", config("44.128.0.55", "44.128.0.54", "44.128.0.56")).up()
sp.apply(POLICY)


def dig(name, qtype="A", *options):
    return h.run(["dig", "@10.1.0.1", "+time=2", "+tries=3", *options, name, qtype], ns="app").stdout


def unfit():
    return sorted((u["zone"], u["server"], u["state"]) for u in sp.json("status")[0]["unfit_upstreams"])


def secure(text):
    return "NOERROR" in text and re.search(r"flags:[^;]* ad", text) and "44.128.1." in text


def take(*servers, more=""):
    sp.configure(config(*servers, more=more))
    sp.cli("reload")
    sp.cli("flush", "--all")


def probes():
    return sp.json("status")[0]["counters"]["upstream_probes"]


def asked(server):
    """(name, type) of each question that came to it."""
    return {(q.name.to_text().lower(), dns.rdatatype.to_text(q.rdtype))
            for m, _ in server.log for q in dns.message.from_wire(m).question}


@h.case
def who_strips_is_found_at_the_start_and_named():
    h.until("the probes have told", lambda: unfit() == [(".", "44.128.0.55:53", "no RRSIG"), (".", "44.128.0.56:53", "no EDNS")])
    text = sp.cli("status").stdout
    assert "44.128.0.55" in text and "no signatures with the DNSKEY" in text, text
    assert "44.128.0.56" in text and "without EDNS" in text, text
    text = sp.cli("check").stdout
    assert "warning: upstream 44.128.0.55" in text and "warning: upstream 44.128.0.56" in text and "44.128.0.54" not in text, text


@h.case
def who_is_fit_is_asked_alone():
    sp.cli("flush", "--all")  # what the anchors' upkeep was given before the probes had told
    before = len(bad.checked), len(worse.checked)
    retries = sp.json("status")[0]["counters"]["dnssec_retries"]
    for i in range(60):
        text = dig(f"w{i}.good.test", "A", "+adflag")
        assert secure(text), text
    h.same((len(bad.checked), len(worse.checked)), before, "questions to servers that give no signatures")
    counters = sp.json("status")[0]["counters"]
    h.same(counters["dnssec_retries"] - retries, 0, "answers that lacked signatures")
    assert counters["upstream_probes"] < 20, counters["upstream_probes"]


@h.case
def a_probe_asks_for_the_zone_s_own_name_and_nothing_else():
    for server in (bad, worse):
        h.same(asked(server), {(".", "DNSKEY")}, "questions")


@h.case
def alone_it_makes_no_unsigned_answer_good():
    take("44.128.0.55")
    before = len(h.elements("gw", "pinhole4"))
    for _ in range(2):
        text = dig("w1.good.test")
        assert "SERVFAIL" in text and "ANSWER: 0" in text and re.search("EDE: (9|10) ", text), text
        assert "upstream 44.128.0.55 gives no signatures" in text, text
    text = dig("www.plain.test")  # nobody could prove that it is unsigned
    assert "SERVFAIL" in text and "44.128.1.3" not in text, text
    h.same(len(h.elements("gw", "pinhole4")), before, "pinholes")


@h.case
def while_it_is_unfit_it_is_probed_now_and_then_and_it_may_come_back():
    sent, began = probes(), time.monotonic()
    for i in range(40):
        assert "SERVFAIL" in dig(f"w{i}.good.test")
    assert probes() - sent <= 1 + (time.monotonic() - began) / 2, probes() - sent
    bad.always = None
    h.until("it is fit again", lambda: unfit() == [], 20)
    h.until("it is believed again", lambda: secure(dig("w1.good.test", "A", "+adflag")), 20)


@h.case
def one_that_begins_to_strip_later_is_found_by_the_answers_that_lack_signatures():
    take("44.128.0.55", "44.128.0.54")
    h.until("both are fit", lambda: unfit() == [] and secure(dig("w2.good.test", "A", "+adflag")))
    bad.always = strip

    def found():
        for i in range(60):
            text = dig(f"w{i}.good.test")
            assert "44.128.1." in text, text  # the other one's answer is as good
            if unfit():
                return True
        sp.cli("flush", "--all")
    h.until("it is found", found, 30)
    h.same(unfit(), [(".", "44.128.0.55:53", "no RRSIG")], "unfit")


@h.case
def an_unsigned_internal_zone_needs_no_signatures():
    """Its server knows no EDNS, and nobody wants it to. Under `dnssec: off` it is not even probed."""
    tree.zones["test"] = (tree.zones["test"][0].replace("plain", "corp NS ns\nplain"), "ecdsa")
    tree.add("test", "there A 44.128.1.9\n", "there.test")
    internal = "  - {zone: corp.test, servers: [{address: 44.128.0.57, port: 53}]}\n"
    take("44.128.0.54", more=internal)
    h.until("it is answered", lambda: "44.128.1.4" in dig("www.corp.test"))
    h.until("it is probed", lambda: ("corp.test.", "DNSKEY") in asked(corp))
    assert ("corp.test.", "DS") not in asked(corp), asked(corp)
    h.same(unfit(), [], "unfit")
    corp.log.clear()
    take("44.128.0.54", more=internal.replace("test, ", "test, dnssec: off, "))
    assert "44.128.1.4" in dig("www.corp.test")
    h.same(asked(corp), {("www.corp.test.", "A")}, "questions")


h.after(lambda failed: print(sp.logs() if failed else "", end=""))
h.main()
