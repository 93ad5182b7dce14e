"""A second opinion on what the validator calls secure, which shares nothing with it: this reads the
messages that a run of val_mutants tells, follows the chain from the anchor by itself, checks signatures
with python-cryptography over a canonical form of its own, and proofs by comparing names as tuples.

usage: reference.py [--planted] val_mutants [ARGUMENT...]    (val_mutants.c says which)
Each verdict `secure` that is not confirmed is told with its message; the exit status is 1 then. With
--planted the validator has a fault on purpose, and it is 1 when nothing is found.
"""
import base64, hashlib, json, subprocess, sys
from collections import Counter

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

A, NS, CNAME, SOA, DNAME, DS, RRSIG, NSEC, DNSKEY, NSEC3 = 1, 2, 5, 6, 39, 43, 46, 47, 48, 50
ANSWER, AUTHORITY = 1, 2
# Octets before the names in RDATA that count in lower case, and how many names (RFC 4034, 6.2).
NAMES = {NS: (0, 1), 3: (0, 1), 4: (0, 1), CNAME: (0, 1), SOA: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), 12: (0, 1),
         14: (0, 2), 15: (2, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 24: (18, 1), 26: (2, 2), 30: (0, 1), 33: (6, 1),
         36: (2, 1), DNAME: (0, 1), RRSIG: (18, 1)}
INTRICATE = {35, 38}  # NAPTR, A6: no opinion


class Abstain(Exception):
    """This is beyond what the reference knows."""


def u16(octets, at=0):
    return octets[at] << 8 | octets[at + 1]


def u32(octets, at=0):
    return int.from_bytes(octets[at:at + 4], "big")


def name_at(octets, at=0):
    """(labels from the root down, in lower case; where the name ends)."""
    labels = []
    while True:
        n = octets[at]
        if n > 63 or at + 1 + n > len(octets):
            raise ValueError("no name")
        if n == 0:
            return tuple(reversed(labels)), at + 1
        labels.append(octets[at + 1:at + 1 + n].lower())
        at += 1 + n


def wire(name):
    return b"".join(bytes([len(label)]) + label for label in reversed(name)) + b"\0"


def below(name, top):
    return name[:len(top)] == top


def canonical(kind, rdata):
    if kind in INTRICATE:
        raise Abstain
    at, n = NAMES.get(kind, (0, 0))
    out = rdata[:at]
    for _ in range(n):
        name, end = name_at(rdata, at)
        out, at = out + wire(name), end
    return out + rdata[at:] if n else rdata


def tag_of(key):
    total = sum(octet << 8 if i % 2 == 0 else octet for i, octet in enumerate(key))
    return (total + (total >> 16)) & 0xFFFF


def signed_by(key, data, signature):
    """`key`: RDATA of a DNSKEY."""
    algorithm, public = key[3], key[4:]
    try:
        if algorithm in (8, 10):
            n, at = (public[0], 1) if public[0] else (u16(public, 1), 3)
            numbers = rsa.RSAPublicNumbers(int.from_bytes(public[at:at + n], "big"), int.from_bytes(public[at + n:], "big"))
            numbers.public_key().verify(signature, data, padding.PKCS1v15(),
                                        hashes.SHA256() if algorithm == 8 else hashes.SHA512())
        elif algorithm in (13, 14):
            curve, size, digest = (ec.SECP256R1(), 32, hashes.SHA256()) if algorithm == 13 else (
                ec.SECP384R1(), 48, hashes.SHA384())
            if len(public) != 2 * size or len(signature) != 2 * size:
                return False
            point = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\4" + public)
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            point.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(digest))
        elif algorithm == 15:
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
        elif algorithm == 16:
            ed448.Ed448PublicKey.from_public_bytes(public).verify(signature, data)
        else:
            return False
    except (InvalidSignature, ValueError, IndexError):
        return False
    return True


class Message:
    def __init__(self, told):
        self.rcode, self.sets = told["rcode"], {}
        for section, owner, kind, ttl, rdata in told["rows"]:
            rdata = bytes.fromhex(rdata)
            covered = u16(rdata) if kind == RRSIG else kind
            place = self.sets.setdefault((section, name_at(bytes.fromhex(owner))[0], covered), (set(), []))
            place[1].append(rdata) if kind == RRSIG else place[0].add(rdata)

    def find(self, section, owner, kind):
        rdatas, signatures = self.sets.get((section, owner, kind), (set(), []))
        return (rdatas, signatures) if rdatas else None


