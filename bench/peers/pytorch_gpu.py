"""Folio beside PyTorch at its best on one GPU: training steps of `base`, in turns in one call.

  python3 bench/peers/pytorch_gpu.py --folio build/cuda/folio [--out FOLDER] [--rounds N] [--process NAME ...] [--batch N ...]

The peer: the same trunk, bf16 autocast, fused attention, fused AdamW, torch.compile with max-autotune (its CUDA graphs among
it). For gpt, masked and gaussian, at 64 x 256 and 256 x 256. Folio is timed with AdamW alone (--muon-lr 0), as the peer has it.
"""
import argparse
import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--folio", default="build/cuda/folio")
parser.add_argument("--out", type=Path, default=Path("build/gpu"))
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--process", nargs="+", default=["gpt", "masked", "gaussian"])
parser.add_argument("--batch", nargs="+", type=int, default=[64, 256])
options = parser.parse_args()
length, d_model, n_head, n_layer, vocabulary, eps = 256, 384, 6, 6, 65, 2.0**-23
flops_per_character, peak = 71.1e6, 989e12


def norm(x):
    return F.rms_norm(x, (x.shape[-1],), eps=eps)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.c_proj = nn.Linear(d_model, d_model, bias=False)
        self.up = nn.Linear(d_model, 4 * d_model, bias=False)
        self.down = nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x, cos, sin, causal):
        q, k, v = self.qkv(norm(x)).view(*x.shape[:2], 3, n_head, -1).permute(2, 0, 3, 1, 4)

        def turn(y):
            a, b = y.chunk(2, -1)
            return norm(torch.cat([a * cos + b * sin, b * cos - a * sin], -1)).type_as(v)

        attended = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=causal)
        x = x + self.c_proj(attended.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.relu(self.up(norm(x))).square())


class Denoiser(nn.Module):
    def __init__(self, process):
        super().__init__()
        self.process = process
        rows = vocabulary + (process == "masked")
        inputs = 2 * vocabulary + 64 + 1 if process == "gaussian" else rows
        self.embedding = nn.Parameter(torch.randn(inputs, d_model))
        self.blocks = nn.ModuleList(Block() for _ in range(n_layer))
        self.head = nn.Linear(d_model, rows, bias=False)
        half = d_model // n_head // 2
        angles = torch.outer(torch.arange(length, dtype=torch.float64), 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half))
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def loss(self, given, targets, weights):
        x = norm(given @ self.embedding if self.process == "gaussian" else F.embedding(given, self.embedding))
        for block in self.blocks:
            x = block(x, self.cos, self.sin, self.process == "gpt")
        logits = self.head(norm(x)).float()[..., :vocabulary]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return (losses * weights.flatten()).sum()


def peer(process, batch):
    torch.manual_seed(1)
    model = Denoiser(process).cuda()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0, fused=True)
    loss = torch.compile(model.loss, mode="max-autotune")
    text = torch.randint(vocabulary, (1_000_000,), device="cuda")

    def step():
        # Windows and their noise are made on the GPU here too.
        starts = torch.randint(len(text) - length - 1, (batch, 1), device="cuda")
        places = starts + torch.arange(length, device="cuda")
        targets = text[places + 1] if process == "gpt" else text[places]
        weights = torch.full((batch, length), 1 / (batch * length), device="cuda")
        given = text[places]
        if process == "masked":
            hidden = torch.rand(batch, length, device="cuda") < torch.rand(batch, 1, device="cuda")
            given, weights = given.masked_fill(hidden, vocabulary), weights * hidden
        if process == "gaussian":
            noise = F.one_hot(given, vocabulary) + torch.randn(batch, length, vocabulary, device="cuda")
            given = torch.cat([noise, torch.rand(batch, length, vocabulary + 65, device="cuda")], -1)
        torch.compiler.cudagraph_mark_step_begin()
        with torch.autocast("cuda", torch.bfloat16):
            value = loss(given, targets, weights)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=False)

    for _ in range(10):
        step()

    def rate(steps=100):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        return steps * batch * length / (time.perf_counter() - begin)

    return rate


def folio(process, batch):
    run = options.out / "peer-run"
    shutil.rmtree(run, ignore_errors=True)
    command = [options.folio, "train", "--device", "cuda", "--preset", process, "--batch", batch, "--muon-lr", 0, "--steps", 200, "--log-every", 100,
               "--eval-every", 200, "--checkpoint-every", 200, "--sample-every", 0, "--out", run]
    if process != "gpt":
        command += ["--short-windows", 0]
    if process == "gaussian":
        command += ["--self-conditioning", 0]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["chars_per_s"]


print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
print("| process | batch | Folio M characters/s | of bf16 peak | PyTorch | of bf16 peak | Folio / PyTorch |\n|---|---|---|---|---|---|---|")
for process in options.process:
    for batch in options.batch:
        rate = peer(process, batch)
        pairs = [(folio(process, batch), rate()) for _ in range(options.rounds)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs))
        ratio = statistics.median(a / b for a, b in pairs)
        share = [x * flops_per_character / peak for x in (ours, theirs)]
        print(f"| {process} | {batch} x {length} | {ours / 1e6:.2f} | {share[0]:.1%} | {theirs / 1e6:.2f} | {share[1]:.1%} | {ratio:.2f} |", flush=True)
        torch._dynamo.reset()
