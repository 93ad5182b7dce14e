"""What an SVCB or HTTPS answer leads to is resolved before its client asks (design, section 3, resolve)."""
import os, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=120)
n.build()

CONFIG = n.CONFIG.replace("upstreams:\n", """\
upstreams:
  - zone: inside.test
    internal: true
    servers: [{address: 44.128.0.53, port: 53}]
""")

POLICY = """\
version: 1
profiles:
  web:
    allow:
      - {zone: good.test, ports: [tcp/443]}
      - {name: strict.web.test, follow: none}
    deny:
      - {zone: evil.test}
    feeds: [bad]
feeds:
  bad: {file: bad.txt, format: domains}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: web}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: web}
"""
LEADS = {  # owner: priority and target of each HTTPS record
    "www.good.test": [(1, "edge.cdn.test"), (2, "x.evil.test"), (3, "y.bad.test"), (4, "db.inside.test"), (5, ".")],
    "strict.web.test": [(1, "other.cdn.test")],
    "apex.good.test": [(0, "svc.cdn.test")],
    "svc.cdn.test": [(0, "svc2.cdn.test")],
    "svc2.cdn.test": [(1, "pop.cdn.test"), (2, "z.evil.test")],
    "slow.good.test": [(1, "silent.cdn.test")],
    "turned.good.test": [(1, "silent.turned.test")],
}
FORBIDDEN = ("evil.test", "bad.test", "inside.test", "other.cdn.test")
TYPES = {v: k for k, v in h.TYPES.items()}


def answers(name, qtype):
    kind = TYPES.get(qtype)
    if name.startswith("silent."):
        return None
    if kind == "HTTPS" and name in LEADS:
        return 0, [h.https_rr(name, 300, target, priority) for priority, target in LEADS[name]]
    if kind == "A":
        return 0, [h.rr(name, "A", 300, "44.128.7.7")]
    if kind == "AAAA":
        return 0, [h.rr(name, "CNAME", 300, "pop." + name), h.rr("pop." + name, "AAAA", 300, "2a00:ffff::77")]
    return 0, [], [h.soa("test")]


up = h.Upstream("net", "44.128.0.53", answers)
sp = h.Sallyport("gw", CONFIG).up()
with open(os.path.join(sp.dir, "bad.txt"), "w") as f:
    f.write("bad.test\n")
sp.apply(POLICY)


def asked(name=""):
    """Questions that the upstream has been asked, once each, in their order."""
    out = [(m.qname.lower().rstrip("."), TYPES[m.question[1]]) for m in (h.Message(q) for q, _ in list(up.log))]
    return [q for q in dict.fromkeys(out) if q[0].endswith(name)]


def settled(want):
    h.until(f"the upstream is asked {want}", lambda: set(asked()) >= set(want), 3)
    time.sleep(0.3)  # whatever else would be asked
    h.same(sorted(asked()), sorted(want), "asked upstream")
    h.same(len(up.log), len(want), "messages: each once")


def ask(name, qtype="A", ns="app", **kw):
    with h.inside(ns):
        return h.ask({"app": n.DNS4, "app2": "10.1.1.1"}[ns], name, qtype, **kw)


def pinholes():
    return h.elements("gw", "pinhole4") + h.elements("gw", "pinhole6")


def history(n_rows):
    """The newest queries, oldest first, as soon as there are `n_rows` of them."""
    rows = h.until(f"{n_rows} rows", lambda: (r := sp.json("history", "--since", "1h")) and len(r) >= n_rows and r, 4, 0.1)
    return sorted(rows, key=lambda r: r["time"])


def counter(name):
    return sp.json("status")[0]["counters"][name]


@h.case
def a_targets_A_and_AAAA_are_asked_at_once_and_opened_only_when_the_client_asks():
    m = ask("www.good.test", "HTTPS")
    h.same((m.status, len(m.answer)), ("NOERROR", 2), "what leads to a denied name is gone")
    settled([("www.good.test", "HTTPS"), ("edge.cdn.test", "A"), ("edge.cdn.test", "AAAA")])
    h.same(pinholes(), [], "nothing has been asked for that could be opened")
    h.same([(r["name"], r["type"]) for r in history(1)], [("www.good.test.", "HTTPS")], "no query but the client's")
    h.same(counter("prefetched_targets"), 2)

    h.same(ask("edge.cdn.test").addresses, ["44.128.7.7"])
    h.same(ask("edge.cdn.test", "AAAA").addresses, ["2a00:ffff::77"])
    rows = history(3)[1:]
    h.same([(r["name"], r["reason"], r["cached"]) for r in rows], [("edge.cdn.test.", "follow", True)] * 2)
    h.same(len(pinholes()), 2, "now they are open")
    h.same(len(up.log), 3, "all came from the cache")


@h.case
def once_for_an_entry_and_not_for_each_query():
    for _ in range(50):
        h.same(len(ask("www.good.test", "HTTPS").answer), 2)
    ask("www.good.test", "HTTPS", "app2")
    h.same(len(up.log), 3, "messages to the upstream")


@h.case
def a_chain_of_aliases_is_followed():
    up.log.clear()
    m = ask("apex.good.test", "HTTPS")
    h.same((m.status, len(m.answer)), ("NOERROR", 1))
    settled([("apex.good.test", "HTTPS")] + [(f"{name}.cdn.test", t) for name in ("svc", "svc2") for t in ("HTTPS", "A", "AAAA")]
            + [("pop.cdn.test", "A"), ("pop.cdn.test", "AAAA")])
    h.same(ask("pop.cdn.test").status, "NXDOMAIN", "the workload has not been given it yet")
    for name in ("svc.cdn.test", "svc2.cdn.test"):
        h.same(len(ask(name, "HTTPS").answer), 1, name)
    h.same(ask("pop.cdn.test").addresses, ["44.128.7.7"])
    h.same(len(up.log), 9, "all came from the cache")


@h.case
def the_answer_does_not_wait_for_its_targets():
    begin = time.monotonic()
    m = ask("slow.good.test", "HTTPS")
    took = time.monotonic() - begin
    h.same(len(m.answer), 1)
    assert took < 0.5, f"it took {took:.2f} s"
    h.until("its target is asked", lambda: asked("silent.cdn.test"), 2)


@h.case
def a_target_denied_meanwhile_is_not_asked_again():
    ask("turned.good.test", "HTTPS")
    h.until("its target is asked", lambda: asked("silent.turned.test"), 2)
    sp.apply(POLICY.replace("    feeds: [bad]", "      - {zone: turned.test}\n    feeds: [bad]"))
    before = len([q for q in up.names() if q == "silent.turned.test"])
    time.sleep(3)
    h.same(len([q for q in up.names() if q == "silent.turned.test"]), before, "sends after the switch")
    sp.apply(POLICY)


@h.case
def denied_targets_are_never_asked():
    h.same(ask("strict.web.test", "HTTPS").answer, [])
    time.sleep(0.3)
    h.same([name for name in up.names() if name.endswith(FORBIDDEN)], [])


@h.case
def prefetch_off_is_off_for_targets_too():
    sp.configure(CONFIG + "cache: {prefetch: off}\n")
    sp.cli("reload")
    sp.cli("flush", "--all")
    up.log.clear()
    h.same(len(ask("www.good.test", "HTTPS").answer), 2)
    time.sleep(0.3)
    h.same(asked(), [("www.good.test", "HTTPS")])
    h.same(ask("edge.cdn.test").addresses, ["44.128.7.7"])


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
