"""MNIST with an MLP 784-256-10, ReLU, batch 128, AdamW 1e-3."""

import peer
from torch import nn

options = peer.mnist_options(__doc__, epochs=5)
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
peer.train_mnist("mnist_mlp", model, options)
