"""XOR with one hidden layer: linear 2-8, ReLU, linear 8-1, MSE, SGD 0.1, 10,000 epochs of the four rows."""

import time

import peer
import torch

parser = peer.parser(__doc__)
parser.add_argument("--hidden", type=int, default=8)
parser.add_argument("--epochs", type=int, default=10000)
options = parser.parse_args()
peer.start(options)

x = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)
y = torch.tensor([[0], [1], [1], [0]], dtype=torch.float32)
model = torch.nn.Sequential(torch.nn.Linear(2, options.hidden), torch.nn.ReLU(),
                            torch.nn.Linear(options.hidden, 1))
criterion = torch.nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
begin = time.perf_counter()
for epoch in range(options.epochs):
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
peer.report("xor", options, time.perf_counter() - begin, epochs=options.epochs, loss=loss.item())
