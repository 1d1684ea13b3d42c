#!/bin/bash
# All that is measured on one GPU, the most important first, each with a limit: bash benchmarks/gpu.sh [SECONDS]
# Needs $MMTRANSFER_DATA; no stage begins after SECONDS (460). Figures go into benchmarks/results, logs into $OUT.
OUT=${OUT:-runs/gpu}; TOTAL=${1:-460}; BEGUN=$SECONDS; mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

stage() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 left=$((TOTAL - SECONDS + BEGUN)); shift 2
  [ $left -lt 20 ] && { echo "$name: no time left"; return; }
  [ $left -lt "$limit" ] && limit=$left
  timeout -k 5 "$limit" python3 -m "$@" > "$OUT/$name.log" 2>&1
  echo "$name: status $?, at $((SECONDS - BEGUN)) s"
}

speed() { stage "$1" "$2" benchmarks.speed "$1" --rounds 2 --epochs none "${@:3}"; grep -h "examples/s\|failed" "$OUT/$1.log"; }

speed bert-base 75
speed resnet50 75
speed speech 75
speed bert-base-128 65
speed resnet50-128 75
stage waits 90 benchmarks.waits --steps 40
stage tests 90 pytest -q -o addopts=--import-mode=importlib -p no:cacheprovider tests/test_gpu.py
stage capture 150 benchmarks.capture --epochs 2
stage deterministic 100 benchmarks.deterministic --rounds 2 --epochs 2
stage jpeg 40 benchmarks.jpeg
for name in waits tests capture deterministic jpeg; do echo "== $name"; tail -c 700 "$OUT/$name.log" 2>/dev/null; done
