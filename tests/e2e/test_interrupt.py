"""Ctrl-C in the middle of `./dev test`, among the units and among whole systems: nothing stays behind."""
import glob, os, signal, subprocess, sys, tempfile, uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

if os.geteuid() != 0:
    sys.exit("this test interrupts one that makes network namespaces: run it as root")


def marked(mark, folder):
    """Processes that carry the mark in their environment, and programs of this build or of the folder
    (roles have an environment of their own): number -> path."""
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        try:
            exe = os.readlink(path + "/exe")
            with open(path + "/environ", "rb") as f:
                ours = mark.encode() in f.read()
        except OSError:
            continue
        if ours or exe.startswith((os.path.realpath(os.path.join(h.ROOT, "build")) + "/", folder)):
            found[int(os.path.basename(path))] = exe
    return found


def interrupted(pattern, until, signals=(signal.SIGINT,)):
    """run.py PATTERN in a group of its own, interrupted once a process `until` runs below it."""
    mark = "SALLYPORT_MARK=" + uuid.uuid4().hex
    key, value = mark.split("=")
    with tempfile.TemporaryDirectory(prefix="interrupt.") as folder:
        # Everything of it goes there, so that other tests of this machine do not confuse us.
        env = dict(os.environ, TMPDIR=folder, **{key: value})
        os.chmod(folder, 0o711)
        p = subprocess.Popen(["/usr/bin/python3", os.path.join(h.ROOT, "tests/run.py"), pattern], cwd=h.ROOT, env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                             start_new_session=True,
                             # Whoever started us in the background may have had Ctrl-C ignored.
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        try:
            h.until(f"{until} runs", lambda: p.poll() is not None or
                    any(os.path.basename(exe) == until for exe in marked(mark, folder).values()), 200, 0.02)
            assert p.poll() is None, f"it ended before: {p.communicate()[0][-2000:]}"
            tables = h.run(["nft", "list", "tables"]).stdout
            for s in signals:
                os.killpg(p.pid, s) if s == signal.SIGINT else os.kill(p.pid, s)
            out, _ = p.communicate(timeout=60)
        finally:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        h.same(p.returncode, 130, out[-2000:])
        assert "interrupted after" in out and out.splitlines()[-1].endswith(" failed"), out[-2000:]
        left = marked(mark, folder)
        assert not left, f"processes stay: {left}"
        h.same(os.listdir(folder), [], "folders stay")
        h.same(h.run(["nft", "list", "tables"]).stdout, tables, "tables of the host")


@h.case
def among_the_units():
    interrupted("db_crash", "test_db_crash")


@h.case
def among_whole_systems():
    interrupted("test_pinholes", "sallyport-resolver")


@h.case
def told_to_terminate_by_a_supervisor_instead_of_a_terminal():
    interrupted("test_pinholes", "sallyport-resolver", (signal.SIGTERM,))


h.main()
