"""Known answers of the key stream, made by Python's hmac and the cryptography package's AES in ECB mode.

    pip install cryptography; python prg.py > prg.json

HKDF is written out from RFC 5869, the counter is added as a Python integer, and words are cut from the stream with
int.from_bytes: no code is shared with ring/. The RFC 5869 (A.1-A.3) and SP 800-38A (F.5.1) entries are the published values.
"""
import hashlib
import hmac
import json
import platform

import cryptography
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def be(value, size):
    return value.to_bytes(size, "big")


def slot(n):
    return next(s for s in (1, 2, 4, 8, 16) if n <= 8 * s)


def keystream(leaf, start, size):
    """Bytes start..start+size of AES-128-CTR over zeros, one block at a time."""
    ecb = Cipher(algorithms.AES(leaf[:16]), modes.ECB()).encryptor()
    first, last = start // 16, (start + size + 15) // 16
    counter = int.from_bytes(leaf[16:], "big")
    blocks = b"".join(ecb.update(be((counter + i) % 2**128, 16)) for i in range(first, last))
    return blocks[start - 16 * first :][:size]


def words(leaf, n, length, offset):
    s = slot(n)
    stream = keystream(leaf, offset * s, length * s)
    return [str(int.from_bytes(stream[s * j : s * j + s], "little") % 2**n) for j in range(length)]


def case(K, info, extra, n, length, offset):
    leaf = mac(K, info + b"\x01")
    return {**extra, "K": K.hex(), "n": n, "leaf": leaf.hex(), "offset": offset, "length": length, "words": words(leaf, n, length, offset)}


def main():
    salt, ikm = hashlib.sha256(b"salt").digest(), hashlib.sha256(b"ikm").digest()
    K = mac(salt, ikm)
    leaves = []
    for i, n in enumerate([1, 7, 8, 9, 14, 16, 17, 31, 32, 33, 43, 63, 64, 65, 127, 128]):
        label = {"gate": 3 + 70000 * i, "kind": (17 * i + 1) % 256, "wire": 2**32 - 1 - i, "n": n, "rows": 5 + i, "cols": 2**20 + i}
        info = b"smpc/leaf/1" + be(label["gate"], 4) + be(label["kind"], 1) + be(label["wire"], 4) + be(n, 1) + be(label["rows"], 4) + be(label["cols"], 4)
        for length, offset in ((5, 0), (3, 21 * i + 1), (2, 2**32 * 16 // slot(n) - 2)):
            leaves.append(case(K, info, {"label": label}, n, length, offset))
    statics = []
    for name, n, rows, cols in (("bert.encoder.layer.0.output.dense.weight", 31, 3072, 768), ("classifier.bias", 43, 1, 3), ("Überschrift", 64, 2, 2)):
        text = name.encode()
        info = b"smpc/static/1" + be(len(text), 2) + text + be(n, 1) + be(rows, 4) + be(cols, 4)
        statics.append(case(K, info, {"tensor": name, "rows": rows, "cols": cols}, n, 4, 7))
    streams = []  # counters that wrap their low 32, low 64 and all 128 bits
    for low in (32, 64, 128):
        key = hashlib.sha256(b"wrap%d" % low).digest()[:16]
        counter = be((0x0123456789ABCDEF << 64 | 0xFEDCBA9876543210) | (2**low - 1), 16)
        for offset in (0, 3, 2**33 - 8):
            streams.append({"leaf": (key + counter).hex(), "n": 64, "offset": offset, "length": 6, "words": words(key + counter, 64, 6, offset)})
    hkdf = [
        {"ikm": "0b" * 22, "salt": "000102030405060708090a0b0c", "info": "f0f1f2f3f4f5f6f7f8f9",
         "prk": "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
         "okm": "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"},
        {"ikm": bytes(range(0x00, 0x50)).hex(), "salt": bytes(range(0x60, 0xB0)).hex(), "info": bytes(range(0xB0, 0x100)).hex(),
         "prk": "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
         "okm": "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"},
        {"ikm": "0b" * 22, "salt": "", "info": "",
         "prk": "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
         "okm": "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"},
    ]
    for h in hkdf:
        prk = mac(bytes.fromhex(h["salt"]) or bytes(32), bytes.fromhex(h["ikm"]))
        assert prk.hex() == h["prk"] and mac(prk, bytes.fromhex(h["info"]) + b"\x01").hex() == h["okm"]
    nist = {
        "key": "2b7e151628aed2a6abf7158809cf4f3c",
        "counter": "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "plaintext": "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        "ciphertext": "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
    }
    stream = keystream(bytes.fromhex(nist["key"] + nist["counter"]), 0, 64)
    assert bytes(a ^ b for a, b in zip(stream, bytes.fromhex(nist["plaintext"]))).hex() == nist["ciphertext"]
    made = f"prg.py, Python {platform.python_version()}, cryptography {cryptography.__version__}"
    print(json.dumps({"made_by": made, "extract": {"salt": salt.hex(), "ikm": ikm.hex(), "K": K.hex()}, "leaves": leaves, "statics": statics,
                      "streams": streams, "hkdf": hkdf, "nist_ctr": nist}, indent=1))


main()
