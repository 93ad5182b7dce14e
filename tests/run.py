"""Run the tests: units under AddressSanitizer and UBSan, threaded parts under ThreadSanitizer, seeds
of the fuzz targets, then whole systems in network namespaces.

usage: run.py [unit | PATTERN]     PATTERN: a regular expression over the tests' names
The last line is `N passed, N failed`; the exit status is 1 when anything failed.
"""
import glob, os, re, subprocess, sys, time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
passed, failed = 0, []


def build(preset, target="all"):
    begin = time.monotonic()
    if subprocess.run(["./dev", "build", preset, target], cwd=ROOT).returncode:
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
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
               UBSAN_OPTIONS="print_stacktrace=1")
    if os.path.isdir("/dev/shm"):
        env.setdefault("TMPDIR", "/dev/shm")  # the tests write much and keep nothing
    subprocess.run(["ctest", "--test-dir", os.path.join("build", preset), "-j2", "--no-tests=ignore",
                    "--output-junit", out, "--output-on-failure", "-Q", *args], cwd=ROOT, env=env)
    if not os.path.exists(out):
        failed.append(f"{preset}: ctest wrote no result")
        return
    for test in xml.parse(out).getroot().iter("testcase"):
        if test.get("status") == "run":
            passed += 1
            continue
        failed.append(f"{preset}: {test.get('name')}")
        # Log lines of the code under test say little about why a case failed.
        text = "\n".join(l for l in (test.findtext("system-out") or "").splitlines()
                         if not l.startswith("level="))
        print(f"not ok {preset} {test.get('name')}\n{text[-6000:]}", flush=True)
    print(f"units ({preset}) took {float(xml.parse(out).getroot().get('time') or 0):.0f} s", flush=True)


def script(path, *args):
    """One test file of tests/e2e or the lab; it prints a line a case and its own summary."""
    global passed
    name = os.path.basename(path)[:-3]
    begin = time.monotonic()
    p = subprocess.run(["/usr/bin/python3", path, *args], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, cwd=ROOT)
    summary = re.findall(r"^(\d+) passed, (\d+) failed$", p.stdout, re.M)
    ok, bad = map(int, summary[-1]) if summary else (0, 1)
    if p.returncode and not bad:
        bad = 1
    passed += ok
    failed.extend(f"{name}: {line[7:]}" for line in p.stdout.splitlines() if line.startswith("not ok "))
    if bad and not any(f.startswith(name + ":") for f in failed):
        failed.append(f"{name}: ended with {p.returncode}")
    if bad:
        print(p.stdout[-12000:], flush=True)
    print(f"{'ok' if not bad else 'not ok'} {name}: {ok} passed, {bad} failed "
          f"({time.monotonic() - begin:.0f} s)", flush=True)


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    only_units = pattern == "unit"
    begin = time.monotonic()
    select = ["-R", pattern] if pattern and not only_units else []
    ctest("asan", "all", *select)
    ctest("tsan", "threaded_tests", "-L", "threads", *select)
    files = sorted(glob.glob(os.path.join(ROOT, "tests/e2e/test_*.py")))
    files.append(os.path.join(ROOT, "tests/lab/lab.py"))
    if select:
        files = [f for f in files if re.search(pattern, os.path.basename(f))]
    if not only_units and files:
        if os.geteuid() != 0:
            print("run.py: tests of whole systems make network namespaces: run as root, or "
                  "`./dev test unit`", flush=True)
            failed.append("tests of whole systems need root")
        elif build("release"):
            for path in files:
                script(path)
    print(f"all in {time.monotonic() - begin:.0f} s")
    for name in failed:
        print("FAILED", name)
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed or not passed else 0)


main()
