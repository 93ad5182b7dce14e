"""Run the tests: units under AddressSanitizer and UBSan, threaded parts under ThreadSanitizer, seeds
of the fuzz targets, then whole systems in network namespaces.

usage: run.py [unit | PATTERN]     PATTERN: a regular expression over the tests' names
The last line is `N passed, N failed`, the one before it `N skipped` when something was: cases that
need root or a kernel's feature, and, without root, all of the whole systems. The exit status is 1 when
anything failed, 130 after Ctrl-C; nothing that was started is left behind in any case.
"""
import ctypes, glob, os, re, shutil, signal, subprocess, sys, tempfile, threading, time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE_S = 20  # for a child to tidy up after Ctrl-C
# What these measure, a neighbour would change.
ALONE = {f"test_{name}.py" for name in ("chaos", "clients_hostile", "crash", "faults", "flush", "history_slow",
                                        "hostile", "interrupt", "pinholes", "shim", "switch", "untracked",
                                        "upstream", "upstream_way", "upstream_cost", "use")}
LANES = 3  # of the others at once: they wait most of the time
passed, failed, skipped = 0, [], []


def run(cmd, **kw):
    """A child to its end. Ctrl-C reaches it, too (it is of our group): it is waited for, since it has to
    tidy up; only then are we interrupted."""
    p = subprocess.Popen(cmd, cwd=ROOT, stdin=subprocess.DEVNULL, **kw)
    running.add(p)
    try:
        out, _ = p.communicate()
    except KeyboardInterrupt:
        if terminated:
            p.terminate()  # SIGTERM was for us alone
        try:
            p.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
        raise
    finally:
        running.discard(p)
    return p.returncode, out


def descendants():
    """Every process below us. Orphans among them come to us, see main()."""
    children = {}
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as f:
                text = f.read()
        except OSError:
            continue  # it has ended
        pid, state, parent = int(text.split()[0]), *text.rpartition(")")[2].split()[:2]
        if state != "Z":
            children.setdefault(int(parent), []).append(pid)
    found, todo = [], [os.getpid()]
    while todo:
        more = children.get(todo.pop(), [])
        found += more
        todo += more
    return found


def end_all():
    """What a test has left behind, however it ended."""
    for _ in range(100):
        left = descendants()
        if not left:
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)


def build(preset, target="all"):
    begin = time.monotonic()
    if run(["./dev", "build", preset, target])[0]:
        failed.append(f"build {preset}")
        return False
    print(f"built {preset} in {time.monotonic() - begin:.0f} s", flush=True)
    return True


def ctest(preset, target, *args):
    """Unit tests of one build; each cmocka program or seed folder counts as one."""
    global passed
    if not build(preset, target):
        return
    out = os.path.join(ROOT, "build", preset, "tests.xml")
    if os.path.exists(out):
        os.unlink(out)
    # Both loader and sanitizer need room for shadow memory; leaks are failures.
    # They write much and keep nothing: in memory, unless somebody says where.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") and "TMPDIR" not in os.environ else None
    folder = tempfile.mkdtemp(prefix="sp.", dir=memory)
    # SQLite's small pieces make a quarantine of 256 MiB cost half of all units' time.
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:quarantine_size_mb=4",
               UBSAN_OPTIONS="print_stacktrace=1", TMPDIR=folder)
    os.chmod(folder, 0o711)
    try:
        run(["ctest", "--test-dir", os.path.join("build", preset), "-j2", "--no-tests=ignore",
             "--test-output-size-passed", "100000", "--output-junit", out, "--output-on-failure", "-Q",
             *args], env=env)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not os.path.exists(out):
        failed.append(f"{preset}: ctest wrote no result")
        return
    for test in xml.parse(out).getroot().iter("testcase"):
        if test.get("status") == "run":
            passed += 1
            for case in sorted(set(re.findall(r"^\[  SKIPPED \] (\w+)$", test.findtext("system-out") or "", re.M))):
                skipped.append(f"{preset}: {test.get('name')}: {case}")
            continue
        failed.append(f"{preset}: {test.get('name')}")
        # Log lines of the code under test say little about why a case failed.
        text = "\n".join(l for l in (test.findtext("system-out") or "").splitlines()
                         if not l.startswith("level="))
        if "[  FAILED  ]" in text:  # such a case also leaves behind what it has: that tells nothing more
            text = re.sub(r"\n=+\n==\d+==ERROR: LeakSanitizer.*", "", text, flags=re.S)
        print(f"not ok {preset} {test.get('name')}\n{text[-6000:]}", flush=True)
    print(f"units ({preset}) took {float(xml.parse(out).getroot().get('time') or 0):.0f} s", flush=True)


