"""Pinholes in the real kernel: what is refused, how long they live, what closes them, a full set."""
import json, os, signal, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
from fwsync_net import APP, NET4, NET4B, NET6, POLICY, Tcp, Udp, build, end, fresh, tcp_again

h.enter(os.path.abspath(__file__), seconds=120)
build()


@h.case
def what_the_guard_table_does_not_permit_is_refused():
    f = fresh()
    f.policy(2, workloads=[{"name": "app", "sources": ["10.1.0.2"], "ports": [(k.PORT, k.TCP, 443, 445)],
                            "internals": ["198.51.100.7"], "life": 100, "pinholes": 3}], guarded=["10.1.0.0/24"])
    p443 = [(k.PORT, k.TCP, 443)]
    for title, want, kw in (
            ("all as permitted", k.OPEN, {}),
            ("another source", k.OUTSIDE, dict(src=["10.1.0.3"])),
            ("one source more", k.OUTSIDE, dict(src=["10.1.0.2", "10.1.0.3"])),
            ("another port", k.OUTSIDE, dict(ports=[(k.PORT, k.TCP, 446)])),
            ("another protocol", k.OUTSIDE, dict(ports=[(k.PORT, k.UDP, 443)])),
            ("every port", k.OUTSIDE, dict(ports=[(k.PROTO, k.TCP, 0)])),
            ("everything", k.OUTSIDE, dict(ports=[(k.ANY, 0, 0)])),
            ("another internal address", k.OUTSIDE, dict(dst=[NET4B])),
            ("a global address", k.OPEN, dict(dst=["44.1.2.3"])),
            ("the resolver says internal", k.OUTSIDE, dict(dst=[NET4B], flags=1)),
            ("loopback", k.OUTSIDE, dict(dst=["127.0.0.1"])),
            ("multicast", k.OUTSIDE, dict(dst=["224.0.0.1"])),
            ("cloud metadata", k.OUTSIDE, dict(dst=["169.254.169.254"])),
            ("longer than permitted", k.OUTSIDE, dict(life=101)),
            ("an unknown workload", k.OUTSIDE, dict(workload=1)),
            ("an older version", k.STALE, dict(version=1)),
            ("a newer version", k.STALE, dict(version=3)),
            ("no source of that family", k.MALFORMED, dict(dst=["2001:db8::7"]))):
        kw = dict(dict(dst=[NET4], ports=p443), **kw)
        h.same(f.open(*kw.pop("dst"), **kw), want, title)
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.7 . 6 . 443", "10.1.0.2 . 44.1.2.3 . 6 . 443"], "what the kernel has")
    h.same(k.element_set("gw", "pinhole4_any"), {}, "nothing else")


@h.case
def malformed_and_late_batches_open_nothing():
    f = fresh()
    f.batch([], raw=b"\0" * 40)
    f.batch([f.request([NET4])], deadline=-1)
    h.same([r[0] for r in f.results()], [k.LATE], "a deadline that has passed")
    h.same(f.results(0.3), None, "a malformed message gets no answer")
    h.same(f.counter("fw_refused_malformed"), 1, "but is counted")
    h.same(k.element_set("gw", "pinhole4"), {}, "the set")


@h.case
def a_stopped_role_refuses_stale_batches_when_it_goes_on():
    f = fresh()
    f.p.send_signal(signal.SIGSTOP)
    f.batch([f.request([NET4])], deadline=0.25)
    h.same(f.results(0.5), None, "stopped")
    f.p.send_signal(signal.SIGCONT)
    h.same([r[0] for r in f.results()], [k.LATE], "too late")
    h.same(k.element_set("gw", "pinhole4"), {}, "nothing was opened")


@h.case
def a_workload_may_open_so_many_addresses_and_renew_them():
    f = fresh()
    f.policy(2, workloads=[dict(APP[0], pinholes=3)], guarded=["10.1.0.0/24"])
    h.same(f.open("44.0.0.1", "44.0.0.2"), k.OPEN, "two")
    h.same(f.open("44.0.0.3", "44.0.0.4", names=(b"other",)), k.WORKLOAD_FULL, "two more are too many")
    h.same(f.open("44.0.0.3"), k.OPEN, "one more")
    h.same(f.open("44.0.0.1", life=300), k.OPEN, "renewing")
    h.same(f.open("44.0.0.1", ports=[(k.PORT, k.TCP, 80)]), k.OPEN, "another port of one that is open")
    h.same(f.counter("fw_limit_workload"), 1, "counted")
    h.same(len(k.element_set("gw", "pinhole4")), 4, "elements")


