"""Chaos in short (the long form: soak_chaos.py), and the checker itself: whoever says that all is well
must be able to see that it is not. Each fault is planted while nothing else happens.

CHAOS_SEED and CHAOS_SECONDS (60) in the environment.
"""
import os, sqlite3, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
from chaos import Chaos, POLICIES, words

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1000000))
h.enter(os.path.abspath(__file__), seconds=300 + 2 * SECONDS)
n.build()


def run(name, seconds, schedule, before=None, **kw):
    """The checker's lines and its summary."""
    chaos = Chaos(name, SEED, **kw)
    try:
        chaos.run(seconds, schedule(chaos))
        return chaos.end(before=before and (lambda: before(chaos)))
    except Exception:
        print("".join(chaos.lines)[-4000:], chaos.sp.logs())
        raise
    finally:
        chaos.close()


@h.case
def every_promise_is_kept_whatever_happens():
    print(f"    CHAOS_SEED={SEED}", flush=True)
    lines, seen = run("chaos", SECONDS, lambda chaos: chaos.schedule(SECONDS))
    print("\n".join(f"    {l}" for l in lines))
    print(f"    {seen}", flush=True)
    h.same(seen["broken"], {}, f"CHAOS_SEED={SEED}")
    # It has seen what it judges.
    for what, least in (("pinholes_first", 500), ("promises_seen", 1000), ("crossed", 500), ("flows_first", 50),
                        ("upstream_queries", 100), ("elements_listed", 100), ("rows", 1000), ("switches", 1)):
        assert seen.get(what, 0) >= least, f"{what}: {seen.get(what, 0)}"


def leak(chaos):
    """A process on the gateway asks upstream what no policy allows."""
    with h.inside("gw"):
        h.ask("44.128.0.53", "x1.secret.test", timeout=0.5)


def pretend(chaos):
    """The checker is told of a policy that the daemon is not."""
    chaos.n_policies += 1
    chaos.tell(f"begin {chaos.n_policies} {words(POLICIES[4])}")
    chaos.tell(f"end {chaos.n_policies}")


def open_by_hand(chaos):
    """The daemon is dead, and somebody opens the table that it left (with one, it would be put right)."""
    chaos.sp.process.kill()
    chaos.sp.process.wait()
    h.until("the roles end", lambda: not {"fwsync", "resolver"} & set(chaos.pids()), 5)
    time.sleep(0.2)
    h.nft("gw", "add", "element", "inet", "sallyport", "pinhole4", "{ 10.1.0.2 . 44.128.99.99 . udp . 9 timeout 1m }")
    h.nft("gw", "insert", "rule", "inet", "sallyport", "egress", "accept")
    time.sleep(2.5)
    chaos.sp.up()


def falsify(chaos):
    """Rows too few (more than a killed worker may have lost), and queries too many."""
    chaos.sp.down()
    for name in os.listdir(os.path.join(chaos.state, "history")):
        if not name.endswith("allow.db"):
            continue
        db = sqlite3.connect(os.path.join(chaos.state, "history", name))
        for rows, statement in ((400, "DELETE FROM query WHERE t IN (SELECT t FROM query ORDER BY t DESC LIMIT 400)"),
                                (1, "UPDATE fold SET count = count + 5000 WHERE t = (SELECT min(t) FROM fold)")):
            h.same(db.execute(statement).rowcount, rows, statement)
        db.commit()
        db.close()


@h.case
def the_checker_finds_an_answer_that_did_not_wait_for_its_pinhole():
    lines, seen = run("early", 3, lambda _: [], resolver="sallyport-resolver-broken", fwsync="sallyport-fwsync-shim",
                      env={"SALLYPORT_TEST_SHIM": "hold=30"})
    # Whichever of the three it meets first: packets, the sets, or the order of both.
    assert "P1" in seen["broken"], seen["broken"]
    assert any(said in l for l in lines for said in ("was answered before", "did not pass", "is not open")), lines[:5]


@h.case
def the_checker_finds_what_was_planted():
    def plant(chaos):
        chaos.leak, chaos.pretend, chaos.open = (lambda *_: leak(chaos)), (lambda *_: pretend(chaos)), \
            (lambda *_: open_by_hand(chaos))
        return [(0.5, "leak", None, 0), (1.5, "open", None, 0), (5.5, "pretend", None, 0)]
    lines, seen = run("planted", 8, plant, before=falsify)
    for what in ("upstream is asked for x1.secret.test.", "a packet passed that no answer opened a way for",
                 "44.128.99.99 udp/9 is open, and no answer ever opened it", "after its revocation",
                 "is given addresses of", "recorded are", "answered queries are in no row"):
        assert any(what in l for l in lines), f"{what!r} is not among {seen['broken']}: {lines}"
    assert {"P2", "P4", "P5", "P7"} <= set(seen["broken"]), seen["broken"]


h.main()
