"""Every loss of a narrower, shallower student at once, and its gradients, by PyTorch's autograd in float64.

    pip install torch; python smaller-student.py > smaller-student.json

The forward pass is written out from Devlin et al. 2018, row-centred 2Quad and the losses from their equations; no code is shared
with the toolkit. Element i of the k-th parameter is height * sin(1.3 k + 0.7 i) (+ 1 for LayerNorm weights), rounded to
float32. `tolerance` is u * max(16 * amplification, 4 * sqrt(n) * scale) for a float32 implementation: u = 2^-24, amplification the
error of a float32 run of this program in units of u, n = 256 additions, scale the largest expected value.
"""
import json
import math

import torch
import torch.nn.functional as F

TEACHER = dict(hidden=12, heads=3, layers=4, inner=20)
STUDENT = dict(hidden=6, heads=3, layers=2, inner=10)
SHIFT = [[1.0, 2.0, 3.0], [1.5, 2.5, 0.5]]
MAP = [2, 4]  # the student's layers learn from these of the teacher, counted from 1
WEIGHTS = dict(labels=0.5, logits=1.0, hidden=1.0, scores=0.1, ranges=0.1)
TEMPERATURE = 2.0
IDS = [[2, 7, 9, 4, 3], [2, 16, 3, 0, 0]]
TYPES = [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
TARGETS = [1, 0]
EPS = 1e-12


def shapes(hidden, heads, layers, inner):
    out = {}

    def linear(name, rows, cols):
        out[name + ".weight"] = [rows, cols]
        out[name + ".bias"] = [rows]

    def norm(name):
        out[name + ".weight"] = [hidden]
        out[name + ".bias"] = [hidden]

    for table, rows in (("word", 17), ("position", 16), ("token_type", 2)):
        out[f"bert.embeddings.{table}_embeddings.weight"] = [rows, hidden]
    norm("bert.embeddings.LayerNorm")
    for layer in range(layers):
        p = f"bert.encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            linear(p + "attention.self." + part, hidden, hidden)
        linear(p + "attention.output.dense", hidden, hidden)
        norm(p + "attention.output.LayerNorm")
        linear(p + "intermediate.dense", inner, hidden)
        linear(p + "output.dense", hidden, inner)
        norm(p + "output.LayerNorm")
    linear("bert.pooler.dense", hidden, hidden)
    linear("classifier", 2, hidden)
    return out


def waves(named, height, dtype):
    out = {}
    for k, (name, shape) in enumerate(named.items()):
        i = torch.arange(math.prod(shape), dtype=torch.float64)
        one = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        value = (one + height * torch.sin(1.3 * k + 0.7 * i)).float().to(dtype)
        out[name] = value.reshape(shape).requires_grad_()
    return out


def forward(w, size, normalise):
    ids, types, dtype = torch.tensor(IDS), torch.tensor(TYPES), w["classifier.bias"].dtype
    batch, length = ids.shape
    seen = {}

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        y = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + EPS)
        return y * w[name + ".weight"] + w[name + ".bias"]

    def split(x):
        return x.reshape(batch, length, size["heads"], -1).transpose(1, 2)

    table = lambda name: w[f"bert.embeddings.{name}_embeddings.weight"]
    h = table("word")[ids] + table("token_type")[types] + table("position")[:length]
    h = seen["hidden.0"] = norm(h, "bert.embeddings.LayerNorm")
    for layer in range(size["layers"]):
        p = f"bert.encoder.layer.{layer}."
        q, k, v = (split(linear(h, p + "attention.self." + part)) for part in ("query", "key", "value"))
        s = seen[f"scores.{layer}"] = q @ k.transpose(2, 3) / math.sqrt(size["hidden"] / size["heads"])
        context = (normalise(s, layer) @ v).transpose(1, 2).reshape(batch, length, -1)
        x = seen[f"pre.{layer}.0"] = linear(context, p + "attention.output.dense") + h
        h = norm(x, p + "attention.output.LayerNorm")
        u = seen[f"ffn.{layer}"] = linear(h, p + "intermediate.dense")
        x = seen[f"pre.{layer}.1"] = linear(0.5 * u * (1 + torch.erf(u / math.sqrt(2))), p + "output.dense") + h
        h = seen[f"hidden.{layer + 1}"] = norm(x, p + "output.LayerNorm")
    seen["logits"] = linear(torch.tanh(linear(h[:, 0], "bert.pooler.dense")), "classifier")
    assert dtype == h.dtype
    return seen