def script(path, *args):
    """One test file of tests/e2e or the lab; it prints a line a case and its own summary."""
    name = os.path.basename(path)[:-3]
    begin = time.monotonic()
    status, said = run(["/usr/bin/python3", path, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace")
    with telling:
        tell(name, status, said, time.monotonic() - begin)


def tell(name, status, said, seconds):
    global passed
    summary = re.findall(r"^(\d+) passed, (\d+) failed$", said, re.M)
    ok, bad = map(int, summary[-1]) if summary else (0, 1)
    if status and not bad:
        bad = 1
    passed += ok
    skipped.extend(f"{name}: {line[5:]}" for line in said.splitlines() if line.startswith("skip "))
    failed.extend(f"{name}: {line[7:]}"[:300] for line in said.splitlines() if line.startswith("not ok "))
    if bad and not any(f.startswith(name + ":") for f in failed):
        failed.append(f"{name}: ended with {status}")
    if bad:
        print(said[-12000:], flush=True)
    print(f"{'ok' if not bad else 'not ok'} {name}: {ok} passed, {bad} failed "
          f"({seconds:.0f} s)", flush=True)


def needs_root(path):
    """Whether a test file makes hosts and networks, or says so itself."""
    with open(path) as f:
        return re.search(r"^\s*(h|harness)\.enter\(|^if os\.geteuid\(\) != 0:", f.read(), re.M) is not None


def scripts(files):
    """Those that measure how long something takes run alone, the others LANES at a time."""
    todo = [f for f in files if os.path.basename(f) not in ALONE]
    stopping = threading.Event()

    def lane():
        while not stopping.is_set():
            try:
                script(todo.pop(0))
            except IndexError:
                return

    lanes = [threading.Thread(target=lane, daemon=True) for _ in range(LANES)]
    try:
        for thread in lanes:
            thread.start()
        while any(thread.is_alive() for thread in lanes):
            time.sleep(0.1)
    except KeyboardInterrupt:
        stopping.set()
        if terminated:
            for p in list(running):
                p.terminate()
        end = time.monotonic() + PATIENCE_S
        while running and time.monotonic() < end:
            time.sleep(0.05)
        raise
    for path in files:
        if os.path.basename(path) in ALONE:
            script(path)


def all_tests(pattern):
    only_units = pattern == "unit"
    select = ["-R", pattern] if pattern and not only_units else []
    ctest("asan", "all", *select)
    ctest("tsan", "threaded_tests", "-L", "threads", *select)
    files = sorted(glob.glob(os.path.join(ROOT, "tests/e2e/test_*.py")))
    files.append(os.path.join(ROOT, "tests/lab/lab.py"))
    if select:
        files = [f for f in files if re.search(pattern, os.path.basename(f))]
    if os.geteuid() != 0:
        above = [f for f in files if needs_root(f)]
        skipped.extend(f"{os.path.basename(f)[:-3]}: needs root" for f in above)
        files = [f for f in files if f not in above]
    if not only_units and files and build("release"):
        scripts(files)


def on_terminate(*_):
    global terminated
    terminated = True
    raise KeyboardInterrupt


def main():
    begin, interrupted = time.monotonic(), False
    signal.signal(signal.SIGTERM, on_terminate)
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: nobody gets away
    try:
        all_tests(sys.argv[1] if len(sys.argv) > 1 else "")
    except KeyboardInterrupt:
        interrupted = True
    finally:
        end_all()
    print(f"{'interrupted' if interrupted else 'all'} {'after' if interrupted else 'in'} "
          f"{time.monotonic() - begin:.0f} s")
    for name in failed:
        print("FAILED", name)
    for name in skipped:
        print("skipped", name)
    if os.geteuid() != 0 and any(name.endswith(": needs root") for name in skipped):
        print("run.py: tests of whole systems make network namespaces and firewall tables in them: "
              "run them as root")
    if skipped:
        print(f"{len(skipped)} skipped")
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(130 if interrupted else 1 if failed or not passed else 0)


terminated = False
running = set()  # the programs that we wait for
telling = threading.Lock()
main()
