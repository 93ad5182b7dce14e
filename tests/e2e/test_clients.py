"""Real clients behind Sallyport: what people really run asks it and connects."""
import os, re, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

ZONES = {
    "good.test": "www A 44.128.1.1\nwww AAAA 2a00:ffff::101\nfour A 44.128.1.2\nfour AAAA 2a00:ffff::102\n"
                 "chain CNAME edge.cdn.test.\nstub CNAME other.cdn.test.\nbig TXT " + " ".join(f'"{i:03d}{"x" * 200}"' for i in range(12)) + "\n",
    "cdn.test": "edge A 44.128.1.3\nedge AAAA 2a00:ffff::103\nother A 44.128.1.5\nother AAAA 2a00:ffff::105\n",
    "signed.test": "www A 44.128.1.4\n",
}
POLICY = """\
version: 1
profiles:
  p:
    allow:
      - {name: www.good.test, ports: [tcp/80]}
      - {name: chain.good.test, ports: [tcp/80]}
      - {name: stub.good.test, ports: [tcp/80]}
      - {name: four.good.test, types: [A], ports: [tcp/80]}
      - {name: big.good.test, types: [TXT]}
      - {zone: signed.test}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
"""

folder = h.work("knot")
os.makedirs(folder)
conf = f"server:\n  rundir: {folder}\n  listen: 44.128.0.53@53\ndatabase:\n  storage: {folder}\n"
conf += "log:\n  - target: stderr\n    any: warning\n"
conf += "policy:\n  - id: lab\n    algorithm: ecdsap256sha256\n    single-type-signing: on\nzone:\n"
for zone, text in ZONES.items():
    with open(f"{folder}/{zone}", "w") as f:
        f.write(f"$ORIGIN {zone}.\n$TTL 60\n@ SOA ns h 1 3600 900 604800 60\n@ NS ns\nns A 44.128.0.53\n{text}")
    conf += f"  - domain: {zone}\n    file: {folder}/{zone}\n    zonefile-sync: -1\n    journal-content: all\n    zonefile-load: difference\n"
    if zone == "signed.test":
        conf += "    dnssec-signing: on\n    dnssec-policy: lab\n"
with open(f"{folder}/knot.conf", "w") as f:
    f.write(conf)
h.start(["knotd", "-c", f"{folder}/knot.conf"], ns="net", log=f"{folder}/log")


def answers():
    with h.inside("net"):
        m = h.ask("44.128.0.53", "signed.test", "DNSKEY", timeout=0.3)
        return m and m.answer
h.until("knotd has signed its zone", answers, 30)
h.start(["/usr/bin/python3", os.path.join(h.ROOT, "tests/lab/services.py"), "web", "::", "80"], ns="net",
        log=h.work("web.log"))
h.resolver("app", n.DNS4)
sp = h.Sallyport("gw", n.CONFIG).up()
sp.apply(POLICY)


def out(*cmd, check=True):
    p = h.run(list(cmd), ns="app", check=check)
    return p.stdout + p.stderr


@h.case
def dig_asks_and_is_told_why_it_was_refused():
    assert "44.128.1.1" in out("dig", "+short", "www.good.test", "@" + n.DNS4)
    text = out("dig", "other.test", "@" + n.DNS4)
    assert "NXDOMAIN" in text and "EDE: 15 (Blocked)" in text and "no rule" in text, text


@h.case
def dig_over_IPv6_and_with_a_cookie():
    text = out("dig", "+cookie", "www.good.test", "@" + n.DNS6)
    assert "44.128.1.1" in text and "COOKIE:" in text and "(good)" in text, text


@h.case
def kdig_over_TCP():
    assert "44.128.1.1" in out("kdig", "+tcp", "+short", "www.good.test", "@" + n.DNS4)


@h.case
def an_answer_over_1232_octets_is_truncated_and_comes_whole_by_TCP():
    text = out("dig", "+ignore", "TXT", "big.good.test", "@" + n.DNS4)
    assert re.search(r"flags:.* tc", text) and "ANSWER: 0" in text, text
    text = out("dig", "TXT", "big.good.test", "@" + n.DNS4)
    assert "011xxx" in text, text[:400]


@h.case
def getent_uses_glibcs_resolver():
    text = out("getent", "ahosts", "www.good.test")
    assert "44.128.1.1" in text and "2a00:ffff::101" in text, text


MUSL = r'''
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char text[64];
	int r = getaddrinfo(argv[1], "80", &hints, &list);
	if (r) { printf("error %d\n", r); return 1; }
	for (; list; list = list->ai_next) {
		const void *a = list->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)list->ai_addr)->sin_addr
		                                           : (void *)&((struct sockaddr_in6 *)list->ai_addr)->sin6_addr;
		puts(inet_ntop(list->ai_family, a, text, sizeof(text)));
	}
	(void)argc;
	return 0;
}
'''


