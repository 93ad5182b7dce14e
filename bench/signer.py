"""Keys and signatures of the generated zones, by python3-cryptography: nothing of ours checks itself.

Keys come from the seed, RSA's too, so that a run can be repeated; the signatures of ECDSA differ from
run to run, which changes no verdict.
"""
import base64, functools, hashlib, math, random, struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from dnswire import canonical, wire

RSA_BITS = 1024
RSA_HASH = {5: hashes.SHA1, 7: hashes.SHA1, 8: hashes.SHA256, 10: hashes.SHA512}
EC = {13: (ec.SECP256R1, hashes.SHA256, 32), 14: (ec.SECP384R1, hashes.SHA384, 48)}
ALGORITHMS = (5, 7, 8, 10, 13, 14, 15, 16)
ZONE, REVOKED, SEP = 0x100, 0x80, 1
SIGNED = {}


def is_prime(n, rng):
    for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        if n % p == 0:
            return n == p
    d, s = n - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for _ in range(20):
        x = pow(rng.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        for _ in range(s - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(bits, rng):
    while True:
        n = rng.getrandbits(bits) | 3 << bits - 2 | 1
        if math.gcd(n - 1, 65537) == 1 and is_prime(n, rng):
            return n


def private_key(algorithm, number):
    """The key pair `number` of an algorithm. 5 to 10 share theirs: making one costs the most."""
    return pair(8 if algorithm in RSA_HASH else algorithm, number)


@functools.lru_cache(None)
def pair(algorithm, number):
    rng = random.Random(f"key {algorithm} {number}")
    if algorithm == 8:
        p, q = prime(RSA_BITS // 2, rng), prime(RSA_BITS // 2, rng)
        d = pow(65537, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(65537, p * q)
        return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), public).private_key()
    if algorithm in EC:
        return ec.derive_private_key(rng.getrandbits(250) + 2, EC[algorithm][0]())
    if algorithm == 15:
        return ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    return ed448.Ed448PrivateKey.from_private_bytes(rng.randbytes(57))


def tag_of(rdata):
    total = sum(b if i & 1 else b << 8 for i, b in enumerate(rdata))
    return (total + (total >> 16)) & 0xffff


class Key:
    def __init__(self, algorithm, number, sep=False, flags=None, protocol=3, as_algorithm=None):
        self.algorithm, self.private = as_algorithm or algorithm, private_key(algorithm, number)
        self.how = algorithm
        self.flags = flags if flags is not None else ZONE | (SEP if sep else 0)
        public = self.private.public_key()
        if algorithm in RSA_HASH:
            n = public.public_numbers()
            octets = b"\3\1\0\1" + n.n.to_bytes((n.n.bit_length() + 7) // 8, "big")
        elif algorithm in EC:
            n, size = public.public_numbers(), EC[algorithm][2]
            octets = n.x.to_bytes(size, "big") + n.y.to_bytes(size, "big")
        else:
            octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.rdata = struct.pack(">HBB", self.flags, protocol, self.algorithm) + octets
        self.tag = tag_of(self.rdata)

    def sign(self, octets):
        """The same octets always get the same signature, whatever the algorithm."""
        known = SIGNED.get((self.private, self.how, octets))
        if known is None:
            known = SIGNED[self.private, self.how, octets] = self.compute(octets)
        return known

    def compute(self, octets):
        if self.how in RSA_HASH:
            return self.private.sign(octets, padding.PKCS1v15(), RSA_HASH[self.how]())
        if self.how in EC:
            _, digest, size = EC[self.how]
            r, s = utils.decode_dss_signature(self.private.sign(octets, ec.ECDSA(digest())))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        return self.private.sign(octets)

    def ds(self, owner, digest=2, wrong=False):
        made = {1: hashlib.sha1, 2: hashlib.sha256, 4: hashlib.sha384}.get(digest, hashlib.sha256)(
            wire(owner).lower() + self.rdata).digest()
        if wrong:
            made = made[:-1] + bytes([made[-1] ^ 1])
        return struct.pack(">HBB", self.tag, self.algorithm, digest) + made


def signature(s, key, signer, inception, expiration, labels=None, owner=None, ttl=None, covered=None, tag=None):
    """The RRSIG's RDATA by `key` over a Set. What is given replaces what is right."""
    owner = s.owner if owner is None else owner
    if labels is None:
        labels = len(owner) - (owner[:1] == (b"*",))
    ttl = s.ttl if ttl is None else ttl
    head = struct.pack(">HBBIIIH", s.type if covered is None else covered, key.algorithm, labels, ttl,
                       expiration & 0xffffffff, inception & 0xffffffff, key.tag if tag is None else tag) + wire(signer).lower()
    return head + key.sign(signed_octets(s, head, owner, ttl))


def signed_octets(s, head, owner, ttl):
    """RFC 4034, section 3.1.8.1."""
    octets, name = head, wire(owner).lower()
    for data in sorted({canonical(s.type, r) for r in s.rdatas}):
        octets += name + struct.pack(">HHIH", s.type, 1, ttl, len(data)) + data
    return octets


def verifies(s, sig, key):
    """Is this RRSIG RDATA a signature over the Set by the key?"""
    end = 18
    while sig[end]:
        end += 1 + sig[end]
    head, made, labels = sig[:end + 1], sig[end + 1:], sig[3]
    owner = s.owner if labels >= len(s.owner) - (s.owner[:1] == (b"*",)) else (b"*",) + s.owner[len(s.owner) - labels:]
    octets = signed_octets(s, head, owner, struct.unpack(">I", sig[4:8])[0])
    if key.how not in EC:
        return key.sign(octets) == made
    size = EC[key.how][2]
    try:
        key.private.public_key().verify(utils.encode_dss_signature(int.from_bytes(made[:size], "big"), int.from_bytes(made[size:], "big")),
                                        octets, ec.ECDSA(EC[key.how][1]()))
    except InvalidSignature:
        return False
    return True


def nsec3_hash(name, salt, iterations):
    digest = hashlib.sha1(wire(name).lower() + salt).digest()
    for _ in range(iterations):
        digest = hashlib.sha1(digest + salt).digest()
    return digest


def base32hex(digest):
    return base64.b32encode(digest).translate(bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghijklmnopqrstuv"))
