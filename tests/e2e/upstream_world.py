"""An upstream that is an enemy, and a Sallyport that asks it: what test_upstream*.py share. Import it
after h.enter()."""
import os, random, struct

import harness as h
import network as n
from enemy import *

n.build()

MAIN, SECOND, INSIDE = "44.128.0.53", "44.128.0.54", "44.128.0.55"
SECRET = "10.5.5.5"
CONFIG = n.CONFIG.replace(f'servers: [{{address: {MAIN}, port: 53}}]',
                          f'servers: [{{address: {MAIN}, port: 53}}]\n'
                          f'  - zone: two.test\n    servers: [{{address: {MAIN}}}, {{address: {SECOND}}}]\n'
                          f'  - zone: corp.test\n    internal: true\n    servers: [{{address: {INSIDE}}}]')
CONFIG += "cache: {size: 4MiB, serve_stale: off}\n"
POLICY = n.POLICY.replace("      - {zone: good.test", "      - {zone: two.test}\n      - {types: [A, AAAA, CNAME, HTTPS, MX, SOA, TXT], zone: good.test")
GROWTH = 16 << 20    # cache and memos of 4 MiB each, connections' buffers
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
print(f"# SEED={SEED}", flush=True)
rnd = random.Random(SEED)


def ask(name, qtype="A", ns="app", **kw):
    with h.inside(ns):
        return h.ask({"app": "10.1.0.1", "app2": "10.1.1.1"}[ns], name, qtype, timeout=kw.pop("timeout", 7), **kw)


def counters():
    return sp.json("status")[0]["counters"]


def fresh(way, zone="good.test"):
    return f"{way}{rnd.randrange(1 << 40)}.{zone}"


# ---------------------------------------------------------------- the ways

WAYS = {}


def way(function):
    WAYS[function.__name__.rstrip("_")] = function
    return function


def answer(enemy, q, tcp):
    name, qtype, _ = parts(q)
    f = WAYS.get(way_of(name))
    if f:
        return f(enemy, q, tcp)
    return message(q, [a(name)]) if qtype == 1 else message(q, authority=[h.soa(".".join(name.split(".")[-2:]))])


def unless_mute(enemy, q, tcp):
    return None if enemy.mute else answer(enemy, q, tcp)


Enemy.mute = False
main = Enemy("net", MAIN, unless_mute)
second = Enemy("net", SECOND, unless_mute)
inside = Enemy("net", INSIDE, lambda enemy, q, tcp: message(q, [a(parts(q)[0], SECRET)]))
sp = h.Sallyport("gw", CONFIG).up()
sp.apply(POLICY)
pid = sp.role_pid("resolver")


def upstream_off(name, what, ns="app"):
    """Ask for a name that nobody has asked for, of an upstream that knows nothing any more."""
    off.add(name)
    m = ask(name, ns=ns)
    h.same((m.status, m.addresses), ("SERVFAIL", []), f"{what}: {name} with the upstream off")


off = set()  # names for which the upstream fails


@way
def victim(enemy, q, tcp):
    return message(q, rcode=2) if parts(q)[0] in off else message(q, [a(parts(q)[0])])


# ---------------------------------------------------------------- what holds in the end

def it_is_the_same_process_and_opened_no_bad_address():
    h.same(sp.role_pid("resolver"), pid, "the resolver's pid")
    opened = h.nft("gw", "list", "set", "inet", "sallyport", "pinhole4")
    assert BAD not in opened and SECRET not in opened, "a lie was opened"


def end(failed):
    if failed:
        print("\n".join(l for l in sp.logs().splitlines() if "tag=upstream" not in l))
    sp.down()


def main_and_the_end():
    """What every one of these files ends with."""
    h.case(it_is_the_same_process_and_opened_no_bad_address)
    h.after(end)
    h.main()
