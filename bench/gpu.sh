#!/usr/bin/env bash
# What needs a GPU, for a machine that is lent for minutes and has no network:
#   bench/gpu.sh pack       here: build/gpu-pack.tar.xz with the programs, the libraries that they need, and the text
#   bench/gpu.sh check      there, within 180 s: tests, sanitizers, the time of each operation and of training steps
#   bench/gpu.sh train      there, within 420 s: nanoGPT's run against the clock, PyTorch beside it, the models of `base`
#   bench/gpu.sh STAGE...   single stages, by the names in their lines
# Results go to $OUT (build/gpu where it is not set), at most 8 files of 16 MB. Each stage has a time limit of its own and prints one
# line; one that fails does not stop the next; a tool that does not run there is named, and does not count as passed. REHEARSE=1
# before it runs all of that in miniature on the CPU, by the emulation of the GPU that the release build has.
set -uo pipefail
cd "$(dirname "$0")/.."
export OUT=${OUT:-build/gpu}
export work=build/gpu-work pack=build/gpu-pack REHEARSE=${REHEARSE:-}
logs=$work/logs
mkdir -p "$OUT" "$logs"
export PATH=$PATH:/usr/local/cuda/bin
[ -n "${FOLIO_DATA:-}" ] || for text in $pack/text.txt ../shared/data/tinyshakespeare.txt; do [ ! -f $text ] || export FOLIO_DATA=$text; done
[ -z "${FOLIO_DATA:-}" ] || FOLIO_DATA=$(realpath "$FOLIO_DATA")

# The machine's own libraries where it has them in versions that do; else those of the pack.
use_libraries() {
  mkdir -p $pack/missing
  ldd $pack/folio 2>&1 | awk '/=> not found/ { print $1 }' | xargs -r -I{} cp $pack/lib/{} $pack/missing/
  export LD_LIBRARY_PATH=$PWD/$pack/missing
  ! ldd $pack/folio 2>&1 | grep -q "not found" || LD_LIBRARY_PATH=$PWD/$pack/lib
}
use_programs() {
  if [ -n "$REHEARSE" ]; then
    folio=build/release/tests/emulated_gpu_folio gpu_test=build/release/tests/emulated_gpu_test gpu_bench=/missing/gpu_bench
  elif [ -x $pack/folio ]; then
    use_libraries
    folio=$pack/folio gpu_test=$pack/gpu_test gpu_bench=$pack/gpu_bench
  else
    folio=build/cuda/folio gpu_test=build/cuda/tests/gpu_test gpu_bench=build/cuda/bench/gpu_bench
  fi
  export folio gpu_test gpu_bench
  # What a run is made of: the real one, and one that the emulation manages.
  export size=base batch=64 large_batch=256 steps=5000 few_steps=60 seq_len=256
  [ -n "$REHEARSE" ] || return 0
  size=tiny batch=2 large_batch=3 steps=6 few_steps=4 seq_len=32
  head -c 4000 "$FOLIO_DATA" >$work/text.txt
  FOLIO_DATA=$work/text.txt
}
# train OPTION...: a run on the GPU, or where the options say.
train_run() { "$folio" train --device cuda --seq-len $seq_len --sample-every 0 "$@"; }

began=$SECONDS limit=100000
left() { echo $((limit - SECONDS + began)); }

# stage NAME SECONDS COMMAND...: one line at the end, the output in the log NAME. An exit status of 75 says that a tool is missing.
stage() {
  local name=$1 seconds=$2 begin=$SECONDS outcome
  shift 2
  [ -z "$REHEARSE" ] || seconds=$((20 * seconds))
  [ "$seconds" -le "$(left)" ] || seconds=$(left)
  if [ "$seconds" -lt 2 ]; then
    outcome="LEFT OUT: the time is over"
  else
    timeout -k 5 "$seconds" bash -c '"$@"' _ "$@" >"$logs/$name.log" 2>&1 </dev/null
    case $? in
      0) outcome="good" ;;
      75) outcome="NOT RUN: $(tail -n 1 "$logs/$name.log")" ;;
      124 | 137) outcome="FAILED: not done within $seconds s" ;;
      *) outcome="FAILED: $(tail -n 3 "$logs/$name.log" | tr '\n' ' ' | cut -c1-300)" ;;
    esac
  fi
  [[ $outcome == good ]] || echo "$name" >>"$work/failed"
  printf '%-26s %4d s  %s\n' "$name" $((SECONDS - begin)) "$outcome"
  [[ $outcome == good ]]
}
missing() { echo "$*"; exit 75; }
tables() { for name; do [ ! -s "$logs/$name.log" ] || cat "$logs/$name.log"; done; }

