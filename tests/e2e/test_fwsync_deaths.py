"""A firewall role dies and another one takes over; configurations change; the guard before the start."""
import ipaddress, os, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
from fwsync_net import (APP, CONF, NET4, NET4B, POLICY, Tcp, build, end, fresh,
                        kernel_ranges, merged, roles, tcp, tcp_again, udp)

h.enter(os.path.abspath(__file__), seconds=180)
build()


def succession(f, owner):
    ports = [(k.PORT, k.TCP, 443)]
    h.same(f.open(NET4, ports=ports), k.OPEN, "status")
    f.open("44.0.0.9", life=2)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    epoch = f.epoch()
    f.kill()
    h.same((tcp_again(), tcp(NET4B, 443), t.talks()), ("open", "refused", True), "while nobody is there")
    f.up()
    f.policy(1, **POLICY)
    assert f.epoch() > epoch, "what was held before must be asked again"
    h.same((tcp_again(), tcp(NET4B, 443), t.talks()), ("open", "refused", True), "adopted")
    h.same(f.open(NET4, ports=ports), k.OPEN, "asked again")
    assert any(dst.endswith(socket.inet_aton(NET4)) for dst, *_ in f.rows().values()), "row adopted"
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "what a predecessor opened can be revoked")
    h.same(k.element_set("gw", "pinhole4"), {}, "elements")
    t.end()


@h.case
def a_successor_adopts_the_table_and_the_ledger():
    succession(fresh(), 1)


@h.case
def a_successor_adopts_without_ownership():
    succession(fresh(owner=0), 0)


@h.case
def a_row_that_the_kernel_does_not_have_is_dropped_at_adoption():
    f = fresh(owner=0)
    f.open("44.0.0.1")
    f.open("44.0.0.2")
    f.kill()
    h.nft("gw", "delete", "element", "inet", "sallyport", "pinhole4", "{ 10.1.0.2 . 44.0.0.1 . 6 . 443 }")
    f.up()
    h.until("the row is gone", lambda: len(f.rows()) == 1, seconds=2)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 44.0.0.2 . 6 . 443"], "the set")


@h.case
def an_element_that_was_lengthened_while_nobody_watched_gets_its_end_back():
    f = fresh(owner=0)
    for i in range(1, 4):
        f.open(f"44.0.0.{i}")
    f.kill()
    for i, life in ((1, "timeout 1d"), (2, "timeout 0s")):
        key = "10.1.0.2 . 44.0.0.%d . 6 . 443" % i
        h.nft("gw", "delete element inet sallyport pinhole4 { %s }; add element inet sallyport pinhole4 { %s %s }"
              % (key, key, life))
    f.up()

    def ends():
        return [f"{end}" for _, end in k.element_set("gw", "pinhole4").values() if not 50 <= end <= 62]
    h.until("put right", lambda: not ends(), seconds=2)
    h.same(len(k.element_set("gw", "pinhole4")), 3, "elements")


@h.case
def a_table_lost_between_two_lives_is_built_from_the_ledger():
    f = fresh(owner=0)
    f.open(NET4)
    f.kill()
    h.nft("gw", "flush", "ruleset")
    f.up(version=1, **POLICY)
    h.same(list(k.element_set("gw", "pinhole4")), ["10.1.0.2 . 198.51.100.7 . 6 . 443"], "the set")
    h.same((tcp(NET4, 443), tcp(NET4B, 443)), ("open", "refused"), "packets")


@h.case
def what_an_older_version_opened_is_put_back_only_when_it_has_been_judged():
    f = fresh(owner=0)
    f.open(NET4, names=(b"stays",))
    f.open(NET4B, names=(b"goes",))
    f.kill()
    h.nft("gw", "flush", "ruleset")
    f.up(version=2, **POLICY)
    h.same((k.element_set("gw", "pinhole4"), tcp(NET4, 443)), ({}, "refused"), "not judged yet")
    h.same(f.open("44.0.0.3"), k.OPEN, "what is asked now is judged")
    f.close(2, [i for i, r in f.rows().items() if b"goes" in r[2]])
    h.same(sorted(k.element_set("gw", "pinhole4")),
           ["10.1.0.2 . 198.51.100.7 . 6 . 443", "10.1.0.2 . 44.0.0.3 . 6 . 443"], "judged")
    h.same((tcp(NET4, 443), tcp(NET4B, 443)), ("open", "refused"), "packets")


@h.case
def who_dies_while_it_closes_leaves_nothing_open_that_nobody_explains():
    """Revoked, and killed in the middle of it: its successor is given the list of what the ledger
    still has, as by the keeper. Then the kernel has nothing either."""
    f = fresh(ledger_rows=16384)
    left = []
    for i in range(24):
        version = f.version
        for n in range(0, 2000, 50):
            f.batch([f.request([f"44.{n >> 8}.{n & 255}.{m}" for m in range(50)])])
            h.same(f.results()[0][0], k.OPEN, "status")
        f.policy(version + 1, **POLICY)
        rows = f.rows()
        h.same(len(rows), 2000, "rows")
        f.send(k.CLOSE, a=version + 1, b=1,
               payload=b"".join(struct.pack("=QII", r[4], row, r[5]) for row, r in rows.items()))
        time.sleep(0.0005 * i)
        f.kill()
        left.append(len(f.rows()))
        f.up(version=version + 1, **POLICY)
        f.close(version + 1, list(f.rows()))
        h.same((len(f.rows()), len(k.element_set("gw", "pinhole4"))), (0, 0), f"death {i}: rows, elements")
    print(f"    rows left by the dead: {left}", flush=True)
    assert max(left) > 0 and min(left) < 2000, f"no death was early, or none was late: {left}"


