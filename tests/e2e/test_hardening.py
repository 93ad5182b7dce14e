"""What a reader of the installed programs can see: how they were compiled, linked and sandboxed.

Nothing runs here and root is not needed: readelf and objdump read the release build's programs, and
systemd-analyze reads the units.
"""
import json, os, re, shlex, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

INSTALLED = ["sallyport", "sallyportd", "sallyport-anchor", "sallyport-compile", "sallyport-fwsync", "sallyport-historian",
             "sallyport-resolver"]


def read(tool, *args):
    p = subprocess.run([tool, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                       env=dict(os.environ, LC_ALL="C"))
    assert p.returncode == 0, f"{tool}: {p.stderr}"
    return p.stdout


def programs():
    return [os.path.join(h.BIN, name) for name in INSTALLED]


def machine():
    return re.search(r"Machine:\s+(.+)", read("readelf", "-hW", programs()[0])).group(1)


@h.case
def every_program_is_position_independent():
    for p in programs():
        assert re.search(r"Type:\s+DYN \(Position-Independent Executable", read("readelf", "-hW", p)), p
        assert re.search(r"FLAGS_1\).*\bPIE\b", read("readelf", "-dW", p)), p


@h.case
def relocations_are_read_only_before_the_program_runs():
    for p in programs():
        segments, dynamic = read("readelf", "-lW", p), read("readelf", "-dW", p)
        assert "GNU_RELRO" in segments, p
        assert "BIND_NOW" in dynamic and re.search(r"FLAGS_1\).*\bNOW\b", dynamic), p
        assert "TEXTREL" not in dynamic and "RPATH" not in dynamic and "RUNPATH" not in dynamic, p


@h.case
def no_segment_is_writable_and_executable_and_the_stack_is_neither():
    for p in programs():
        for line in read("readelf", "-lW", p).splitlines():
            m = re.match(r"\s+(\w+)\s+0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([R ][W ][E ])", line)
            if m and (m.group(1) == "LOAD" or m.group(1) == "GNU_STACK"):
                assert not ("W" in m.group(2) and "E" in m.group(2)), f"{p}: {line}"
        assert re.search(r"GNU_STACK.*\bRW \s", read("readelf", "-lW", p)), p


@h.case
def stack_protector_and_fortified_functions_are_linked_in():
    for p in programs():
        symbols = read("readelf", "-W", "--dyn-syms", p)
        assert "__stack_chk_fail" in symbols, p
        assert re.search(r"__(snprintf|memcpy|read|vsnprintf|fprintf)_chk", symbols), p


@h.case
def every_source_of_them_is_compiled_with_the_hardening_flags():
    """-D leaves no trace in a program, so the commands are read: every one, not a sample."""
    want = ["-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-fstack-clash-protection", "-fPI[EC]", "-Werror"]
    if "X86-64" in machine():
        want.append("-fcf-protection=full")
    if "AArch64" in machine():
        want.append("-mbranch-protection=standard")
    with open(os.path.join(h.BUILD, "compile_commands.json")) as f:
        commands = json.load(f)
    assert len(commands) > 100
    for c in commands:
        words = shlex.split(c["command"])
        optimised = [w for w in words if re.fullmatch(r"-O[0-3s]", w)]
        assert optimised and optimised[-1] != "-O0", f"{c['file']}: fortifying needs -O"
        for flag in want:
            assert any(re.fullmatch(flag, w) for w in words), f"{c['file']}: no {flag}"
        fortify = [w for w in words if "FORTIFY_SOURCE" in w]
        h.same(fortify, ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3"], c["file"])


@h.case
def indirect_calls_land_on_their_marks_only():
    """CET and BTI: each function begins with the mark that the processor wants there. Whether the
    program as a whole carries the note is decided by libc's start files; where theirs have it, so
    must ours."""
    if "X86-64" not in machine():
        raise h.Skip("written for x86-64")
    libc_start = read("gcc", "-print-file-name=crti.o").strip()
    marked = "IBT" in read("readelf", "-nW", libc_start)
    for p in programs():
        if marked:
            assert "IBT, SHSTK" in read("readelf", "-nW", p), p
        code = read("objdump", "-d", "--no-show-raw-insn", p)
        first = {int(at, 16): (name, op) for at, name, op in
                 re.findall(r"^([0-9a-f]+) <(\w+)>:\n\s+[0-9a-f]+:\s+(\S+)", code, re.M)}
        # Functions whose address stands in a table of ours; others may be called directly only.
        addends = {int(a, 16) for a in re.findall(r"R_X86_64_RELATIVE\s+([0-9a-f]+)", read("readelf", "-rW", p))}
        called = [first[a] for a in addends & first.keys()] + [f for f in first.values() if f[0] == "main"]
        for name, op in called:
            h.same(op, "endbr64", f"{p}: {name}")
        assert len(called) > 2, f"{p}: {called}"


@h.case
def big_frames_are_probed_page_by_page():
    """Stack clash: a frame of many pages is touched on each of them, so that it cannot jump over the
    guard page."""
    if "X86-64" not in machine():
        raise h.Skip("written for x86-64")
    p = os.path.join(h.BIN, "sallyportd")
    code = read("objdump", "-d", "--no-show-raw-insn", p)
    probed = len(re.findall(r"sub\s+\$0x1000,%rsp\n.*(?:orq|movq)\s+\$0x0,\(%rsp\)", code))
    assert probed >= 1, "no probed frame in sallyportd, which has frames of several pages"


h.main()
