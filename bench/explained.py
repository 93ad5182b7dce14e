"""Why two validators may disagree, and which RFC decides: the list that bench/differential.py goes by.

A rule is narrow: it names the peers, the kinds of zone, and what both sides said. The first that fits
explains; what none explains fails the run. `name` is the peer, or "made" for what the tree was made to
be; a and b are (rcode, AD, truncated, records, EDE codes) of Sallyport and the peer.
"""
import collections

import kinds
import kinds_broken as broken
from dnswire import *
from signer import verifies

Rule = collections.namedtuple("Rule", "title decides peers kinds test")
RULES = []


def rule(title, decides, peers, *makes):
    """The decorated function says whether the rule fits (q, a, b); `makes` are functions of kinds.py,
    or titles; none: any kind."""
    titles = frozenset(m if isinstance(m, str) else m.__doc__ for m in makes)

    def add(test):
        RULES.append(Rule(title, decides, peers, titles, test))
        return test
    return add


def explain(q, name, a, b):
    for r in RULES:
        if name in r.peers and (not r.kinds or q.kind in r.kinds) and r.test(q, a, b):
            return r
    return None


def as_made(q, a):
    return a is not None and (a[0], a[1]) == q.expected


def refused(q, a, b):
    """Sallyport says SERVFAIL, as the tree was made; the peer believes it."""
    return as_made(q, a) and a[0] == SERVFAIL and b is not None and b[0] != SERVFAIL


def believed(q, a, b):
    """The peer believes what Sallyport finds bogus; with CD=1 it shows in AD."""
    return refused(q, a, b) or (q.flags[2] and q.state == "bogus" and as_made(q, a) and same_data(a, b) and b[1])


def gives_up(q, a, b):
    """Sallyport answers as the tree was made; the peer says SERVFAIL."""
    return as_made(q, a) and a[0] != SERVFAIL and b is not None and b[0] == SERVFAIL


def differs_in_ad(q, a, b):
    return b is not None and a is not None and a[0] == b[0] and a[1] != b[1] and set(a[3]) == set(b[3])


def same_data(a, b):
    return a is not None and b is not None and a[0] == b[0] and set(a[3]) == set(b[3])


def is_true(q, records):
    """Is every record one that its zone holds, or that a wildcard or DNAME of it makes?"""
    for owner, rtype, octets in records:
        covered = octets[0] << 8 | octets[1] if rtype == RRSIG else rtype
        zone = q.tree.zone_of(owner, covered)
        sets = [s for s in zone.truth(owner, covered).answer if s.type == covered]
        if not any(any(verifies(s, octets, k) for k in zone.keys) if rtype == RRSIG else octets in {canonical(covered, r) for r in s.rdatas}
                   for s in sets):
            return False
    return bool(records)


# ---------------------------------------------------------------- CD=1

@rule("CD=1: secure data carries AD from us, not from a peer that did not validate it",
      "RFC 4035 3.2.2, 3.2.3; RFC 6840 5.8: whoever validates may say so", ("bind", "unbound"))
def _(q, a, b):
    return q.flags[2] and q.state == "secure" and as_made(q, a) and a[1] and same_data(a, b) and not b[1]


@rule("CD=1: BIND finds no answer in a message that breaks its own rules of form",
      "RFC 4035 3.2.2: with CD=1 the data is the asker's to judge", ("bind",),
      "fewer labels than the signer has", "no labels at all", "more labels than the owner has", "a signer below the owner")
def _(q, a, b):
    return q.flags[2] and gives_up(q, a, b)


@rule("CD=1: BIND answers out of a bogus NXDOMAIN that it has not validated, whatever the type",
      "RFC 8020 2 holds for what is validated; RFC 4035 4.7: bad data is not to be given for other questions", ("bind",),
      broken.nxdomain_forged, broken.parent_denies, broken.dname_denied)
def _(q, a, b):
    return q.flags[2] and as_made(q, a) and q.state == "secure" and b is not None and b[0] == NXDOMAIN


# ---------------------------------------------------------------- NSEC3

@rule("NSEC3 with over 150 iterations: SERVFAIL, or insecure",
      "RFC 9276 3.2 items 2 and 3: insecure over one limit, SERVFAIL over another; both allowed", ("bind", "unbound"),
      kinds.too_many_iterations)