@h.case
def rows_that_a_dying_role_left_half_written_are_closed_with_the_next_version():
    f = fresh()
    f.open(NET4)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    f.kill()
    i = next(iter(f.rows()))
    f.maps[f.ledger][k.HEAD + k.ROW * i] |= 1  # its version counter: odd
    f.up(version=1, **POLICY)
    f.close(1, [])
    h.same((f.rows(), t.talks()), ({}, True), "nobody can explain it; it goes on under its version")
    f.policy(2, **POLICY)
    f.close(2, [])
    h.same((t.talks(), k.element_set("gw", "pinhole4")), (False, {}), "not under another")
    t.end()


@h.case
def a_new_keeper_takes_over_an_orphaned_table():
    f = fresh()
    f.open(NET4, life=600)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    h.same(f.end(), 0, "exit at the keeper's end")
    f.netlink.close()
    h.same((tcp_again(), tcp(NET4B, 443)), ("open", "refused"), "nobody is there: the table stays")
    g = k.Fwsync("gw", **CONF)
    roles.append(g)
    g.up()
    g.policy(5, **POLICY)
    h.same((t.talks(), tcp(NET4B, 443)), (True, "refused"), "a restart leaves connections alone")
    g.close(5, [])
    h.same(t.talks(), True, "its first version is the policy that was there before")
    g.policy(6, **POLICY)
    g.close(6, [])
    h.same((t.talks(), tcp_again()), (False, "refused"),
           "what nobody can explain does not survive a policy switch")
    t.end()


@h.case
def whom_the_last_policy_guarded_stays_guarded_until_the_next_policy():
    f = fresh(prefixes=[])
    h.same((tcp(NET4, 443), tcp(NET4, 443, client="eve")), ("refused", "open"), "guarded by the policy alone")
    f.kill()
    f.up()
    h.same(tcp(NET4, 443), "refused", "a successor without a policy yet")
    f.end()
    f.netlink.close()
    g = k.Fwsync("gw", **dict(CONF, prefixes=[]))
    roles.append(g)
    g.up()
    h.same(tcp(NET4, 443), "refused", "a new keeper's")
    g.policy(0, workloads=[], guarded=[])
    h.same(tcp(NET4, 443), "refused", "it says that there is no policy yet")
    g.configure()
    g.send(k.END)
    g.expect(k.READY)
    h.same(tcp(NET4, 443), "refused", "a new configuration")
    g.policy(5, workloads=APP, guarded=["10.2.0.0/24"])
    h.same((tcp(NET4, 443), tcp(NET4, 443, client="eve")), ("open", "refused"), "its policy")
    for name, want in (("guarded4", ["10.2.0.0/24"]), ("guarded6", [])):
        h.same(kernel_ranges(name), merged(map(ipaddress.ip_network, want)), name)
    h.same(g.counter("fw_lost"), 0, "without rebuilding")


@h.case
def set_size_and_ownership_may_change_across_a_restart():
    f = fresh(owner=0, set_size=64)
    f.open(NET4)
    f.kill()
    f.conf_args = dict(CONF, owner=1, set_size=128)
    f.up(version=1, **POLICY)
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    assert "size 128" in h.nft("gw", "list", "set", "inet", "sallyport", "pinhole4")
    h.nft("gw", "flush", "ruleset")
    h.same(len(k.element_set("gw", "pinhole4")), 1, "owned now")


@h.case
def a_new_configuration_is_taken_over_by_a_running_role():
    f = fresh()
    f.open(NET4)
    h.same(tcp("10.1.0.1", 8022, server="gw"), "refused", "not yet")
    f.conf_args = dict(CONF, gateway_ports=[(k.TCP, 8022)])
    f.configure()
    f.send(k.END)
    f.expect(k.READY)
    h.same(tcp("10.1.0.1", 8022, server="gw"), "open", "now")
    h.same((f.open(NET4), tcp(NET4, 443)), (k.OPEN, "open"), "pinholes stay")


# ---- guard


@h.case
def guard_installs_a_table_that_lets_nothing_pass_and_keeps_a_live_one():
    while roles:
        f = roles.pop()
        f.end()
        f.netlink.close()
    h.nft("gw", "flush", "ruleset")
    g = k.Fwsync("gw", **CONF)
    h.same(g.guard_only(), 0, "exit status")
    g.netlink.close()
    h.same((tcp(NET4, 443), udp("10.1.0.1", 53, server="gw")), ("refused", True), "guarding")
    f = k.Fwsync("gw", **CONF)
    roles.append(f)
    f.up()
    f.policy(1, **POLICY)
    f.open(NET4)
    g = k.Fwsync("gw", **CONF)
    h.same(g.guard_only(), 0, "beside a running daemon")
    g.netlink.close()
    h.same((tcp(NET4, 443), f.counter("fw_lost")), ("open", 0), "the daemon's table is as it was")


@h.case
def a_table_owned_by_somebody_else_is_an_error_in_words():
    f = fresh()
    g = k.Fwsync("gw", **CONF)
    try:
        g.up()
        raise AssertionError("two daemons on one table")
    except AssertionError as e:
        assert "another process owns the table" in str(e), str(e)
    h.same(f.open(NET4), k.OPEN, "the first one goes on")


h.after(end)
h.main()
