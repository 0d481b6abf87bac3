"""Folio beside PyTorch at its best: a forward pass of 1 x 256 and a training step of 32 x 256 (AdamW), f32, in turns.

  /usr/bin/python3 bench/peers/pytorch.py [--rounds N] [--threads N,N] [--micro N] [--build FOLDER] [--files FOLDER]

--micro is the number of sequences that PyTorch takes through at once in a step, gradients added up.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Memory given back to the system and taken again costs as many page faults as there is work; the allocator reads this when
# the process starts.
tuned = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 28)}
if any(os.environ.get(name) != value for name, value in tuned.items()):
    os.environ.update(tuned)
    os.execv(sys.executable, [sys.executable, *sys.argv])

import numpy as np
import torch
import torch.nn.functional as F

top = Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=21, help="turns of each forward pass; a training step gets a third")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--micro", type=int, default=4)
parser.add_argument("--build", type=Path, default=top / "build/release")
parser.add_argument("--files", type=Path, default=top / "build/peers")
options = parser.parse_args()
turn = 0.3  # seconds
batch, length = 32, 256


def read_safetensors(path):
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    config = json.loads(header.pop("__metadata__")["folio.config"])
    tensors = {}
    for name, spec in header.items():
        first, last = spec["data_offsets"]
        tensors[name] = torch.from_numpy(np.frombuffer(data[end + first:end + last], np.float32).reshape(spec["shape"]).copy())
    return config, tensors


class Denoiser:
    """The `modern` trunk, q|k|v as one product."""

    def __init__(self, config, tensors):
        self.config = config
        self.eps = config["norm_eps"]
        self.embedding, self.head = tensors["token_emb.weight"], tensors["output_head.weight"]
        self.blocks = []
        for layer in range(config["n_layer"]):
            attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
            qkv = torch.cat([tensors[f"{attn}{name}.weight"] for name in ("c_q", "c_k", "c_v")])
            self.blocks.append([qkv, tensors[f"{attn}c_proj.weight"], tensors[f"{mlp}c_fc.weight"], tensors[f"{mlp}c_proj.weight"]])
        half = config["d_model"] // config["n_head"] // 2
        angles = torch.outer(torch.arange(length, dtype=torch.float64), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
        self.cos, self.sin = angles.cos().float(), angles.sin().float()

    def parameters(self):
        return [self.embedding, self.head, *(weight for block in self.blocks for weight in block)]

    def norm(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)

    def rotate_and_norm(self, x):
        a, b = x.chunk(2, -1)
        return self.norm(torch.cat([a * self.cos + b * self.sin, b * self.cos - a * self.sin], -1))

    def forward(self, ids):
        rows, heads = ids.shape[0], self.config["n_head"]
        x = self.norm(F.embedding(ids, self.embedding))
        for qkv_weight, c_proj, up, down in self.blocks:
            qkv = F.linear(self.norm(x), qkv_weight).view(rows, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
            q, k, v = self.rotate_and_norm(qkv[0]), self.rotate_and_norm(qkv[1]), qkv[2]
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            attended = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1)
            x = x + F.linear(attended, c_proj)
            x = x + F.linear(F.relu(F.linear(self.norm(x), up)).square(), down)
        return F.linear(self.norm(x), self.head)


class Step:
    """A training step like Folio's: half the places hidden, mean cross-entropy there, norm clipped at 1, AdamW. No EMA."""

    def __init__(self, denoiser):
        self.denoiser = denoiser
        for parameter in denoiser.parameters():
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.AdamW(denoiser.parameters(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0, foreach=True)
        generator = torch.Generator().manual_seed(1)
        mask = denoiser.config["vocab_size"] - 1
        self.targets = torch.randint(0, mask, (batch, length), generator=generator)
        self.hidden = torch.rand(batch, length, generator=generator) < 0.5
        self.ids = self.targets.masked_fill(self.hidden, mask)

    def __call__(self):
        self.optimiser.zero_grad(set_to_none=False)
        weights = self.hidden / self.hidden.sum()
        for rows in torch.arange(batch).split(options.micro):
            logits = self.denoiser.forward(self.ids[rows])
            losses = F.cross_entropy(logits[..., :-1].flatten(0, 1), self.targets[rows].flatten(), reduction="none")
            (losses * weights[rows].flatten()).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), 1.0)
        self.optimiser.step()


def milliseconds(body, seconds):
    """The mean over as many runs as `seconds` hold, after one that does not count."""
    body()
    begin, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - begin < seconds:
        body()
        count += 1
    return 1000 * (time.perf_counter() - begin) / count


class Folio:
    """A task of `folio bench` in f32 on the best set of kernels."""

    def __init__(self, weights, threads, seconds, *task):
        self.weights, self.threads, self.seconds, self.task = weights, threads, seconds, task
        self.kernels = self.rows(0, "--task", "forward")[0]["kernels"]

    def rows(self, seconds, *task, kernels=""):
        command = [options.build / "folio", "bench", "--weights", self.weights, "--device", "cpu", "--threads", str(self.threads),
                   "--seconds", str(seconds), "--json", *task]
        report = subprocess.run(command, env={**os.environ, "FOLIO_KERNELS": kernels}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return [row for row in json.loads(report.stdout)["results"] if row["products"] == "f32" and row["threads"] == self.threads]

    def milliseconds(self):
        return self.rows(self.seconds, *self.task, kernels=self.kernels)[0]["median_ms"]


def compare(work, threads, folio, peer, rounds):
    times = [(folio.milliseconds(), milliseconds(peer, turn)) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*times))
    ratio = statistics.median(b / a for a, b in times)
    print(f"| {work} | {threads} | {folio.kernels} | {ours:.1f} | PyTorch {torch.__version__} | {theirs:.1f} | {ratio:.2f} |", flush=True)


def check(denoiser, weights):
    """Both must compute the same function to be compared."""
    ids, out = options.files / "ids.json", options.files / "logits.npy"
    rows = [[(31 * i) % (denoiser.config["vocab_size"] - 1) for i in range(length)]]
    ids.write_text(json.dumps(rows))
    subprocess.run([options.build / "folio", "logits", "--weights", weights, "--ids", ids, "--out", out], check=True)
    difference = np.abs(np.load(out) - denoiser.forward(torch.tensor(rows)).numpy()).max()
    print(f"largest difference of a logit: {difference:.1e}", file=sys.stderr)
    if not difference < 1e-3:
        sys.exit("The two do not compute the same function.")


options.files.mkdir(parents=True, exist_ok=True)
weights = options.files / "model.safetensors"
subprocess.run(["node", Path(__file__).with_name("model.mjs"), weights], check=True)
config, tensors = read_safetensors(weights)
with torch.no_grad():
    check(Denoiser(config, tensors), weights)

print("| work | threads | Folio | ms | peer | ms | peer / Folio |\n|---|---|---|---|---|---|---|")
for threads in map(int, options.threads.split(",")):
    torch.set_num_threads(threads)
    with torch.no_grad():
        denoiser, ids = Denoiser(config, tensors), torch.arange(length).remainder(127)[None]
        folio = Folio(weights, threads, turn, "--task", "forward")
        compare("forward 1 x 256, f32", threads, folio, lambda: denoiser.forward(ids), options.rounds)
    # A step takes seconds: fewer would leave no time for one behind the first, which only warms.
    folio = Folio(weights, threads, 4, "--task", "training", "--batch", str(batch), "--muon-lr", "0")
    compare("training step 32 x 256, f32", threads, folio, Step(Denoiser(config, tensors)), max(1, options.rounds // 3))