build() {
  cmake --preset cuda -DFOLIO_DOWNLOAD=OFF -DFOLIO_CUDA_ARCHITECTURES="90-real;90-virtual" &&
    cmake --build --preset cuda --target folio gpu_test gpu_bench
}
pack() {
  rm -rf $pack && mkdir -p $pack/lib && cp build/cuda/folio build/cuda/tests/gpu_test build/cuda/bench/gpu_bench $pack/ && strip $pack/* 2>/dev/null
  cp "$FOLIO_DATA" $pack/text.txt || return 1
  # All but the C library, which belongs with the system's loader.
  ldd $pack/folio $pack/gpu_test | awk '$3 ~ /^\// { print $3 }' | sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-[a-z0-9-]*)\.so' |
    xargs -I{} cp -L {} $pack/lib/
  tar -C build -cJf $pack.tar.xz gpu-pack && ls -l $pack.tar.xz && [ "$(stat -c %s $pack.tar.xz)" -le 20000000 ]
}
unpack() {
  [ -n "$REHEARSE" ] || [ ! -f $pack.tar.xz ] || [ $pack/folio -nt $pack.tar.xz ] || { tar -C build -xJf $pack.tar.xz && touch $pack/folio; }
}

device() {
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader || missing "no nvidia-smi here"
}
starts() {
  "$folio" --version || return 1
  # Catch2 gives their number.
  "$gpu_test" --list-test-names-only
  [ $? -lt 126 ] && rm -rf "$work/start" && train_run --size tiny --batch 2 --steps 1 --out "$work/start"
}
# Ten training steps of a preset beside the CPU, in f32: the losses of both, step by step.
beside_cpu() {
  for device in cpu cuda; do
    rm -rf "$work/$1-$device"
    train_run --device $device --precision f32 --preset "$1" --size tiny --batch 4 --steps 10 --log-every 1 --eval-every 10 \
      --out "$work/$1-$device" || return 1
  done
  python3 - "$work/$1-cpu/metrics.jsonl" "$work/$1-cuda/metrics.jsonl" <<'PY'
import json, sys
cpu, cuda = ([json.loads(line)["loss"] for line in open(path)] for path in sys.argv[1:])
worst = max(abs(a - b) / max(abs(a), 1e-9) for a, b in zip(cpu, cuda))
print(f"{len(cpu)} losses, largest relative difference {worst:.2e}")
sys.exit(len(cpu) != len(cuda) or not worst < 1e-3)
PY
}
# A run of five steps that is resumed for five more gives the tensors of one of ten, bit for bit.
resume() {
  local options=(--preset masked --size tiny --batch 4 --decay 0 --eval-every 5)
  rm -rf "$work/whole" "$work/halves"
  train_run "${options[@]}" --steps 10 --out "$work/whole" && train_run "${options[@]}" --steps 5 --out "$work/halves" &&
    "$folio" train --resume --device cuda --steps 10 --out "$work/halves" || return 1
  python3 - "$work/whole/last.safetensors" "$work/halves/last.safetensors" <<'PY'
import struct, sys
def tensors(path):
    data = open(path, "rb").read()
    return data[8 + struct.unpack("<Q", data[:8])[0]:]
sys.exit(tensors(sys.argv[1]) != tensors(sys.argv[2]))
PY
}
sanitize() {
  command -v compute-sanitizer >/dev/null || missing "no compute-sanitizer here"
  compute-sanitizer --tool "$1" --error-exitcode 9 "$gpu_test" "$2"
  local status=$?
  [ $status -eq 0 ] || [ $status -eq 9 ] || missing "compute-sanitizer does not run here (status $status)"
  return $status
}
operations() {
  [ -x "$gpu_bench" ] || missing "gpu_bench is not here"
  "$gpu_bench"
}
# Characters per second of training steps, and their share of the bf16 peak.
step_speed() {
  for rows in $batch $large_batch; do
    rm -rf "$work/speed"
    train_run --preset "$1" --size $size --batch $rows --steps $few_steps --log-every $((few_steps / 3)) --eval-every $few_steps \
      --checkpoint-every $few_steps --out "$work/speed" >/dev/null || return 1
    python3 - "$1" "$rows" "$work/speed/metrics.jsonl" <<'PY'
import json, sys
rates = [json.loads(line)["chars_per_s"] for line in open(sys.argv[3])][1:]
flops = 71.1e6  # of a character of base, forward and backward
print(f"{sys.argv[1]:<16} {sys.argv[2]:>3} windows: {max(rates) / 1e6:.3f} M characters/s, {max(rates) * flops / 989e12:.1%} of 989 TFLOP/s")
PY
  done
}
nanogpt() {
  rm -rf "$work/nanogpt"
  train_run --preset gpt --size $size --batch $batch --steps $steps --eval-every $steps --checkpoint-every $steps --log-every 2 \
    --out "$work/nanogpt" && "$folio" eval --device cuda --weights "$work/nanogpt/last.safetensors"
}
peer() {
  python3 -c "import torch; torch.cuda.get_device_name()" 2>/dev/null || missing "no PyTorch with a GPU here"
  python3 bench/peers/pytorch_gpu.py --folio "$folio" --out "$work" --process gpt --batch $batch
}
# steps_within SECONDS BATCH: by the speed of nanoGPT's run, with a fifth of the time for all else.
steps_within() {
  python3 - "$work/nanogpt/metrics.jsonl" "$1" "$2" $seq_len <<'PY'
import json, statistics, sys
rate = statistics.median(json.loads(line)["chars_per_s"] for line in open(sys.argv[1]))
print(max(6, int(0.8 * float(sys.argv[2]) * rate / (int(sys.argv[3]) * int(sys.argv[4])))))
PY
}
# base_model PRESET SECONDS MOST_STEPS BATCH [OPTION...]: trains, exports, evaluates, and leaves one archive in $OUT.
base_model() {
  local name=$1-$size run=$work/$1 seconds=$2 most=$3 rows=$4 count
  count=$(steps_within "$seconds" "$rows") || return 1
  [ "$count" -le "$most" ] || count=$most
  shift 4
  rm -rf "$run"
  timeout -s INT "$seconds" bash -c 'train_run "$@"' _ --preset "${run##*/}" --size $size --batch "$rows" --steps "$count" --eval-every $((count / 4 + 1)) \
    --out "$run" "$@"
  local weights=$run/last.safetensors
  [ -f "$weights" ] || weights=$run/best.safetensors
  mkdir -p "$run/$name"
  "$folio" export --weights "$weights" --dtype int8 --out "$run/$name/$name.safetensors" &&
    "$folio" eval --device cuda --weights "$weights" --json >"$run/$name/$name.json" && cp "$run/metrics.jsonl" "$run/$name/" &&
    tar -C "$run" -cJf "$OUT/$name.tar.xz" "$name" && cat "$run/$name/$name.json"
}
# The f16 file of a model, from which training can go on, in two halves: cat them, then unxz.
f16_halves() {
  local weights=$work/$1/last.safetensors
  [ -f "$weights" ] || weights=$work/$1/best.safetensors
  "$folio" export --weights "$weights" --dtype f16 --out "$work/f16.safetensors" && xz -T0 -f "$work/f16.safetensors" &&
    split -n 2 -d -a 1 "$work/f16.safetensors.xz" "$OUT/$1-$size-f16.safetensors.xz.part"
}
archive_logs() { tar -C "$work" -cJf "$OUT/$1-logs.tar.xz" logs; }
export -f train_run missing build pack device starts beside_cpu resume sanitize operations step_speed nanogpt peer steps_within base_model f16_halves archive_logs

