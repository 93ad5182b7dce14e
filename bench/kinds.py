"""Kinds of zone, first part: good ones, insecure ones, and those whose keys or DS break the chain."""
from dnswire import *
from signer import ALGORITHMS, REVOKED, SEP, ZONE, Key, signature
from tree import *

# ---------------------------------------------------------------- good ones

@kind
def algorithms(t):
    """each algorithm, NSEC and NSEC3"""
    for a in ALGORITHMS:
        for denial in ("nsec", "nsec3"):
            if (a, denial) != (5, "nsec3"):
                t.zone(algorithms, algorithm=a, denial=denial)


@kind
def iterations(t):
    """NSEC3 iterations from 0 to 50, salts of 0 to 255 octets"""
    for n, salt in ((1, 0), (10, 8), (50, 1), (0, 255), (50, 40)):
        t.zone(iterations, denial="nsec3", iterations=n, salt=bytes(range(salt)))


@kind
def many_iterations(t):
    """NSEC3 iterations from 51 to 150"""
    for n in (51, 100, 150):
        t.zone(many_iterations, denial="nsec3", iterations=n, salt=b"salt")


@kind
def too_many_iterations(t):
    """NSEC3 iterations over 150"""
    for n in (151, 500):
        t.zone(too_many_iterations, denial="nsec3", iterations=n)


@kind
def optout(t):
    """NSEC3 with opt-out"""
    for a in (8, 13, 15):
        t.zone(optout, algorithm=a, denial="nsec3", optout=True, salt=b"x")


@kind
def one_key(t):
    """one key for all"""
    for a, denial in VARIANTS:
        t.zone(one_key, keys=[Key(a, 0, sep=True)], denial=denial)


@kind
def digests(t):
    """DS digests 1, 2 and 4, alone and together"""
    for numbers in ((1,), (2,), (4,), (1, 2), (2, 4), (1, 2, 4)):
        z = t.zone(digests, ds=["?"])
        z.ds[:] = [z.keys[0].ds(z.apex, n) for n in numbers]
        z.parent.data[z.apex][DS].rdatas[:] = z.ds


def set_ds(z, *ds):
    """Other DS records at the parent."""
    z.parent.data[z.apex][DS].rdatas[:] = z.ds = list(ds)


@kind
def two_algorithms(t):
    """two algorithms, both whole"""
    for a, b in ((8, 13), (13, 15), (5, 14)):
        t.zone(two_algorithms, keys=[Key(a, 0, sep=True), Key(a, 1), Key(b, 0, sep=True), Key(b, 1)])


@kind
def one_of_two_broken(t):
    """two algorithms, the signatures of one broken"""
    for a, b, first in ((8, 13, 0), (13, 15, 1), (8, 14, 1)):
        z = t.zone(one_of_two_broken, keys=[Key(a, 0, sep=True), Key(a, 1), Key(b, 0, sep=True), Key(b, 1)])

        def change(link, which=first):
            for s in link.sets():
                if len(s.sigs) == 2:
                    s.sigs[which] = corrupt(s.sigs[which])
        twist(z, lambda link: True, change, keeps=True)


@kind
def standby(t):
    """a key that nothing is signed with, its DS at the parent"""
    for a in (8, 13):
        keys = [Key(a, 0, sep=True), Key(a, 1), Key(a, 2, sep=True)]
        z = t.zone(standby, keys=keys)
        z.key_signers = keys[:1]


@kind
def rolls(t):
    """key rolls in each phase"""
    for a, denial in VARIANTS:
        ksk, zsk, ksk2, zsk2 = Key(a, 0, sep=True), Key(a, 1), Key(a, 2, sep=True), Key(a, 3)
        phases = (("zsk published", [ksk, zsk, zsk2], [ksk], [zsk], [ksk]),
                  ("zsk in use", [ksk, zsk, zsk2], [ksk], [zsk2], [ksk]),
                  ("zsk signing double", [ksk, zsk, zsk2], [ksk], [zsk, zsk2], [ksk]),
                  ("ksk double signature", [ksk, ksk2, zsk], [ksk, ksk2], [zsk], [ksk]),
                  ("ksk new ds", [ksk, ksk2, zsk], [ksk, ksk2], [zsk], [ksk2]),
                  ("ksk double ds", [ksk, zsk], [ksk], [zsk], [ksk, ksk2]),
                  ("ksk new key, double ds", [ksk2, zsk], [ksk2], [zsk], [ksk, ksk2]))
        for title, keys, key_signers, signers, ds in phases[:: 2 if denial == "nsec3" else 1]:
            z = t.zone(rolls, keys=keys, denial=denial)
            z.key_signers, z.signers = key_signers, signers
            set_ds(z, *(k.ds(z.apex) for k in ds))


