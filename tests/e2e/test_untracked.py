"""DNS between clients and our own listeners takes no room in the kernel's connection tracking: a flood of
questions does not fill it. What is not ours stays tracked, errors about answers are no refusals, and
firewall.track_dns brings tracking back for who redirects DNS to a listener."""
import os, re, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=280)
n.build()
# far 10.3.0.2, fd00:3::2 - hop - gw: the way to far is narrower than both of its ends know.
for name in ("hop", "far"):
    h.host(name)
h.wire("gw", ["10.2.0.1/24", "fd00:4::1/64"], "hop", ["10.2.0.2/24", "fd00:4::2/64"])
h.wire("hop", ["10.3.0.1/24", "fd00:3::1/64"], "far", ["10.3.0.2/24", "fd00:3::2/64"])
h.forwarding("hop")
for ns, dest, via in (("far", "default", "10.3.0.1"), ("far", "default", "fd00:3::1"), ("hop", "default", "10.2.0.1"),
                      ("hop", "default", "fd00:4::1"), ("gw", "10.3.0.0/24", "10.2.0.2"), ("gw", "fd00:3::/64", "fd00:4::2")):
    h.route(ns, dest, via)
h.run(["ip", "link", "set", "to-far", "mtu", "1300"], ns="hop")
up = n.answerer(ttl=300)
big = h.Upstream("net", "44.128.0.54", lambda name, qtype: (0, [
    h.rr(name, qtype, 60, b"".join(b"\xfa" + os.urandom(250) for _ in range(16)))]))

LISTEN = n.CONFIG.replace("upstreams:", "  - {address: 127.0.0.1, port: 53}\nupstreams:")
CONFIG = LISTEN.replace("dnssec:", "  - zone: big.test\n    servers: [{address: 44.128.0.54, port: 53}]\ndnssec:").replace(
    "to-stranger]", "to-stranger, to-hop]")
ANYWHERE = re.sub(r"listen:\n(  - .*\n)+", 'listen:\n  - {address: 0.0.0.0, port: 53}\n  - {address: "::", port: 53}\n', CONFIG)
TRACKED = "  track_dns: true\n"
POLICY = n.POLICY.replace("tcp/4001]}", "tcp/4001, udp/53]}\n      - {zone: big.test, types: [TXT]}") + \
    '  far: {source: [10.3.0.2, "fd00:3::2"], profile: open}\n'
LISTENERS = {"10.1.0.1", "fd00:1::1", "10.1.1.1", "fd00:2::1", "10.66.0.1", "127.0.0.1", "10.2.0.1", "fd00:4::1"}

# A translation that leads elsewhere than to a listener: named once, and no harm.
h.nft("gw", "add table ip theirs; add chain ip theirs leave { type nat hook postrouting priority 100; }")
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def entries():
    """(protocol, source, destination, port) of all tracked connections' first packets."""
    out = []
    for f in ("ipv4", "ipv6"):
        for line in h.run(["conntrack", "-L", "-f", f], ns="gw").stdout.splitlines():
            m = re.search(r"^(\w+).*? src=(\S+) dst=(\S+) sport=\d+ dport=(\d+)", line)
            if m:
                out.append((m.group(1), m.group(2), m.group(3), int(m.group(4))))
    return out


def of_clients():
    return [e for e in entries() if e[3] == 53 and e[2] in LISTENERS or e[1] in LISTENERS and e[3] >= 1024]


def counter(name):
    return int(re.search(r"packets (\d+)", h.nft("gw", "list", "counter", "inet", "sallyport", name)).group(1))


def configure(config):
    """Another configuration, by reload; without the entries of the last one."""
    sp.configure(config)
    h.same(sp.json("reload")[0]["reloaded"], True, "reload")
    h.run(["conntrack", "-F"], ns="gw", check=False)


def ask_from_ports(server, count):
    """One question by UDP from each of so many ports; how many were answered, and from how many ports."""
    answered, ports = 0, set()
    with h.inside("app"):
        for i in range(count):
            with socket.socket(family(server), socket.SOCK_DGRAM) as s:
                s.bind(("", 10000 + i))
                ports.add(s.getsockname()[1])
                s.connect((server, 53))
                answered += h.ask(server, f"x{i % 50}.good.test", sock=s, timeout=5) is not None
    return answered, len(ports)


