"""Known answers of docs/PROTOCOLS.md, "Sessions and keys", by the Python standard library alone. Prints sessions.json.

    python sessions.py > sessions.json
"""
import hashlib
import hmac
import json
import struct


def u32(*values):
    return b"".join(struct.pack(">I", v) for v in values)


def fields(*values):
    return b"".join(u32(len(v)) + v for v in values)


def stream(name, size=32):
    """Arbitrary bytes that anyone can make again."""
    return hashlib.shake_128(name.encode()).digest(size)


def expand32(key, info):
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


cases = []
for index, (suite, lengths) in enumerate([("masked", [24]), ("masked", [3, 128, 7]), ("sünnet", [4294967295])]):
    name = f"case {index} "
    model_id, export, program = (stream(name + x) for x in ("model", "export", "program"))
    certificates = {x: stream(name + "certificate " + x) for x in ("party0", "party1", "assistant", "client")}
    nonces = {x: stream(name + "nonce " + x) for x in ("client", "party0", "party1")}
    seed, master = stream(name + "seed"), stream(name + "master")
    session = [suite.encode(), u32(1), model_id, export, program, u32(len(lengths)), u32(*lengths)]
    ctx = hashlib.sha256(b"smpc/ctx/1" + fields(*session, *(certificates[x] for x in ("party0", "party1", "assistant", "client")))).digest()
    sid = hashlib.sha256(b"smpc/sid/1" + ctx + nonces["client"] + nonces["party0"] + nonces["party1"]).digest()
    key = hmac.new(sid, seed, hashlib.sha256).digest()
    leaves = []
    for gate, kind, code, n, words in [(0, "A1", 3, 19, 1000), (300, "T", 15, 97, 7), (4, "r", 2, 14, 1)]:
        info = b"smpc/leaf/1" + u32(gate) + bytes([code]) + u32(gate) + bytes([n]) + u32(1, words)
        leaves.append({"gate": gate, "kind": kind, "n": n, "length": words, "leaf": expand32(key, info).hex()})
    rounds = [(stream(f"{name} round {k} 0", 5 + k), stream(f"{name} round {k} 1", 5 + k)) for k in range(3)]
    transcript = hashlib.sha256(
        b"smpc/transcript/1" + fields(sid)
        + b"".join(u32(k, len(a)) + a + u32(len(b)) + b for k, (a, b) in enumerate(rounds)) + u32(len(rounds))
    ).digest()
    cases.append({
        "suite": suite, "lengths": lengths, "modelId": model_id.hex(), "exportDigest": export.hex(), "programDigest": program.hex(),
        "certificates": {k: v.hex() for k, v in certificates.items()}, "nonces": {k: v.hex() for k, v in nonces.items()},
        "seed": seed.hex(), "master": master.hex(), "session": fields(*session).hex(), "ctx": ctx.hex(), "sid": sid.hex(),
        "key": key.hex(), "leaves": leaves,
        "check": expand32(hmac.new(model_id, master, hashlib.sha256).digest(), b"smpc/check/1").hex(),
        "rounds": [[a.hex(), b.hex()] for a, b in rounds], "transcript": transcript.hex(),
    })
print(json.dumps({"provenance": "sessions.py, Python standard library (hashlib, hmac, struct)", "cases": cases}, indent=1, ensure_ascii=True))
