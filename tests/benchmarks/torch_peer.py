"""torch: eager and compiled as its experts would write it, and its own example."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .spec import KERNEL, PADDING, STRIDE, Floats, Spec, Weights, timed

ACTIVATIONS = {"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh}
NLL_CHUNK = 1000  # samples decoded at once: their logits stay in cache
CONV = (KERNEL, STRIDE, PADDING)


class Net(nn.Module):
    """The model of a spec; its parameters keep torch's layout."""

    def __init__(self, spec: Spec, height: int, width: int) -> None:
        super().__init__()
        act = ACTIVATIONS[spec.activation]
        self.image = (height, width) if spec.channels else None
        maps = (1, *spec.channels)
        side = [n // 2 ** len(spec.channels) for n in (height, width)]
        inner = (maps[-1], *side) if spec.channels else (height * width,)
        flat = int(np.prod(inner))

        def dense(widths: tuple[int, ...]) -> list[nn.Module]:
            layers: list[nn.Module] = []
            for a, b in pairwise(widths):
                layers += [nn.Linear(a, b), act()]
            return layers[:-1]

        there: list[nn.Module] = []
        back: list[nn.Module] = []
        for a, b in pairwise(maps):
            there += [nn.Conv2d(a, b, *CONV), act()]
            back = [act(), nn.ConvTranspose2d(b, a, *CONV), *back]
        if spec.channels:
            there, back = [*there, nn.Flatten()], [*back, nn.Flatten()]
            back.insert(1, nn.Unflatten(1, inner))
        self.encoder = nn.Sequential(
            *there, *dense((flat, *spec.hidden, 2 * spec.latent))
        )
        self.decoder = nn.Sequential(
            *dense((spec.latent, *spec.hidden[::-1], flat)), *back
        )
        # numpyvae's maps lie (H, V, C) in a row, torch's (C, H, V).
        order = np.arange(flat)
        if spec.channels:
            order = order.reshape(*side, -1).transpose(2, 0, 1).ravel()
        self.order = torch.from_numpy(order)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """logits (B, D), mu, logvar (B, Z)."""
        mu, logvar = self.encode(x)
        return self.decoder(mu + eps * torch.exp(0.5 * logvar)), mu, logvar

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.image:
            x = x.view(-1, 1, *self.image)
        return self.encoder(x).chunk(2, dim=1)

    def layers(self) -> Iterator[tuple[str, nn.Module, bool, bool]]:
        """Name, module, and whether its inputs or outputs are maps laid in a row."""
        for name in ("encoder", "decoder"):
            learned = [m for m in getattr(self, name) if hasattr(m, "weight")]
            for i, module in enumerate(learned):
                kinds = [type(m) for m in learned]
                after = i > 0 and kinds[i - 1] is nn.Conv2d
                before = nn.ConvTranspose2d in kinds[i + 1 : i + 2]
                linear = kinds[i] is nn.Linear
                yield f"{name}.{i}", module, after and linear, before and linear

    def load(self, weights: Weights) -> None:
        """Take weights in numpyvae's layout."""
        with torch.no_grad():
            for name, module, rows, columns in self.layers():
                W, b = (torch.from_numpy(weights[f"{name}.{x}"]) for x in "Wb")
                W = W[self.order] if rows else W
                W, b = (W[:, self.order], b[self.order]) if columns else (W, b)
                module.weight.copy_(W.T if W.ndim == 2 else W.permute(3, 2, 0, 1))
                module.bias.copy_(b)

    def gradients(self) -> Weights:
        """All gradients in numpyvae's layout."""
        back, grads = torch.argsort(self.order), {}
        for name, module, rows, columns in self.layers():
            W, b = module.weight.grad, module.bias.grad
            W = W.T if W.ndim == 2 else W.permute(2, 3, 1, 0)
            W = W[back] if rows else W
            W, b = (W[:, back], b[back]) if columns else (W, b)
            grads[f"{name}.W"], grads[f"{name}.b"] = W.numpy(), b.numpy()
        return grads


class Torch:
    """Fused Adam, pixels in memory as bytes, no DataLoader."""

    compiled = False

    def __init__(self, spec: Spec) -> None:
        torch.set_num_threads(spec.threads)
        torch.manual_seed(0)
        images = spec.images()
        self.weights, self.batch, self.latent = spec.weights(), spec.batch, spec.latent
        self.net = Net(spec, *images.shape[1:])
        self.net.load(self.weights)
        self.images = torch.from_numpy(images).view(len(images), -1)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)
        self.order, self.at = torch.randperm(len(images)), 0
        self.loss, self.drawn_loss = self._loss, self._drawn_loss
        self.log_weights = self._log_weights
        if self.compiled:
            self.loss = torch.compile(self._loss)
            self.drawn_loss = torch.compile(self._drawn_loss)
            self.log_weights = torch.compile(self._log_weights)

    def _loss(self, x: Tensor, eps: Tensor) -> Tensor:
        logits, mu, logvar = self.net(x, eps)
        recon = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum()
        return (recon + kl) / len(x)

    def _drawn_loss(self, rows: Tensor) -> Tensor:
        x = torch.bernoulli(self.images.index_select(0, rows).float().div_(255))
        return self._loss(x, torch.randn(len(rows), self.latent))

    def step(self) -> Tensor:
        if self.at + self.batch > len(self.order):
            self.order, self.at = torch.randperm(len(self.order)), 0
        rows = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        self.adam.zero_grad(set_to_none=True)
        loss = self.drawn_loss(rows)
        loss.backward()
        self.adam.step()
        return loss.detach()

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        return timed(self.step, seconds, least)

    def gradient(self, x: Floats, eps: Floats) -> tuple[float, Weights]:
        self.net.load(self.weights)
        self.net.zero_grad(set_to_none=True)
        loss = self.loss(torch.from_numpy(x), torch.from_numpy(eps))
        loss.backward()
        return loss.item(), self.net.gradients()

    def _log_weights(
        self, x: Tensor, mu: Tensor, logvar: Tensor, eps: Tensor
    ) -> Tensor:
        """log p(x, z) - log q(z|x) of samples of one image; x (D,), eps (K, Z)."""
        z = mu + eps * torch.exp(0.5 * logvar)
        logits = self.net.decoder(z)
        log_p = logits @ x - F.softplus(logits).sum(1)
        return log_p + 0.5 * (eps.square() - z.square() + logvar).sum(1)

    @torch.inference_mode()
    def nll(self, bits: NDArray[np.uint8], samples: int) -> float:
        self.net.load(self.weights)
        x = torch.from_numpy(bits).view(len(bits), -1).float()
        mu, logvar = self.net.encode(x)
        total = 0.0
        for row in range(len(x)):
            logs = [
                self.log_weights(
                    x[row], mu[row], logvar[row],
                    torch.randn(min(NLL_CHUNK, samples - at), self.latent),
                )
                for at in range(0, samples, NLL_CHUNK)
            ]  # fmt: skip
            total -= (torch.cat(logs).logsumexp(0) - np.log(samples)).item()
        return total / len(x)


