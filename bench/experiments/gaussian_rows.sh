#!/bin/sh
# What each row of the Gaussian recipe gains: the same little network trained as long with one row more each time, and its bound on
# the validation text. Usage: bench/experiments/gaussian_rows.sh FOLIO [options of `folio train` instead of the defaults below]
set -eu
folio=$1
shift
[ $# -gt 0 ] || set -- --size tiny --seq-len 128 --batch 16 --steps 400 --eval-every 1000000 --sample-every 0
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT

row() {
    name=$1
    shift
    echo "$name" >&2
    "$folio" train --preset gaussian --out "$runs/$name" "$@" >/dev/null
    "$folio" eval --weights "$runs/$name/last.safetensors" --draws 8 --windows 200 --json >"$runs/$name.json"
    printf '%-20s %s\n' "$name" "$(sed 's/"levels".*//' "$runs/$name.json" | tr -d '\n')"
}

row eps "$@" --prediction eps --schedule linear --matched-filter no --self-conditioning 0 --refit-every 0 --nelbo-share 0
row x0 "$@" --schedule linear --matched-filter no --self-conditioning 0 --refit-every 0 --nelbo-share 0
row range "$@" --schedule even --matched-filter no --self-conditioning 0 --refit-every 0 --nelbo-share 0
row warp "$@" --matched-filter no --self-conditioning 0 --refit-every 0 --nelbo-share 0
row matched-filter "$@" --self-conditioning 0 --refit-every 0 --nelbo-share 0
row self-conditioning "$@" --refit-every 0 --nelbo-share 0
row refit "$@" --refit-every 100 --nelbo-share 0
row bound "$@" --refit-every 100
