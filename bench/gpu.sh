#!/usr/bin/env bash
# All that needs a GPU, in one call of a few minutes: build, test, sanitize, time, compare with PyTorch, train.
#   bench/gpu.sh [STAGE...]       default: build test sanitize floor speed peer; the trainings by name:
#   bench/gpu.sh train            all four presets, or train-masked, train-gpt, train-gaussian, train-gaussian-article
#   bench/gpu.sh pack             where the libraries are: programs and libraries into build/gpu-pack, for a machine without them
# Reports go to $OUT (build/gpu where it is not set). Each stage is bounded in time and survives the failure of another.
set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-build/gpu}
mkdir -p "$OUT"
export PATH=$PATH:/usr/local/cuda/bin
[ -n "${FOLIO_DATA:-}" ] || [ ! -f ../shared/data/tinyshakespeare.txt ] || export FOLIO_DATA=../shared/data/tinyshakespeare.txt
[ -z "${FOLIO_DATA:-}" ] || FOLIO_DATA=$(realpath "$FOLIO_DATA")
pack=build/gpu-pack
if [ -x $pack/folio ]; then
  export LD_LIBRARY_PATH=$pack/lib:${LD_LIBRARY_PATH:-}
  folio=$pack/folio tests=$pack gpu_bench=$pack/gpu_bench
else
  folio=build/cuda/folio tests=build/cuda/tests gpu_bench=build/cuda/bench/gpu_bench
fi
failed=()

# stage NAME SECONDS COMMAND...: one line at the end, the output in $OUT/NAME.log.
stage() {
  local name=$1 seconds=$2 begin=$SECONDS
  shift 2
  timeout "$seconds" "$@" >"$OUT/$name.log" 2>&1
  local status=$?
  [ $status -eq 0 ] || { failed+=("$name"); tail -n 15 "$OUT/$name.log"; }
  printf '%-24s %s  %d s\n' "$name" "$([ $status -eq 0 ] && echo good || echo "FAILED ($status)")" $((SECONDS - begin))
}

build() {
  cmake --preset cuda && cmake --build --preset cuda --target folio gpu_ops_test gpu_denoiser_test gpu_cuda_test gpu_bench
}
pack() {
  rm -rf build/gpu-pack && build && mkdir -p build/gpu-pack/lib && cp build/cuda/folio build/cuda/bench/gpu_bench build/cuda/tests/gpu_*_test build/gpu-pack/ &&
    strip build/gpu-pack/* 2>/dev/null
  # All but what belongs to the system's loader.
  ldd build/gpu-pack/* | awk '$3 ~ /^\// { print $3 }' | sort -u | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-[a-z0-9-]*)\.so' |
    xargs -I{} cp -L {} build/gpu-pack/lib/
}
# A training speed: characters/s and the share of the GPU's bf16 peak, best of the logged lines after warming up.
speed() {
  for preset in gpt masked gaussian; do
    for batch in 64 256; do
      rm -rf "$OUT/run"
      "$folio" train --device cuda --preset $preset --batch $batch --steps 300 --log-every 50 --eval-every 300 --checkpoint-every 300 \
        --sample-every 0 --out "$OUT/run" >/dev/null || return 1
      python3 - "$preset" "$batch" "$OUT/run/metrics.jsonl" <<'PY' || return 1
import json, sys
rates = [json.loads(line)["chars_per_s"] for line in open(sys.argv[3])][1:]
flops = 71.1e6  # of a character of base, forward and backward
best = max(rates)
print(f"{sys.argv[1]:<9} {sys.argv[2]:>3} x 256: {best / 1e6:.2f} M characters/s, {best * flops / 989e12:.1%} of 989 TFLOP/s")
PY
    done
  done
}
sanitize() {
  # Small cases: a sanitizer is some hundred times slower.
  for tool in memcheck racecheck; do
    compute-sanitizer --tool $tool --error-exitcode 9 "$tests/gpu_ops_test" "ops: $1" || return 1
  done
}
profile() {
  if command -v nsys >/dev/null; then
    nsys profile --force-overwrite true --cuda-graph-trace=node -o "$OUT/step" "$folio" train --device cuda --preset masked --batch 64 --steps 60 \
      --sample-every 0 --out "$OUT/profile-run" && nsys stats --report cuda_gpu_kern_sum "$OUT/step.nsys-rep"
  else
    echo "no nsys here; the verbs by themselves are in floor.log"
  fi
}
train() {
  "$folio" train --device cuda --preset "$1" --size base --batch 64 --out "$OUT/runs/$1" --sample-every 0 &&
    "$folio" export --weights "$OUT/runs/$1/best.safetensors" --dtype f16 --out "$OUT/$1-base-f16.safetensors" &&
    "$folio" eval --device cuda --weights "$OUT/runs/$1/best.safetensors" --json >"$OUT/$1-base.json" && cp "$OUT/runs/$1/metrics.jsonl" "$OUT/$1-metrics.jsonl"
}
export -f build pack speed sanitize profile train
export OUT folio tests

[ $# -gt 0 ] || set -- build test sanitize floor speed peer
for name in "$@"; do
  case $name in
    build) [ -x $pack/folio ] || stage build 400 bash -c build ;;
    pack) stage pack 1200 bash -c pack ;;
    test)
      for test in gpu_cuda_test gpu_ops_test gpu_denoiser_test; do stage $test 150 "$tests/$test"; done
      ;;
    sanitize)
      for verb in norm softmax "attention of the last places of a text" "cross_entropy" "embed and its backward" muon squared_norm; do
        stage "sanitize-${verb// /-}" 60 bash -c 'sanitize "$1"' _ "$verb"
      done
      stage sanitize-memcheck-steps 150 compute-sanitizer --tool memcheck --error-exitcode 9 "$tests/gpu_cuda_test" "~cuda: memory*"
      stage sanitize-racecheck-steps 200 compute-sanitizer --tool racecheck --error-exitcode 9 "$tests/gpu_cuda_test" "cuda: what is no number*"
      ;;
    floor) stage floor 60 "$gpu_bench" && cat "$OUT/floor.log" ;;
    speed) stage speed 240 bash -c speed && cat "$OUT/speed.log" ;;
    profile) stage profile 120 bash -c profile ;;
    peer) stage peer 400 python3 bench/peers/pytorch_gpu.py --folio "$folio" --out "$OUT" && cat "$OUT/peer.log" ;;
    report) stage report 120 bash -c '"$folio" bench --device cuda --json >"$OUT/bench.json"' ;;
    train) for preset in gpt masked gaussian gaussian-article; do stage "train-$preset" 550 bash -c 'train "$1"' _ $preset; done ;;
    train-*) stage "$name" 580 bash -c 'train "$1"' _ "${name#train-}" ;;
    *) echo "there is no stage $name"; failed+=("$name") ;;
  esac
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
