"""Trust anchors that keep themselves up (RFC 5011): Knot DNS rolls the root's key, with hold-downs of
seconds instead of a month. Nothing that the resolver says is believed without a trusted key's signature."""
import os, re, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n

h.enter(os.path.abspath(__file__), seconds=240)
n.build()

POLICY = """\
version: 1
profiles:
  p:
    pinhole: {floor: 1s, grace: 5s}
    allow:
      - {zone: test, ports: [tcp/443]}
workloads:
  app: {source: [10.1.0.2, "fd00:1::2"], profile: p}
"""
folder = h.work("knot")
os.makedirs(folder)


def write(name, text):
    with open(f"{folder}/{name}", "w") as f:
        f.write(text)
    return f"{folder}/{name}"


def in_net(*cmd, **kw):
    return h.run(list(cmd), ns="net", **kw).stdout


write("root.zone", "$ORIGIN .\n$TTL 2\n@ SOA ns.test. h.test. 1 3600 900 604800 2\n@ NS ns.test.\n"
      "ns.test. A 44.128.0.54\nwww.test. A 44.128.1.1\n")
knot = write("knot.conf", f"""\
server:
  rundir: {folder}
  listen: 44.128.0.54@53
database:
  storage: {folder}
log:
  - target: stderr
    any: warning
policy:
  - id: roll
    manual: on
    algorithm: ecdsap256sha256
    dnskey-ttl: 2
zone:
  - domain: .
    file: {folder}/root.zone
    zonefile-sync: -1
    journal-content: all
    zonefile-load: difference
    dnssec-signing: on
    dnssec-policy: roll
""")


def keymgr(*words):
    return in_net("keymgr", "-c", knot, ".", *words)


def new_key(kind):
    """Its id."""
    words = [f"ksk={'yes' if kind == 'ksk' else 'no'}", f"zsk={'yes' if kind == 'zsk' else 'no'}"]
    return keymgr("generate", "algorithm=ecdsap256sha256", *words).split()[-1]


def tag_of(key):
    return int(keymgr("ds", key).split()[2])


def load_keys():
    in_net("knotc", "-c", knot, "zone-keys-load", ".")


first = new_key("ksk")
new_key("zsk")
anchor = write("root.ds", keymgr("ds", first))
h.start(["knotd", "-c", knot], ns="net", log=f"{folder}/log")
h.until("knotd has signed the root", lambda: "RRSIG" in in_net("kdig", "@44.128.0.54", "+dnssec", "+timeout=1", ".", "DNSKEY", check=False), 30)
first_tag = tag_of(first)

CONFIG = n.CONFIG.replace("44.128.0.53", "44.128.0.54").replace(
    "dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{anchor}], hold_down: 4s, refresh: 1s}}")
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)


def dig(name="www.test"):
    return h.run(["dig", "@10.1.0.1", "+time=3", "+tries=1", "+adflag", name, "A"], ns="app").stdout


def is_secure():
    sp.cli("flush", "--all")
    text = dig()
    assert "NOERROR" in text and "44.128.1.1" in text and re.search(r"flags:[^;]* ad", text), text


def keys():
    return {k["tag"]: k for z in sp.json("anchors") if z["kind"] == "positive" for k in z["keys"]}


def state_is(tag, state, seconds=20):
    return h.until(f"{tag} is {state}", lambda: keys().get(tag, {}).get("state") == state and keys()[tag], seconds, 0.2)


@h.case
def the_configured_key_is_found_in_the_zone():
    key = state_is(first_tag, "valid")
    h.same((key["source"], key["trusted"], key["algorithm"]), ("file", True, 13))
    zone = sp.json("anchors")[0]
    h.same((zone["zone"], zone["kept_up"], zone["result"]), (".", True, "verified"))
    assert str(first_tag) in sp.cli("anchors").stdout and "valid" in sp.cli("anchors").stdout
    is_secure()


@h.case
def a_new_key_is_trusted_after_its_hold_down_and_over_a_restart():
    global second, second_tag
    second = new_key("ksk")
    second_tag = tag_of(second)
    load_keys()
    key = state_is(second_tag, "addpend")
    h.same((key["source"], key["trusted"]), ("5011", False))
    is_secure()
    sp.down()
    sp.up()
    assert keys()[second_tag]["state"] in ("addpend", "valid"), keys()
    key = state_is(second_tag, "valid")
    h.same((key["source"], key["trusted"]), ("5011", True))
    sp.down()
    sp.up()
    h.same([keys()[t]["state"] for t in (first_tag, second_tag)], ["valid", "valid"], "after a restart")
    is_secure()
    changes = [a["detail"] for a in sp.json("audit") if a["action"] == "anchor"]
    assert f". key {second_tag}: start -> addpend" in changes and f". key {second_tag}: addpend -> valid" in changes, changes


@h.case
def a_revoked_key_is_not_trusted_any_more_whatever_the_configuration_says():
    keymgr("set", first, "revoke=+0")
    load_keys()
    key = state_is(first_tag, "revoked")
    h.same(key["trusted"], False)
    is_secure()  # by the new key alone
    h.same(state_is(first_tag, "removed")["trusted"], False)
    sp.cli("reload")
    is_secure()


@h.case
def a_damaged_memory_is_set_aside_and_nothing_is_believed_but_the_configuration():
    """Which names the revoked key alone: all is bogus, until somebody names another."""
    sp.down()
    path = os.path.join(sp.dir, "state", "anchors")
    octets = bytearray(open(path, "rb").read())
    octets[len(octets) // 2] ^= 1
    with open(path, "wb") as f:
        f.write(octets)
    sp.up()
    assert "damaged and is set aside" in sp.logs(), sp.logs()
    assert [f for f in os.listdir(os.path.dirname(path)) if f.startswith("anchors.damaged-")]
    state_is(first_tag, "revoked")
    sp.cli("flush", "--all")
    assert "SERVFAIL" in dig(), dig()
    write("root.ds", keymgr("ds", second))
    sp.cli("reload")
    state_is(second_tag, "valid")
    is_secure()


@h.case
def so_many_zones_are_kept_up_and_the_others_stay_as_they_are():
    text = keymgr("ds", second)
    write("root.ds", text + "".join(f"z{i}.test. DS 1 13 2 {'ab' * 32}\n" for i in range(9)))
    sp.cli("reload")
    h.same([z["kept_up"] for z in sp.json("anchors")], [True] * 8 + [False] * 2)
    assert "the anchors of 8 zones are kept up" in sp.logs(), sp.logs()
    write("root.ds", text)
    sp.cli("reload")
    is_secure()


@h.case
def it_can_be_switched_off():
    sp.configure(CONFIG.replace("hold_down", "rfc5011: false, hold_down"))
    sp.cli("reload")
    h.same([(z["zone"], z["kept_up"], z["result"]) for z in sp.json("anchors")], [(".", False, None)])
    h.same({k["state"] for k in keys().values()}, {"configured"})
    is_secure()


h.after(lambda failed: print(sp.logs(), open(f"{folder}/log").read()[-2000:] if failed else "") if failed else None)
h.main()
