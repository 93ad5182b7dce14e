"""Chaos: random deaths, stops, policies, flushes, full disks, outages and clocks, under full load of two
workloads; the checker of tests/chaos finds every promise kept at every moment.

CHAOS_SECONDS (1800) and CHAOS_SEED in the environment; the seed is printed, and the same seed does the
same again. CHAOS_SAY=1 prints each deed. The daemon's log is kept in build/soak-chaos.log.
"""
import os, shutil, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
from chaos import Chaos

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1800"))
SEED = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1000000))
LOG = os.path.join(h.ROOT, "build/soak-chaos.log")
h.enter(os.path.abspath(__file__), seconds=SECONDS * 1.5 + 180)
n.build()


@h.case
def every_promise_is_kept_whatever_happens():
    print(f"    CHAOS_SEED={SEED}", flush=True)
    chaos = Chaos("chaos", SEED)
    schedule = chaos.schedule(SECONDS)
    schedule += [(at, "count", None, 0) for at in range(15, int(SECONDS) - 10, 20)]
    schedule.sort(key=lambda s: s[0])
    try:
        chaos.run(SECONDS, schedule, lambda l: print(l, flush=True) if os.environ.get("CHAOS_SAY") else None)
        lines, seen = chaos.end()
    except Exception:
        print("".join(chaos.lines), chaos.sp.logs())
        raise
    finally:
        shutil.copy(chaos.sp.log, LOG)
        chaos.close()
    print("\n".join(f"    {l}" for l in lines))
    print(f"    {seen}", flush=True)
    h.same(seen["broken"], {}, f"CHAOS_SEED={SEED}")


h.main()
