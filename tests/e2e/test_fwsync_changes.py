"""What strangers change in the firewall's table is put right."""
import os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
import netlink
from fwsync_net import NET4, NET4B, Tcp, build, end, fresh, tcp, tcp_again

h.enter(os.path.abspath(__file__), seconds=120)
build()


@h.case
def an_owned_table_cannot_be_flushed():
    f = fresh()
    f.open(NET4)
    h.nft("gw", "flush", "ruleset")
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    out = h.run(["nft", "delete", "element", "inet", "sallyport", "pinhole4",
                 "{ 10.1.0.2 . 198.51.100.7 . 6 . 443 }"], ns="gw", check=False)
    assert out.returncode != 0, "a stranger deleted an element of an owned table"
    h.same((f.counter("fw_lost"), tcp(NET4, 443), tcp(NET4B, 443)), (0, "open", "refused"), "as before")


@h.case
def a_flushed_table_is_put_back_with_its_pinholes():
    f = fresh(owner=0)
    f.open(NET4)
    t = Tcp("app", "net", NET4, 443)
    h.same((t.connect(), t.talks()), ("open", True), "before")
    epoch, lost, done = f.epoch(), f.counter("fw_lost"), netlink.transactions("gw")
    h.nft("gw", "flush", "ruleset")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    h.same(netlink.transactions("gw") - done, 4, "transactions: the flush, the interim table, the table, and one's end")
    assert f.epoch() > epoch, "the epoch was not raised"
    h.same(len(k.element_set("gw", "pinhole4")), 1, "elements")
    h.same((tcp(NET4B, 443), tcp_again(), t.talks()), ("refused", "open", True), "as before")
    assert f.counter("fw_lost") >= 1
    h.same(f.open(NET4), k.OPEN, "asked again in the new epoch")
    t.end()


@h.case
def what_passed_while_the_table_was_gone_is_cut():
    f = fresh(owner=0)
    f.open(NET4)
    h.nft("gw", "add table ip evil; add chain ip evil c { type filter hook forward priority -5; }; "
          "add rule ip evil c ct mark set 0x10000000")
    t = Tcp("app", "net", NET4B, 8080)
    # A stranger's mark lets a connection in that no row explains, until the next look.
    h.same(t.connect(), "open", "by a forged mark")
    h.nft("gw", "delete table ip evil")
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "delete table inet sallyport")
    h.until("put back", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.until("cut", lambda: not t.talks(), seconds=2)
    t.end()


@h.case
def an_element_deleted_by_hand_comes_back_and_one_added_goes():
    f = fresh(owner=0)
    f.open(NET4)
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "delete", "element", "inet", "sallyport", "pinhole4", "{ 10.1.0.2 . 198.51.100.7 . 6 . 443 }")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.until("put back", lambda: len(k.element_set("gw", "pinhole4")) == 1, seconds=1)
    epoch, lost = f.epoch(), f.counter("fw_lost")
    h.nft("gw", "add", "element", "inet", "sallyport", "pinhole4",
          "{ 10.1.0.2 . 198.51.100.8 . 6 . 443 timeout 1h }")
    h.until("put right", lambda: f.counter("fw_lost") > lost, seconds=1)
    assert f.epoch() > epoch, "the epoch was not raised"
    h.until("the other one has gone", lambda: list(k.element_set("gw", "pinhole4")) == ["10.1.0.2 . 198.51.100.7 . 6 . 443"],
            seconds=1)


@h.case
def more_changes_than_are_told_apart_are_put_right():
    f = fresh(owner=0)
    for i in range(3):
        h.same(f.open(f"44.0.0.{i}"), k.OPEN, "status")
    had = sorted(k.element_set("gw", "pinhole4"))
    foreign = ", ".join(f"10.1.0.2 . 198.51.{i >> 8}.{i & 255} . 6 . 443 timeout 1h" for i in range(3000))
    for change in ("add element inet sallyport pinhole4 { %s }" % foreign, "flush set inet sallyport pinhole4"):
        epoch, lost = f.epoch(), f.counter("fw_lost")
        h.run(["nft", "-f", "-"], ns="gw", input=change)
        h.until(f"{change[:30]}: noticed", lambda: f.counter("fw_lost") > lost, seconds=1)
        assert f.epoch() > epoch, "the epoch was not raised"
        h.until(f"{change[:30]}: put right", lambda: sorted(k.element_set("gw", "pinhole4")) == had, seconds=1)


@h.case
def rules_and_guarded_sets_changed_by_hand_are_put_right():
    f = fresh(owner=0)
    for change in ("insert rule inet sallyport forward accept", "flush chain inet sallyport egress",
                   "flush set inet sallyport guarded4", "add chain inet sallyport extra",
                   "add rule inet sallyport open accept"):
        epoch, lost = f.epoch(), f.counter("fw_lost")
        h.nft("gw", change)
        h.until(f"{change}: noticed", lambda: f.counter("fw_lost") > lost, seconds=1)
        assert f.epoch() > epoch, "the epoch was not raised"
        h.same(tcp(NET4, 443), "refused", change)


@h.case
def other_peoples_tables_are_not_our_business():
    f = fresh(owner=0)
    epoch = f.epoch()
    h.nft("gw", "add table inet other; add set inet other s { type ipv4_addr; }; "
          "add element inet other s { 192.0.2.1 }; delete table inet other")
    time.sleep(0.3)
    h.same((f.epoch(), f.counter("fw_lost")), (epoch, 0), "epoch")


h.after(end)
h.main()