def ask_all_ways(count):
    for server in (n.DNS4, n.DNS6):
        h.same(ask_from_ports(server, count), (count, count), f"answers of {server}")
        with h.inside("app"):
            for i in range(20):
                m = h.ask(server, f"x{i}.good.test", tcp=True)
                assert m and m.addresses, f"by TCP from {server}"
    with h.inside("gw"):
        for server in ("127.0.0.1", "10.1.0.1", "fd00:1::1"):
            for tcp in (False, True):
                m = h.ask(server, "x1.good.test", tcp=tcp)
                h.same(m and m.status, "REFUSED", f"over loopback, {server}, TCP {tcp}")


@h.case
def questions_from_five_thousand_ports_are_answered_and_not_tracked():
    h.run(["conntrack", "-F"], ns="gw", check=False)
    ask_all_ways(2500)
    h.same(of_clients(), [], "entries")


@h.case
def what_is_not_ours_stays_tracked():
    for config in (CONFIG, ANYWHERE):
        if config is ANYWHERE:
            sp.down()
            sp.configure(config)
            sp.up()
        h.run(["conntrack", "-F"], ns="gw", check=False)
        ask_all_ways(50)
        with h.inside("app"):
            m = h.ask(n.DNS4, f"y{len(config)}.good.test")
        there = m.addresses[0]
        h.same(n.udp_passes("app", there, 53), True, "a pinhole to somebody else's port 53")
        got = entries()
        h.same([e for e in got if e[3] == 53 and (e[2] in LISTENERS or e[1] in LISTENERS)], [], "ours")
        assert ("udp", "10.1.0.2", there, 53) in got, f"a forwarded question is not tracked: {got}"
        assert ("udp", "172.31.0.1", "44.128.0.53", 53) in got, f"our own question is not tracked: {got}"
    with h.inside("net"):
        h.same(h.ask("172.31.0.1", "x1.good.test").status, "REFUSED", "all addresses are listened on")
    sp.down()
    sp.configure(CONFIG)
    sp.up()


@h.case
def with_track_dns_they_are_tracked_and_a_reload_changes_it():
    for _ in range(2):
        configure(CONFIG + TRACKED)
        h.same(ask_from_ports(n.DNS4, 200)[0], 200, "tracked: answers")
        with h.inside("app"):
            assert h.ask(n.DNS6, "x1.good.test", tcp=True).addresses
        got = of_clients()
        assert len([e for e in got if e[0] == "udp"]) >= 200, f"only {len(got)} entries"
        assert ("tcp", "fd00:1::2", "fd00:1::1", 53) in got, "TCP"
        configure(CONFIG)
        h.same((ask_from_ports(n.DNS4, 200)[0], of_clients()), (200, []), "not tracked")


# ---- a flood


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def room():
    """How many entries gw may have: few where a kernel lets a namespace say so, else what the host says."""
    h.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_max=8192"], ns="gw", check=False)
    return int(h.run(["sysctl", "-n", "net.netfilter.nf_conntrack_max"], ns="gw").stdout)


FLOODERS = [f"10.1.0.{i}" for i in range(10, 20)]
RATE = 60000


