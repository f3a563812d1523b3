"""Key agreement beside the vectors of RFC 7748."""

from raysim.training.x25519 import BASE_POINT, public_key, x25519

BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
ALICES_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")


def test_one_multiplication() -> None:
    """Section 5.2."""
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert x25519(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    once = x25519(BASE_POINT, BASE_POINT)
    assert once.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"


def test_what_two_parties_share() -> None:
    """Section 6.1, from Bob's side."""
    assert public_key(BOB).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert x25519(BOB, ALICES_PUBLIC).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


def test_both_parties_share_the_same() -> None:
    one, other = bytes(range(32)), bytes(range(100, 132))
    assert x25519(one, public_key(other)) == x25519(other, public_key(one))
