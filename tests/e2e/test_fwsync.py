"""The firewall role's table against the real kernel, with packets: what passes, what is refused, whom it
guards under which policy."""
import ipaddress, json, os, random, socket, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
from fwsync_net import (APP, CONF, NET4, NET4B, NET6, POLICY, Tcp, Udp, build, end,
                        forge, fresh, kernel_ranges, merged, ping, roles, tcp, udp)

h.enter(os.path.abspath(__file__), seconds=120)
build()


@h.case
def an_installed_table_lets_a_guarded_source_reach_nothing():
    fresh()
    h.same(tcp(NET4, 443), "refused", "TCP is answered with RST")
    h.same(udp(NET4, 443), False, "UDP")
    h.same(tcp(NET6, 443), "refused", "TCP over IPv6")
    h.same(udp(NET6, 443), False, "UDP over IPv6")
    h.same(ping("app", NET4), False, "echo")


@h.case
def others_are_not_filtered():
    h.same(tcp(NET4, 443, client="eve"), "open", "an unguarded host")
    h.same(udp(NET4, 443, client="eve"), True, "an unguarded host by UDP")


@h.case
def an_open_pinhole_passes_and_only_it():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PORT, k.TCP, 443), (k.PORT, k.UDP, 443)]), k.OPEN, "status")
    h.same(tcp(NET4, 443), "open", "the pinhole")
    h.same(udp(NET4, 443), True, "the pinhole by UDP, and its answer")
    h.same(tcp(NET4, 444), "refused", "another port")
    h.same(tcp(NET4B, 443), "refused", "another address")
    h.same(tcp(NET4, 443, source="10.1.0.3"), "refused", "another source")
    h.same(ping("app", NET4), False, "another protocol")
    h.same(f.open(NET6, src=["fd00:1::2"], ports=[(k.PORT, k.TCP, 443)]), k.OPEN, "IPv6 status")
    h.same(tcp(NET6, 443), "open", "IPv6")
    h.same(tcp(NET6, 444), "refused", "IPv6, another port")


@h.case
def icmp_means_echo_requests_only():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PROTO, k.ICMP, 0)]), k.OPEN, "status")
    h.same(f.open(NET6, src=["fd00:1::2"], ports=[(k.PROTO, k.ICMP, 0)]), k.OPEN, "status, IPv6")
    h.same((ping("app", NET4), ping("app", NET6)), (True, True), "echo passes")
    h.same(ping("app", NET4B), False, "elsewhere it does not")
    h.same(ping("eve", NET4, kind=13), True, "a timestamp request (RFC 792) would be answered")
    h.same(ping("app", NET4, kind=13), False, "but is not let through")


def refused(counter):
    out = json.loads(h.nft("gw", "-j", "list", "counter", "inet", "sallyport", counter))
    return [o["counter"]["packets"] for o in out["nftables"] if "counter" in o][0]


@h.case
def refusals_are_counted():
    fresh()
    before = refused("refused_forward")
    tcp(NET4, 443)
    h.until("the counter moves", lambda: refused("refused_forward") > before)


@h.case
def a_connection_from_outside_needs_a_syn():
    fresh()
    h.same(tcp("10.1.0.2", 8080, client="net", server="app"), "open", "TCP from outside")
    t = Tcp("net", "app", "10.1.0.2", 8081)
    h.same((t.connect(), t.talks()), ("open", True), "both ways")
    t.end()
    h.same(udp("10.1.0.2", 8080, client="net", server="app"), False, "UDP from outside")


def serving(first, last):
    """A policy under which single addresses have inbound ports."""
    return dict(POLICY, workloads=[dict(APP[0], sources=["10.1.0.2/32", "fd00:1::2/128", "10.1.0.0/24"],
                                        ports=APP[0]["ports"] + [(k.FROM_OUTSIDE, k.UDP, first, last)])])


@h.case
def a_connection_from_outside_by_UDP_needs_an_inbound_port():
    f = fresh()
    h.same(udp("10.1.0.2", 8080, client="net", server="app"), False, "without")
    f.policy(2, **serving(8080, 8081))
    for address in ("10.1.0.2", "fd00:1::2"):
        h.same(udp(address, 8080, client="net", server="app"), True, f"{address}, there and back")
        h.same(udp(address, 8082, client="net", server="app"), False, f"{address}, another port")
    h.same(udp("10.1.0.3", 8080, client="net", server="app"), False, "an address of a prefix")
    h.same(udp(NET4, 8080), False, "outwards it opens nothing")
    h.same(f.open(NET4, ports=[(k.PORT, k.UDP, 8080)]), k.OPEN, "another rule's pinhole")


