"""Promise P1 where DNSSEC decides: what is bogus, or is not secure where that is required, opens nothing;
what is given out was opened before. Watched in the kernel all the time, and counted."""
import os, re, signal, socket, sys, threading, time

import dns.rdata, dns.rdatatype

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import netlink
import network as n
import signed

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

HTTPS = "1 . ipv4hint=%s ipv6hint=%s"
TRUE, FALSE = ("44.128.1.9", "2a00:ffff::109"), ("44.128.6.9", "2a00:ffff::609")
tree = signed.Tree({
    "": ("test NS ns.test.\nns.test A 44.128.0.54\n", "ecdsa"),
    "test": ("good NS ns\nplain NS ns\nthree NS ns\nns A 44.128.0.54\n", "ecdsa"),
    "good.test": ("www A 44.128.1.1\nwww AAAA 2a00:ffff::101\nwww HTTPS %s\nout CNAME www.plain.test.\n"
                  "evil A %s\nevil AAAA %s\nevil HTTPS %s\ntoevil CNAME evil\n"
                  % (HTTPS % ("44.128.1.1", "2a00:ffff::101"), *TRUE, HTTPS % TRUE), "ecdsa"),
    "plain.test": ("www A 44.128.1.3\nwww AAAA 2a00:ffff::103\nopen A 44.128.1.13\n", None),
    "three.test": ("www A 44.128.1.4\n", "nsec3"),
})
RULE = "      - {name: %s, ports: [tcp/443], require: [dnssec]}\n"
POLICY = """\
version: 1
profiles:
  p:
    pinhole: {floor: 1s, grace: 5s}
    allow:
      - {zone: test, ports: [tcp/443]}
%s
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
""" % "".join(RULE % name for name in ("www.plain.test", "out.good.test"))


def forge(answer):
    """Every address and every hint; for a second, so that it is stale soon."""
    lies = {"A": FALSE[0], "AAAA": FALSE[1], "HTTPS": HTTPS % FALSE}
    for rrset in answer.answer:
        rrset.ttl = 1
        kind = dns.rdatatype.to_text(rrset.rdtype)
        if kind in lies:
            rrset.clear()
            rrset.add(dns.rdata.from_text("IN", kind, lies[kind]), 1)


class Liar(signed.Liar):
    mute = False

    def reply(self, q, tcp):
        return None if self.mute else super().reply(q, tcp)


liar = Liar("44.128.0.55")
liar.lies = {"evil.good.test.": forge, "toevil.good.test.": forge}


def config(server, anchor=tree.anchor):
    text = n.CONFIG.replace("dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{anchor}], rfc5011: false}}")
    return text.replace("44.128.0.53", server)


sp = h.Sallyport("gw", config("44.128.0.54")).up()
sp.apply(POLICY)


def use(server, **kw):
    sp.configure(config(server, **kw))
    sp.cli("reload")
    sp.cli("flush", "--all")


def ask(name, qtype="A", **kw):
    with h.inside("app"):
        return h.ask(n.DNS4, name, qtype, timeout=8, **kw)


def told(m):
    return m and (m.status, m.addresses, len(m.answer), m.ede)


class Watch:
    """All that the kernel's sets hold while the block runs, looked at again and again, and how many
    elements fwsync has put there."""

    def __enter__(self):
        self.seen, self.looks, self.over, self.before = set(), 0, False, self.count()
        self.look()
        self.held = set(self.seen)  # from before
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def count(self):
        return sp.json("status")[0]["counters"]["fw_elements"]

    def look(self):
        text = str(h.elements("gw", "pinhole4")) + str(h.elements("gw", "pinhole6"))
        self.seen |= set(re.findall(r"44\.128\.[0-9.]+|2a00:ffff::[0-9a-f]+", text))
        self.looks += 1

    def run(self):
        while not self.over:
            self.look()
            time.sleep(0.02)

    def __exit__(self, *_):
        time.sleep(0.3)  # what comes late comes, too
        self.over = True
        self.thread.join()
        self.look()

    def nothing(self):
        h.same(sorted(self.seen - self.held), [], f"opened, in {self.looks} looks")
        h.same(self.count(), self.before, "elements that fwsync has put there")


@h.case
def a_failure_is_kept_longer_than_its_TTL_and_told_in_full():
    """RFC 9520; the extended error names RRset, key and reason."""
    use("44.128.0.55")
    first = ask("evil.good.test")
    code, text = first.ede[0]
    assert code == 6 and re.match(r"evil\.good\.test\. A, key tag \d+: the signature does not verify", text), first.ede
    time.sleep(1.2)  # the forged TTL has run out
    liar.checked.clear()
    for _ in range(3):
        m = ask("evil.good.test")
        h.same((m.status, m.ede), ("SERVFAIL", first.ede), "meanwhile")
    h.same(liar.checked, [], "questions upstream while the failure is kept")
    liar.lies.clear()
    h.until("it is good when the failure is over", lambda: ask("evil.good.test").addresses == [TRUE[0]], 10, 0.5)
    liar.lies = {"evil.good.test.": forge, "toevil.good.test.": forge}


