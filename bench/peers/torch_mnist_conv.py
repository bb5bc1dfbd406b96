"""MNIST with convolutions 1-32-64 (3x3, valid, ReLU), 2x2 pool, linear 9216-128-10, batch 128, AdamW 1e-3."""

import peer
from torch import nn

options = peer.mnist_options(__doc__, epochs=1)
model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
                      nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
peer.train_mnist("mnist_conv", model, options)