def run(dtype):
    mask = torch.tensor(MASK, dtype=dtype)
    keys = mask[:, None, None, :]
    real = mask.bool()
    pairs = (mask[:, :, None] * mask[:, None, :])[:, None].expand(-1, 3, -1, -1).bool()
    n = keys.sum(-1, keepdim=True)
    centred = lambda s: s - (s * keys).sum(-1, keepdim=True) / n

    def softmax(s, _layer):
        return torch.softmax(s.masked_fill(keys == 0, -torch.inf), -1)

    def shifted(s, layer):
        return centred(s) + torch.tensor(SHIFT[layer], dtype=dtype)[:, None, None]

    def quad(s, layer):
        t = keys * shifted(s, layer) ** 2
        return t / t.sum(-1, keepdim=True)

    teacher = forward(waves(shapes(**TEACHER), 0.3, dtype), TEACHER, softmax)
    own = waves(shapes(**STUDENT), 0.5, dtype)
    size = [STUDENT["hidden"], TEACHER["hidden"]]
    own.update(waves({"projection.embeddings.weight": size, "projection.layers.weight": size}, 0.4, dtype))
    student = forward(own, STUDENT, quad)

    out = {}
    out["labels"] = F.cross_entropy(student["logits"], torch.tensor(TARGETS))
    target = torch.softmax(teacher["logits"].detach() / TEMPERATURE, -1)
    out["logits"] = F.cross_entropy(student["logits"] / TEMPERATURE, target)
    out["hidden"] = 0
    for layer in range(3):
        projection = own["projection." + ("embeddings" if layer == 0 else "layers") + ".weight"]
        theirs = teacher[f"hidden.{0 if layer == 0 else MAP[layer - 1]}"].detach()
        term = out[f"hidden.{layer}"] = F.mse_loss((student[f"hidden.{layer}"] @ projection)[real], theirs[real])
        out["hidden"] = out["hidden"] + term
    out["scores"] = 0
    for layer in range(2):
        theirs = centred(teacher[f"scores.{MAP[layer] - 1}"].detach())
        term = out[f"scores.{layer}"] = F.mse_loss(centred(student[f"scores.{layer}"])[pairs], theirs[pairs])
        out["scores"] = out["scores"] + term
    out["ranges"] = 0
    above = lambda x, limit: torch.relu(x - limit) ** 2
    for layer in range(2):
        x = shifted(student[f"scores.{layer}"], layer)
        d = torch.log2((keys * x**2).sum(-1) / n[..., 0])
        d = d + 2 * torch.log2(5 / torch.tensor(SHIFT[layer], dtype=dtype).abs())[:, None]  # at the scale where c is 5
        d = d.transpose(1, 2)[real]
        u = student[f"ffn.{layer}"][real]
        terms = (above(d, 7.5) + above(-d, -2.5)).mean() + 0.05 * (above(u, 4) + above(-u, 5)).mean()
        for part in (0, 1):
            variance = student[f"pre.{layer}.{part}"][real].var(-1, unbiased=False)
            terms = terms + 0.05 * above(torch.log2(variance + EPS), 4).mean()
        out["ranges"] = out["ranges"] + terms
    out["loss"] = sum(weight * out[name] for name, weight in WEIGHTS.items())
    names = list(own)
    grads = torch.autograd.grad(out["loss"], [own[name] for name in names])
    results = {name: value.detach() for name, value in out.items()}
    results.update({f"grad.{name}": grad for name, grad in zip(names, grads)})
    return {name: value.double().flatten() for name, value in results.items()}, own


exact, parameters = run(torch.float64)
rough, _ = run(torch.float32)
unit = 2.0**-24
tolerance = {
    name: unit * max(16 * float((rough[name] - value).abs().max()) / unit, 4 * math.sqrt(256) * float(value.abs().max()))
    for name, value in exact.items()
}
print(
    json.dumps(
        {
            "made_with": f"torch {torch.__version__}",
            "teacher": TEACHER,
            "student": STUDENT,
            "shift": SHIFT,
            "map": MAP,
            "weights": WEIGHTS,
            "temperature": TEMPERATURE,
            "ids": IDS,
            "types": TYPES,
            "mask": MASK,
            "targets": TARGETS,
            "expected": {name: [float(f"{x:.9g}") for x in value.tolist()] for name, value in exact.items()},
            "tolerance": {name: float(f"{x:.3g}") for name, x in tolerance.items()},
        },
        separators=(",", ":"),
    ).replace('"expected"', '\n"expected"').replace('],"', '],\n"')
)
