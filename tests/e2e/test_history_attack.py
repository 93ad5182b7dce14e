"""Promise P4 under attack: exact counts of 200,000 mixed queries, deaths, disks that stay full, readers that
never end. HISTORY_QUERIES and HISTORY_KILLS make it longer (./dev soak history)."""
import glob, os, signal, socket, sqlite3, sys, time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import enemy
import harness as h
import network as n

QUERIES = int(os.environ.get("HISTORY_QUERIES", "200000"))
KILLS = int(os.environ.get("HISTORY_KILLS", "2"))
READ_QUERIES = int(os.environ.get("HISTORY_READ", "20000"))
GAP_S = float(os.environ.get("HISTORY_KILL_GAP", "0.8"))
h.enter(os.path.abspath(__file__), seconds=300 + QUERIES // 1000 + KILLS * 30)
from history_world import *

sp = begin("first")

# ---------------------------------------------------------------- exact counts


@h.case
def mixed_queries_at_full_speed_are_in_the_history_with_exact_counts():
    """For each name, type and verdict: sum of count == sent, with nothing in gap rows and nothing
    dropped by the kernel."""
    begun = time.monotonic()
    runs = [Mixed("app", QUERIES // 2), Mixed("app2", QUERIES // 2)]
    sent = Counter()
    for r in runs:
        r.result()
        sent += r.sent
        h.same((r.said["lost"], r.said["reconnects"]), ("0", "1"), f"{r.said} {r.rcodes}")
    took = time.monotonic() - begun
    counters = sp.json("status")[0]["counters"]
    h.same((counters["kernel_drops"], counters["records_lost"], counters["dropped_old"]), (0, 0, 0))
    wait_for(sp, QUERIES)
    n_bad, bad = difference(kept(sp), sent)
    assert n_bad == 0, f"{n_bad} of {len(sent)} differ, as (what, kept, sent): {bad}; gaps {gaps(sp)}"
    h.same(gaps(sp), Counter())
    counters = sp.json("status")[0]["counters"]
    h.same(counters["history_malformed"], 0)
    print(f"    {QUERIES} queries of {len(sent)} kinds in {took:.1f} s, {counters['history_rows']} rows, "
          f"{counters['history_folded']} folded", flush=True)


@h.case
def a_query_that_nobody_could_be_answered_is_a_row():
    """From port 0, where no answer can go: dropped, and recorded."""
    enemy.Spoofer("app", "10.1.0.2", n.DNS4, sport=0).send(53, h.question("zero.good.test", "AAAA"))
    h.until("its row", lambda: select(
        sp, "SELECT workload, client, client_port, type, verdict, reason, unanswered, count FROM queries "
            "WHERE name = 'zero.good.test.'") == [("app", "10.1.0.2", 0, "AAAA", "deny", "malformed", 1, 1)], 5, 0.2)


@h.case
def queries_in_flight_in_a_killed_resolver_are_counted():
    """One that dies with nothing in flight leaves no gap, whatever it has been asked; one that dies with 60
    that wait for the upstream leaves a gap of 60."""
    def restart():
        pid = sp.role_pid("resolver")
        os.kill(pid, signal.SIGKILL)
        h.until("a new resolver", lambda: sp.role_pid("resolver") != pid, 5, 0.05)

    before = gaps(sp)
    restart()
    with h.inside("app"):
        assert h.ask(n.DNS4, "k1.good.test").addresses
    time.sleep(1.5)
    h.same(gaps(sp), before, "an idle resolver's death")
    asked = sp.json("status")[0]["counters"]["queries_udp"]
    up.send_signal(signal.SIGSTOP)
    with h.inside("app"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for i in range(60):
            client.sendto(h.question(f"flight{i}.open.test", qid=i), (n.DNS4, 53))
    h.until("they are read", lambda: sp.json("status")[0]["counters"]["queries_udp"] == asked + 60, 3, 0.05)
    restart()
    up.send_signal(signal.SIGCONT)
    h.until("the gap", lambda: gaps(sp) - before == Counter(datagrams=60), 8, 0.2)
    h.same(sp.json("status")[0]["counters"]["abandoned"], 60)


def balance(before, lost_before, loads):
    """What must be true of the history whatever died meanwhile:
        for each name, type and verdict:   answered <= rows <= sent
        in all:                            answered <= rows + gaps <= sent
    A row is a record of its own, so the first line says that every answer that a client received is
    recorded and that nothing is counted twice. What was read and lost with a process (never answered),
    and what the kernel dropped, is in gap rows; what the kernel still held for a connection that died
    with the resolver was never read and is nowhere."""
    sent, answered = Counter(), Counter()
    for l in loads:
        sent += l.sent
        answered += l.answered
    wait_for(sp, sum(answered.values()), base=sum(before.values()) + sum(lost_before.values()))
    time.sleep(11)  # what has vanished is told when it has not come back for two windows of 5 s
    rows, lost = kept(sp), gaps(sp)
    rows.subtract(before)
    lost.subtract(lost_before)
    unrecorded = [(k, answered[k], rows[k]) for k in answered if rows[k] < answered[k]]
    twice = [(k, rows[k], sent[k]) for k in rows if rows[k] > sent[k]]
    total, gone = sum(rows.values()), sum(lost.values())
    said = (f"sent {sum(sent.values())}, answered {sum(answered.values())}, rows {total}, gaps {dict(+lost)}, "
            f"rcodes {dict(sum((l.rcodes for l in loads), Counter()))}")
    assert not unrecorded, f"{len(unrecorded)} answered and not recorded (what, answered, rows): {unrecorded[:5]}; {said}"
    assert not twice, f"{len(twice)} counted twice (what, rows, sent): {twice[:5]}; {said}"
    assert sum(answered.values()) <= total + gone <= sum(sent.values()), said
    return said


@h.case
def every_answer_has_its_record_and_none_two_whatever_dies():
    before, lost_before = kept(sp), gaps(sp)
    loads = [Load("app"), Load("app2")]
    for _ in range(KILLS):
        for role in ("historian", "resolver", "fwsync"):
            time.sleep(GAP_S)
            pid = sp.role_pid(role)
            os.kill(pid, signal.SIGKILL)
            h.until(f"a new {role}", lambda: sp.role_pid(role) != pid, 5, 0.05)
    said = balance(before, lost_before, [l.end() for l in loads])
    numbers = select(sp, "SELECT id FROM queries")
    h.same(len(set(numbers)), len(numbers), "numbers of rows, all different")
    print(f"    {KILLS} kills each: {said}", flush=True)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@h.case
def what_a_dead_daemon_could_not_write_is_told_by_the_next_one_once():
    """The disk is full and stays so for longer than the last historian waits; the next daemon finds it full
    still (in the long form it dies as well, several times). With room again: rows + gaps == sent, exactly,
    and the same after another start."""
    global sp
    sp.down()
    sp, folder = small_disk("forgotten", "64m")
    trouble = Trouble(sp)
    runs = [Mixed("app", 3000, window=32).result()]
    h.until("the files have them", lambda: sum(kept(sp).values()) >= 3000, 10, 0.2)
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    h.run(["mount", "-o", f"remount,size={used}", folder])
    runs += [Mixed("app", 3000, window=32).result(), Mixed("app2", 3000, window=32).result()]
    for _ in range(1 if KILLS <= 2 else 5):
        last = sp.role_pid("historian")
        sp.process.kill()
        sp.process.wait()
        h.until("the last historian gives up", lambda: not alive(last), 12, 0.1)
        sp.up()
    h.run(["mount", "-o", "remount,size=64m", folder])
    said = trouble.settle(runs)
    assert trouble.gaps["backlog full"] > 0, f"the disk was not full: {said}"
    h.same(trouble.gaps["backlog full"], sum(trouble.gaps.values()), f"in other gaps: {said}")
    sp.down()
    sp.up()
    runs.append(Mixed("app", 100).result())
    trouble.settle(runs)
    print(f"    {said}", flush=True)


@h.case
def who_asked_is_known_though_the_disk_had_no_room_for_the_names():
    """Policies come while the disk is full, so their names are in memory only; then the historian dies, and
    the daemon is replaced by `sallyport restart`. With room again no row tells a number for a name, also of
    the version that the second keeper never had in force."""
    global sp
    sp.down()
    sp, folder = small_disk("names", "64m")
    trouble = Trouble(sp)
    runs = [Mixed("app", 300).result()]
    h.until("the files are made", lambda: sum(kept(sp).values()) >= 300, 10, 0.2)
    disk = os.statvfs(folder)
    used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    h.run(["mount", "-o", f"remount,size={used}", folder])
    sp.apply(POLICY + "  app3: {source: 10.9.9.9, profile: mixed}\n")
    runs += [Mixed("app", 300).result()]
    pid = sp.role_pid("historian")
    os.kill(pid, signal.SIGKILL)
    h.until("a new historian", lambda: sp.role_pid("historian") != pid, 5, 0.05)
    runs += [Mixed("app2", 300).result()]
    sp.apply(POLICY)
    sp.cli("restart")
    runs += [Mixed("app2", 300).result()]
    h.run(["mount", "-o", "remount,size=64m", folder])
    trouble.settle(runs)
    h.same(trouble.gaps, Counter())
    h.same(set(select(sp, "SELECT workload FROM queries GROUP BY 1")), {("app",), ("app2",)})
    h.same(select(sp, "SELECT rule FROM queries WHERE rule LIKE '?%'"), [])
    h.same({v for v, in select(sp, "SELECT policy_version FROM queries GROUP BY 1")}, {1, 2, 3})


@h.case
def a_reader_that_never_ends_bounds_nothing_but_itself():
    """An analyst's transaction keeps SQLite from emptying the log, which would grow by every page that is
    written as long as it is open."""
    trouble = Trouble(sp)
    runs = [Mixed("app", 2000).result()]
    path = files(sp, "deny")[-1]
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    seen = reader.execute("SELECT count(*) FROM query").fetchone()[0]
    runs += [Mixed("app", READ_QUERIES, window=32).result(), Mixed("app2", READ_QUERIES, window=32).result()]
    trouble.settle(runs)
    h.same(reader.execute("SELECT count(*) FROM query").fetchone()[0], seen, "its snapshot")
    size = sum(os.path.getsize(f) for f in glob.glob(path + "-wal"))
    reader.execute("COMMIT")
    reader.close()
    print(f"    log of {size >> 20} MiB behind a reader, file of {os.path.getsize(path) >> 20} MiB", flush=True)


@h.case
def a_damaged_policy_store_is_told_set_aside_and_closes_everything():
    sp.down()
    path = os.path.join(sp.dir, "state", "policy.db")
    with open(path, "r+b") as f:
        f.seek(0)
        f.write(b"this is no database " * 200)
    sp.up()
    assert "policy store" in sp.logs() and "set aside as " in sp.logs(), sp.logs()
    h.same(len(glob.glob(path + ".damaged-*")), 1)
    with h.inside("app"):
        h.same(h.ask(n.DNS4, "k1.good.test").status, "REFUSED")
    assert not reach(sp), "a raw address is open"
    sp.apply(POLICY)
    with h.inside("app"):
        assert h.ask(n.DNS4, "k1.good.test").addresses


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
