"""clang-tidy and scan-build over the whole tree, tests included.

usage: lint.py [PATTERN]    PATTERN: clang-tidy alone, of the files whose path matches
The lint preset must be configured. What .clang-tidy leaves out has its reason there; a line's own
exception is a NOLINT with its reason beside it, and holds for both. One exception is made here:

    unix.Malloc "leak"    the analyzer (up to Clang 17) does not run __attribute__((cleanup)), so it calls
                          every CLEANUP() a leak. Its use after free and double free stay; leaks are
                          LeakSanitizer's, under which every unit test runs.
    core.* in tests/unit  an assertion of cmocka that fails ends the test by longjmp, which the analyzer
                          does not see: it goes on with a value that the test never uses.
    tests/chaos/rules.*   C++20 that GCC 12 compiles and Clang 14 cannot (std::source_location, a structured
                          binding in a lambda): of what it cannot read it says nothing true.
    build/                faults planted into copies of ours, for tests that must find them.
"""
import glob, os, plistlib, re, shutil, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEAK = re.compile(r"[Pp]otential (memory )?leak")


def excepted(path, text):
    path = os.path.relpath(os.path.realpath(path), ROOT)
    return bool(LEAK.search(text) or path.startswith("build/") or
                path.startswith("tests/unit/") and re.search(r"\[(clang-analyzer-)?core\.", text) or
                path.startswith("tests/chaos/rules."))


def excused(path, line):
    with open(path, errors="replace") as f:
        lines = f.read().splitlines()
    before = "\n".join(lines[:line])
    if before.count("NOLINTBEGIN") > before.count("NOLINTEND"):
        return True
    near = lines[max(0, line - 2):line]
    return any("NOLINT" in text for text in near[-1:]) or any("NOLINTNEXTLINE" in text for text in near[:-1])


def tidy(pattern):
    """Lines `path:line:col: message [check]`."""
    p = subprocess.run(["run-clang-tidy", "-quiet", "-p", "build/lint", pattern], cwd=ROOT, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    text = re.sub(r"\x1b\[[0-9;]*m", "", p.stdout)
    found = set(re.findall(r"^(/\S+:\d+:\d+: (?:warning|error): .*)$", text, re.M))
    found = {f for f in found if not excepted(f.split(":")[0], f)}
    known = text.count("clang-tidy") and re.search(r"\.c\b", text)
    if not known:
        sys.exit(f"lint.py: clang-tidy looked at nothing\n{p.stdout}{p.stderr}")
    return sorted(found)


def scan():
    """The same of scan-build: what it compiles is analyzed, each file once."""
    out = os.path.join(ROOT, "build", "scan")
    shutil.rmtree(out, ignore_errors=True)
    quiet = dict(cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wrap = ["scan-build", "--use-cc=clang", "-plist", "-o", os.path.join(out, "report")]
    for cmd in (["cmake", "-S", ".", "-B", out, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                 "-DCMAKE_C_COMPILER_LAUNCHER="], ["cmake", "--build", out]):
        p = subprocess.run(wrap + cmd, **quiet)
        if p.returncode:
            sys.exit(f"lint.py: {' '.join(cmd)} failed\n{p.stderr[-3000:]}")
    reports = glob.glob(os.path.join(out, "report", "**", "*.plist"), recursive=True)
    if len(reports) < 50:
        sys.exit(f"lint.py: scan-build analyzed {len(reports)} files only")
    found = set()
    for report in reports:
        with open(report, "rb") as f:
            content = plistlib.load(f)
        for d in content["diagnostics"]:
            path, line = content["files"][d["location"]["file"]], d["location"]["line"]
            path = os.path.join(out, path)
            fault = f"{path}:{line}: {d['description']} [{d['check_name']}]"
            if not excepted(path, fault) and not excused(path, line):
                found.add(fault)
    return sorted(found)


faults = tidy(sys.argv[1] if len(sys.argv) > 1 else ".")
if len(sys.argv) == 1:
    faults += scan()
for fault in faults:
    print(os.path.relpath(fault, ROOT))
print(f"{len(faults)} faults")
sys.exit(1 if faults else 0)
