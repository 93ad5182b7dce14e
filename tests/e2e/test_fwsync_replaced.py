"""While the firewall role replaces its table nothing passes that neither the old nor the new one lets
through, and what a role leaves that dies meanwhile is put right by the next."""
import os, signal, socket, struct, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import fwsync_keeper as k
import netlink
from fwsync_net import NET4, NET4B, POLICY, Tcp, build, end, fresh, tcp

h.enter(os.path.abspath(__file__), seconds=120)
build()

INTERIM = "sallyport_interim"
CPUS = sorted(os.sched_getaffinity(0))


class Flood:
    """UDP without a pinhole as fast as one processor sends it; the role runs on the others."""

    def __init__(self, seconds=30):
        with h.inside("net"):
            self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.s.bind((NET4B, 443))
        self.s.settimeout(0.2)
        if len(CPUS) > 1:
            os.sched_setaffinity(0, CPUS[:-1])
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.send(time.monotonic() + seconds)
            finally:
                os._exit(0)

    def send(self, until):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.sched_setaffinity(0, CPUS[-1:])
        with h.inside("app"):
            c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        while time.monotonic() < until:
            for _ in range(100):
                try:
                    c.sendto(b"never", (NET4B, 443))
                except OSError:
                    pass  # the refusal of an earlier one

    def passed(self):
        """How many came through, and the end of it."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        os.sched_setaffinity(0, CPUS)
        n = 0
        try:
            while self.s.recv(64):
                n += 1
        except OSError:
            pass
        self.s.close()
        return n


def tables():
    """(the table is there, the interim one is)"""
    return netlink.has_table("gw"), netlink.has_table("gw", INTERIM)


def make_foreign():
    """Another version's table."""
    h.nft("gw", "add chain inet sallyport stranger")


@h.case
def a_table_that_is_put_back_filters_at_every_moment():
    f = fresh(owner=0)
    h.same(f.open(NET4), k.OPEN, "status")
    t, flood = Tcp("app", "net", NET4, 443), Flood()
    h.same(t.connect(), "open", "before")
    try:
        for i in range(20):
            lost = f.counter("fw_table_lost")
            make_foreign()
            h.until("put back", lambda: f.counter("fw_table_lost") > lost, seconds=5)
            h.until("the interim table is gone", lambda: tables() == (True, False), seconds=5)
    finally:
        n = flood.passed()
    h.same((n, t.talks(), len(k.element_set("gw", "pinhole4"))), (0, True, 1), "passed without a pinhole; with one")
    t.end()


@h.case
def a_role_that_dies_between_the_steps_opens_nothing():
    f = fresh(owner=0)
    h.same(f.open(NET4), k.OPEN, "status")
    t, flood, died = Tcp("app", "net", NET4, 443), Flood(), []
    h.same(t.connect(), "open", "before")
    try:
        for i in range(5):
            f.kill()
            make_foreign()
            if netlink.has_table("gw", INTERIM):  # or we would not see that the next role makes it
                h.nft("gw", "delete", "table", "inet", INTERIM)
            f.spawn()
            f.configure()
            f.tell_policy(1, **POLICY)
            f.send(k.END)
            patience = time.monotonic() + 5
            while not netlink.has_table("gw", INTERIM) and time.monotonic() < patience:
                pass
            f.p.send_signal(signal.SIGSTOP)
            died.append(tables())
            h.same(t.talks(), True, "a connection meanwhile")
        f.kill()
        make_foreign()
        h.same(died, [(True, True)] * 5, "both are there when it dies")
        f.up(version=1, **POLICY)
    finally:
        n = flood.passed()
    h.same((n, tables(), t.talks()), (0, (True, False), True), "passed without a pinhole; tables; with one")
    h.same((tcp(NET4B, 443), f.open(NET4B), tcp(NET4B, 443)), ("refused", k.OPEN, "open"), "as ever")
    t.end()


@h.case
def what_a_dead_role_left_goes_when_the_table_stands():
    leave = f"add table inet {INTERIM}; add chain inet {INTERIM} c {{ type filter hook forward priority 0; policy drop; }}"
    f = fresh(owner=0)
    h.same(f.open(NET4), k.OPEN, "status")
    for what, before in (("adopted", ""), ("lost", "delete table inet sallyport; "),
                         ("another version's", "add chain inet sallyport stranger; ")):
        f.kill()
        h.nft("gw", before + leave)
        h.same(tcp(NET4, 443), "silence", f"{what}: closed until then")
        f.up(version=1, **POLICY)
        h.same((tables(), tcp(NET4, 443), tcp(NET4B, 443)), ((True, False), "open", "refused"), what)


@h.case
def a_guard_that_may_not_replace_the_table_leaves_nothing():
    f = fresh(set_size=4096)
    h.same(f.open(NET4), k.OPEN, "status")
    g = k.Fwsync("gw", set_size=8192, prefixes=["10.1.0.0/24"])
    h.same(g.guard_only(), 0, "beside a running daemon's of another shape")
    assert "a running daemon owns the table" in g.log(), g.log()
    g.netlink.close()
    h.same((tables(), tcp(NET4, 443), tcp(NET4B, 443)), ((True, False), "open", "refused"), "as before")


h.after(end)
h.main()
