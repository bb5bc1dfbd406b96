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

# Runs "$@", which must refuse its command line: status 2 and a text with the option.
refuse() {
  local what=$1 status=0
  shift
  "$@" > output 2>&1 || status=$?
  [[ $status == 2 ]] && grep -qF -- "$what" output || { cat output; echo "$* gave $status"; exit 1; }
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
    refuse --bogus "$examples/xor" --bogus
    refuse --seed "$examples/xor" --seed abc
    refuse --seed "$examples/xor" --seed -1
    refuse --hidden "$examples/xor" --hidden -1
    refuse --hidden "$examples/xor" --hidden abc
    refuse --epochs "$examples/xor" --epochs -5
    refuse --epochs "$examples/xor" --epochs 10x
    refuse --loss "$examples/xor" --loss foo
    refuse --loss "$examples/xor" --loss
    ;;
  linear)
    expect 'fitted: y = 2\.0[0-9]* x \+ 3\.0' "$examples/linear"
    expect 'z = 2\.000 x1 -3\.000 x2 \+1\.000' "$examples/linear"
    ;;
  tensors)
    expect '^\[ 50 122\]$' "$examples/tensors" picture.png
    [[ $(head -c 4 picture.png | tail -c 3) == PNG ]]
    if grep -q $'\033' output; then echo "colour in a pipe"; exit 1; fi
    ;;
  neuron)
    expect 'the opposite +-0\.500 +-1\.000' "$examples/neuron"
    expect 'log_sigmoid' "$examples/neuron"
    ;;
  language_model)
    expect '^step 20 of 20, loss' "$examples/language_model" "$here/../../README.md" 20 out
    [[ -s out/model.safetensors && -s out/tokenizer.json ]]
    refuse STEPS "$examples/language_model" "$here/../../README.md" many
    refuse STEPS "$examples/language_model" "$here/../../README.md" 0
    ;;
  mnist)
    [[ -d $data/vision/mnist ]] || { echo "needs CAIRN_TEST_DATA: $data/vision/mnist is missing"; exit 77; }
    # A twentieth of an epoch: enough to be far better than chance.
    expect 'accuracy [78][0-9]\.' "$examples/mnist" "$data/vision/mnist" 0.05
    grep -q '^a [0-9], taken for a [0-9]$' output
    refuse EPOCHS "$examples/mnist" "$data/vision/mnist" many
    refuse EPOCHS "$examples/mnist" "$data/vision/mnist" nan
    ;;
esac
