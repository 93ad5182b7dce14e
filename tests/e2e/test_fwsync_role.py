"""The firewall role as a process: a held acknowledgement, its heartbeat, its confinement, its user."""
import os, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
from fwsync_net import APP, NET4, POLICY, Tcp, build, end, fresh, tcp

h.enter(os.path.abspath(__file__), seconds=120)
build()


@h.case
def a_held_acknowledgement_delays_the_result_and_an_error_is_one():
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "hold=100"})
    begin = time.monotonic()
    h.same(f.open(NET4), k.OPEN, "held")
    assert time.monotonic() - begin >= 0.1
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "swallow"})
    f.batch([f.request([NET4])])
    h.same(f.results(0.5), None, "swallowed")
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "errno=1"})
    h.same((f.open(NET4), k.element_set("gw", "pinhole4"), f.rows()), (0, {}, {}), "EPERM")
    f = fresh(program="sallyport-fwsync-shim", env={"SALLYPORT_TEST_SHIM": "errno=23"})
    h.same((f.open(NET4), f.rows()), (k.FULL, {}), "ENFILE")


@h.case
def the_heart_beats_and_the_role_is_confined():
    f = fresh()
    a = f.heartbeat()
    time.sleep(0.5)
    assert f.heartbeat() > a, "no heartbeat in 500 ms"
    status = open(f"/proc/{f.p.pid}/status").read()
    h.same([line.split()[1] for line in status.splitlines() if line.startswith("CapEff")],
           ["0000000000001000"], "CAP_NET_ADMIN alone")
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    assert os.listdir(f"/proc/{f.p.pid}/root/") == [], "its root is not empty"


@h.case
def the_heart_beats_while_a_hundred_thousand_ranges_are_filled_in():
    f = fresh(policy=False, prefixes=[])
    hung, filled = [], threading.Event()

    def listen():
        while not filled.wait(0.02):
            hung.append(time.clock_gettime_ns(time.CLOCK_MONOTONIC) - f.heartbeat())

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        f.policy(1, seconds=60, workloads=APP, guarded=[f"10.{i >> 15}.{i >> 7 & 255}.{(i & 127) * 2}" for i in range(100000)])
    finally:
        filled.set()
        listener.join()
    assert max(hung) < 5e9, f"no heartbeat for {max(hung) / 1e9:.1f} s"
    h.same((tcp(NET4, 443), f.open(NET4)), ("refused", k.OPEN), "guarded")


@h.case
def it_works_as_another_user():
    f = fresh(uid=65534)
    h.same(os.stat(f"/proc/{f.p.pid}").st_uid in (0, 65534), True, "owner")
    status = open(f"/proc/{f.p.pid}/status").read()
    assert "Uid:\t65534\t65534\t65534\t65534" in status, status
    h.same((f.open(NET4), tcp(NET4, 443)), (k.OPEN, "open"), "open")
    t = Tcp("app", "net", NET4, 443)
    h.same(t.connect(), "open", "before")
    f.policy(2, **POLICY)
    f.close(2, list(f.rows()))
    h.same(t.talks(), False, "conntrack is in reach, too")
    t.end()
    f.kill()
    f.up()
    h.same(f.heartbeat() > 0, True, "a successor on the same sockets")


h.after(end)
h.main()
