"""The command line: options and their help, errors in a line, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from .. import __doc__ as about
from .. import __version__, datasets
from ..datasets.binarize import BINARIZATIONS
from ..datasets.corrupt import CORRUPTIONS
from ..errors import NumpyvaeError
from ..pairs.activations import ACTIVATIONS
from ..pairs.likelihoods import LIKELIHOODS
from ..pairs.objectives import KLS
from ..pairs.posteriors import POSTERIORS
from ..pairs.priors import PRIORS
from ..training.settings import BOUNDS
from . import commands
from .commands.plot import KINDS as PICTURES
from .presets import PRESETS


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = _Parser(prog="numpyvae", description=about)
    top.add_argument("--version", action="version", version=f"numpyvae {__version__}")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        new = subparsers.add_parser(name, help=text, description=text)
        new.set_defaults(run=run)
        return new

    train = command("train", commands.train, "train a VAE into a new run folder")
    add = train.add_argument
    add(
        "--data",
        choices=datasets.NAMES,
        help="strokes: built-in pen-drawn digits (default); mnist; idx: your own",
    )
    _add_data_dir(train)
    add(
        "--preset",
        metavar="NAME",
        help=f"where the other options start from: {', '.join(PRESETS)} (the first)",
    )
    add("--epochs", type=int, metavar="N", help="times through the training images")
    add("--batch-size", type=int, metavar="B", help="images per step")
    add(
        "--hidden",
        type=int,
        nargs="*",
        metavar="H",
        help="widths of the encoder's hidden layers; the decoder's are mirrored",
    )
    add("--latent", type=int, metavar="Z", help="number of latents")
    add("--activation", choices=ACTIVATIONS, help="of the hidden layers")
    add(
        "--channels",
        type=int,
        nargs="+",
        metavar="M",
        help="maps of the convolutions before the encoder's hidden layers; their "
        "transposes come after the decoder's",
    )
    add("--posterior", choices=POSTERIORS, help="q(z|x); point: an auto-encoder")
    add("--prior", choices=PRIORS, help="p(z)")
    add(
        "--top",
        type=int,
        nargs="+",
        metavar="H",
        help="of the prior deep: widths of the second layer of latents, its own last",
    )
    add("--likelihood", choices=LIKELIHOODS, help="p(x|z)")
    add(
        "--conditional",
        action="store_const",
        const=True,
        help="give both networks the digit's label",
    )
    add("--lr", type=float, help="Adam's learning rate")
    add("--lr-end", type=float, help="what it falls to by the last epoch")
    add("--bound", choices=BOUNDS, help="iwae: the importance-weighted one")
    add("--samples", type=int, metavar="K", help="of z for each image")
    add("--kl", choices=KLS, help="by its formula, or at the sample")
    add("--beta", type=float, help="weight of the KL in the loss")
    add("--warmup", type=int, metavar="N", help="epochs in which beta rises from 0")
    add(
        "--corrupt", choices=CORRUPTIONS, help="what the encoder sees is to be restored"
    )
    add("--level", type=float, help="of the corruption: sigma, or share of the pixels")
    add(
        "--binarize",
        choices=BINARIZATIONS,
        help="how a grey image becomes the 0s and 1s the model sees",
    )
    add("--seed", type=int, help="of weights, order, noise (default 0)")
    add("--threads", type=int, metavar="N", help="the result does not depend on it")
    add("--out", metavar="DIR", help="the run folder (default runs/PRESET-DATA)")
    add(
        "--checkpoint-every",
        metavar="N",
        help="save also within an epoch: every N batches, or seconds with an s: 60s",
    )
    add(
        "--resume",
        metavar="RUN",
        help="go on with an interrupted run, to the same bits (with it go only "
        "--epochs, --threads, --data-dir and --checkpoint-every)",
    )

    sample = command("sample", commands.sample, "draw samples of a trained model")
    _add_run(sample)
    _add_picture(sample, "samples.png", count=100)
    _add_data_dir(sample)

    text = "draw test images over their reconstructions"
    reconstruct = command("reconstruct", commands.reconstruct, text)
    _add_run(reconstruct)
    _add_picture(reconstruct, "reconstructions.png", count=20)
    reconstruct.add_argument(
        "--data",
        choices=datasets.NAMES,
        help="images from outside the training set, into reconstructions-NAME.png",
    )
    _add_data_dir(reconstruct)

    text = "draw the pictures of a trained model"
    plot = command("plot", commands.plot, text)
    _add_run(plot)
    plot.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND",
        help=f"{', '.join(PICTURES)} (default: all that apply)",
    )
    plot.add_argument("--seed", type=int, help="of the pictures (default: the run's)")
    plot.add_argument("--out", metavar="DIR", help="(default RUN)")
    _add_data_dir(plot)

    text = "print the ELBO of the test images, in nats"
    evaluate = command("evaluate", commands.evaluate_run, text)
    _add_run(evaluate)
    _add_data_dir(evaluate)
    evaluate.add_argument(
        "--seed", type=int, help="of pixels and z (default: the run's)"
    )
    evaluate.add_argument("--threads", type=int, metavar="N")
    evaluate.add_argument(
        "--samples",
        type=int,
        metavar="K",
        help="estimate also -log p(x), with K samples for each image",
    )

    text = "what a few labels are worth: a classifier on mu, and on pixels"
    classify = command("classify", commands.classify, text)
    _add_run(classify)
    add = classify.add_argument
    add("--labels", type=int, default=100, metavar="N", help="in all (default 100)")
    add("--draws", type=int, default=10, metavar="N", help="of labels (default 10)")
    add("--seed", type=int, default=0, help="of the draws (default 0)")
    _add_data_dir(classify)

    text = "several runs of the same images in one table, and side by side in pictures"
    compare = command("compare", commands.compare, text)
    compare.add_argument(
        "folders", nargs="+", metavar="RUN", help="folders that `train` wrote"
    )
    compare.add_argument(
        "--out", metavar="DIR", help="(default: comparison beside the first run)"
    )
    _add_data_dir(compare)

    text = "check every gradient of the package against its derivative"
    gradcheck = command("gradcheck", commands.gradcheck, text)
    gradcheck.add_argument(
        "--thorough", action="store_true", help="ten times as many random shapes"
    )
    gradcheck.add_argument("--seed", type=int, default=0, help="(default 0)")
    gradcheck.add_argument(
        "--plot", metavar="PNG", help="draw errors against step sizes"
    )

    text = (
        "judge your answers to the exercises of the lessons, and say how one is wrong"
    )
    check = command("check", commands.check, text)
    check.add_argument(
        "numbers",
        nargs="*",
        type=int,
        metavar="NN",
        help="lessons whose exercises to judge (default: all, in a table)",
    )
    check.add_argument(
        "--dir",
        dest="folder",
        default=".",
        metavar="DIR",
        help="a clone of numpyvae, or a folder in it (default: where you are)",
    )

    command("presets", commands.presets, "list the presets")
    return top


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN", help="a folder that `train` wrote")


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where the four IDX files are"
    )


def _add_picture(parser: argparse.ArgumentParser, name: str, count: int) -> None:
    parser.add_argument(
        "--count",
        type=int,
        default=count,
        metavar="N",
        help=f"images (default {count})",
    )
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    parser.add_argument("--out", metavar="PNG", help=f"(default RUN/{name})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input, 130 for Ctrl-C.

    It is 141 if whoever read the output has gone, as after `| head -1`.
    """
    _prepare_streams()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except OSError as error:
        _give_up_stdout()
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"numpyvae: output: {error.strerror or error}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str] | None) -> int:
    """Run one command, and print its errors but for those of writing the output."""
    options = vars(build_parser().parse_args(arguments))
    run = options.pop("run")
    try:
        # No warnings of overflow: it shows in the numbers, or as a DivergedError.
        with np.errstate(all="ignore"):
            return run(**options)
    except NumpyvaeError as error:
        print(f"numpyvae: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"numpyvae: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"numpyvae: not enough memory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("numpyvae: aborted", file=sys.stderr)
        return 130


def _prepare_streams() -> None:
    """Let printing work where a stream is closed or knows few characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_stdout() -> None:
    """Where its buffer can't be written, keep Python from trying again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
