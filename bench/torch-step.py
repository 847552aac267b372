"""The training step of `bench train` in PyTorch, for comparison; needs only torch.

Started by `npm run bench -- train --torch PYTHON`: reads weights from a folder, then for each line of JSON on standard input
(a batch) takes one step and answers with its loss and wall time. Written with PyTorch's fastest parts: fused scaled
dot-product attention where the objective does not ask for scores, the fused AdamW, no mask (the texts are full). Every
layer computes all tokens, as models in PyTorch do; with `first-token` the last one computes only the row that labels need.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

folder, objective, normaliser, threads, rate, last = sys.argv[1:]
first_only = last == "first-token" and objective == "labels"
torch.set_num_threads(int(threads))
with open(f"{folder}/weights.json") as f:
    meta = json.load(f)
config = meta["config"]
heads, layers, eps = config["num_attention_heads"], config["num_hidden_layers"], config["layer_norm_eps"]
shift = config["softmax_c"]

flat = torch.from_file(f"{folder}/weights.f32", size=sum(torch.Size(t["shape"]).numel() for t in meta["tensors"]))
weights, at = {}, 0
for t in meta["tensors"]:
    size = torch.Size(t["shape"]).numel()
    weights[t["name"]] = flat[at : at + size].reshape(t["shape"]).clone()
    at += size
student = {n: w.requires_grad_() for n, w in weights.items() if not n.startswith("teacher:")}
teacher = {n.removeprefix("teacher:"): w for n, w in weights.items() if n.startswith("teacher:")}
no_decay = [w for n, w in student.items() if n.endswith("bias") or "LayerNorm" in n]
decay = [w for n, w in student.items() if not (n.endswith("bias") or "LayerNorm" in n)]
optimiser = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.01}, {"params": no_decay, "weight_decay": 0.0}],
    lr=float(rate), betas=(0.9, 0.999), eps=1e-8, fused=True,
)  # fmt: skip


def attend(q, k, v, act, want_scores):
    """Context (B, A, L, D), and the scores if asked for or needed."""
    if act == "softmax" and not want_scores:
        return F.scaled_dot_product_attention(q, k, v), None
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if act == "softmax":
        return scores.softmax(-1) @ v, scores
    if act == "2relu":
        raise SystemExit("2relu is not compared")
    s = scores - scores.mean(-1, keepdim=True) if act == "2quad_centred" else scores
    t = (s + shift) ** 2
    return t / t.sum(-1, keepdim=True) @ v, scores


def bert(w, ids, act, want_scores):
    """Logits, hidden states, scores."""

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, (x.shape[-1],), w[f"{name}.weight"], w[f"{name}.bias"], eps)

    e = "bert.embeddings"
    b, n = ids.shape
    split = lambda y: y.view(b, y.shape[1], heads, -1).transpose(1, 2)
    x = F.embedding(ids, w[f"{e}.word_embeddings.weight"], padding_idx=0)
    x = x + w[f"{e}.token_type_embeddings.weight"][0] + w[f"{e}.position_embeddings.weight"][:n]
    x = norm(x, f"{e}.LayerNorm")
    hidden, scores = [x], []
    for l in range(layers):
        p = f"bert.encoder.layer.{l}"
        rows = x[:, :1] if first_only and l == layers - 1 else x
        q, k, v = (split(linear(y, f"{p}.attention.self.{m}")) for m, y in (("query", rows), ("key", x), ("value", x)))
        context, s = attend(q, k, v, act, want_scores)
        scores.append(s)
        context = context.transpose(1, 2).reshape(b, rows.shape[1], -1)
        x = norm(linear(context, f"{p}.attention.output.dense") + rows, f"{p}.attention.output.LayerNorm")
        x = norm(linear(F.gelu(linear(x, f"{p}.intermediate.dense")), f"{p}.output.dense") + x, f"{p}.output.LayerNorm")
        hidden.append(x)
    return linear(torch.tanh(linear(x[:, 0], "bert.pooler.dense")), "classifier"), hidden, scores


def loss_of(ids, targets):
    if objective == "labels":
        return F.cross_entropy(bert(student, ids, normaliser, False)[0], targets)
    with torch.no_grad():
        logits_t, hidden_t, scores_t = bert(teacher, ids, "softmax", True)
    logits, hidden, scores = bert(student, ids, normaliser, True)
    loss = F.cross_entropy(logits, logits_t.softmax(-1))
    for a, b in zip(hidden, hidden_t):
        loss = loss + F.mse_loss(a, b)
    for a, b in zip(scores, scores_t):
        d = a - b
        if normaliser == "2quad_centred":
            d = d - d.mean(-1, keepdim=True)
        loss = loss + 0.1 * (d * d).mean()
    return loss


for line in sys.stdin:
    question = json.loads(line)
    if question == "version":
        print(json.dumps({"version": torch.__version__}), flush=True)
        continue
    ids = torch.tensor(question["ids"]).view(question["batch"], question["length"])
    targets = torch.tensor(question["targets"])
    start, before = time.perf_counter(), time.process_time()
    optimiser.zero_grad(set_to_none=True)
    loss = loss_of(ids, targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(student.values(), 1.0)
    optimiser.step()
    seconds, cpu = time.perf_counter() - start, time.process_time() - before
    print(json.dumps({"loss": loss.item(), "seconds": seconds, "cpu": cpu}), flush=True)
