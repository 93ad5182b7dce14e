"""Trust anchors that keep themselves up (RFC 5011): Knot DNS rolls the root's key, with hold-downs of
seconds instead of a month. Nothing that the resolver says is believed without a trusted key's signature."""
import os, re, sys, time

import dns.dnssec, dns.name, dns.rdataclass, dns.rdatatype
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h
import network as n
import signed

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

liar = signed.Liar("44.128.0.55")  # honest, until the case that has it lie
CONFIG = n.CONFIG.replace("44.128.0.53", "44.128.0.55").replace(
    "dnssec: {mode: off}", f"dnssec: {{mode: validate, trust_anchors: [{anchor}], hold_down: 4s, refresh: 1s}}")
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)


def dig(name="www.test"):
    return h.run(["dig", "@10.1.0.1", "+time=2", "+tries=3", "+adflag", name, "A"], ns="app").stdout


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


# --- an upstream that lies about the root's keys ---

STRANGER = ec.generate_private_key(ec.SECP256R1())
STRANGERS_KEY = dns.dnssec.make_dnskey(STRANGER.public_key(), "ECDSAP256SHA256", flags=257)
ROOT = dns.name.root


def rrsets(answer):
    """Keys and signatures of an answer to `. DNSKEY`."""
    t = dns.rdatatype
    return [answer.find_rrset(answer.answer, ROOT, dns.rdataclass.IN, kind, covers, create=True)
            for kind, covers in ((t.DNSKEY, t.NONE), (t.RRSIG, t.DNSKEY))]


def strangers_alone(answer):
    keys, _ = rrsets(answer)
    ttl = keys.ttl
    keys.clear()
    keys.add(STRANGERS_KEY, ttl)


def sign_as_stranger(answer):
    keys, signatures = rrsets(answer)
    signatures.clear()
    signatures.add(dns.dnssec.sign(keys, STRANGER, ROOT, STRANGERS_KEY, lifetime=86400), keys.ttl)


def strangers_signed_by_itself(answer):
    strangers_alone(answer)
    sign_as_stranger(answer)


def one_more(answer):
    rrsets(answer)[0].add(STRANGERS_KEY)


def one_more_that_signs(answer):
    one_more(answer)
    sign_as_stranger(answer)


def revoke_all(answer):
    """The REVOKE bit, without the keys' own signatures over it."""
    keys, _ = rrsets(answer)
    revoked = [k.replace(flags=k.flags | 0x80) for k in keys]
    ttl = keys.ttl
    keys.clear()
    for key in revoked:
        keys.add(key, ttl)


def trusted_one_gone(answer):
    keys, _ = rrsets(answer)
    keys.remove(next(k for k in keys if k.flags == 257))


def nothing(answer):
    answer.answer[:] = []


def no_signatures(answer):
    answer.answer[:] = [r for r in answer.answer if r.rdtype != dns.rdatatype.RRSIG]


def made_up_signatures(answer):
    """Beside the good ones: whoever believed their TTL would wait for a century, and their end a fortnight."""
    _, signatures = rrsets(answer)
    for s in list(signatures):
        signatures.add(s.replace(original_ttl=0, expiration=s.inception))
        signatures.add(s.replace(original_ttl=0xffffffff, expiration=s.inception + 0x7ffffff0))


NOT_SIGNED, NO_KEYS = "not signed by a trusted key", "no answer with keys"
LIES = ((strangers_alone, NOT_SIGNED), (strangers_signed_by_itself, NOT_SIGNED), (one_more, NOT_SIGNED),
        (one_more_that_signs, NOT_SIGNED), (revoke_all, NOT_SIGNED), (trusted_one_gone, NOT_SIGNED),
        (no_signatures, NOT_SIGNED), (nothing, NO_KEYS))


def root():
    return next(z for z in sp.json("anchors") if z["zone"] == ".")


def look(lie):
    """The zone, when it has been looked at anew under this lie."""
    told = []

    def only_keys(answer):
        if answer.question[0].rdtype == dns.rdatatype.DNSKEY:
            lie(answer)
            told.append(1)
    liar.lies["."] = only_keys
    before = root()["asked"]
    h.until("the lie is told", lambda: told)
    h.until("the look that was under way ends", lambda: root()["asked"] > before, 20, 0.1)
    now = root()["asked"]
    return h.until("a whole look under the lie", lambda: (z := root())["asked"] > now and z, 20, 0.1)


def known():
    return {k["tag"]: {f: k[f] for f in ("state", "trusted", "since", "until")} for k in root()["keys"]}


@h.case
def whatever_an_upstream_makes_up_changes_no_key():
    state_is(second_tag, "valid")
    before, verified = known(), None
    changes = [a for a in sp.json("audit") if a["action"] == "anchor"]
    for lie, result in LIES:
        zone = look(lie)
        h.same(zone["result"], result, lie.__name__)
        verified = verified or zone["verified"]
        h.same(zone["verified"], verified, lie.__name__ + ": no look has succeeded")
        h.same(known(), before, lie.__name__)
        warnings = [w for w in sp.json("status")[0]["warnings"] if w.startswith("trust anchors of .: " + result)]
        assert len(warnings) == 1 and verified in warnings[0], (lie.__name__, sp.json("status")[0]["warnings"])
    h.same([a for a in sp.json("audit") if a["action"] == "anchor"], changes, "changes of state")
    sp.down()
    sp.up()
    h.same(known(), before, "after a restart")
    liar.lies.clear()
    h.until("the truth is believed again", lambda: root()["result"] == "verified")
    h.same(known(), before, "the truth")
    assert "trust anchors" not in str(sp.json("status")[0]["warnings"])
    is_secure()


@h.case
def made_up_signatures_beside_the_good_ones_delay_nothing():
    zone = look(made_up_signatures)
    h.same(zone["result"], "verified")
    seconds = [time.mktime(time.strptime(zone[k][:19], "%Y-%m-%dT%H:%M:%S")) for k in ("asked", "next")]
    assert seconds[1] - seconds[0] <= 2, zone
    sp.configure(CONFIG.replace("hold_down: 4s", "hold_down: 60s"))
    sp.cli("reload")
    third = new_key("ksk")
    load_keys()
    tag = tag_of(third)
    key = state_is(tag, "addpend")
    held = [time.mktime(time.strptime(key[k][:19], "%Y-%m-%dT%H:%M:%S")) for k in ("since", "until")]
    h.same(held[1] - held[0], 60, "hold-down")
    keymgr("delete", third)
    load_keys()
    h.until("the pending key is gone", lambda: tag not in keys(), 20, 0.2)
    changes = [a["detail"] for a in sp.json("audit") if a["action"] == "anchor"]
    assert f". key {tag}: addpend -> start" in changes, changes
    liar.lies.clear()
    sp.configure(CONFIG)
    sp.cli("reload")
    is_secure()


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
