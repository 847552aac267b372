"""BERT sequence classifiers whose attention normaliser or activation is not Hugging Face's.

Lies beside the weights of a student; `AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)` loads it.
The model type is one that transformers does not know, so that nothing loads the weights into an ordinary BERT, whose softmax
would give other answers without a word. Needs torch and transformers 4.40 or later; inference and fine-tuning in eager mode.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

RELU_EPSILON = 1e-12


class SecformerBertConfig(BertConfig):
    model_type = "secformer_bert"

    def __init__(self, softmax_act="softmax", softmax_c=5.0, **kwargs):
        super().__init__(**kwargs)
        self.softmax_act = softmax_act
        self.softmax_c = softmax_c


def activation(name):
    if name == "quad":  # MPCFormer, section 3.2
        return lambda u: 0.125 * u * u + 0.25 * u + 0.5
    return {"gelu": F.gelu, "gelu_new": lambda u: F.gelu(u, approximate="tanh"), "relu": F.relu}[name]


def normalise(scores, mask, act, c):
    """Attention weights (B, A, L, L) from scores before any mask; mask (B, L), 1 for a real token; c (A, 1, 1)."""
    keys = mask[:, None, None, :].to(scores.dtype)
    count = keys.sum(-1, keepdim=True).clamp(min=1)
    if act == "softmax":
        return (scores + (1 - keys) * -1e30).softmax(-1) * keys
    if act in ("2quad", "2quad_centred"):
        if act == "2quad_centred":
            scores = scores - (scores * keys).sum(-1, keepdim=True) / count
        t = (scores + c) * keys
        total = (t * t).sum(-1, keepdim=True)
        return t * t / torch.where(total == 0, torch.ones_like(total), total)
    if act in ("2relu", "2relu_real_n", "2relu_published"):
        r = F.relu(scores) * keys
        length = scores.shape[-1]
        share = {"2relu": keys / length, "2relu_real_n": keys / count, "2relu_published": 1 / length}[act]
        return (r + RELU_EPSILON * share) / (r.sum(-1, keepdim=True) + RELU_EPSILON)
    raise ValueError(f"softmax_act {act} is unknown")


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids, types):
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.word_embeddings(ids) + self.token_type_embeddings(types) + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class SelfAttention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        width = config.hidden_size
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)
        self.heads, self.act = config.num_attention_heads, config.softmax_act
        c = config.softmax_c
        self.c = list(c[layer]) if isinstance(c, (list, tuple)) else [c] * self.heads

    def forward(self, x, mask):
        b, n, width = x.shape
        q, k, v = (m(x).view(b, n, self.heads, -1).transpose(1, 2) for m in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        c = torch.tensor(self.c, dtype=x.dtype, device=x.device).view(-1, 1, 1)
        weights = self.dropout(normalise(scores, mask, self.act, c))
        return (weights @ v).transpose(1, 2).reshape(b, n, width)


class Output(nn.Module):
    """Projection, residual, LayerNorm."""

    def __init__(self, config, width):
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x, residual):
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


def named(**modules):
    """Modules under the names that Hugging Face's checkpoints have."""
    return nn.ModuleDict(modules)


class Layer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = SelfAttention(config, layer)
        self.attention.output = Output(config, config.hidden_size)
        self.intermediate = named(dense=nn.Linear(config.hidden_size, config.intermediate_size))
        self.output = Output(config, config.intermediate_size)
        self.act = activation(config.hidden_act)

    def forward(self, x, mask):
        x = self.attention.output(self.attention.self(x, mask), x)
        return self.output(self.act(self.intermediate["dense"](x)), x)


class SecformerBertForSequenceClassification(PreTrainedModel):
    config_class = SecformerBertConfig
    base_model_prefix = "bert"

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = nn.Module()
        self.bert.embeddings = Embeddings(config)
        self.bert.encoder = named(layer=nn.ModuleList(Layer(config, l) for l in range(config.num_hidden_layers)))
        self.bert.pooler = named(dense=nn.Linear(config.hidden_size, config.hidden_size))
        rate = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, return_dict=None, **_):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        x = self.bert.embeddings(input_ids, types)
        for layer in self.bert.encoder["layer"]:
            x = layer(x, mask)
        pooled = torch.tanh(self.bert.pooler["dense"](x[:, 0]))
        logits = self.classifier(self.dropout(pooled))
        loss = None
        if labels is not None:
            one = self.num_labels == 1
            loss = F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype)) if one else F.cross_entropy(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)