@kind
def late_rolls(t):
    """a key roll that went wrong: the old key is gone too early"""
    ksk, zsk, ksk2, zsk2 = Key(13, 0, sep=True), Key(13, 1), Key(13, 2, sep=True), Key(13, 3)
    z = t.zone(late_rolls, keys=[ksk2, zsk], own="bogus")
    set_ds(z, ksk.ds(z.apex))
    z = t.zone(late_rolls, keys=[ksk, zsk2])
    z.signers, z.data_state = [zsk], "bogus"


@kind
def revoked_beside(t):
    """a revoked key beside a good one"""
    for a, denial in VARIANTS:
        old = Key(a, 2, flags=ZONE | SEP | REVOKED)
        keys = [Key(a, 0, sep=True), Key(a, 1), old]
        z = t.zone(revoked_beside, keys=keys, denial=denial)
        z.key_signers = [keys[0], old]
        set_ds(z, keys[0].ds(z.apex))


@kind
def short_signatures(t):
    """TTL longer than the signature lives"""
    for a, denial in VARIANTS:
        t.zone(short_signatures, algorithm=a, denial=denial, end=3000, ttl=86400)


@kind
def deep(t):
    """five signed zones, one below the other"""
    z = t.zone(deep)
    for i in range(5):
        z = t.zone(deep, below=z, algorithm=(13, 8, 15)[i % 3], denial=("nsec", "nsec3")[i % 2])


@kind
def same_names(t):
    """cuts right below cuts, with an empty non-terminal between"""
    z = t.zone(same_names, denial="nsec3")
    for label in ("a.b.c", "x.b.c", "c.c"):
        sub = t.plant(z, name(label) + z.apex, same_names.__doc__, denial="nsec")
        t.populate(sub)


@kind
def ttl_raised(t):
    """a TTL raised on the way"""
    for z in t.variants(ttl_raised):
        def change(link):
            for s in link.sets():
                s.ttl = 100000
        twist(z, lambda link: True, change, keeps=True)


@kind
def ttl_lowered(t):
    """a TTL lowered on the way"""
    for z in t.variants(ttl_lowered):
        def change(link):
            for s in link.sets():
                s.ttl = 60
        twist(z, lambda link: True, change, keeps=True)


@kind
def foreign_signature(t):
    """a broken signature beside a good one"""
    for z in t.variants(foreign_signature):
        def change(link):
            for s in link.sets():
                s.sigs = [corrupt(s.sigs[0])] + s.sigs if s.sigs else s.sigs
        twist(z, lambda link: True, change, keeps=True)


@kind
def unknown_signer_beside(t):
    """a signature by a key that nobody has, beside a good one"""
    for z in t.variants(unknown_signer_beside):
        def change(link, z=z):
            for s in link.sets():
                if s.sigs:
                    s.sigs = [signature(s, Key(13, 3), z.apex, z.begin, z.end)] + s.sigs
        twist(z, lambda link: link.kind == "data", change, keeps=True)


# ---------------------------------------------------------------- insecure ones

@kind
def unsigned(t):
    """a delegation without DS"""
    for _ in range(4):
        t.zone(unsigned, signed=False)


@kind
def island(t):
    """signed, but without DS: an island"""
    for a, denial in VARIANTS:
        t.zone(island, algorithm=a, denial=denial, ds=[])


@kind
def broken_island(t):
    """an island whose signatures have expired"""
    for a, denial in VARIANTS:
        t.zone(broken_island, algorithm=a, denial=denial, ds=[], begin=-40 * 86400, end=-10 * 86400)


@kind
def unknown_algorithm(t):
    """only algorithms that nobody knows"""
    for number in (3, 12, 17, 100, 253):
        keys = [Key(13, 0, sep=True, as_algorithm=number), Key(13, 1, as_algorithm=number)]
        t.zone(unknown_algorithm, keys=keys, own="insecure")


@kind
def unknown_digest(t):
    """only DS digests that nobody knows"""
    for number in (3, 7, 200):
        z = t.zone(unknown_digest, own="insecure")
        set_ds(z, z.keys[0].ds(z.apex, number))


@kind
def unknown_beside(t):
    """DS of unknown algorithms and digests beside a good one"""
    for _ in range(3):
        z = t.zone(unknown_beside)
        set_ds(z, z.keys[0].ds(z.apex, 200), Key(13, 3, sep=True, as_algorithm=100).ds(z.apex), z.keys[0].ds(z.apex))


@kind
def below_insecure(t):
    """a signed zone with DS below an unsigned one"""
    z = t.zone(below_insecure, signed=False)
    for a, denial in VARIANTS:
        t.zone(below_insecure, below=z, algorithm=a, denial=denial)


# ---------------------------------------------------------------- keys and DS that break the chain

@kind
def wrong_ds(t):
    """a DS whose digest is wrong"""
    for z in t.variants(wrong_ds, own="bogus"):
        set_ds(z, z.keys[0].ds(z.apex, wrong=True))


@kind
def ds_of_nobody(t):
    """a DS of a key that is not there"""
    for z in t.variants(ds_of_nobody, own="bogus"):
        set_ds(z, Key(13, 3, sep=True).ds(z.apex))