@h.case
def a_musl_program_resolves_also_where_only_A_is_allowed():
    source, program = h.work("musl.c"), h.work("musl")
    with open(source, "w") as f:
        f.write(MUSL)
    h.run(["musl-gcc", "-static", "-o", program, source])
    os.chmod(program, 0o755)
    text = out(program, "www.good.test")
    assert "44.128.1.1" in text and "2a00:ffff::101" in text, text
    text = out(program, "four.good.test")
    h.same(text.split(), ["44.128.1.2"], "musl with types: [A] (a denied type must be NODATA, not NXDOMAIN)")


@h.case
def curl_connects_over_both_families_and_through_a_chain():
    for name, flag in (("www.good.test", "-4"), ("www.good.test", "-6"), ("chain.good.test", "-4"), ("four.good.test", "-4")):
        assert "hello" in out("curl", "-sS", "--max-time", "4", flag, f"http://{name}/"), f"{name} {flag}"


@h.case
def dnspython_asks_by_UDP_and_TCP():
    code = ("import dns.message, dns.query\n"
            f"q = dns.message.make_query('www.good.test', 'AAAA', use_edns=0, want_dnssec=True)\n"
            f"for ask in (dns.query.udp, dns.query.tcp):\n    print(ask(q, '{n.DNS4}', timeout=3).answer[0])\n")
    text = out("/usr/bin/python3", "-c", code)
    h.same(text.count("2a00:ffff::101"), 2, text)


@h.case
def delv_sees_the_RRSIGs_and_validates_by_itself():
    key = [l for l in out("dig", "+short", "DNSKEY", "signed.test", "@" + n.DNS4).splitlines() if l.startswith("257")]
    assert key, "no DNSKEY came through"
    flags, proto, alg, *data = key[0].split()
    with open(h.work("anchor"), "w") as f:
        f.write(f'trust-anchors {{ signed.test. static-key {flags} {proto} {alg} "{"".join(data)}"; }};\n')
    text = out("delv", "@" + n.DNS4, "-a", h.work("anchor"), "+root=signed.test", "www.signed.test", "A", check=False)
    assert "fully validated" in text and "RRSIG" in text, text


@h.case
def a_stub_that_asks_a_chains_target_by_itself_is_answered():
    # systemd-resolved chases CNAMEs itself: it asks the target as a question of its own.
    with h.inside("app"):
        before = h.ask(n.DNS4, "other.cdn.test")
        assert not before.addresses, "the target is allowed without its chain"
        chain = h.ask(n.DNS4, "stub.good.test")
        h.same(chain.addresses, ["44.128.1.5"])
        for qtype, want in (("A", ["44.128.1.5"]), ("AAAA", ["2a00:ffff::105"])):
            m = h.ask(n.DNS4, "other.cdn.test", qtype)
            h.same(m.addresses, want, f"{qtype} of the target")
    time.sleep(1.2)
    row = [r for r in sp.json("history", "--name", "other.cdn.test", "--verdict", "allow") if r.get("type") == "A"][0]
    h.same(row["reason"], "follow")


@h.case
def systemd_resolved_works_as_a_stub():
    program = os.path.join(h.ROOT, "build/unpacked/lib/systemd/systemd-resolved")
    for path, line in (("/etc/passwd", "systemd-resolve:x:990:990::/:/usr/sbin/nologin\n"),
                       ("/etc/group", "systemd-resolve:x:990:\n")):  # our private copies of them
        with open(path, "a") as f:
            f.write(line)
    os.makedirs("/run/systemd/resolve")
    os.chown("/run/systemd/resolve", 990, 990)
    os.makedirs("/etc/systemd", exist_ok=True)
    with open("/etc/systemd/resolved.conf", "w") as f:
        f.write(f"[Resolve]\nDNS={n.DNS4}\nDomains=~.\nDNSSEC=no\nLLMNR=no\nMulticastDNS=no\n")
    p = h.start([program], ns="app", log=h.work("resolved.log"))

    def stub(name, qtype="A"):
        with h.inside("app"):
            return h.ask("127.0.0.53", name, qtype, timeout=2)
    m = h.until("the stub answers", lambda: stub("chain.good.test"), 10)
    h.same(m.addresses, ["44.128.1.3"])
    h.same(stub("www.good.test", "AAAA").addresses, ["2a00:ffff::101"])
    h.same(stub("four.good.test", "AAAA").status, "NOERROR", "a denied type")
    h.same(stub("other.test").addresses, [])
    h.resolver("app", "127.0.0.53")
    assert "hello" in out("curl", "-sS", "--max-time", "4", "-4", "http://chain.good.test/")
    h.resolver("app", n.DNS4)
    h.stop(p)


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
