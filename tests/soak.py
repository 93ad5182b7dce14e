"""The long forms, which do not fit into ./dev test.

usage: soak.py [fuzz [SECONDS]] | [reference [SECONDS]] | [chaos [SECONDS]] | [kills [COUNT]] | [load [SECONDS]] | [switch [COUNT]] | [history] | [flush [COUNT]] | [upstream [COUNT]] | [clients] | [hostile [COUNT]]    default: all
    fuzz     every target for SECONDS each (600)
    reference  what the validator calls secure is confirmed by another implementation, each minute with
             another seed, for SECONDS (1,800)
    chaos    random deaths, stops, switches and flushes under load for SECONDS (1,800)
    kills    every role killed COUNT times (20), three seconds apart, under load
    load     two workloads at full speed for SECONDS (300); the history's counts must be exact
    history  200,000 queries exactly; 20 deaths of each role; a historian that stands still for a minute;
             more onto a full disk than the backlog holds
    switch   COUNT policy switches under load (10,000)
    upstream hostile upstreams and clients, COUNT times (20), each with another seed
    hostile  COUNT messages changed at random (3,000,000) from a hostile resolver to the firewall role
    clients  datagrams and TCP messages of every length, longer floods
    flush    `nft flush ruleset` COUNT times under load (2,000), with an owned table and without
"""
import os, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(*cmd, **env):
    print("$", *cmd, flush=True)
    return subprocess.run(cmd, cwd=ROOT, env=dict(os.environ, **env)).returncode


def fuzz(seconds="600"):
    return run("./dev", "fuzz", seconds)


def reference(seconds="1800"):
    """Each round draws a seed and prints it: val_mutants COUNT SEED plays it again."""
    failed = run("./dev", "build", "asan")
    end = time.monotonic() + float(seconds)
    while not failed and time.monotonic() < end:
        failed = run("/usr/bin/python3", "tests/fuzz/validator/reference.py", "build/asan/tests/val_mutants", "20000",
                     str(int.from_bytes(os.urandom(7), "big") | 1))
    return failed


def load(seconds="300"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/soak_load.py", LOAD_SECONDS=seconds)


def switch(count="10000"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/test_switch.py", "thousand", SWITCHES=count)


def upstream(count="20"):
    """Each round draws a seed and prints it; SEED=... plays it again."""
    if run("./dev", "build"):
        return 1
    return sum(run("/usr/bin/python3", f"tests/e2e/{name}.py", SECONDS="20")
               for _ in range(int(count)) for name in ("test_upstream", "test_upstream_way", "test_upstream_cost", "test_hostile"))


def chaos(seconds="1800"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/soak_chaos.py", CHAOS_SECONDS=seconds)


def kills(count="20"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/test_crash.py", KILLS=count, KILLS_GAP="3")


def history():
    if run("./dev", "build"):
        return 1
    return (run("/usr/bin/python3", "tests/e2e/test_history_attack.py", HISTORY_KILLS="20", HISTORY_KILL_GAP="1",
                HISTORY_READ="200000") +
            run("/usr/bin/python3", "tests/e2e/test_history_slow.py", HISTORY_STILL="60", HISTORY_FULL="400000"))


def flush(count="2000"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/test_flush.py", FLUSHES=count)


def clients():
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/test_clients_hostile.py", CLIENTS_LONG="1")


def hostile(messages="3000000"):
    return run("./dev", "build") or run("/usr/bin/python3", "tests/e2e/test_hostile_roles.py", HOSTILE_MESSAGES=messages,
                                        HOSTILE_SECONDS="7200")


forms = {"clients": clients, "fuzz": fuzz, "reference": reference, "chaos": chaos, "kills": kills, "load": load, "switch": switch, "history": history,
         "flush": flush, "upstream": upstream,
         "hostile": hostile}
args = sys.argv[1:]
if args and args[0] not in forms:
    sys.exit(f"no such form: {args[0]}; there are: {', '.join(forms)}")
failed = [name for name in (args[:1] or forms) if forms[name](*args[1:])]
print(f"{len(args[:1] or forms) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)
