"""X25519 key agreement in plain integers: Langley, Hamburg & Turner: Elliptic Curves for Security, RFC 7748, section 5.

Not constant in time: it is for simulated parties of one machine, where nobody times anybody. It is here, and not asked
of a library, so that masks are the same bits wherever a run goes on.
"""

_P = 2**255 - 19
_A24 = 121665
BASE_POINT = (9).to_bytes(32, "little")


def public_key(secret: bytes) -> bytes:
    """The public key of a secret of 32 bytes."""
    return x25519(secret, BASE_POINT)


def x25519(secret: bytes, point: bytes) -> bytes:
    """`secret` times `point`, both of 32 bytes; of another's public key, what both parties share."""
    scalar = int.from_bytes(secret, "little")
    scalar = scalar & ~7 & (2**254 - 1) | 2**254
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swapped = 1, 0, x1, 1, 0
    for position in reversed(range(255)):
        bit = scalar >> position & 1
        if bit != swapped:
            x2, z2, x3, z3, swapped = x3, z3, x2, z2, bit
        total, difference = (x2 + z2) % _P, (x2 - z2) % _P
        squares, other = total * total % _P, difference * difference % _P
        cross_up, cross_down = (x3 - z3) * total % _P, (x3 + z3) * difference % _P
        x3, z3 = (cross_up + cross_down) ** 2 % _P, x1 * (cross_up - cross_down) ** 2 % _P
        gap = squares - other
        x2, z2 = squares * other % _P, gap * (squares + _A24 * gap) % _P
    if swapped:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(32, "little")