def flood(answer):
    """The class of CVE-2023-50387: many signatures, of which none verifies."""
    for rrset in [r for r in answer.answer if r.rdtype == dns.rdatatype.RRSIG]:
        octets = rrset[0].to_wire()
        rrset.clear()
        for i in range(20):
            flipped = octets[:-1] + bytes([octets[-1] ^ (i + 1)])
            rrset.add(dns.rdata.from_wire("IN", "RRSIG", flipped, 0, len(flipped)), 60)


@h.case
def a_flood_of_signatures_costs_what_the_limits_say():
    use("44.128.0.55")
    liar.lies["www.good.test."] = flood
    ask("nothing.test")  # the keys of the zones above are known
    before = sp.json("status")[0]["counters"]
    with Watch() as watch:
        m = ask("www.good.test")
    after = sp.json("status")[0]["counters"]
    assert m and m.status == "SERVFAIL" and "a limit of validation was reached" in m.ede[0][1], told(m)
    h.same(after["limit_val_checks_set"] - before["limit_val_checks_set"], 1, "limit_val_checks_set")
    assert after["dnssec_checks"] - before["dnssec_checks"] <= 8 + 4, "signatures checked"  # and good.test's keys
    watch.nothing()
    del liar.lies["www.good.test."]


@h.case
def bogus_answers_of_every_form_open_nothing():
    use("44.128.0.55")
    with Watch() as watch:
        for turn in range(2):  # the second is a failure that is held
            for name in ("evil.good.test", "toevil.good.test"):
                for qtype in ("A", "AAAA", "HTTPS"):
                    for cd in (False, True):
                        m = ask(name, qtype, cd=cd, do=True)
                        what = f"{name} {qtype} CD={cd}, turn {turn}: {told(m)}"
                        assert m and m.ede and not m.ad, what
                        h.same((m.status, bool(m.answer)), ("NOERROR", True) if cd else ("SERVFAIL", False), what)
        time.sleep(1.1)
        liar.mute = True  # what the cache has is stale now, and bogus
        for cd in (False, True):
            m = ask("evil.good.test", cd=cd)
            assert m and (m.status, m.answer) == ("SERVFAIL", []), f"stale, CD={cd}: {told(m)}"
        liar.mute = False
    watch.nothing()


@h.case
def insecure_answers_open_nothing_where_DNSSEC_is_required():
    use("44.128.0.54")
    with Watch() as watch:
        for turn in range(2):
            for cd in (False, True):
                for name, qtype in (("www.plain.test", "A"), ("www.plain.test", "AAAA"), ("out.good.test", "A"),
                                    ("out.good.test", "AAAA")):
                    m = ask(name, qtype, cd=cd)
                    assert m and not m.answer and m.ede and "requires DNSSEC" in m.ede[0][1], (name, qtype, cd, told(m))
    watch.nothing()


def element(address):
    return netlink.left("gw", "pinhole4", netlink.key("10.1.0.2", address, socket.IPPROTO_TCP, 443))


@h.case
def what_is_given_out_is_open_before():
    """Secure and insecure answers, with CD=1 and without: no address while the firewall's role stands still;
    and when one comes the kernel has its element, for as long as the TTL and the grace."""
    use("44.128.0.54")
    pid = sp.role_pid("fwsync")
    for name, address, secure in (("www.three.test", "44.128.1.4", True), ("open.plain.test", "44.128.1.13", False)):
        os.kill(pid, signal.SIGSTOP)
        try:
            assert not element(address), f"{address} is open already"
            for cd in (True, False):
                m = ask(name, cd=cd)
                h.same((m and m.status, m and m.addresses), ("SERVFAIL", []), f"{name} CD={cd}, the firewall stands still")
        finally:
            os.kill(pid, signal.SIGCONT)
        for cd in (True, False):
            m = h.until("an answer", lambda: (lambda m: m if m and m.addresses else None)(ask(name, cd=cd, do=True)), 5, 0.2)
            left = element(address)
            h.same((m.addresses, m.ad), ([address], secure), f"{name} CD={cd}")
            ttl = next(ttl for _, kind, ttl, _ in m.answer if kind == 1)
            assert left and left[0] + 0.5 >= ttl + 5, f"{name} CD={cd}: {left} for TTL {ttl}"


@h.case
def indeterminate_answers_open_nothing_where_DNSSEC_is_required():
    sp.apply(POLICY.replace("    allow:\n", "    allow:\n" + RULE % "www.good.test"))
    ds = signed.in_net("keymgr", "-c", tree.conf, "three.test.", "ds")
    island = tree.write("island.ds", "\n".join(l for l in ds.splitlines() if " 15 2 " in l) + "\n")
    use("44.128.0.54", anchor=island)
    h.until("the island's anchor alone counts", lambda: ask("www.three.test", do=True).ad, 5)
    m = ask("evil.good.test", do=True)  # not required: it is given out, and says what it is
    h.same((m.addresses, m.ad, [code for code, _ in m.ede]), ([TRUE[0]], False, [5]), "an indeterminate answer")
    with Watch() as watch:
        for turn in range(2):
            for cd in (False, True):
                for qtype in ("A", "AAAA", "HTTPS"):
                    m = ask("www.good.test", qtype, cd=cd)
                    assert m and not m.answer and m.ede and "is indeterminate" in m.ede[0][1], (qtype, cd, told(m))
    watch.nothing()


h.after(lambda failed: print(sp.logs() if failed else "", end=""))
h.main()