class Compiled(Torch):
    """The same, with the loss and its draws compiled into one graph."""

    compiled = True


class GreyImages(Dataset):
    """(tensor, label) by way of PIL and ToTensor, as torchvision's MNIST gives it."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.data, self.targets = torch.from_numpy(images), torch.zeros(len(images))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self.data[index], int(self.targets[index])
        picture = Image.fromarray(image.numpy())
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        pixels = pixels.view(picture.size[1], picture.size[0], 1)
        pixels = pixels.permute((2, 0, 1)).contiguous()
        return pixels.to(torch.float32).div(255), target


class Example:
    """In the structure of torch's published example: grey targets, its own loading."""

    def __init__(self, spec: Spec) -> None:
        torch.manual_seed(1)
        images = spec.images()
        self.weights = spec.weights()
        self.net = Net(spec, *images.shape[1:])
        self.net.load(self.weights)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=1e-3)
        loader = DataLoader(GreyImages(images), batch_size=spec.batch, shuffle=True)
        self.batches = self._forever(loader)
        self.pixels, self.train_loss = int(np.prod(images.shape[1:])), 0.0

    @staticmethod
    def _forever(loader: DataLoader) -> Iterator[Tensor]:
        while True:
            for data, _ in loader:
                yield data

    def loss(self, x: Tensor, eps: Tensor | None = None) -> Tensor:
        mu, logvar = self.net.encode(x)
        std = torch.exp(0.5 * logvar)
        z = mu + (torch.randn_like(std) if eps is None else eps) * std
        mean = torch.sigmoid(self.net.decoder(z))
        recon = F.binary_cross_entropy(mean, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return recon + kl

    def step(self) -> float:
        data = next(self.batches)
        self.adam.zero_grad()
        loss = self.loss(data.view(-1, self.pixels))
        loss.backward()
        self.train_loss += loss.item()
        self.adam.step()
        return loss.item() / len(data)

    def steps(self, seconds: float, least: int) -> tuple[list[float], float]:
        return timed(self.step, seconds, least)

    def gradient(self, x: Floats, eps: Floats) -> tuple[float, Weights]:
        self.net.load(self.weights)
        self.net.zero_grad()
        loss = self.loss(torch.from_numpy(x), torch.from_numpy(eps))
        loss.backward()
        mean = {name: grad / len(x) for name, grad in self.net.gradients().items()}
        return loss.item() / len(x), mean