@h.case
def timeouts_are_at_least_the_life_asked_for():
    f = fresh()
    for i, life in enumerate((1, 30, 61, 3600, 86400)):
        h.same(f.open(f"44.0.1.{i}", life=life), k.OPEN, "status")
    got = k.element_set("gw", "pinhole4")
    for i, life in enumerate((1, 30, 61, 3600, 86400)):
        timeout, expires = got[f"10.1.0.2 . 44.0.1.{i} . 6 . 443"]
        assert timeout >= life and expires >= life - 1, (life, timeout, expires)


def comments(name="pinhole4"):
    """{key: comment} of a set's elements, as nft tells it."""
    out = {}
    for item in json.loads(h.nft("gw", "-n", "-j", "list", "set", "inet", "sallyport", name))["nftables"]:
        for e in item.get("set", {}).get("elem", []):
            out[" . ".join(map(str, e["elem"]["val"]["concat"]))] = e["elem"].get("comment")
    return out


@h.case
def an_element_names_its_query_and_rule_and_nothing_else():
    f = fresh(owner=0)
    h.same(f.open(NET4, query=2 ** 63 + 5, rule=4000000000), k.OPEN, "the largest ids")
    h.same(f.open(NET6, src=("fd00:1::2",), ports=((k.PORT, k.UDP, 53), (k.ANY, 0, 0)), query=42), k.OUTSIDE, "any")
    h.same(f.open(NET6, src=("fd00:1::2",), ports=((k.PORT, k.UDP, 53), (k.PROTO, k.ICMP, 0)), query=42), k.OPEN, "IPv6")
    key4, want = "10.1.0.2 . 198.51.100.7 . 6 . 443", {f"10.1.0.2 . {NET4} . 6 . 443": f"q{2 ** 63 + 5} v1 r4000000000"}
    h.same(comments(), want, "pinhole4")
    h.same((set(comments("pinhole6").values()), set(comments("pinhole6_proto").values())),
           ({"q42 v1 r7"}, {"q42 v1 r7"}), "IPv6")
    h.same(f.open(NET4, life=900, query=9), k.OPEN, "renewed")
    h.same(comments(), want, "renewing keeps the comment")
    h.nft("gw", "flush", "ruleset")
    h.until("put back with its newest ids", lambda: comments_or_none() == {key4: "q9 v1 r7"}, 2)
    # As many as go into one transaction, with the longest ids and keys.
    h.same(f.open(*[f"2001:db8::{i:x}" for i in range(1, 1500)], src=("fd00:1::2",), query=2 ** 64 - 1,
                  rule=2 ** 32 - 1), k.OPEN, "many at once")
    h.same(sum(c == f"q{2 ** 64 - 1} v1 r{2 ** 32 - 1}" for c in comments("pinhole6").values()), 1499, "all have them")


def comments_or_none():
    try:
        return comments()
    except AssertionError:
        return None


@h.case
def renewing_lengthens_and_never_shortens():
    f = fresh()
    key = "10.1.0.2 . 44.0.0.1 . 6 . 443"
    h.same(f.open("44.0.0.1", life=30), k.OPEN, "first")
    h.same(f.open("44.0.0.1", life=600), k.OPEN, "longer")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600 - 1
    before = f.counter("fw_batches")
    h.same(f.open("44.0.0.1", life=10, names=(b"another",)), k.OPEN, "another reason, shorter")
    h.same(f.counter("fw_batches"), before, "which needs no kernel")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600 - 2, "another reason shortened it"
    time.sleep(1.2)
    h.same(f.open("44.0.0.1", life=600), k.OPEN, "the same life again starts the clock again")
    assert k.element_set("gw", "pinhole4")[key][1] >= 600, "not renewed"


@h.case
def an_expired_pinhole_stops_new_connections_not_old_ones():
    f = fresh()
    h.same(f.open(NET4, life=1), k.OPEN, "status")
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "in time")
    h.until("the element is gone", lambda: not k.element_set("gw", "pinhole4"), seconds=6)
    h.same(tcp_again(), "refused", "a new connection")
    h.same(t.talks(), True, "the old one goes on")
    h.until("its row lingers", lambda: len(f.rows()) == 1, seconds=1)
    # Its reason can still be revoked, with the connection.
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "revoked")
    t.end()