@h.case
def what_is_not_inbound_any_more_is_cut():
    f = fresh()
    f.policy(2, **serving(8080, 8081))
    kept, gone = Udp("net", "app", "10.1.0.2", 8080), Udp("net", "app", "10.1.0.2", 8081)
    for u in (kept, gone):
        h.same((u.reaches(), u.answered()), (True, True), "before the switch")
    f.policy(3, **serving(8080, 8080))
    f.close(3, [])
    h.same(gone.answered(), False, "its answers")
    h.same(gone.reaches(), False, "its questions")
    h.same((kept.reaches(), kept.answered()), (True, True), "another port")
    # A role that dies between the new policy and what it had to close.
    f.kill()
    f.up(version=4, **POLICY)
    f.close(4, [])
    h.same((kept.answered(), kept.reaches()), (False, False), "after a successor's first list")
    kept.end()
    gone.end()


@h.case
def what_is_forged_in_a_strangers_name_opens_no_way_to_him():
    """eve is the stranger, and hears of it for the first time when app speaks to her."""
    f = fresh()
    f.policy(2, **serving(8080, 8080))
    for own, stranger in (("10.1.0.2", "10.2.0.2"), ("fd00:1::2", "fd00:2::2")):
        forge("net", (stranger, 8443), (own, 8080))
        h.same(udp(stranger, 8443, server="eve", source=(own, 8080)), False, f"{own}, a datagram in her name")
        u = Udp("eve", "app", own, 8080)
        h.same((u.reaches(), u.answered()), (True, True), f"{own}, her own")
        u.end()
    # Two SYNs that cross begin a connection. With strict windows the answer's number must be guessed, too.
    h.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_be_liberal=1"], ns="gw")
    h.nft("app", "add table inet t; add chain inet t c { type filter hook input priority 0; }; "
          "add rule inet t c tcp flags syn / syn,ack drop")  # or its kernel refuses, and that is the end
    try:
        forge("net", ("10.2.0.2", 8443), ("10.1.0.2", 5000), syn=True)
        h.same(tcp("10.2.0.2", 8443, server="eve", source=("10.1.0.2", 5000)), "refused", "a SYN in her name")
        # Linux drops its own IPv4 addresses when they come from outside, IPv6 ones it does not.
        forge("net", ("fd00:2::1", 22), ("fd00:1::2", 5001), syn=True)
        h.same(tcp("fd00:2::1", 22, server="gw", source=("fd00:1::2", 5001)), "refused", "a SYN in the gateway's")
    finally:
        h.nft("app", "delete table inet t")
        h.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_be_liberal=0"], ns="gw")


@h.case
def an_entry_born_without_us_passes_nothing_in_either_direction():
    while roles:
        roles.pop().end()
    h.nft("gw", "flush", "ruleset")
    # conntrack must know them as established before our table comes
    h.nft("gw", "add table ip t; add chain ip t c { type filter hook forward priority 0; }; "
          "add rule ip t c ct state established counter")
    old, old_udp = Tcp("app", "net", NET4, 8443), Udp("app", "net", NET4, 8444)
    h.same(old.connect(), "open", "before the table")
    h.same((old_udp.reaches(), old_udp.answered()), (True, True), "before the table, UDP")
    f = k.Fwsync("gw", **CONF)
    roles.append(f)
    f.up()
    f.policy(1, **POLICY)
    h.same(f.open(NET4, ports=[(k.PORT, k.TCP, 8443), (k.PORT, k.UDP, 8444)]), k.OPEN, "status")
    h.same(old.talks(), False, "established is not enough, not even with a pinhole")
    h.same(old_udp.reaches(), False, "UDP, outwards")
    h.same(old_udp.answered(), False, "UDP, inwards")
    old.end()
    old_udp.end()