def _(q, a, b):
    return a is not None and a[0] == SERVFAIL and 27 in a[4] and b is not None and b[0] != SERVFAIL


@rule("NSEC3 with 51 to 150 iterations: BIND 9.18 checks up to 150",
      "RFC 9276 3.2 item 2: the limit is the validator's; our default is 50", ("bind",), kinds.many_iterations)
def _(q, a, b):
    return differs_in_ad(q, a, b) and b[1] and any(link.state == "insecure" or below_denial(link) for link in q.links)


def below_denial(link):
    return link.zone.kind in (kinds.many_iterations.__doc__, kinds.too_many_iterations.__doc__,
                              broken.nsec3_unknown.__doc__) and link.zone.denial == "nsec"


@rule("A signed zone under a name whose denial is not to be had: Unbound asks for the DS of each name on the way",
      "RFC 4035 5.2: the DS that the zone above has signed is enough; it is the signer's, and we ask for it at once", ("unbound",),
      kinds.many_iterations, kinds.too_many_iterations, broken.nsec3_unknown)
def _(q, a, b):
    return as_made(q, a) and b is not None and (b[0] == SERVFAIL or not b[1]) and any(below_denial(link) for link in q.links)


@rule("Under a name whose denial is not to be had, where no signature names a zone: we ask for the DS of each name on the way",
      "RFC 4035 5.2 lets a validator go label by label; RFC 9276 3.2 and RFC 5155 8.1 say what an unusable denial is worth; "
      "never more than it was made to be", ("made", "bind"),
      kinds.many_iterations, kinds.too_many_iterations, broken.nsec3_unknown)
def _(q, a, b):
    return a is not None and (a[0] == SERVFAIL or not a[1]) and any(below_denial(link) for link in q.links)


@rule("NSEC3 with unknown flags or hash algorithm: BIND goes by it, or takes the zone for insecure",
      "RFC 5155 8.1, 8.2: they MUST be ignored, which leaves no proof", ("bind",), broken.nsec3_unknown)
def _(q, a, b):
    return believed(q, a, b)


# ---------------------------------------------------------------- keys

@rule("A DNSKEY whose protocol is not 3", "RFC 4034 2.1.2: it MUST be treated as invalid", ("bind",), kinds.protocol)
def _(q, a, b):
    return believed(q, a, b)


@rule("A DNSKEY without the zone flag, named by the DS", "RFC 4034 2.1.1, RFC 4035 5.2: it MUST NOT verify RRSIGs", ("bind",),
      kinds.no_zone_flag)
def _(q, a, b):
    return believed(q, a, b)


@rule("A revoked key verifies the zone's data", "RFC 5011 2.1: a revoked key MUST NOT be used to validate", ("unbound",),
      kinds.revoked, kinds.revoked_zsk)
def _(q, a, b):
    return believed(q, a, b)


@rule("A DS of SHA-1 is believed although one of SHA-256 is there and wrong",
      "RFC 4509 3: it SHOULD be ignored, or a downgrade is possible", ("unbound",), kinds.sha1_beside)
def _(q, a, b):
    return believed(q, a, b)


# ---------------------------------------------------------------- signatures

@rule("Labels below the signer's: a wildcard above the zone that signs it",
      "RFC 4034 3.1.3, RFC 4035 5.3.1: no zone signs what is not in it (CVE-2026-44690 and its kin)", ("unbound",),
      "fewer labels than the signer has", "no labels at all")
def _(q, a, b):
    return believed(q, a, b)


@rule("A broken signature before a good one: BIND 9.18 gives up after one",
      "RFC 4035 5.3.3: one that verifies is enough; RFC 6840 5.11 for several algorithms. BIND's is a bound against KeyTrap", ("bind",),
      kinds.foreign_signature, kinds.one_of_two_broken)
def _(q, a, b):
    return gives_up(q, a, b)


@rule("Which signatures stand beside the one that verifies, when answers differ in it",
      "RFC 4035 5.3.3: one that verifies is enough; the others say nothing", ("bind", "unbound"),
      kinds.foreign_signature, kinds.unknown_signer_beside)