run_stage() {
  case $1 in
    device) stage device 10 device ;;
    starts) stage starts 20 starts ;;
    test-ops) stage test-ops 80 "$gpu_test" "ops: *" ;;
    test-denoiser) stage test-denoiser 80 "$gpu_test" "~ops: *" "~cuda: *" ;;
    test-steps) stage test-steps 80 "$gpu_test" "cuda: *" "~cuda: memory*" ;;
    test-memory) stage test-memory 20 "$gpu_test" "cuda: memory*" ;;
    beside-cpu-*) stage "$1" 60 beside_cpu "${1#beside-cpu-}" ;;
    resume) stage resume 60 resume ;;
    memcheck | racecheck) stage "$1" 60 sanitize "$1" "ops: softmax" ;;
    memcheck-steps) stage memcheck-steps 60 sanitize memcheck "cuda: what is no number*" ;;
    operations) stage operations 25 operations ;;
    speed-*) stage "$1" 25 step_speed "${1#speed-}" ;;
    nanogpt) stage nanogpt 110 nanogpt ;;
    peer) stage peer 90 peer ;;
    gpt) stage "gpt-$size" "$model_seconds" base_model gpt $((model_seconds * 3 / 4)) $steps $batch ;;
    masked) stage "masked-$size" "$model_seconds" base_model masked $((model_seconds * 3 / 4)) 100000 $batch --init "$(weights_of gpt)" ;;
    gaussian | gaussian-article)
      stage "$1-$size" "$model_seconds" base_model "$1" $((model_seconds * 3 / 4)) 20000 $([ "$1" = gaussian ] && echo $batch || echo $((batch / 2)))
      ;;
    f16-masked) stage f16-masked 30 f16_halves masked ;;
    build) stage build 3000 build ;;
    pack) stage build 3000 build && stage pack 200 pack && tables pack ;;
    *) echo "There is no stage $1."; echo "$1" >>"$work/failed" ;;
  esac
}
weights_of() { [ -f "$work/$1/last.safetensors" ] && echo "$work/$1/last.safetensors" || echo "$work/nanogpt/last.safetensors"; }
model_seconds=120

