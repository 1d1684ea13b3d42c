#!/bin/bash
# What is measured on one GPU, the most important first, each with a limit: bash benchmarks/gpu.sh [rows|more] [SECONDS]
# Needs $MMTRANSFER_DATA; no stage begins after SECONDS (460). Figures go into benchmarks/results, logs into $OUT.
OUT=${OUT:-runs/gpu}; TOTAL=${2:-460}; BEGUN=$SECONDS; mkdir -p "$OUT"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

stage() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 left=$((TOTAL - SECONDS + BEGUN)); shift 2
  [ $left -lt 20 ] && { echo "$name: no time left"; return; }
  [ $left -lt "$limit" ] && limit=$left
  timeout -k 5 "$limit" python3 -m "$@" > "$OUT/$name.log" 2>&1
  echo "$name: status $?, at $((SECONDS - BEGUN)) s"
  tail -c 700 "$OUT/$name.log"
}

speed() { stage "$1" "$2" benchmarks.speed "$1" --rounds 2 --epochs none "${@:3}"; grep -hs "examples/s\|failed" "$OUT/$1.log"; }
tests() { stage "$1" "$2" pytest -q -o addopts=--import-mode=importlib -p no:cacheprovider -m gpu "${@:3}"; }

case ${1:-rows} in
  rows)
    speed bert-base 75
    speed resnet50 75
    speed speech 75
    tests tests 60 tests/test_gpu.py tests/engine/test_budget.py tests/engine/test_saver.py
    speed bert-base-128 60
    speed resnet50-128 60
    stage waits 90 benchmarks.waits --steps 40
    ;;
  more)
    stage capture 160 benchmarks.capture ours "as they are" mask "no mask" make_graphed_callables --epochs 2
    stage deterministic 120 benchmarks.deterministic --rounds 2 --epochs 2
    tests resumed 150 tests/test_resume.py
    stage jpeg 40 benchmarks.jpeg
    ;;
  *) echo "$1 is neither rows nor more"; exit 2 ;;
esac
