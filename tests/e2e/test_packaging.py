"""What an administrator meets first: where things are installed, completion in a shell, and documents that
name what there is.

Root is not needed: the release build is installed into a temporary folder.
"""
import glob, os, re, shutil, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

DEST = tempfile.mkdtemp(prefix="sallyport-test.")
INSTALLED = """\
etc/sallyport/sallyport.yaml
usr/bin/sallyport
usr/lib/sallyport/sallyport-anchor
usr/lib/sallyport/sallyport-compile
usr/lib/sallyport/sallyport-fwsync
usr/lib/sallyport/sallyport-historian
usr/lib/sallyport/sallyport-resolver
usr/lib/systemd/system/sallyport-guard.service
usr/lib/systemd/system/sallyport.service
usr/lib/sysusers.d/sallyport.conf
usr/lib/tmpfiles.d/sallyport.conf
usr/sbin/sallyportd
usr/share/bash-completion/completions/sallyport
usr/share/man/man1/sallyport.1
usr/share/man/man5/sallyport-history.5
usr/share/man/man5/sallyport-policy.5
usr/share/man/man5/sallyport.yaml.5
usr/share/man/man8/sallyportd.8
""".split()
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "SECURITY.md", *sorted(glob.glob("docs/*.md", root_dir=h.ROOT))]


def install():
    h.run(["cmake", "--install", h.BUILD], env=dict(os.environ, DESTDIR=DEST), timeout=60)


def read(path):
    with open(os.path.join(h.ROOT, path)) as f:
        return f.read()


@h.case
def everything_is_installed_where_debian_expects_it():
    install()
    there = [os.path.relpath(os.path.join(folder, f), DEST) for folder, _, files in os.walk(DEST) for f in files]
    h.same(sorted(there), INSTALLED, "installed files")
    for path in INSTALLED:
        if "/sallyport-" in path and "lib/sallyport/" in path or path in ("usr/bin/sallyport", "usr/sbin/sallyportd"):
            assert os.access(os.path.join(DEST, path), os.X_OK), f"{path} cannot be run"


@h.case
def an_operators_configuration_is_never_overwritten():
    path = os.path.join(DEST, "etc/sallyport/sallyport.yaml")
    with open(path, "w") as f:
        f.write("mine")
    install()
    with open(path) as f:
        h.same(f.read(), "mine", "the configuration after another installation")


@h.case
def units_start_what_is_installed():
    for name in ("sallyport", "sallyport-guard"):
        with open(os.path.join(DEST, f"usr/lib/systemd/system/{name}.service")) as f:
            text = f.read()
        started = re.findall(r"^Exec\w+=\+?(\S+)", text, re.M)
        assert started, name
        for program in started:
            assert program[1:] in INSTALLED or program == "/usr/bin/systemd-tmpfiles", f"{name} starts {program}"
        for page, section in re.findall(r"man:([\w.-]+)\((\d)\)", text):
            assert f"usr/share/man/man{section}/{page}.{section}" in INSTALLED, f"{name} names {page}({section})"


# ---- completion


def completed(line):
    """What bash offers at the end of the line."""
    words = line.split(" ")
    script = (f"source {h.ROOT}/packaging/completion/sallyport.bash\ncompopt() {{ :; }}\n"
              f"COMP_WORDS=({' '.join(w if w else chr(39) * 2 for w in words)})\nCOMP_CWORD={len(words) - 1}\n"
              "_sallyport\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
    p = h.run(["bash", "-c", script], env=dict(os.environ, PATH=h.BIN + ":" + os.environ["PATH"]))
    return set(p.stdout.split())


@h.case
def a_shell_completes_verbs_options_and_values():
    for line, some in (("sallyport ", {"status", "policy", "history", "explain"}),
                       ("sallyport pol", {"policy"}),
                       ("sallyport policy ", {"apply", "diff", "show", "versions", "rollback"}),
                       ("sallyport nta re", {"remove"}),
                       ("sallyport history --s", {"--since=", "--state="}),
                       ("sallyport -c /x history --lo", {"--local"}),
                       ("sallyport top ", {"names", "workloads", "denied"}),
                       ("sallyport history --verdict d", {"deny"}),
                       ("sallyport policy apply /etc/host", {"/etc/hosts"})):
        got = completed(line)
        assert some <= got, f"'{line}' offers {sorted(got)}"
    h.same(completed("sallyport pol"), {"policy"}, "nothing else begins so")


# ---- documents


@h.case
def documents_name_files_that_are_there():
    files = [os.path.relpath(os.path.join(folder, name), h.ROOT) for folder, _, names in os.walk(h.ROOT)
             if "/build" not in folder for name in names]
    for document in DOCUMENTS:
        text = read(document)
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            path = os.path.normpath(os.path.join(os.path.dirname(document), link))
            assert os.path.exists(os.path.join(h.ROOT, path)), f"{document} links to {link}"
        for path in re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:c|h|py|md|bash))`", text):
            assert any(f == path or f.endswith("/" + path) for f in files), f"{document} names {path}"


@h.case
def documents_name_verbs_and_options_that_there_are():
    out = h.run([os.path.join(h.BIN, "sallyport"), "help"]).stdout
    verbs = set(re.findall(r"^  ([a-z]+)", out, re.M)) | {"help"}
    options = set(re.findall(r"--[a-z-]+", out))
    for verb in verbs:
        options |= set(re.findall(r"--[a-z-]+", h.run([os.path.join(h.BIN, "sallyport"), "help", verb]).stdout))
    verbs.add("complete")  # for shells: no help tells of it
    later = {"grant", "grants", "revoke", "flows", "learn", "replay"}
    for document in DOCUMENTS:
        text = read(document)
        for verb in re.findall(r"(?:^    \$? ?|`)sallyport ([a-z]+)\b", text, re.M):
            assert verb in verbs | later, f"{document} tells of `sallyport {verb}`"
        for line in re.findall(r"(?:^    \$? ?|`)(sallyport [a-z].*?)(?:`|$)", text, re.M):
            for option in re.findall(r"(?<![\w-])--[a-z-]+", line):
                assert option in options, f"{document} tells of {option}: {line}"


@h.after
def end(failed):
    shutil.rmtree(DEST, ignore_errors=True)


h.main()
