#!/usr/bin/python3
"""Golden numbers for the tests: an implementation of the mathematics in float64, independent of the C++.

    generate.py            write the files beside this script
    generate.py --check    check every gradient by complex step, Philox by its published answers, and the
                           files beside this script against a fresh computation; write nothing

Arrays are [batch, positions, ...]; linear weights are [out, in] as in the weights file.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROPE_BASE = 10000.0


# ---- The trunks, `modern` and `article`: each forward returns what its backward keeps ----------------------

def norm(x, eps):
    """RMSNorm over the last axis, without gain."""
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * r, (x * r, r)


def norm_backward(dy, kept):
    y, r = kept
    return r * (dy - y * np.mean(dy * y, axis=-1, keepdims=True))


def linear(x, w):
    return np.einsum("bli,oi->blo", x, w)


def linear_backward(dy, x, w):
    """-> (dx, dw)"""
    return np.einsum("blo,oi->bli", dy, w), np.einsum("blo,bli->oi", dy, x)


def rope_angles(length, head_dim):
    """[length, 1, head_dim / 2], to go with [batch, length, heads, head_dim / 2]."""
    frequency = ROPE_BASE ** (-2.0 * np.arange(head_dim // 2) / head_dim)
    return (np.arange(length)[:, None] * frequency)[:, None, :]


def rotate(x, angles):
    """First half paired with second half; the transpose is the rotation by -angles."""
    half = x.shape[-1] // 2
    x1, x2 = x[..., :half], x[..., half:]
    c, s = np.cos(angles), np.sin(angles)
    return np.concatenate([x1 * c + x2 * s, -x1 * s + x2 * c], axis=-1)


def softmax(z):
    e = np.exp(z - np.max(z.real, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def attention(config, x, w, prefix):
    """x is the normed stream [B, L, D] -> [B, L, D], after c_proj."""
    B, L, D = x.shape
    H = config["n_head"]
    d = D // H
    angles = rope_angles(L, d) if config["trunk"] == "modern" else 0.0
    heads = lambda name: linear(x, w[prefix + name + ".weight"]).reshape(B, L, H, d)
    q, kept_q = norm(rotate(heads("c_q"), angles), config["norm_eps"])
    k, kept_k = norm(rotate(heads("c_k"), angles), config["norm_eps"])
    v = heads("c_v")
    scores = np.einsum("bmhd,bnhd->bhmn", q, k) / np.sqrt(d)
    if config["causal"]:
        scores = np.where(np.tril(np.ones((L, L), bool)), scores, -np.inf)
    p = softmax(scores)
    mixed = np.einsum("bhmn,bnhd->bmhd", p, v).reshape(B, L, D)
    return linear(mixed, w[prefix + "c_proj.weight"]), (x, q, kept_q, k, kept_k, v, p, mixed, angles)


def attention_backward(dy, kept, w, prefix, gradients):
    x, q, kept_q, k, kept_k, v, p, mixed, angles = kept
    B, L, H, d = q.shape
    dmixed, gradients[prefix + "c_proj.weight"] = linear_backward(dy, mixed, w[prefix + "c_proj.weight"])
    dmixed = dmixed.reshape(B, L, H, d)
    dv = np.einsum("bhmn,bmhd->bnhd", p, dmixed)
    dp = np.einsum("bmhd,bnhd->bhmn", dmixed, v)
    dscores = p * (dp - np.sum(dp * p, axis=-1, keepdims=True)) / np.sqrt(d)
    dq = rotate(norm_backward(np.einsum("bhmn,bnhd->bmhd", dscores, k), kept_q), -angles)
    dk = rotate(norm_backward(np.einsum("bhmn,bmhd->bnhd", dscores, q), kept_k), -angles)
    dx = 0
    for name, dout in (("c_q", dq), ("c_k", dk), ("c_v", dv)):
        part, gradients[prefix + name + ".weight"] = linear_backward(
            dout.reshape(B, L, H * d), x, w[prefix + name + ".weight"])
        dx = dx + part
    return dx


def taps_of(config):
    """(row of the filter, offset that it weighs)."""
    radius = config.get("conv_radius", 0)
    return enumerate(range(-radius, 1 if config["causal"] else radius + 1))


def shifted(x, k):
    """Row i is row i + k of x, zero outside the sequence."""
    result = np.zeros_like(x)
    length = x.shape[-2]
    result[..., max(0, -k):min(length, length - k), :] = x[..., max(0, k):min(length, length + k), :]
    return result


def local_convolution(config, x, w, prefix):
    """Depthwise, added to what it reads: y_i = x_i + sum_k w_k x_{i+k}."""
    if not config.get("conv_radius"):
        return x
    return x + sum(w[prefix + "conv.weight"][row] * shifted(x, k) for row, k in taps_of(config))


def local_convolution_backward(config, dy, x, w, prefix, gradients):
    if not config.get("conv_radius"):
        return dy
    gradients[prefix + "conv.weight"] = np.stack([(dy * shifted(x, k)).sum((0, 1)) for _, k in taps_of(config)])
    return dy + sum(shifted(w[prefix + "conv.weight"][row] * dy, -k) for row, k in taps_of(config))


def mlp(x, w, prefix):
    """Squared ReLU."""
    hidden = linear(x, w[prefix + "c_fc.weight"])
    positive = np.where(hidden.real > 0, hidden, 0)
    squared = positive * positive
    return linear(squared, w[prefix + "c_proj.weight"]), (x, positive, squared)


def mlp_backward(dy, kept, w, prefix, gradients):
    x, positive, squared = kept
    dsquared, gradients[prefix + "c_proj.weight"] = linear_backward(dy, squared, w[prefix + "c_proj.weight"])
    dx, gradients[prefix + "c_fc.weight"] = linear_backward(2 * positive * dsquared, x, w[prefix + "c_fc.weight"])
    return dx


def block(config, x, w, n):
    normed, norm_1 = norm(x, config["norm_eps"])
    y, kept_attention = attention(config, normed, w, f"blocks.{n}.attn.")
    x = x + y
    normed, norm_2 = norm(x, config["norm_eps"])
    y, kept_mlp = mlp(local_convolution(config, normed, w, f"blocks.{n}.mlp."), w, f"blocks.{n}.mlp.")
    return x + y, (norm_1, kept_attention, norm_2, kept_mlp)


def block_backward(config, dx, kept, w, n, gradients):
    norm_1, kept_attention, norm_2, kept_mlp = kept
    d_mixed = mlp_backward(dx, kept_mlp, w, f"blocks.{n}.mlp.", gradients)
    d_normed = local_convolution_backward(config, d_mixed, norm_2[0], w, f"blocks.{n}.mlp.", gradients)
    dx = dx + norm_backward(d_normed, norm_2)
    return dx + norm_backward(attention_backward(dx, kept_attention, w, f"blocks.{n}.attn.", gradients), norm_1)


def sinusoids(length, d):
    """[length, d]: sine and cosine of the angles in turn (Vaswani et al., Attention is all you need, 2017)."""
    angles = rope_angles(length, d)[:, 0]
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, d)


def split_mixture(case, w):
    """-> the names of the embedding tables in file order; the part of the input that weighs their rows, one table
    under another; the rest: time features, which the blocks of `article` read."""
    tables = [name for name in w if "emb" in name]
    rows = sum(len(w[name]) for name in tables)
    return tables, case["input"][..., :rows], case["input"][..., rows:]


def embed(case, w):
    """Rows by id, or mixtures of rows -> [B, L, D], before the norm."""
    config = case["config"]
    if config.get("input") == "mixture":
        tables, mixture, _ = split_mixture(case, w)
        x = mixture @ np.concatenate([w[name] for name in tables])
        return x + sinusoids(*x.shape[1:]) if config["trunk"] == "article" else x
    x = w["token_emb.weight"][case["ids"]]
    if case["time_row"] is not None:
        x = x + w["time_emb.weight"][case["time_row"]][:, None, :]
    return x


def embed_backward(case, w, dx, gradients):
    if case["config"].get("input") == "mixture":
        tables, mixture, _ = split_mixture(case, w)
        stacked = np.einsum("blr,bld->rd", mixture, dx)
        ends = np.cumsum([len(w[name]) for name in tables])
        gradients.update(zip(tables, np.split(stacked, ends[:-1])))
        return
    gradients["token_emb.weight"] = np.zeros_like(w["token_emb.weight"])
    np.add.at(gradients["token_emb.weight"], case["ids"], dx)
    if case["time_row"] is not None:
        gradients["time_emb.weight"] = np.zeros_like(w["time_emb.weight"])
        np.add.at(gradients["time_emb.weight"], case["time_row"], dx.sum(axis=1))


def forward(case, w):
    """-> what the head gives [B, L, vocab_size]. A block of `article` starts by projecting the stream and the time
    features; block n of the upper half then adds what its opposite, n_layer - 1 - n, had made of its own."""
    config = case["config"]
    x, kept_embedding = norm(embed(case, w), config["norm_eps"])
    inputs, blocks = [], []
    for n in range(config["n_layer"]):
        joined, opposite = None, config["n_layer"] - 1 - n
        if config["trunk"] == "article":
            joined = np.concatenate([x, split_mixture(case, w)[2]], axis=-1)
            x = linear(joined, w[f"blocks.{n}.input.weight"])
            if opposite < n:
                x = x + inputs[opposite]
            inputs.append(x)
        x, kept = block(config, x, w, n)
        blocks.append((joined, kept))
    final, kept_final = norm(x, config["norm_eps"])
    return linear(final, w["output_head.weight"]), (kept_embedding, blocks, final, kept_final)


def backward(case, w, dlogits, kept):
    """-> gradients by tensor name."""
    config = case["config"]
    kept_embedding, blocks, final, kept_final = kept
    gradients, dinputs = {}, {}
    dx, gradients["output_head.weight"] = linear_backward(dlogits, final, w["output_head.weight"])
    dx = norm_backward(dx, kept_final)
    for n in reversed(range(config["n_layer"])):
        joined, kept_block = blocks[n]
        dx = block_backward(config, dx, kept_block, w, n, gradients)
        if config["trunk"] == "article":
            dinputs[n] = dx = dx + dinputs.get(config["n_layer"] - 1 - n, 0)
            dx, gradients[f"blocks.{n}.input.weight"] = linear_backward(dx, joined, w[f"blocks.{n}.input.weight"])
            dx = dx[..., :config["d_model"]]
    embed_backward(case, w, norm_backward(dx, kept_embedding), gradients)
    return gradients


def cross_entropy(logits, targets, weights, mask_id):
    """sum_i weights_i * -log softmax(logits_i)[targets_i], the column of [MASK] left out -> (loss, dlogits)."""
    shown = np.arange(logits.shape[-1]) != (-1 if mask_id is None else mask_id)
    z = np.where(shown, logits, -np.inf)
    top = np.max(z.real, axis=-1, keepdims=True)
    log_p = z - top - np.log(np.sum(np.exp(z - top), axis=-1, keepdims=True))
    hot = targets[..., None] == np.arange(logits.shape[-1])
    loss = -np.sum(weights * np.sum(np.where(hot, log_p, 0), axis=-1))
    return loss, weights[..., None] * (np.exp(log_p) - hot)


def squared_error(out, targets, weights):
    """sum_i weights_i * |out_i - targets_i|^2 -> (loss, dout)."""
    difference = out - targets
    return np.sum(weights * np.sum(difference * difference, axis=-1)), 2 * weights[..., None] * difference


def run_case(case, w):
    logits, kept = forward(case, w)
    if case["config"]["trunk"] == "article":
        loss, dlogits = squared_error(logits, case["targets"], case["weights"])
    else:
        logits = logits + case.get("prior", 0)
        loss, dlogits = cross_entropy(logits, case["targets"], case["weights"], case["process"].get("mask_id"))
    return logits, loss, lambda: backward(case, w, dlogits, kept)


# ---- The cases ---------------------------------------------------------------------------------------------

def tensor_shapes(config):
    V, D, F, T = config["vocab_size"], config["d_model"], config["d_ff"], config["time_rows"]
    shapes = {"token_emb.weight": (V, D)}
    if config["trunk"] == "modern" and T:
        shapes["time_emb.weight"] = (T, D)
    if config.get("self_conditioning"):
        shapes["self_emb.weight"] = (V, D)
        shapes["clean_emb.weight"] = (1, D)
    for n in range(config["n_layer"]):
        if config["trunk"] == "article":
            shapes[f"blocks.{n}.input.weight"] = (D, D + T)
        for name in ("c_q", "c_k", "c_v", "c_proj"):
            shapes[f"blocks.{n}.attn.{name}.weight"] = (D, D)
        if config.get("conv_radius"):
            shapes[f"blocks.{n}.mlp.conv.weight"] = (len(list(taps_of(config))), D)
        shapes[f"blocks.{n}.mlp.c_fc.weight"] = (F, D)
        shapes[f"blocks.{n}.mlp.c_proj.weight"] = (D, F)
    shapes["output_head.weight"] = (V, D)
    return shapes


def random_weights(config, random):
    """float32 values, none of them zero: embeddings N(0, 1), linear N(0, 1 / in)."""
    weights = {}
    for name, shape in tensor_shapes(config).items():
        scale = 1.0 if "emb" in name else shape[1] ** -0.5
        weights[name] = (scale * random.standard_normal(shape)).astype(np.float32)
        assert np.all(weights[name] != 0)
    return weights


def time_rows_of(t, rows):
    """The row that mask probability t in (0, 1] reads."""
    return np.clip(np.ceil(rows * np.asarray(t) - 1e-6).astype(int) - 1, 0, rows - 1)


def masked_batch(case, random, masked):
    """Random characters, the places of `masked` (one row of 0 and 1 a sequence) hidden. Weights of the first
    sequence: 1/k for its k masked places; of the second: 1 each."""
    mask_id = case["process"]["mask_id"]
    characters = [i for i in range(case["config"]["vocab_size"]) if i != mask_id]
    hidden = np.array(masked, bool)
    case["targets"] = random.choice(characters, hidden.shape)
    case["ids"] = np.where(hidden, mask_id, case["targets"])
    each = np.array([[1 / hidden[0].sum()], [1.0]])
    case["weights"] = np.where(hidden, each, 0.0)


def next_character_batch(case, random, length):
    """Each place predicts its successor; the second sequence starts with two places that do not count."""
    characters = random.randint(0, case["config"]["vocab_size"], (2, length + 1))
    case["ids"], case["targets"] = characters[:, :-1], characters[:, 1:]
    case["weights"] = np.full((2, length), 1 / (2 * length))
    case["weights"][1, :2] = 0


def noisy_batch(case, random, length):
    """Noise where one-hots were, and time features. With self-conditioning also the guess of a pass before (the
    second sequence had none), the flags of the clean places, and a prior for the logits; without, noise to predict.
    Clean places do not count."""
    V, T = case["config"]["vocab_size"], case["config"]["time_rows"]
    draw = lambda columns: random.standard_normal((2, length, columns))
    columns = [draw(V), random.uniform(-1, 1, (2, length, T))]
    clean = np.zeros((2, length, 1))
    clean[0, :2] = clean[1, 3:5] = 1
    if case["config"]["self_conditioning"]:
        guess = softmax(2 * draw(V))
        guess[1] = 0
        columns += [guess, clean]
        case["prior"], case["targets"] = 2 * draw(V), random.randint(0, V, (2, length))
    else:
        case["targets"] = draw(V)
    case["input"] = np.concatenate(columns, axis=-1)
    case["width"] = case["input"].shape[-1]
    case["weights"] = random.uniform(0.02, 0.1, (2, length)) * (1 - clean[..., 0])


def model_cases():
    base = {"version": 1, "trunk": "modern", "vocab_size": 11, "seq_len": 12, "d_model": 16, "n_layer": 2, "n_head": 2,
            "d_ff": 40, "norm_eps": 1.1920929e-07, "causal": False, "time_rows": 0}
    mixture = {**base, "time_rows": 6, "input": "mixture"}
    cases = {
        # [MASK] is the last id, so the vocabulary leaves it out.
        "masked": dict(seed=1, config=base, vocab="\n !',Iabé€", t=None, time_row=None,
                       process={"kind": "masked", "mask_id": 10, "schedule": "linear"}),
        # As a converted file of the source repository: [MASK] first, with time rows. 5 * float32(0.6) > 3 > row 2.
        "masked-time": dict(seed=2, config={**base, "n_head": 4, "time_rows": 5}, vocab="\ufffd\n !',Iabcd",
                            t=[0.6, 0.83], process={"kind": "masked", "mask_id": 0, "schedule": "linear"}),
        # No [MASK], every column counts; an eps that shows whether the file's is the one that is used.
        "causal": dict(seed=3, config={**base, "causal": True, "norm_eps": 1e-3}, vocab="\n !',Iabcde", t=None,
                       time_row=None, process={"kind": "ar"}),
        # Filters: seven taps over nine places, and of a causal model five, none of which looks ahead.
        "conv": dict(seed=11, config={**base, "conv_radius": 3}, vocab="\n !',Iabcd", t=None, time_row=None,
                     process={"kind": "masked", "mask_id": 10, "schedule": "linear"}),
        "conv-causal": dict(seed=12, config={**base, "causal": True, "conv_radius": 4}, vocab="\n !',Iabcde", t=None,
                            time_row=None, process={"kind": "ar"}),
        # Mixtures of the rows of four tables, and a prior.
        "gaussian": dict(seed=6, config={**mixture, "norm_eps": 2e-3, "self_conditioning": True},
                         vocab="\n !',Iabcde", process={"kind": "gaussian"}),
        # Four layers, for both long skips: 3 <- 0 and 2 <- 1.
        "article": dict(seed=8, config={**mixture, "trunk": "article", "n_layer": 4, "d_ff": 24, "norm_eps": 5e-3,
                                        "self_conditioning": False},
                        vocab="\n !',Iabcde", process={"kind": "gaussian"}),
    }
    cases["masked-time"]["time_row"] = time_rows_of(cases["masked-time"]["t"], 5)
    for case in cases.values():
        random = np.random.RandomState(case["seed"])  # unlike default_rng, frozen for ever
        case["w"] = random_weights(case["config"], random)
        if case["process"]["kind"] == "ar":
            next_character_batch(case, random, 9)
        elif case["process"]["kind"] == "gaussian":
            noisy_batch(case, random, 9)
        else:
            masked_batch(case, random, [[0, 1, 0, 0, 1, 1, 0, 0, 1], [1, 1, 0, 1, 1, 0, 1, 1, 1]])
        for key in {"input", "prior", "targets", "weights"} & case.keys():
            if case[key].dtype == np.float64:
                case[key] = case[key].astype(np.float32).astype(np.float64)
    return cases


def float64_weights(case):
    return {name: value.astype(np.float64) for name, value in case["w"].items()}


# ---- Philox 4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011) -----------------------

def philox(seed, index, step, purpose):
    """Key {seed low, seed high}, counter {index low, index high, step, purpose} -> four 32-bit words."""
    low = 0xFFFFFFFF
    k0, k1 = seed & low, seed >> 32
    c0, c1, c2, c3 = index & low, index >> 32, step, purpose
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & low, (p0 >> 32) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return [c0, c1, c2, c3]


PUBLISHED_PHILOX = [
    ((0, 0, 0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ((2**64 - 1, 2**64 - 1, 2**32 - 1, 2**32 - 1), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ((0x299F31D0A4093822, 0x85A308D3243F6A88, 0x13198A2E, 0x03707344),
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


def philox_numbers():
    addresses = [address for address, _ in PUBLISHED_PHILOX] + [
        (1, 0, 0, 0), (1 << 32, 0, 0, 0),                # the two words of the key
        (1, 1, 0, 0), (1, 1 << 32, 0, 0),                # the two words of the index
        (1, 0, 1, 0), (1, 0, 0, 1),                      # step, purpose
        (1337, ((3 * 256 + 255) * 65 + 64 // 4), 127, 2),
        (0xDEADBEEFCAFEF00D, 0xFFFFFFFF, 63, 3),         # the last index of the low word, and the next
        (0xDEADBEEFCAFEF00D, 0x100000000, 63, 3),
    ]
    return [{"seed": hex(a[0]), "index": hex(a[1]), "step": a[2], "purpose": a[3], "words": philox(*a)}
            for a in addresses]


# ---- Optimisers ----------------------------------------------------------------------------------------------

def adamw_numbers():
    """Decay first (p -= lr wd p), then p -= lr m^ / (sqrt(v^) + eps) with bias-corrected moments."""
    beta_1, beta_2, eps = 0.9, 0.95, 1e-8
    random = np.random.RandomState(4)
    f32 = lambda x: np.asarray(x, np.float32).astype(np.float64)
    p = f32([0.5, -1.25, 0.0, 3.0, 0.1, -0.02, 1.0])
    # From ordinary gradients down to those of the size of eps, and none at all.
    scale = np.array([1.0, 0.3, 0.05, 10.0, 1e-4, 1e-8, 0.0])
    m, v = np.zeros_like(p), np.zeros_like(p)
    answer = {"beta1": beta_1, "beta2": beta_2, "eps": eps, "initial": p.copy(), "steps": []}
    for step in range(1, 11):
        lr = 0.01 * min(step / 3, 1) * (1 if step < 7 else (11 - step) / 5)
        wd = 0.1 if step != 5 else 0.0
        g = f32(scale * random.standard_normal(p.size))
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        m_hat, v_hat = m / (1 - beta_1**step), v / (1 - beta_2**step)
        p = p * (1 - lr * wd) - lr * m_hat / (np.sqrt(v_hat) + eps)
        answer["steps"].append({"lr": lr, "weight_decay": wd, "gradient": g, "m": m, "v": v, "parameters": p})
    return answer


def newton_schulz(g):
    """Five iterations of X <- a X + (b A + c A^2) X with A = X X^T, on the wide orientation."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (np.sqrt(np.sum(x * x)) + 1e-7)
    for _ in range(5):
        A = x @ x.T
        x = a * x + (b * A + c * A @ A) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def muon_numbers():
    random = np.random.RandomState(5)
    draw = lambda shape: random.standard_normal(shape).astype(np.float32).astype(np.float64)
    cases = []
    for shape in ((5, 8), (8, 5), (6, 6)):
        g = draw(shape)
        cases.append({"rows": shape[0], "cols": shape[1], "input": g, "output": newton_schulz(g)})
    momentum, lr, wd, (rows, cols) = 0.95, 0.02, 0.01, (8, 5)
    p, buffer = draw((rows, cols)), np.zeros((rows, cols))
    scale = max(1, rows / cols) ** 0.5
    answer = {"rows": rows, "cols": cols, "momentum": momentum, "lr": lr, "weight_decay": wd, "scale": scale,
              "initial": p, "steps": []}
    for _ in range(3):
        g = draw((rows, cols))
        buffer = momentum * buffer + g
        update = g + momentum * buffer
        p = p * (1 - lr * wd) - lr * scale * newton_schulz(update)
        answer["steps"].append({"gradient": g, "buffer": buffer, "update": update, "parameters": p})
    return {"newton_schulz": cases, "nesterov": answer}