def _(q, a, b):
    def data(x):
        return {r for r in x[3] if r[1] != RRSIG}
    return as_made(q, a) and b is not None and a[:2] == b[:2] and data(a) == data(b)


# ---------------------------------------------------------------- denials and aliases

@rule("An NSEC that a wildcard was expanded to proves NODATA",
      "RFC 4034 4, RFC 4035 5.3.4: no NSEC stands at a name that is not in the zone", ("unbound",), broken.wildcard_nsec)
def _(q, a, b):
    return believed(q, a, b)


@rule("A CNAME to a name without the type, the denial's SOA without signature: Unbound looks at the NSEC alone",
      "RFC 4035 5: an RRset without signature in a signed zone is bogus, and it rules how long the denial is kept", ("unbound",),
      broken.soa_unsigned)
def _(q, a, b):
    return len(q.links) > 1 and believed(q, a, b)


@rule("NODATA with its whole proof, but without SOA: BIND takes the server for lame",
      "RFC 4035 5.4: the proof needs no SOA; RFC 2308 5: only it is not to be kept", ("bind",), broken.soa_missing)
def _(q, a, b):
    return gives_up(q, a, b)


@rule("A denial whose SOA has no signature: BIND answers without it and without AD",
      "RFC 4035 5: an RRset without signature in a signed zone is bogus, and it rules how long the denial is kept", ("bind",),
      broken.soa_unsigned)
def _(q, a, b):
    return refused(q, a, b) and not b[1]


@rule("QTYPE=CNAME below a DNAME: Unbound cannot validate the CNAME that it makes",
      "RFC 6672 3.2, 5.3.1: the DNAME's signature covers it", ("unbound",))
def _(q, a, b):
    return q.qtype == CNAME and q.links[-1].kind == "dname" and gives_up(q, a, b)


@rule("A CNAME that leads to itself", "RFC 1034 3.6.2: an error to be signalled; what is said with it is free", ("made", "bind", "unbound"),
      broken.loops)
def _(q, a, b):
    owners = [lower(link.qname) for link in q.links]
    return q.links[-1].target is not None and lower(q.links[-1].target) in owners


@rule("A chain longer than a resolver follows", "RFC 1034 5.2.2 asks for a bound; ours is 12 links", ("made", "bind", "unbound"), broken.loops)
def _(q, a, b):
    return len(q.links) > 12


@rule("CD=1: a referral in the place of an answer", "RFC 2308 2.2, RFC 1034 5.3.3: it answers nothing; from a forwarder it is an error",
      ("made", "bind", "unbound"), broken.referral)
def _(q, a, b):
    return q.flags[2] and a is not None and a[0] == SERVFAIL and q.state == "bogus"


# ---------------------------------------------------------------- caches

WITHHELD = (broken.referral, broken.silence, broken.nodata_forged, broken.nxdomain_forged, broken.alias_denied, broken.alias_forged,
            broken.dname_unsigned, broken.dname_denied, broken.parent_denies, broken.alias_owner, broken.wildcard_over_data,
            broken.forged, broken.record_added, broken.data_stripped, broken.wildcard_unproven, kinds.keys_extra)
CACHED = "RFC 4035 4.5, RFC 2308 5: an RRset may be served from the cache; every record of it is the zone's own"


@rule("The upstream withheld or changed what the peer has, true and signed, from another answer", CACHED, ("bind", "unbound"), *WITHHELD)
def _(q, a, b):
    return believed(q, a, b) and is_true(q, b[3])


@rule("A SOA, NSEC or DNAME that the upstream breaks where it is asked for, and tells whole beside another answer", CACHED, ("bind", "unbound"))
def _(q, a, b):
    return (q.qtype in (SOA, NSEC, DNAME) and believed(q, a, b) and is_true(q, b[3]) and
            q.links[-1].zone.believed() == "secure" == q.links[-1].zone.data_state)


@rule("CD=1: what is bogus where it was asked for, the peer has whole from another answer", CACHED, ("bind", "unbound"))
def _(q, a, b):
    return q.flags[2] and q.state == "bogus" and as_made(q, a) and b is not None and a[0] == b[0] and is_true(q, b[3])
