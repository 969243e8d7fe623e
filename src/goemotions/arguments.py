"""What the command line accepts: the subcommands, their options and their help."""

import argparse
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import shtab


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands; `command` in its result names the one that was given."""
    parser = argparse.ArgumentParser(
        prog="goemotions",
        description="Which loss makes the best emotion classifier on GoEmotions? "
        "The pipeline itself runs with `dvc repro` and `dvc exp run -S loss=...`.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('goemotions')}")
    shtab.add_argument_to(parser, "--print-completion", help="print a shell's completion script")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    _add_data(commands)
    _add_verify(commands)
    _add_compare(commands)
    _add_predict(commands)
    _add_serve(commands)
    _add_teach(commands)
    _add_tune(commands)
    _add_sweep(commands)
    _add_export(commands)
    return parser


def _add_data(commands: Any) -> None:
    parser = commands.add_parser(
        "data",
        help="describe a dataset before training, or print the params.yaml entry for a file",
        description="Show a dataset's labels with their counts and co-occurrence, the lengths of "
        "its texts, repeated texts and examples. Files of your own are read as they are now. With "
        "--entry: look at a file and print the entry of params.yaml that reads it.",
    )
    parser.add_argument(
        "dataset", nargs="?", help="an entry of `datasets` (default: the selected one)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write a page with all labels, for a browser"
    )
    parser.add_argument(
        "--entry", type=Path, metavar="FILE", help="a file of texts; print the entry that reads it"
    )


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="check that the selected dataset and model are complete and that training can start",
        description="Check the selected dataset and base model: files, sizes, counts, digests, and "
        "whether they load; show versions, accelerators and free disk; and name the command that "
        "fixes each failure. Exit status 1 when training cannot start; what only experiments "
        "need is a warning.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--cache", action="store_true", help="also read all of DVC's cache, of every experiment"
    )
    parser.add_argument(
        "--experiments",
        action="store_true",
        help="check only whether DVC can run temporary and queued experiments here and record "
        "them; exit status 1 when it cannot",
    )


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="report which loss is best in the experiments, and how certain that is",
        description="Compare the losses of all DVC experiments and the workspace: which may be "
        "the best, how each compares with a baseline loss (better, worse, equivalent or "
        "undecided), with 95% intervals over test rows and seeds, and which run would help most. "
        "Runs whose settings differ in more than the loss and the seed are in separate tables. "
        "docs/statistics.md explains the numbers.",
    )
    parser.add_argument(
        "--baseline",
        metavar="LOSS",
        help="the loss that the others are compared with (default: bce, or the best loss where "
        "there is no run with bce)",
    )
    parser.add_argument(
        "--metric",
        default="macro_f1",
        help="what is compared: macro_f1 (the default), micro_f1, weighted_f1, average_precision, "
        "neg_log_loss, accuracy, macro_f1_LEVEL or f1_LABEL",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=0.005,
        help="losses are called equivalent if their difference is significantly smaller than this "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--own-recipes",
        action="store_true",
        help="also compare losses whose recipes differ, for example each with its own best one",
    )
    parser.add_argument(
        "--require",
        metavar="CONDITION",
        help="exit with status 1 unless one loss is significantly better than another, for "
        'example "asl>bce" or, for any loss, "bce+0.005"',
    )
    form = parser.add_mutually_exclusive_group()
    for name, what in (
        ("json", "print the runs and the tables as JSON"),
        ("markdown", "print tables for a pull request"),
        ("latex", "print a table and a paragraph for a paper"),
    ):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=what)
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write a page with plots, for a browser"
    )
    parser.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="further commits, branches or tags"
    )
    parser.add_argument(
        "--only", metavar="PREFIX", default="", help="only experiments whose names start with this"
    )
    parser.set_defaults(form="tables")


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        help="predict the labels and probabilities of texts with a trained model",
        description="Predict emotions with a trained folder and that folder's own thresholds.\n"
        "Texts are cut where training cut them, at train.max_length tokens.",
        epilog="example:\n  goemotions predict --file comments.txt --output labels.jsonl",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    parser.add_argument(
        "--file", type=Path, help="a UTF-8 file with one text per line, or a table of texts"
    )
    parser.add_argument(
        "--column", help="the column of texts, where --file is a .csv, .tsv, .jsonl or .parquet"
    )
    parser.add_argument("--output", type=Path, help="write JSON Lines here, in the texts' order")
    parser.add_argument(
        "--model",
        type=Path,
        help="the trained folder (default: models/trained/<loss of params.yaml>)",
    )
    parser.add_argument(
        "--thresholds",
        choices=("per_label", "calibrated", "global"),
        help="which of the model's thresholds to use (default: those preferred on validation)",
    )
    _add_precision(parser)


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="try trained models side by side on a local web page, with a JSON API",
        description="Serve trained models on this machine: a page on which to type texts or drop "
        "a file of them, and a JSON API, which /docs describes. No text is logged or kept. Needs "
        'the packages of `pip install -e ".[serve]"`.',
    )
    parser.add_argument(
        "--losses",
        nargs="+",
        default=[],
        metavar="LOSS",
        help="serve models/trained/LOSS (default: all of them, unless --experiments is given)",
    )
    parser.add_argument(
        "--experiments",
        nargs="+",
        default=[],
        metavar="NAME",
        help="serve the trained models of these experiments, from DVC's cache",
    )
    parser.add_argument(
        "--port", type=int, default=8000, help="default: %(default)s; 0 picks a free one"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen on (default: %(default)s, this machine only); there is no "
        "password, so anybody who reaches another address can use it",
    )
    _add_precision(parser)


def _add_teach(commands: Any) -> None:
    parser = commands.add_parser(
        "teach",
        help="average the logits of experiments into a teacher for a smaller model",
        description="Compute the logits of experiments' trained models for the training split of "
        "the selected dataset, and write their mean to teachers/NAME. To train a model on "
        "them as well as on the labels: `dvc exp run -S teacher=NAME`.",
    )
    parser.add_argument("name", metavar="NAME", help="name of the teacher")
    parser.add_argument(
        "experiments", nargs="+", metavar="EXPERIMENT", help="whose logits are averaged"
    )


def _add_tune(commands: Any) -> None:
    parser = commands.add_parser(
        "tune",
        help="queue the same small search for several losses, or show its results",
        description="Queue experiments that try randomly drawn settings on the selected model and\n"
        "dataset: learning rates and the loss's own numbers, each from half to twice its\n"
        "present value. The first try of a loss has the present settings.",
        epilog="example:\n"
        "  goemotions tune bce asl --draws 6\n"
        "  dvc queue start     # `dvc queue status` shows when all have run\n"
        "  goemotions tune --repeat 5\n"
        "  dvc queue start\n"
        "  goemotions compare --only best- --own-recipes     # once these have run, too",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "losses",
        nargs="*",
        metavar="LOSS",
        help="losses to tune; with --best or --repeat: only these (default: all that were tried)",
    )
    parser.add_argument(
        "--draws", type=int, default=6, help="tries of each loss (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the draws (default: %(default)s)"
    )
    found = parser.add_mutually_exclusive_group()
    found.add_argument(
        "--best", action="store_true", help="show what was tried, the best first for each loss"
    )
    found.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="queue the best settings of each loss with N further seeds",
    )


def _add_sweep(commands: Any) -> None:
    parser = commands.add_parser(
        "sweep",
        help="run every combination of some settings, on this machine or on a Ray cluster",
        description="Run each combination as a DVC experiment (a trial) on a Ray cluster, or\n"
        "without --address on this machine, and bring the experiments into this clone.\n"
        "Experiments that already exist are not run again. Needs the packages of\n"
        '`pip install -e ".[sweep]"`; docs/sweeps.md says what the machines need.',
        epilog="example:\n  goemotions sweep -S loss=bce,asl -S train.seed=1..5 --address auto",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-S",
        "--set-param",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="values of a setting, as for `dvc exp run --queue -S`; also ranges such as 1..20",
    )
    _add_machines(parser.add_argument_group("machines"))
    _add_until_sure(parser.add_argument_group("stopping early"))


def _add_machines(group: Any) -> None:
    group.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS"),
        help="address of a Ray cluster; `auto` finds this machine's own (default: "
        "RAY_ADDRESS, or this machine alone)",
    )
    group.add_argument(
        "--remote", default="origin", help="the git remote of a cluster (default: %(default)s)"
    )
    group.add_argument(
        "--cpus", type=int, default=1, help="cores and threads of a trial (default: %(default)s)"
    )
    group.add_argument(
        "--gpus", type=float, help="GPUs of a trial (default: 1 where there are any)"
    )
    group.add_argument("--at-most", type=int, metavar="N", help="run at most N trials at once")
    group.add_argument(
        "--folder",
        default="~/.cache/goemotions",
        help="on a cluster: where each machine keeps its DVC cache and the trials' working copies "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--checkpoints",
        default="",
        metavar="FOLDER",
        help="a folder that all machines share, so that a trial resumes elsewhere when its "
        "machine dies",
    )
    group.add_argument(
        "--patience",
        type=float,
        default=60,
        metavar="SECONDS",
        help="how long to retry a remote that fails (default: %(default)s)",
    )
    group.add_argument(
        "--no-models",
        action="store_true",
        help="bring no trained models from a cluster, only what compare reads; "
        "`dvc exp pull REMOTE NAME` brings one later",
    )
    group.add_argument(
        "--check", action="store_true", help="only check that every machine has what a trial needs"
    )


def _add_until_sure(group: Any) -> None:
    group.add_argument(
        "--until-sure",
        action="store_true",
        help="stop adding seeds for a loss once its difference from --baseline is decided, or is "
        "unlikely to be decided with the seeds given; docs/statistics.md explains the test",
    )
    group.add_argument("--baseline", metavar="LOSS", help="with --until-sure; default: bce")
    for option, kind, value in (("--metric", str, "macro_f1"), ("--margin", float, 0.005)):
        group.add_argument(option, type=kind, help=f"as for compare (default: {value})")


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write a trained model, ONNX files and a model card as a folder to upload",
        description="Write a trained folder with ONNX files in float32 and 8 bits, which are "
        "checked on the test split, and with a model card that the Hugging Face Hub reads. Needs "
        'the packages of `pip install -e ".[export]"`. To upload the folder: hf upload NAME FOLDER',
    )
    parser.add_argument(
        "loss", nargs="?", help="export models/trained/LOSS (default: the selected loss)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="a folder that is new, empty or an earlier export, which is replaced (default: "
        "export/LOSS)",
    )


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "int8"),
        default="fp32",
        help="precision of the computation: bf16 and int8 are faster and less exact; bf16 is for "
        "hardware that computes in it, int8 for CPUs (default: %(default)s)",
    )
