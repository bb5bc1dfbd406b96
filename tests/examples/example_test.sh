#!/bin/bash
# example_test.sh FOLDER NAME: runs one example in an empty folder and checks its last words.
set -euo pipefail
examples=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=${CAIRN_TEST_DATA:-$here/../../../shared/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Runs "$@" and fails unless its output has a line that matches the pattern.
expect() {
  local pattern=$1
  shift
  "$@" > output || { cat output; echo "$* failed"; exit 1; }
  grep -qE -- "$pattern" output || { cat output; echo "no line of $* matches: $pattern"; exit 1; }
}

case $2 in
  xor)
    expect '^Epoch 9000, Loss: [0-9.]+e-1[0-9]$' "$examples/xor"
    expect '^\[0\.99999' "$examples/xor" --loop
    # The curve that the notes print: from about 0.69 to below 0.03.
    expect '^Epoch 0, Loss: 0\.[67]' "$examples/xor" --loss bce
    expect '^Epoch 9000, Loss: 0\.02' "$examples/xor" --loss bce
    expect '^Epoch 1000' "$examples/xor" --hidden 8 --epochs 1001
    # One call a step and all in one call go through the same values.
    "$examples/xor" > steps && "$examples/xor" --loop > loop && diff steps loop
    ! "$examples/xor" --bogus 2> /dev/null
    ;;
  linear)
    expect 'fitted: y = 2\.0[0-9]* x \+ 3\.0' "$examples/linear"
    expect 'z = 2\.000 x1 -3\.000 x2 \+1\.000' "$examples/linear"
    ;;
  tensors)
    expect '^\[ 50 122\]$' "$examples/tensors" picture.png
    [[ $(head -c 4 picture.png | tail -c 3) == PNG ]]
    ;;
  neuron) expect 'the opposite +-0\.500 +-1\.000' "$examples/neuron" ;;
  language_model)
    expect '^step 20 of 20, loss' "$examples/language_model" "$here/../../README.md" 20 out
    [[ -s out/model.safetensors && -s out/tokenizer.json ]]
    ;;
  mnist)
    [[ -d $data/vision/mnist ]] || { echo "needs CAIRN_TEST_DATA: $data/vision/mnist is missing"; exit 77; }
    # A twentieth of an epoch: enough to be far better than chance.
    expect 'accuracy [78][0-9]\.' "$examples/mnist" "$data/vision/mnist" 0.05
    ;;
esac
