"""Promise P9: explain agrees with the history, and who agrees with what was handed out."""
import os, random, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

POLICY = """\
version: 1
profiles:
  base:
    allow:
      - {zone: shared.test, owner: platform}
    deny:
      - {zone: no.shared.test, reason: "not that one"}
  p:
    extends: [base]
    allow:
      - {name: "*.one.test"}
      - {name: "**.deep.test", types: [A]}
      - {name: "api-*.mid.test", types: [A, TXT]}
      - {name: exact.feed.test}
      - {zone: feed.test}
    deny:
      - {name: "**.bad.deep.test"}
    feeds: [malware]
  q:
    mode: observe
    allow: [{name: only.q.test}]
feeds:
  malware: {file: malware.txt, format: domains}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
  app2: {source: [10.1.1.2, "fd00:2::2"], profile: q}
"""
NAMES = ["a.one.test", "a.b.one.test", "one.test", "x.deep.test", "y.x.deep.test", "z.bad.deep.test", "bad.deep.test",
         "api-1.mid.test", "api-.mid.test", "api.mid.test", "exact.feed.test", "feed.test", "sub.listed.feed.test",
         "listed.feed.test", "www.shared.test", "shared.test", "no.shared.test", "x.no.shared.test", "only.q.test",
         "other.test", "WWW.Shared.TEST", "localhost", "invalid", "deep.test", "test"]
QTYPES = ["A", "AAAA", "TXT", "MX", "DS", "DNSKEY", "HTTPS", "ANY"]

up = h.Upstream("net", "44.128.0.53", lambda name, qtype: (0, [h.rr(name, "A", 60, "44.128.6.%d" % (sum(map(ord, name)) % 200))])
                if qtype == 1 else (0, [], [h.soa("test")]))
sp = h.Sallyport("gw", n.CONFIG).up()
with open(os.path.join(sp.dir, "malware.txt"), "w") as f:
    f.write("# a comment\nlisted.feed.test\nexact.feed.test\n")
rng = random.Random(7)


@h.case
def explain_reproduces_a_thousand_rows_of_the_history():
    for version in range(3):
        sp.apply(POLICY if version % 2 == 0 else POLICY.replace("      - {zone: feed.test}\n", "").replace("types: [A]", "types: [AAAA]"))
        for ns, server in (("app", n.DNS4), ("app2", "10.1.1.1"), ("stranger", "10.66.0.1")):
            with h.inside(ns):
                for name in NAMES:
                    for qtype in rng.sample(QTYPES, 5):
                        assert h.ask(server, name, qtype, timeout=4), f"{name} {qtype} got no answer"
    time.sleep(1.5)
    rows = [r for r in sp.json("history", "--limit", "100000") if "verdict" in r]
    assert len(rows) >= 1000, f"only {len(rows)} rows"
    differ = []
    for row in rng.sample(rows, 1000):
        got = sp.json("explain", row["workload"] or row["client"], row["name"], row["type"], "--policy-version",
                      str(row["policy_version"]), "--at", row["time"], check=False)[0]
        for key in ("verdict", "reason", "rule", "policy_version"):
            if got.get(key) != row.get(key) and not (key == "reason" and row["reason"] in ("follow", "upstream")):
                differ.append((row["workload"], row["name"], row["type"], key, row.get(key), got.get(key)))
    h.same(differ[:5], [], f"{len(differ)} differences")


@h.case
def who_agrees_with_what_was_handed_out():
    handed = {}
    with h.inside("app"):
        for name in ("a.one.test", "b.one.test", "www.shared.test", "shared.test"):
            m = h.ask(n.DNS4, name)
            for address in m.addresses:
                handed.setdefault(address, set()).add(name + ".")
    time.sleep(1.3)
    for address, names in handed.items():
        rows = [r for r in sp.json("who", address) if r.get("workload") == "app"]
        assert names <= {r["name"] for r in rows}, f"{address}: {names} not in {rows}"
        for row in rows:
            assert row["until"] > row["last"] >= row["first"], row
    at = sp.json("who", next(iter(handed)), "--at", "2020-01-01")
    h.same([r for r in at if r.get("name")], [], "who --at a time before anything")


@h.after
def end(failed):
    if failed:
        print(sp.logs())
    sp.down()


h.main()
