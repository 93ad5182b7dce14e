"""A long load: two workloads at full speed; the sums of the history are exact at the end."""
import os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

SECONDS = float(os.environ.get("LOAD_SECONDS", "300"))
h.enter(os.path.abspath(__file__), seconds=SECONDS * 2 + 120)
n.build()
up = n.answerer(ttl=5)
sp = h.Sallyport("gw", n.CONFIG).up()
sp.apply(n.POLICY)


@h.case
def the_sums_are_exact_after_a_long_load():
    asked = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        runs = [n.asker("app", count=15000, types="a6", window=64, wait=False),
                n.asker("app2", prefix="no", suffix="bad.test", count=30000, window=64, wait=False)]
        for r in runs:
            g = n.asker_result(r)
            h.same((g["lost"], g["servfail"]), (0, 0), str(g))
            asked += g["asked"]

    def total():
        return sum(r.get("count", 0) for r in sp.json("history", "--limit", "100000000", timeout=300) if "verdict" in r)
    h.until("all rows", lambda: total() >= asked, 30, 1)
    h.same(total(), asked, "queries in the history")
    print(f"    {asked} queries", flush=True)


h.main()
