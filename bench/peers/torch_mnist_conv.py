"""MNIST with the convnet of bench/beside_pytorch.py: two 3x3 convolutions (1-16-32, padding 1, ReLU, 2x2 max pooling
after each), linear 1568-128-10 with dropout 0.25 between, batch 128, AdamW 1e-3."""

import peer
from torch import nn

options = peer.mnist_options(__doc__, epochs=1)
model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                      nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                      nn.Linear(1568, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10))
peer.train_mnist("mnist_conv", model, options)
