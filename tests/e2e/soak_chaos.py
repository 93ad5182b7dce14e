"""Chaos, first round: random deaths, stops, policy switches and flushes under load.

CHAOS_SECONDS (1800) and SEED in the environment. At every moment: no raw address is open, and a
client gets its answer, SERVFAIL or nothing. At the end: the history has every answer that was
received (rows and gap rows together), and not one query too many.
"""
import os, random, signal, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

SECONDS = float(os.environ.get("CHAOS_SECONDS", "1800"))
SEED = int(os.environ.get("SEED", str(time.time_ns() % 1000000)))
h.enter(os.path.abspath(__file__), seconds=SECONDS * 1.5 + 180)
n.build()
up = n.answerer(ttl=3)
sp = h.Sallyport("gw", n.CONFIG).up()
policies = [n.POLICY, n.POLICY.replace("grace: 60s", "grace: 61s")]
sp.apply(policies[0])
rng = random.Random(SEED)
counted = {"asked": 0, "answered": 0, "events": 0}


def load(stop, failures):
    """Both workloads ask until told to stop; every kind of answer but the right ones is a failure."""
    while not stop.is_set():
        runs = [(n.asker("app", count=1500, types="a6", window=16, wait=False, timeout_ms=1500), "nxdomain"),
                (n.asker("app2", prefix="no", suffix="bad.test", count=3000, window=16, wait=False,
                         timeout_ms=1500), "noerror")]
        for run, wrong in runs:
            g = n.asker_result(run)
            counted["asked"] += g["asked"]
            counted["answered"] += g["answered"]
            if g[wrong] or g["refused"] or g["other"]:
                failures.append(str(g))


def event():
    what = rng.choice(["kill", "kill", "stop", "apply", "flush", "upstream"])
    if what in ("kill", "stop"):
        try:
            pid = sp.role_pid(rng.choice(["resolver", "historian", "fwsync"]), 10)
            os.kill(pid, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
            if what == "stop":
                time.sleep(rng.uniform(0.05, 0.8))
                os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # it died of something else meanwhile
    elif what == "apply":
        sp.apply(rng.choice(policies), check=False)  # may say "stored but not confirmed" while a role is dead
    elif what == "flush":
        h.nft("gw", "flush", "ruleset", check=False)
    else:
        up.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.1, 1.0))
        up.send_signal(signal.SIGCONT)
    counted["events"] += 1


@h.case
def nothing_opens_and_nothing_is_forgotten():
    stop, failures = threading.Event(), []
    t = threading.Thread(target=load, args=(stop, failures))
    t.start()
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            event()
            address = f"44.128.{rng.randrange(200, 250)}.{rng.randrange(1, 255)}"
            assert not n.udp_passes("app", address, 4000, timeout=0.2), f"{address} is open, seed {SEED}"
            time.sleep(rng.uniform(0.5, 3.0))
    finally:
        stop.set()
        t.join(60)
    h.same(failures[:3], [], f"wrong answers, seed {SEED}")

    def totals():
        rows = gaps = 0
        for row in sp.json("history", "--limit", "100000000", timeout=300):
            if "verdict" in row:
                rows += row["count"]
            elif "gap" in row:
                gaps += sum(row["lost"].values())
        return rows, gaps
    h.until("the history is complete", lambda: sum(totals()) >= counted["answered"], 30, 1)
    rows, gaps = totals()
    print(f"    seed {SEED}: {counted}, rows {rows}, in gaps {gaps}", flush=True)
    assert rows <= counted["asked"], f"{rows} recorded, {counted['asked']} asked, seed {SEED}"


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