@h.case
def revoking_stops_live_connections_at_once():
    f = fresh()
    ports = [(k.PORT, k.TCP, 443), (k.PORT, k.UDP, 443)]
    h.same(f.open(NET4, ports=ports, names=(b"evil",)), k.OPEN, "status")
    h.same(f.open(NET4B, ports=ports, names=(b"good",)), k.OPEN, "status")
    t, u = Tcp("app", "net", NET4, 443), Udp("app", "net", NET4, 443)
    t2, u2 = Tcp("app", "net", NET4B, 443), Udp("app", "net", NET4B, 443)
    for x in (t, t2):
        h.same((x.connect(), x.talks()), ("open", True), "before")
    for x in (u, u2):
        h.same((x.reaches(), x.answered()), (True, True), "before, UDP")
    epoch = f.epoch()
    f.policy(2, **POLICY)
    begin = time.monotonic()
    f.close(2, [i for i, r in f.rows().items() if b"evil" in r[2]])
    took = time.monotonic() - begin
    h.same((t.talks(), u.reaches(), u.answered()), (False, False, False), "revoked")
    h.same((t2.talks(), u2.reaches(), u2.answered()), (True, True, True), "not revoked")
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.8 . 17 . 443", "10.1.0.2 . 198.51.100.8 . 6 . 443"], "elements")
    assert f.epoch() > epoch, "the epoch was not raised"
    assert took < 1, f"took {took:.3f} s"
    assert f.counter("fw_flows_cut") >= 2, "flows cut are not counted"
    h.same(f.counter("fw_closed"), 2, "elements closed")
    for x in (t, u, t2, u2):
        x.end()


@h.case
def revoking_one_of_two_reasons_leaves_the_other_its_life():
    f = fresh()
    key = "10.1.0.2 . 44.0.0.1 . 6 . 443"
    f.open("44.0.0.1", life=3000, names=(b"long",))
    f.open("44.0.0.1", life=100, names=(b"short",))
    f.policy(2, **POLICY)
    f.close(2, [i for i, r in f.rows().items() if b"long" in r[2]])
    left = k.element_set("gw", "pinhole4")[key][1]
    assert 90 <= left <= 102, f"left {left}"
    f.close(2, [i for i, r in f.rows().items() if b"short" in r[2]])
    h.same(k.element_set("gw", "pinhole4"), {}, "the last reason")


@h.case
def a_row_that_the_new_version_has_opened_again_is_not_closed_by_the_old_list():
    f = fresh()
    f.open("44.0.0.1")
    rows = f.rows()
    f.policy(2, **POLICY)
    h.same(f.open("44.0.0.1"), k.OPEN, "judged again")
    f.close(2, rows)
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")


@h.case
def a_list_made_before_a_row_became_another_pinholes_does_not_close_it():
    f = fresh()
    h.same(f.open("44.0.0.1"), k.OPEN, "first")
    rows = f.rows()
    f.close(1, list(rows))
    h.same(f.open("44.0.0.2"), k.OPEN, "in its place")
    h.same(list(f.rows()), list(rows), "the row's number")
    f.close(1, rows)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 44.0.0.2 . 6 . 443"], "elements")
    f.close(1, f.rows())
    h.same(k.element_set("gw", "pinhole4"), {}, "a list of its own closes it, under the same version")


@h.case
def a_full_set_refuses_what_does_not_fit_and_only_that():
    f = fresh(set_size=64)
    for i in range(60):
        h.same(f.open(f"44.1.0.{i}"), k.OPEN, "filling")
    # Eight requests in one message: some of them are a renewal, four fit.
    f.batch([f.request([f"44.1.1.{i}"]) for i in range(6)] + [f.request(["44.1.0.1"], life=500),
                                                             f.request(["44.1.0.2"], life=500)])
    got = [r[0] for r in f.results()]
    h.same(sorted(got), [k.OPEN] * 6 + [k.FULL] * 2, "results")
    h.same(got[6:], [k.OPEN, k.OPEN], "renewals")
    h.same(len(k.element_set("gw", "pinhole4")), 64, "elements")
    h.same(f.counter("fw_set_full"), 2, "counted")
    h.same(len(f.rows()), 64, "rows that explain them")


@h.case
def room_comes_back_when_elements_expire():
    f = fresh(set_size=16)
    for i in range(16):
        f.open(f"44.1.0.{i}", life=1)
    h.same(f.open("44.1.1.1"), k.FULL, "full")
    h.until("room again", lambda: f.open("44.1.1.1") == k.OPEN, seconds=8, step=0.3)


@h.case
def two_workers_share_transactions_and_get_their_own_results():
    f = fresh()
    for round in range(50):
        for w in (0, 1):
            f.batch([f.request([f"44.{w}.{round}.{i}"], names=(b"n%d" % i,)) for i in range(20)], worker=w)
    got = [f.results(worker=w) for w in (0, 1) for _ in range(50)]
    h.same(all(r[0] == k.OPEN for rs in got for r in rs), True, "all open")
    h.same(sum(len(g) for g in got), 2000, "results")
    h.same(f.counter("fw_elements"), 2000, "elements")
    assert f.counter("fw_batches") <= 100, f.counter("fw_batches")


h.after(end)
h.main()