@h.case
def errors_about_a_marked_connection_come_back():
    f = fresh()
    h.same(f.open(NET4, ports=[(k.PORT, k.UDP, 9)]), k.OPEN, "status")
    with h.inside("app"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((NET4, 9))  # nobody listens: port unreachable
        s.settimeout(1.0)
        s.send(b"x")
        try:
            s.recv(10)
            raise AssertionError("an answer?")
        except ConnectionRefusedError:
            pass


@h.case
def the_gateway_is_closed_but_for_its_services():
    fresh(gateway_ports=[(k.TCP, 8022)])
    h.same(udp("10.1.0.1", 53, server="gw"), True, "DNS by UDP")
    h.same(tcp("10.1.0.1", 53, server="gw"), "open", "DNS by TCP")
    h.same(tcp("10.1.0.1", 8022, server="gw"), "open", "gateway_ports")
    h.same(ping("app", "10.1.0.1"), True, "echo")
    h.same(ping("app", "fd00:1::1"), True, "echo, and neighbour discovery")
    h.same(tcp("10.1.0.1", 22, server="gw"), "refused", "another service")
    h.same(tcp("198.51.100.1", 53, server="gw"), "refused", "DNS on another address of the gateway")
    h.same(udp("10.1.0.1", 123, server="gw"), False, "another service by UDP")
    h.same(tcp("fd00:1::1", 22, server="gw"), "refused", "another service, IPv6")
    h.same(tcp("10.1.0.2", 8080, client="gw", server="app"), "open", "the gateway may call a workload")
    h.same(udp("10.1.0.2", 8080, client="gw", server="app"), True, "by UDP, too")
    h.same(tcp("10.2.0.1", 22, client="eve", server="gw"), "open", "others reach the gateway")


@h.case
def a_guarded_interface_filters_whatever_the_source():
    fresh(policy=False, interfaces=["to-app"], prefixes=[])
    h.same(tcp(NET4, 443), "refused", "an address of its own")
    h.run(["ip", "addr", "add", "10.77.0.9/32", "dev", "to-gw"], ns="app")
    h.run(["ip", "route", "add", "10.77.0.9/32", "dev", "to-app"], ns="gw")
    h.same(tcp(NET4, 443, source="10.77.0.9"), "refused", "an address that it gave itself")
    h.same(tcp("10.1.0.1", 22, server="gw", source="10.77.0.9"), "refused", "on the gateway, too")


@h.case
def observed_sources_pass_and_are_counted():
    f = fresh()
    f.policy(2, observed=["10.1.0.2"], **POLICY)
    before = refused("observed")
    h.same(tcp(NET4, 443), "open", "observed")
    assert refused("observed") > before, "not counted"
    rules = h.nft("gw", "list", "chain", "inet", "sallyport", "egress").splitlines()
    for source in ("ip saddr @observed4", "ip6 saddr @observed6"):
        h.same([line.split(source)[1].split("level")[0].split("accept")[0].strip() for line in rules if source in line],
               ['limit rate 5/second log prefix "sallyport observed: "', 'counter name "observed"'],
               "what would have been refused is logged and passes")
    h.same(tcp(NET4, 443, source="10.1.0.3"), "refused", "its neighbour is not observed")
    f.policy(3, **POLICY)
    h.same(tcp(NET4, 443), "refused", "observing is over")


@h.case
def a_policy_switch_changes_whom_the_table_guards():
    f = fresh()
    h.same(tcp(NET4, 443, client="eve"), "open", "not guarded yet")
    f.policy(2, workloads=APP, guarded=["10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24", "10.2.0.2", "10.2.1.0/24"])
    h.same(tcp(NET4, 443, client="eve"), "refused", "guarded")
    f.policy(3, workloads=APP, guarded=["0.0.0.0/0", "::/0"])
    h.same(tcp(NET4, 443, client="eve"), "refused", "everybody is guarded")
    f.policy(4, **POLICY)
    h.same(tcp(NET4, 443, client="eve"), "open", "no longer")


@h.case
def after_any_switch_the_guarded_sets_are_exactly_the_policys():
    f = fresh(policy=False, prefixes=[])
    rnd = random.Random(3)

    def nets(base, bits):
        sizes = [rnd.randrange(5) for _ in range(rnd.randrange(40))]
        return [ipaddress.ip_network((base | rnd.randrange(512) & ~((1 << s) - 1), bits - s)) for s in sizes]

    for v in range(1, 61):
        four, six = nets(10 << 24, 32), nets(0xFD << 120, 128)
        if v % 17 == 0:
            four.append(ipaddress.ip_network("0.0.0.0/0"))
        f.policy(v, workloads=[], guarded=map(str, four + six), observed=map(str, four[:5]))
        for name, want in (("guarded4", four), ("guarded6", six), ("observed4", four[:5])):
            h.same(kernel_ranges(name), merged(want), f"{name}, switch {v}")
    h.same(f.counter("fw_lost"), 0, "switched without rebuilding")


h.after(end)
h.main()
