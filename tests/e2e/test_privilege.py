"""Promise P6 with an intruder in each role: of all that a taken-over role could try, what it cannot
do without fails, and the table below says how. tests/e2e/tools/probe*.c make the tries."""
import os, re, socket, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

ROLES = ("resolver", "historian", "fwsync", "compile", "anchor")
build = n.programs("probed", **{role: f"sallyport-{role}-probed" for role in ROLES})
# The keys of a zone that nobody serves are looked at all the same, in sallyport-anchor.
with open(h.work("anchor.ds"), "w") as f:
    f.write(f"a.test. DS 1 13 2 {'ab' * 32}\n")
os.chmod(h.work("anchor.ds"), 0o644)
sp = h.Sallyport("gw", n.CONFIG.replace("{mode: off}", f"{{mode: validate, trust_anchors: [{h.work('anchor.ds')}]}}") + "workers: 1\n",
                 build=build)

# Whom a role's unix sockets would reach if connect() let them.
with h.inside("gw"):
    _unix = [socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)]
_unix[1].bind("\0/probe")
_unix[1].listen(8)

# Every act of every role ends with its death by the filter, except:
NO_FILES = {act: "EACCES" for act in (  # malloc() wants to look at a file and must live on without
    "open_passwd", "open_parent", "open_own_root", "create_in_root", "open_proc", "open_device",
    "reopen_for_writing", "leave_by_descriptor", "stat_passwd")}
ITS_ROOT = dict({act: "ENOENT" for act in NO_FILES}, open_own_root="done", create_in_root="done")
WITHOUT_CLONE3 = {"clone3": "ENOSYS"}  # libc then calls clone()
UPSTREAMS = {act: "done" for act in (
    "socket_inet_dgram", "socket_inet_stream", "socket_inet6_dgram", "socket_inet6_stream", "connect_tcp")}
SEALED = {"write_readonly_memory": "EBADF", "map_readonly_writable": "EACCES",
          "protect_readonly_writable": "EACCES", "seal_handed": "EPERM"}
NO_MEMORY = {act: "EBADF" for act in SEALED}  # it has mapped what it was given and closed it
EXPECTED = {
    "resolver": {**NO_FILES, **WITHOUT_CLONE3, **UPSTREAMS, **SEALED, "connect_unix": "EISCONN",
                 "send_descriptor": "EPERM", "send_descriptor_to_role": "EPERM"},
    # Truncating is SQLite's; the memory that it shares with the resolver cannot change its size.
    "historian": {**ITS_ROOT, **WITHOUT_CLONE3, **SEALED, "protect_readonly_writable": "ENOENT",
                  "shrink_handed": "EPERM", "grow_handed": "EPERM", "send_descriptor": "EPERM"},
    "fwsync": {**NO_FILES, **WITHOUT_CLONE3, **NO_MEMORY, "protect_readonly_writable": "EACCES",
               "send_descriptor": "EPERM"},
    # The image leaves it as a memory of its own making, in a descriptor.
    "compile": {**NO_FILES, **WITHOUT_CLONE3, **NO_MEMORY, "protect_readonly_writable": "ENOENT",
                "memfd": "done", "send_descriptor": "done", "send_descriptor_to_role": "ENOTSOCK"},
    # It holds its channel and nothing else: not even what it is could be asked of a descriptor.
    "anchor": {**{act: why for act, why in NO_FILES.items() if act != "stat_passwd"}, **WITHOUT_CLONE3,
               "protect_readonly_writable": "ENOENT", "send_descriptor": "EPERM",
               "send_descriptor_to_role": "ENOTSOCK"},
}
# What a role that may send messages gets where the role has no other pair to try.
EXPECTED["compile"].update({act: "EBADF" for act in ("shrink_handed", "grow_handed")})
EXPECTED["fwsync"].update({act: "EBADF" for act in ("shrink_handed", "grow_handed")})
FILTER_COST_NS = 200


def findings():
    """{role: {act: outcome}} of all that was tried, and {role: ns that the filter adds to a call}."""
    text = open(sp.log, errors="replace").read()
    out = {role: {} for role in ROLES}
    for role, act, outcome in re.findall(r"^probe role=(\w+) act=(\w+) outcome=(\w+)$", text, re.M):
        out[role].setdefault(act, outcome)
    costs = {role: float(b) - float(a) for role, a, b in
             re.findall(r"^cost role=(\w+) before=(\d+) after=(\d+)$", text, re.M)}
    return out, costs


def acts():
    """Every act that the probe knows, read from its source."""
    text = "".join(open(os.path.join(h.ROOT, f"tests/e2e/tools/probe{part}.c")).read() for part in ("_held", "_beyond", ""))
    return re.findall(r"^\tACT\((\w+)\),", text, re.M) + re.findall(r"^\t\{ \"(\w+)\", SYS_", text, re.M)


@h.case
def what_a_role_cannot_do_without_is_all_that_it_can_do():
    sp.up(wait=60)
    sp.apply(n.POLICY)
    h.until("the keys are looked at", lambda: "probe role=anchor end" in open(sp.log, errors="replace").read(), 60, 0.2)
    got, _ = findings()
    every = acts()
    assert len(every) > 140, f"only {len(every)} acts"
    wrong = []
    print("  act                            " + "".join(f"{r:14}" for r in ROLES))
    for act in every:
        row = [got[r].get(act, "not tried") for r in ROLES]
        print(f"  {act:31}" + "".join(f"{o:14}" for o in row))
        wrong += [f"{r} {act}: {o}, wanted {EXPECTED[r].get(act, 'killed')}" for r, o in zip(ROLES, row)
                  if o != EXPECTED[r].get(act, "killed")]
    h.same(wrong, [], "outcomes")
    # And with all that forbidden it works.
    h.same(sp.json("status")[0]["policy_applied"], 1)
    with h.inside("app"):
        h.same(h.ask(n.DNS4, "denied.test").status, "NXDOMAIN")


@h.case
def the_filter_costs_a_call_little():
    _, costs = findings()
    h.same(set(costs), set(ROLES) - {"compile", "anchor"}, "roles measured")
    print("  ns a system call: " + ", ".join(f"{r} {c:+.0f}" for r, c in costs.items()))
    assert max(costs.values()) < FILTER_COST_NS, costs


@h.case
def a_role_that_takes_long_to_get_ready_is_not_taken_for_hung():
    for role in sp.json("status")[0]["roles"]:
        h.same(role["restarts"], 0, role["role"])


@h.after
def end(failed):
    if failed:
        print("\n".join(line for line in sp.logs().splitlines() if not line.startswith("probe")))
    sp.down()


h.main()