@kind
def sha1_beside(t):
    """a right DS of SHA-1 beside a wrong one of SHA-256"""
    z = t.zone(sha1_beside, own="bogus")
    set_ds(z, z.keys[0].ds(z.apex, 1), z.keys[0].ds(z.apex, 2, wrong=True))


@kind
def no_zone_flag(t):
    """the key that the DS names has no zone flag"""
    for a in (8, 13):
        keys = [Key(a, 0, flags=SEP), Key(a, 1)]
        t.zone(no_zone_flag, keys=keys, own="bogus")


@kind
def protocol(t):
    """a key of another protocol than 3"""
    t.zone(protocol, keys=[Key(13, 0, sep=True, protocol=2), Key(13, 1)], own="bogus")


@kind
def revoked(t):
    """the key that the DS names is revoked"""
    for a in (8, 13, 15):
        keys = [Key(a, 0, flags=ZONE | SEP | REVOKED), Key(a, 1)]
        z = t.zone(revoked, keys=keys, own="bogus")
        set_ds(z, keys[0].ds(z.apex))


@kind
def revoked_zsk(t):
    """data signed by a revoked key"""
    keys = [Key(13, 0, sep=True), Key(13, 1, flags=ZONE | REVOKED)]
    z = t.zone(revoked_zsk, keys=keys)
    z.data_state = "bogus"


@kind
def keys_unsigned(t):
    """a DNSKEY RRset without signatures"""
    for z in t.variants(keys_unsigned, own="bogus"):
        z.key_twists.append(lambda link: [setattr(s, "sigs", []) for s in link.answer])


@kind
def keys_by_zsk(t):
    """a DNSKEY RRset signed only by a key that no DS names"""
    for z in t.variants(keys_by_zsk, own="bogus"):
        z.key_signers = z.keys[1:]


@kind
def keys_gone(t):
    """no DNSKEY where a DS says there is one"""
    for z in t.variants(keys_gone, own="bogus"):
        def change(link, z=z):
            replace(link, authority=[soa(z), z.matching(z.apex)])
            link.kind = "nodata"
        z.key_twists.append(change)


@kind
def keys_extra(t):
    """a key put into the DNSKEY RRset on the way, and data signed by it"""
    for z in t.variants(keys_extra, own="bogus"):
        z.key_twists.append(lambda link: link.answer[0].rdatas.append(Key(13, 3).rdata))
        twist(z, is_data, lambda link, z=z: [by(z, keys=[Key(13, 3)])(s) for s in link.answer if s.sigs])


@kind
def ds_stripped(t):
    """a DS taken away, without a proof"""
    for z in t.variants(ds_stripped, own="bogus"):
        def change(link):
            link.answer = []
            link.authority = [soa(link.zone)]
        z.ds_twists.append(change)


@kind
def ds_denied_by_child(t):
    """a DS denied by the child's own NSEC"""
    for z in t.variants(ds_denied_by_child, own="bogus"):
        def change(link, z=z):
            z.answer(z.apex, SOA)
            replace(link, authority=[soa(z), z.matching(z.apex)])
        z.ds_twists.append(change)


@kind
def ds_by_child(t):
    """a DS at the apex, signed by the zone itself"""
    for z in t.variants(ds_by_child, own="bogus"):
        def change(link, z=z):
            link.answer = [Set(z.apex, DS, 3600, [z.keys[0].ds(z.apex)])]
            by(z)(link.answer[0])
        z.ds_twists.append(change)


@kind
def ds_denied_although(t):
    """a DS denied by an NSEC that says it is there"""
    for z in t.variants(ds_denied_although, own="bogus"):
        def change(link):
            replace(link, authority=[soa(link.zone), link.zone.matching(link.qname)])
        z.ds_twists.append(change)


@kind
def ds_unsigned(t):
    """a DS RRset without signatures"""
    for z in t.variants(ds_unsigned, own="bogus"):
        z.ds_twists.append(lambda link: [setattr(s, "sigs", []) for s in link.answer])


@kind
def cut_without_ns(t):
    """an unsigned zone where its parent proves that there is no delegation"""
    z = t.zone(cut_without_ns)
    for label in ("one", "two.three"):
        sub = t.plant(z, name(label) + z.apex, cut_without_ns.__doc__, cut_ns=False, signed=False)
        sub.own = "bogus"
        t.populate(sub)
    z = t.zone(cut_without_ns, denial="nsec3")
    sub = t.plant(z, name("one") + z.apex, cut_without_ns.__doc__, cut_ns=False, signed=False)
    sub.own = "bogus"
    t.populate(sub)


@kind
def ds_without_ns(t):
    """a DS where no NS stands"""
    z = t.zone(ds_without_ns)
    sub = t.plant(z, name("one") + z.apex, ds_without_ns.__doc__, cut_ns=False)
    t.populate(sub)