def flood(count, passes):
    """Ask from so many ports, more than two seconds between two questions from one: an entry that was
    answered and used again counts as assured, and the kernel evicts none of those."""
    with h.inside("app"):
        socks = []
        for a in FLOODERS:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            s.bind((a, 0))
            s.connect((n.DNS4, 0))
            socks.append(s)
    q = h.question("x1.good.test")
    frames = [struct.pack("!HHHH", port, 53, 8 + len(q), 0) + q for port in range(2000, 2000 + count // 10)]
    for _ in range(passes):
        begin = time.monotonic()
        for i, frame in enumerate(frames):
            for s in socks:
                try:
                    s.send(frame)
                except OSError:
                    pass  # its own queue is full: one less
            if i % 50 == 0:
                time.sleep(max(0, begin + 10 * i / RATE - time.monotonic()))
        time.sleep(max(0, begin + 2.5 - time.monotonic()))
    for s in socks:
        s.close()


def new_flows_pass(to, tries=20):
    """How many of app2's new connections through its pinhole reach the other end."""
    with h.inside("net"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((to, 4000))
    server.settimeout(0.2)
    passed = 0
    for _ in range(tries):
        token = os.urandom(8)
        with h.inside("app2"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as c:
            c.sendto(token, (to, 4000))
            try:
                passed += server.recv(64) == token
            except OSError:
                pass
    server.close()
    return passed


@h.case
def a_flood_of_questions_does_not_stop_another_workloads_connections():
    top = room()
    if top > 300000:
        raise h.Skip(f"nf_conntrack_max is {top}, and this kernel does not let a namespace say less")
    for a in FLOODERS:
        h.run(["ip", "addr", "add", a + "/24", "dev", "to-gw"], ns="app")
    h.nft("app", "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o icmp type "
          "destination-unreachable drop")
    try:
        for config in (CONFIG + TRACKED, CONFIG):
            configure(config)
            with h.inside("app2"):
                to = h.ask("10.1.1.1", "x77.good.test").addresses[0]
            h.same(new_flows_pass(to, 5), 5, "before the flood")
            ports = top * 51 // 50
            flood(ports, 2 if config is CONFIG else 3)
            passed = new_flows_pass(to)
            for _ in range(4):  # answers may have been lost on a busy machine: their entries can be evicted
                if config is CONFIG or passed < 10:
                    break
                flood(ports, 1)
                passed = new_flows_pass(to)
            held = int(h.run(["conntrack", "-C"], ns="gw").stdout)
            print(f"    {'tracked' if config is not CONFIG else 'untracked'}: {held} of {top} entries, {passed} of 20 "
                  "new connections pass", flush=True)
            if config is CONFIG:
                h.same((passed, held < 1000), (20, True), "new connections of another workload, few entries")
            else:  # else the flood is none, and the other half shows nothing
                assert held > top * 9 // 10 and passed < 10, f"the flood does no harm where DNS is tracked: {held}, {passed}"
    finally:
        h.run(["conntrack", "-F"], ns="gw", check=False)
        h.nft("app", "delete table ip t")
        for a in FLOODERS:
            h.run(["ip", "addr", "del", a + "/24", "dev", "to-gw"], ns="app")


# ---- errors about answers


def unreachables(version):
    text = h.run(["cat", "/proc/net/snmp6"], ns="gw").stdout
    if version == 6:
        return int(re.search(r"Icmp6InDestUnreachs\s+(\d+)", text).group(1))
    lines = [l.split() for l in h.run(["cat", "/proc/net/snmp"], ns="gw").stdout.splitlines() if l.startswith("Icmp:")]
    return int(lines[1][lines[0].index("InDestUnreachs")])


def ask_and_go(server):
    """Questions whose sender is gone when the answers come: no socket has their ports."""
    v6, q = ":" in server, h.question("x1.good.test")
    h.run(["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"], ns="app")
    with h.inside("app"), socket.socket(family(server), socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
        if v6:
            s.setsockopt(socket.IPPROTO_IPV6, 7, 6)  # IPV6_CHECKSUM: the kernel fills it in
        for port in range(30):
            s.sendto(struct.pack("!HHHH", 3000 + port, 53, 8 + len(q), 0) + q, (server, 0))
            time.sleep(0.01)


@h.case
def a_client_that_has_gone_is_no_refusal():
    before = counter("refused_gateway")
    for version, server in ((4, n.DNS4), (6, n.DNS6)):
        seen = unreachables(version)
        ask_and_go(server)
        h.until(f"IPv{version}: the kernel is told", lambda: unreachables(version) >= seen + 20, 3)
    h.same(counter("refused_gateway"), before, "refused_gateway")


@h.case
def an_error_about_anything_else_is_refused():
    """Another port, another address, a redirect, echo replies that nobody asked for."""
    def quoting(kind, src, sport, proto=17):
        inner = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 60, 0, 0, 64, proto, 0, socket.inet_aton(src), socket.inet_aton("10.1.0.2"))
        body = struct.pack("!BBHI", kind, 1, 0, 0) + inner + struct.pack("!HHHH", sport, 40000, 40, 0) + b"\0" * 20
        return body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with h.inside("app"):
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    for what, message, refused in (
            ("ours", quoting(3, "10.1.0.1", 53), 0), ("ours, in time", quoting(11, "10.1.0.1", 53), 0),
            ("ours, by TCP", quoting(3, "10.1.0.1", 53, 6), 0), ("another port", quoting(3, "10.1.0.1", 22), 1),
            ("another protocol", quoting(3, "10.1.0.1", 53, 132), 1), ("another address", quoting(3, "10.66.0.9", 53), 1),
            ("a redirect", quoting(5, "10.1.0.1", 53), 1)):
        before = counter("refused_gateway")
        s.sendto(message, ("10.1.0.1", 0))
        time.sleep(0.05)
        h.same(counter("refused_gateway") - before, refused, what)
    s.close()
    h.same(n.udp_passes("app", "44.128.200.200", 4000), False, "nothing is open")


@h.case
def a_smaller_path_MTU_reaches_the_connection():
    for server in ("10.1.0.1", "fd00:1::1"):
        with h.inside("far"):
            m = h.ask(server, f"x{len(server)}.big.test", "TXT", tcp=True, timeout=5)
        assert m and len(m.raw) > 4000, f"{server}: {m and (m.status, m.ede, len(m.raw))}"
    for version, dest in (("-4", "10.3.0.2"), ("-6", "fd00:3::2")):
        route = h.run(["ip", version, "route", "get", dest], ns="gw").stdout
        assert "mtu 1300" in route, f"the way was not too narrow: {route}"


# ---- as before


@h.case
def a_forged_source_is_still_dropped_and_counted():
    before, answered = counter("spoofed"), counter("refused_gateway")
    h.run(["ip", "addr", "add", "44.128.255.9/32", "dev", "to-gw"], ns="app")
    with h.inside("app"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("44.128.255.9", 0))
        s.connect((n.DNS4, 53))
        h.same(h.ask(n.DNS4, "x1.good.test", sock=s, timeout=0.3), None, "an answer")
    h.run(["ip", "addr", "del", "44.128.255.9/32", "dev", "to-gw"], ns="app")
    h.same((counter("spoofed") - before, counter("refused_gateway")), (1, answered), "counters")


@h.case
def pinholes_and_replies_are_as_before():
    with h.inside("app"):
        to = h.ask(n.DNS4, "z1.good.test").addresses[0]
    with h.inside("net"):
        server, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        listener = socket.socket()
        server.bind((to, 4000))
        listener.bind((to, 4001))
        listener.listen(1)
    with h.inside("app"):
        c, t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
    for s in (server, other, listener, c, t):
        s.settimeout(1)
    c.connect((to, 4000))
    c.send(b"out")
    data, who = server.recvfrom(10)
    server.sendto(b"back", who)
    h.same((data, c.recv(10)), (b"out", b"back"), "UDP")
    t.connect((to, 4001))
    peer, _ = listener.accept()
    peer.sendall(b"hello")
    h.same(t.recv(10), b"hello", "TCP")
    h.same(n.udp_passes("app", to, 4002), False, "another port")
    h.same(n.udp_passes("app", "44.128.9.9", 4000), False, "another address")
    for s in (server, other, listener, c, t, peer):
        s.close()


@h.case
def the_gateways_own_connections_towards_a_workload_are_answered():
    with h.inside("app"):
        listener = socket.socket()
        listener.bind(("10.1.0.2", 8080))
        listener.listen(1)
    with h.inside("gw"):
        c = socket.create_connection(("10.1.0.2", 8080), timeout=1)
    c.close()
    listener.close()


# ---- translation


def warned():
    return [l for l in open(sp.log, errors="replace").read().splitlines() if "firewall.track_dns" in l]


@h.case
def a_redirection_needs_tracking_and_the_log_says_so():
    h.same(warned(), [], "a chain at postrouting redirects nothing")
    h.nft("gw", "add table ip theirs; add chain ip theirs lead { type nat hook prerouting priority -100; }; "
          "add rule ip theirs lead ip daddr 192.0.2.53 udp dport 53 dnat to 10.1.0.1; "
          "add rule ip theirs lead ip daddr 192.0.2.53 tcp dport 53 dnat to 10.1.0.1")
    configure(CONFIG)
    h.same(warned(), [], "the configuration is the same: nothing to start")
    sp.down()
    sp.up()
    said = warned()
    h.same([len(said), "ip theirs lead" in said[0]], [1, True], f"one warning with its name: {said}")
    with h.inside("app"):
        h.same(h.ask("192.0.2.53", "x1.good.test", timeout=0.3), None, "an answer that was not translated back")
    configure(CONFIG + TRACKED)
    with h.inside("app"):
        for tcp in (False, True):
            m = h.ask("192.0.2.53", "x1.good.test", tcp=tcp)
            assert m and m.addresses, f"redirected, TCP {tcp}"
    h.same(len(warned()), 1, "no warning where it is tracked")


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