# ---- Files ---------------------------------------------------------------------------------------------------

def safetensors(case):
    """-> the bytes of a model file."""
    header = {"__metadata__": {"folio.config": json.dumps(case["config"]), "folio.process": json.dumps(case["process"]),
                               "folio.vocab": json.dumps(case["vocab"])}}
    data = b""
    for name, value in case["w"].items():
        raw = value.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def flat(array, digits):
    return "[" + ",".join(f"{x:.{digits}g}" for x in np.ravel(array)) + "]"


def case_json(case):
    """One line a field and a tensor."""
    logits, loss, gradients = run_case(case, float64_weights(case))
    gradients = gradients()

    def field(value):
        if np.ndim(value) == 3:  # [batch, positions, columns] of float32 values
            return flat(value, 9)
        return json.dumps(value.tolist() if isinstance(value, np.ndarray) else value)

    keys = ("ids", "input", "width", "prior", "targets", "weights", "t", "time_row")
    lines = [f'"{key}": {field(case[key])}' for key in keys if key in case]
    lines += [f'"logits": {flat(logits, 17)}', f'"loss": {loss:.17g}']
    tensors = ",\n".join(f'  "{name}": {flat(gradients[name], 9)}' for name in case["w"])
    return "{\n" + ",\n".join(lines) + ',\n"gradients": {\n' + tensors + "\n}\n}\n"