check() {
  limit=${REHEARSE:+100}170
  run_stage device && tables device
  run_stage starts
  # Correctness first, side by side: it takes the CPU's time more than the GPU's.
  for name in test-ops test-denoiser test-steps resume beside-cpu-{gpt,masked,gaussian,gaussian-article} memcheck racecheck memcheck-steps; do
    run_stage $name &
    [ -z "$REHEARSE" ] || wait
  done
  wait
  run_stage test-memory
  for name in speed-{gpt,masked,gaussian,gaussian-article} operations; do run_stage $name; done
  tables speed-{gpt,masked,gaussian,gaussian-article} operations
  archive_logs check
}
train() {
  limit=${REHEARSE:+100}405
  run_stage device && tables device
  for name in nanogpt peer; do run_stage $name; done
  tables nanogpt peer | grep -vE '^step ' | tail -n 25
  # What is left, less what packing takes: to each model its share, of which three quarters are for training.
  local rest=$(($(left) - 30))
  for share in gpt:20 masked:40 gaussian:22 gaussian-article:18; do
    model_seconds=$((rest * ${share#*:} / 100))
    run_stage "${share%:*}"
  done
  run_stage f16-masked
  archive_logs train
  ls -l "$OUT"
}

rm -f "$work/failed"
case ${1:-} in
  pack | build) ;;
  *) unpack ;;
esac
use_programs
case ${1:-} in
  check | train) "$1" ;;
  "") sed -n '2,9s/^# \{0,1\}//p' "$0" ;;
  *) for name; do run_stage "$name"; done ;;
esac
[ ! -s "$work/failed" ] || { echo "Not passed: $(sort -u "$work/failed" | tr '\n' ' ')"; exit 1; }