class Case:
    def __init__(self, told):
        self.now, self.anchor = told["now"], bytes.fromhex(told["anchor"])
        self.answer = Message(told)
        self.name, self.kind, self.claim = name_at(bytes.fromhex(told["name"]))[0], told["type"], told["kind"]
        self.target = name_at(bytes.fromhex(told["target"]))[0] if told["target"] else None
        self.asked = {(name_at(bytes.fromhex(m["name"]))[0], m["type"]): Message(m) for m in told["asked"]}
        self.keys = {}

    # ---- signatures (RFC 4035, 5.3)

    def signature(self, owner, kind, rrset, zone, keys):
        """Labels of a signature by `zone` that holds, or None."""
        rdatas, signatures = rrset
        forms = sorted({canonical(kind, r) for r in rdatas})
        for s in signatures:
            signer, end = name_at(s, 18)
            labels = s[3]
            real = len(owner) - (owner[-1:] == (b"*",))
            if signer != zone or not below(owner, zone) or labels > real or labels < len(zone):
                continue
            if kind == DS and owner == zone and zone:
                continue
            if not self.in_time(u32(s, 12), u32(s, 8)):
                continue
            as_signed = owner if labels == real else owner[:labels] + (b"*",)
            head = wire(as_signed) + kind.to_bytes(2, "big") + b"\0\1" + s[4:8]
            data = s[:18] + wire(signer) + b"".join(head + len(f).to_bytes(2, "big") + f for f in forms)
            if any(tag_of(k) == u16(s, 16) and k[3] == s[2] and signed_by(k, data, s[end:]) for k in keys):
                return labels
        return None

    def in_time(self, inception, expiration):
        def diff(a, b):
            return (a - b + 2**31) % 2**32 - 2**31
        skew = min(max(diff(expiration, inception) // 10, 3600), 86400)
        now = self.now % 2**32
        return diff(expiration, inception) >= 0 and diff(now, expiration) <= skew and diff(inception, now) <= skew

    # ---- the chain

    def keys_of(self, zone):
        """DNSKEY RDATA of `zone`, if the chain leads there; else an empty list."""
        if zone not in self.keys:
            self.keys[zone] = []  # no zone vouches for itself
            self.keys[zone] = self.find_keys(zone)
        return self.keys[zone]

    def find_keys(self, zone):
        message = self.asked.get((zone, DNSKEY))
        rrset = message and message.find(ANSWER, zone, DNSKEY)
        if not rrset:
            return []
        usable = [k for k in rrset[0] if len(k) > 4 and k[0] & 1 and not k[1] & 0x80 and k[2] == 3]
        entry = [k for k in usable if (k == self.anchor if not zone else self.is_named(zone, k))]
        return usable if self.signature(zone, DNSKEY, rrset, zone, entry) is not None else []

    def is_named(self, zone, key):
        message = self.asked.get((zone, DS))
        rrset = message and message.find(ANSWER, zone, DS)
        if not rrset:
            return False
        digests = {2: hashlib.sha256, 4: hashlib.sha384}
        named = any(u16(d) == tag_of(key) and d[2] == key[3] and d[3] in digests and
                    digests[d[3]](wire(zone) + key).digest() == d[4:] for d in rrset[0] if len(d) > 4)
        return named and any(
            (labels := self.signature(zone, DS, rrset, zone[:n], self.keys_of(zone[:n]))) == len(zone)
            for n in range(len(zone)) if self.keys_of(zone[:n]))

    # ---- proofs

    def proof(self, message, zone):
        """Verified NSEC and NSEC3 of one zone: [(owner, next, types)], [(hash, next, flags, types, parameters)]."""
        nsec, nsec3 = [], []
        for (section, owner, kind), (rdatas, signatures) in message.sets.items():
            if section != AUTHORITY or kind not in (NSEC, NSEC3) or len(rdatas) != 1 or not below(owner, zone):
                continue
            labels = self.signature(owner, kind, (rdatas, signatures), zone, self.keys_of(zone))
            if labels is None or labels != len(owner) - (owner[-1:] == (b"*",)):
                continue
            r = next(iter(rdatas))
            if kind == NSEC:
                after, end = name_at(r)
                nsec.append((owner, after, types(r[end:])))
            elif owner[:-1] == zone and r[0] == 1:
                end = 5 + r[4]
                nsec3.append((owner[-1], base64.b32hexencode(r[end + 1:end + 1 + r[end]]).lower(), r[1],
                              types(r[end + 1 + r[end]:]), (u16(r, 2), r[5:end])))
        return nsec, nsec3

    def denies(self, message, zone, name, kind, nxdomain):
        nsec, nsec3 = self.proof(message, zone)
        if by_nsec(nsec, zone, name, kind, nxdomain):
            return True
        return any(by_nsec3([n for n in nsec3 if n[4] == parameters], parameters, zone, name, kind, nxdomain)
                   for parameters in {n[4] for n in nsec3})

    def no_closer(self, message, zone, name, labels):
        """Nothing stands between `name` and the wildcard with so many labels below its asterisk."""
        nsec, nsec3 = self.proof(message, zone)
        for owner, after, has in nsec:
            if covers(owner, after, has, zone, name) and max(common(name, owner), common(name, after)) == labels:
                return True
        closer = name[:labels + 1]
        return any(between(n[0], hashed(closer, n[4]), n[1]) and not n[2] & 1 for n in nsec3)

    # ---- the claim

    def zones(self):
        return [self.name[:n] for n in range(len(self.name) + 1)]

    def is_secure(self):
        for zone in self.zones():
            if (self.kind == DS and zone == self.name and zone) or not self.keys_of(zone):
                continue
            try:
                if self.is_secure_by(zone):
                    return True
            except (ValueError, IndexError):
                continue
        return False

    def is_secure_by(self, zone):
        if self.claim in ("nodata", "nxdomain"):
            return self.denies(self.answer, zone, self.name, self.kind, self.claim == "nxdomain")
        if self.claim == "data":
            return self.has(zone, self.name, self.kind, wildcard=True)
        rrset = self.answer.find(ANSWER, self.name, CNAME)
        if rrset and len(rrset[0]) == 1 and name_at(next(iter(rrset[0])))[0] == self.target and self.has(
                zone, self.name, CNAME, wildcard=True):
            return True
        for n in range(len(self.name)):
            owner = self.name[:n]
            rrset = self.answer.find(ANSWER, owner, DNAME)
            if rrset and len(rrset[0]) == 1 and self.has(zone, owner, DNAME, wildcard=False) and name_at(
                    next(iter(rrset[0])))[0] + self.name[n:] == self.target:
                return True
        return False

    def has(self, zone, owner, kind, wildcard):
        rrset = self.answer.find(ANSWER, owner, kind)
        labels = rrset and self.signature(owner, kind, rrset, zone, self.keys_of(zone))
        if labels is None:
            return False
        if labels == len(owner) - (owner[-1:] == (b"*",)):
            return True
        return wildcard and self.no_closer(self.answer, zone, owner, labels)


def types(bitmap):
    has, at = set(), 0
    while at < len(bitmap):
        window, n = bitmap[at], bitmap[at + 1]
        has |= {window * 256 + i for i in range(8 * n) if bitmap[at + 2 + i // 8] & 0x80 >> i % 8}
        at += 2 + n
    return has


def common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def covers(owner, after, has, zone, name):
    if not (owner < name and (name < after or after == zone) and below(name, zone)):
        return False
    return not (below(name, owner) and (DNAME in has or (NS in has and SOA not in has)))


def lacks(has, kind, name):
    if kind in has or CNAME in has:
        return False
    return (not name or SOA not in has) if kind == DS else not (NS in has and SOA not in has)


def by_nsec(nsec, zone, name, kind, nxdomain):
    spans = [n for n in nsec if covers(*n, zone, name)]
    encloser = max([max(common(name, n[0]), common(name, n[1])) for n in spans], default=0)
    star = name[:encloser] + (b"*",)
    entire = any(below(n[1], name) for n in spans)  # something is below it: an empty non-terminal
    if nxdomain:
        return bool(spans) and not entire and any(
            covers(*n, zone, star) and not below(n[1], star) for n in nsec)
    here = [n for n in nsec if n[0] == name]
    if here:
        return lacks(here[0][2], kind, name)
    if entire:
        return True
    return bool(spans) and any(
        lacks(n[2], kind, star) if n[0] == star else covers(*n, zone, star) and below(n[1], star) for n in nsec)


def hashed(name, parameters):
    iterations, salt = parameters
    digest = hashlib.sha1(wire(name) + salt).digest()
    for _ in range(iterations):
        digest = hashlib.sha1(digest + salt).digest()
    return base64.b32hexencode(digest).lower()


def between(owner, value, after):
    return owner < value < after if owner < after else value > owner or value < after


def by_nsec3(nsec3, parameters, zone, name, kind, nxdomain):
    if parameters[0] > 50 or not below(name, zone):
        return False
    at = {n[0]: n for n in nsec3}
    exact = at.get(hashed(name, parameters))
    if exact:
        return not nxdomain and lacks(exact[3], kind, name)
    for n in range(len(name) - 1, len(zone) - 1, -1):
        encloser = at.get(hashed(name[:n], parameters))
        if not encloser:
            continue
        closer, star = hashed(name[:n + 1], parameters), hashed(name[:n] + (b"*",), parameters)
        if DNAME in encloser[3] or (NS in encloser[3] and SOA not in encloser[3]):
            return False
        if not any(between(r[0], closer, r[1]) and not r[2] & 1 for r in nsec3):
            return False
        if nxdomain:
            return any(between(r[0], star, r[1]) for r in nsec3)
        return star in at and lacks(at[star][3], kind, name[:n] + (b"*",))
    return False


def main():
    planted = sys.argv[1] == "--planted"
    counts = Counter()
    p = subprocess.Popen(sys.argv[1 + planted:], stdout=subprocess.PIPE, text=True)
    for line in p.stdout:
        told = json.loads(line)
        counts["secure"] += 1
        try:
            confirmed = Case(told).is_secure()
        except Abstain:
            counts["abstained"] += 1
            continue
        counts["confirmed" if confirmed else "wrong"] += 1
        if not confirmed and not planted and counts["wrong"] <= 5:
            print("not confirmed:", line.strip(), file=sys.stderr)
    failed = p.wait() != 0
    print(f"{counts['secure']} secure: {counts['confirmed']} confirmed, {counts['wrong']} wrong, "
          f"{counts['abstained']} abstained")
    # A run that finds nothing to confirm, or has no opinion on much, shows nothing.
    if failed or counts["confirmed"] < (20 if planted else 100) or counts["abstained"] * 50 > counts["secure"]:
        sys.exit(1)
    sys.exit((counts["wrong"] > 0) != planted)


main()
