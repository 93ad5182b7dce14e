"""What the firewall role's table keeps out of connection tracking, as rules and with packets, and a table of
the version before it did."""
import os, struct, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
import netlink
from fwsync_net import CONF, NET4, NET4B, POLICY, Tcp, Udp, build, end, fresh, udp

h.enter(os.path.abspath(__file__), seconds=120)
build()


def rules(chain):
    text = h.nft("gw", "list", "chain", "inet", "sallyport", chain)
    return [l.strip() for l in text.splitlines()[2:] if l.strip() not in ("", "}")]


RAW = "type filter hook %s priority raw; policy accept;"


@h.case
def only_what_is_listened_on_has_rules_against_tracking():
    fresh()
    ours = "th %s 53 ip %s . meta l4proto . th %s @dns4 "
    h.same(rules("raw_prerouting"), [RAW % "prerouting", ours % ("dport", "daddr", "dport") +
                                     "fib daddr type local notrack accept"], "questions")
    h.same(rules("raw_output"), [RAW % "output", ours % ("sport", "saddr", "sport") + "notrack accept",
                                 "meta oiftype loopback " + ours % ("dport", "daddr", "dport") +
                                 "fib daddr type local notrack accept"], "answers, and questions over loopback")
    h.same(rules("output")[1:3], ["ct state untracked accept", "ct direction reply accept"], "the way of answers")
    h.same(rules("errors"), [f"icmp type {t} @th,160,32 . @th,136,8 . @th,224,16 @dns4 accept" for t in
                             ("destination-unreachable", "time-exceeded", "parameter-problem")], "errors")
    fresh(dns=[("10.1.0.1", 53), ("fd00:1::1", 5353), ("0.0.0.0", 54), ("::", 55)])
    for chain, side, port, then in (("raw_prerouting", "daddr", "dport", ["fib daddr type local "] * 4),
                                    ("raw_output", "saddr", "sport", ["", "fib saddr type local "] * 2)):
        h.same(rules(chain)[1:5], [
            f"ip {side} . meta l4proto . th {port} @dns4 {then[0]}notrack accept",
            f"meta nfproto ipv4 meta l4proto . th {port} @dns4_any {then[1]}notrack accept",
            f"ip6 {side} . meta l4proto . th {port} @dns6 {then[2]}notrack accept",
            f"meta nfproto ipv6 meta l4proto . th {port} @dns6_any {then[3]}notrack accept"], f"{chain}, all forms")
    h.same(len(rules("errors")), 8, "errors about all of them")
    h.same((udp("198.51.100.1", 54, server="gw"), udp("198.51.100.1", 55, server="gw"), udp("2001:db8::1", 55, server="gw")),
           (True, False, True), "an IPv4 wildcard opens IPv4 alone, an IPv6 wildcard IPv6")
    f = fresh(track_dns=1)
    h.same((rules("raw_prerouting"), rules("raw_output"), rules("errors"), rules("output")[1]),
           ([RAW % "prerouting"], [RAW % "output"], [], "ct direction reply accept"), "track_dns")
    h.same([r for r in rules("gateway") if "errors" in r], [], "track_dns: nobody goes there")
    f.conf_args = CONF
    f.configure()
    f.send(k.END)
    f.expect(k.READY)
    h.same((len(rules("raw_prerouting")), len(rules("raw_output"))), (2, 3), "a new configuration, track_dns off")


def tracked(address):
    return h.run(["conntrack", "-L", "-d", address], ns="gw").stdout.count("dport=53 ")


@h.case
def a_listeners_address_that_is_another_machines_now_stays_tracked():
    fresh(dns=[("10.1.0.1", 53), (NET4B, 53)])
    h.same((udp("10.1.0.1", 53, server="gw"), udp("10.1.0.1", 53, client="gw", server="gw")), (True, True), "ours")
    h.same(tracked("10.1.0.1"), 0, "ours")
    h.same((udp(NET4B, 53, client="eve"), udp(NET4B, 53, client="gw")), (True, True), "another machine's")
    h.same(tracked(NET4B), 2, "forwarded, and the gateway's own question")


@h.case
def an_older_versions_table_is_replaced_without_a_gap():
    """A table without the chains that keep DNS out of tracking, as the version before them left it."""
    f = fresh(owner=0)
    ports = [(k.PORT, k.UDP, 443), (k.PORT, k.TCP, 443)]
    h.same(f.open(NET4, ports=ports), k.OPEN, "status")
    t, u = Tcp("app", "net", NET4, 443), Udp("app", "net", NET4, 443)
    h.same((t.connect(), u.reaches()), ("open", True), "before")
    f.kill()
    h.nft("gw", "flush chain inet sallyport raw_prerouting; flush chain inet sallyport raw_output; "
          "delete chain inet sallyport raw_prerouting; delete chain inet sallyport raw_output")
    done, stop, sent, shut = netlink.transactions("gw"), threading.Event(), [], Udp("app", "net", NET4B, 443)

    def go_on():
        while not stop.wait(0.001):
            sent.append(struct.pack("=Q", len(sent)))
            u.c.send(sent[-1])
            try:
                shut.c.send(b"never")
            except OSError:
                pass  # the refusal of the last one

    sender = threading.Thread(target=go_on)
    sender.start()
    try:
        f.up(version=1, **POLICY)
        time.sleep(0.1)
    finally:
        stop.set()
        sender.join()
    heard = []
    try:
        while len(heard) < len(sent):
            heard.append(u.s.recv(64))
    except OSError:
        pass
    assert len(sent) >= 30, len(sent)
    h.same(len(heard), len(sent), "of what an open pinhole lets through")
    try:
        raise AssertionError(f"passed without a pinhole: {shut.s.recv(64)}")
    except OSError:
        pass
    h.same((len(rules("raw_prerouting")), len(k.element_set("gw", "pinhole4")), t.talks()), (2, 2, True), "the table")
    h.same(f.log().count("table built"), 2, "it was not taken for this version's")
    h.same(netlink.transactions("gw") - done <= 5, True, "three transactions, beside the look for owned tables")
    for x in (t, u, shut):
        x.end()


h.after(end)
h.main()