def readable_json(value, indent=""):
    """Arrays of numbers on one line and in row order, everything else one member a line."""
    deeper = indent + " "
    if isinstance(value, np.ndarray):
        return flat(value, 17)
    if isinstance(value, dict):
        members = [f"{deeper}{json.dumps(key)}: {readable_json(member, deeper)}" for key, member in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(deeper + readable_json(member, deeper) for member in value) + f"\n{indent}]"
    return json.dumps(value)


def all_files(cases):
    """{file name: bytes}"""
    files = {}
    for name, case in cases.items():
        files[name + ".safetensors"] = safetensors(case)
        files[name + ".json"] = case_json(case).encode()
    for name, numbers in (("philox", philox_numbers()), ("adamw", adamw_numbers()), ("muon", muon_numbers())):
        files[name + ".json"] = (readable_json(numbers) + "\n").encode()
    return files


# ---- Checks --------------------------------------------------------------------------------------------------

def check_gradients(name, case):
    """Every element of every gradient against Im f(w + ih) / h, which has no cancellation: h may be tiny."""
    w = float64_weights(case)
    gradients = run_case(case, w)[2]()
    assert gradients.keys() == w.keys()
    h, worst = 1e-30, (0.0, "")
    for tensor, value in w.items():
        varied = value.astype(complex)
        numeric = np.zeros_like(value)
        for at in np.ndindex(value.shape):
            varied[at] += 1j * h
            numeric[at] = run_case(case, {**w, tensor: varied})[1].imag / h
            varied[at] = value[at]
        error = np.max(np.abs(numeric - gradients[tensor])) / np.max(np.abs(numeric))
        worst = max(worst, (error, tensor))
    count = sum(value.size for value in w.values())
    print(f"{name}: {count} gradients, worst error {worst[0]:.1e} of the tensor's largest ({worst[1]})")
    assert worst[0] < 1e-12


def same_numbers(a, b):
    """Equal JSON values, but for the last digits: sums may run in another order on another machine."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_numbers(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_numbers, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return abs(a - b) <= 2e-8 * abs(a) + 1e-12
    return a == b


def check(cases):
    for name, case in cases.items():
        check_gradients(name, case)
    for address, words in PUBLISHED_PHILOX:
        assert philox(*address) == words
    print("philox: the three published answers hold")
    for name, content in all_files(cases).items():
        stored = (HERE / name).read_bytes()
        same = same_numbers(json.loads(stored), json.loads(content)) if name.endswith(".json") else stored == content
        assert same, f"{name} differs from a fresh computation: run generate.py"
    print("files: as computed afresh")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check(model_cases())
    elif not sys.argv[1:]:
        for file_name, content in all_files(model_cases()).items():
            (HERE / file_name).write_bytes(content)
    else:
        sys.exit("usage: generate.py [--check]")
