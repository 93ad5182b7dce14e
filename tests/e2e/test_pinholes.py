"""Promise P1: no answer that carries an address leaves before the kernel has confirmed its pinhole."""
import os, re, signal, socket, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import netlink
import network as n

h.enter(os.path.abspath(__file__), seconds=300)
n.build()
up = n.answerer(ttl=300)
# Longer than the default, so that a busy machine does not look like a broken promise.
ACK_S = 1.0
sp = h.Sallyport("gw", n.CONFIG + "  ack_timeout: 1s\n").up()
sp.apply(n.POLICY)
sink = n.Sink()


TICK_S = 0.004  # the kernel counts an element's life in ticks: CONFIG_HZ is 250 or more


def ends(address):
    """When each element that opens `address` ends, in time.monotonic(): the kernel's own word, read element
    by element; the look itself takes far less than a millisecond, and is added."""
    out = []
    src, name = ("fd00:1::2", "pinhole6") if ":" in address else ("10.1.0.2", "pinhole4")
    for proto, port in ((socket.IPPROTO_UDP, 4000), (socket.IPPROTO_TCP, 4001)):
        got = netlink.left("gw", name, netlink.key(src, address, proto, port))
        assert got, f"{address}: no element"
        out.append(got[0] + got[2] + TICK_S)
    return out


@h.case
def every_elements_timeout_is_at_least_the_TTL_served_plus_grace():
    global up
    margins = []
    for ttl in (0, 1, 300, 86400):
        h.stop(up)
        up = n.answerer(ttl=ttl)
        for round in range(3):
            with h.inside("app"):
                m = h.ask(n.DNS4, f"t{40000 + ttl % 9973}.good.test")
            answered = time.monotonic()
            assert m and m.addresses, f"TTL {ttl}: {m and m.status} {m and m.ede}"
            served = m.answer[0][2]
            for end in ends(m.addresses[0]):
                assert end >= answered + served + 60, \
                    f"TTL {ttl}, round {round}: served {served}, but it ends {end - answered:.3f} s after the answer"
                margins.append(end - answered - served - 60)
            time.sleep(1.1 if round == 0 else 0)
    print(f"    {min(margins) * 1000:.0f} to {max(margins) * 1000:.0f} ms longer than promised", flush=True)
    h.stop(up)
    up = n.answerer(ttl=300)


@h.case
def an_elements_comment_and_pinholes_name_the_same_query_version_and_rule():
    with h.inside("app"):
        m = h.ask(n.DNS4, "t39000.good.test")
    told = {(p["destination"], p["proto"], p["port"]): "q{query_id} v{policy_version} r{rule_id}".format(**p)
            for p in sp.json("pinholes", "--workload", "app")}
    for proto, port in (("udp", 4000), ("tcp", 4001)):
        out = h.nft("gw", "get", "element", "inet", "sallyport", "pinhole4",
                    "{ 10.1.0.2 . %s . %s . %d }" % (m.addresses[0], proto, port))
        h.same(re.search('comment "(.*?)"', out).group(1), told[m.addresses[0], proto, port], "ids")
    query = int(re.match("q([0-9]+) ", told[m.addresses[0], "udp", 4000]).group(1))
    h.until("the history knows the query",
            lambda: [r["name"] for r in sp.json("history", "--id", str(query))] == ["t39000.good.test."], 3)


@h.case
def a_stale_answer_renews_its_pinhole():
    global up
    h.stop(up)
    up = n.answerer(ttl=1)
    with h.inside("app"):
        m = h.ask(n.DNS4, "s41000.good.test")
    address = m.addresses[0]
    h.stop(up)
    time.sleep(2.2)
    with h.inside("app"):
        m = h.ask(n.DNS4, "s41000.good.test", timeout=8)
    answered = time.monotonic()
    up = n.answerer(ttl=300)
    assert m and m.addresses == [address], f"no stale answer: {m and m.status} {m and m.ede}"
    h.same(m.answer[0][2], 30, "TTL of a stale answer (RFC 8767)")
    assert any(code == 3 for code, _text in m.ede), f"no EDE 3: {m.ede}"
    for end in ends(address):
        assert end >= answered + 30 + 60, f"it ends {end - answered:.3f} s after the answer"


@h.case
def two_workloads_ask_10000_new_names_each_and_no_first_packet_is_rejected():
    sink.reset()
    runs = [n.asker(ns, prefix=f"{ns}-".replace("2", "b"), first=first, count=10000, types="a", window=256, sink=4000,
                    wait=False) for ns, first in (("app", 0), ("app2", 10000))]
    got = [n.asker_result(p) for p in runs]
    for g in got:
        h.same((g["answered"], g["noerror"], g["sent"], g["icmp_errors"]), (10000, 10000, 10000, 0), str(g))
    h.same(sink.count(), 20000, "distinct first packets that arrived (IPv4)")


@h.case
def AAAA_over_IPv4_opens_for_the_workloads_single_IPv6_address():
    sink.reset()
    got = n.asker("app", prefix="y", first=20000, count=9000, types="6", window=256, sink=4000)
    h.same((got["noerror"], got["sent"], got["icmp_errors"], sink.count()), (9000, 9000, 0, 9000), str(got))


@h.case
def A_and_AAAA_over_IPv6_open_too():
    sink.reset()
    got = n.asker("app2", prefix="z", first=30000, count=4000, types="a6", window=128, sink=4000, server="fd00:2::1")
    h.same((got["noerror"], got["sent"], got["icmp_errors"], sink.count()), (8000, 8000, 0, 8000), str(got))


@h.case
def an_address_that_was_never_answered_is_closed():
    assert not n.udp_passes("app", "44.128.255.250", 4000 + 1), "a raw address passed"
    with h.inside("app"):
        m = h.ask(n.DNS4, "x999.good.test")
    h.same(m.addresses, ["44.128.3.231"])
    assert not n.udp_passes("app", "44.128.3.231", 4002), "a port that the rule lacks passed"
    assert not n.udp_passes("app2", "44.128.3.231", 4005), "another port of another workload passed"


@h.case
def with_fwsync_stopped_the_answer_is_SERVFAIL_in_time_and_the_stale_batch_opens_nothing():
    pid = sp.role_pid("fwsync")
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with h.inside("app"):
            m = h.ask(n.DNS4, "x42000.good.test", timeout=3)
        took = time.monotonic() - begin
    finally:
        os.kill(pid, signal.SIGCONT)
    assert m and m.status == "SERVFAIL" and not m.addresses, f"{m and m.status}"
    assert m.ede, "no extended error"
    assert took < ACK_S + 0.1, f"took {took:.3f} s"
    time.sleep(ACK_S)
    assert not n.udp_passes("app", "44.128.164.16", 4006)
    out = h.nft("gw", "get", "element", "inet", "sallyport", "pinhole4",
                "{ 10.1.0.2 . 44.128.164.16 . udp . 4000 }", check=False)
    assert "expires" not in out, "the late batch opened its element"


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    code = sp.down()
    if code:
        print(f"not ok sallyportd ended with {code}")


h.main()
