"""The command line: goemotions verify | compare | predict."""

import argparse
import sys
from pathlib import Path

from goemotions.errors import reported


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    with reported():
        status: int = options.run(options)
        return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goemotions",
        description="Which loss makes the best emotion classifier on GoEmotions? "
        "The pipeline itself runs with `dvc repro` and `dvc exp run -S loss=...`.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    verify = commands.add_parser(
        "verify",
        help="check that the selected dataset and model are whole and that training could start",
        description="Check the selected dataset and base model: files, sizes, counts, digests, and "
        "whether they load; show versions, accelerators and free disk; and name the command that "
        "mends each failure. Exit status 1 when training could not start.",
    )
    verify.add_argument("--json", action="store_true", help="print JSON instead of a table")
    verify.set_defaults(run=_verify)

    compare = commands.add_parser(
        "compare",
        help="a table of the experiments' macro-F1",
        description="List the current commit's DVC experiments that have an evaluation: loss, "
        "seed and macro-F1 with the 95% interval, best first. Experiments on different datasets "
        "or models stand in tables of their own.",
    )
    compare.add_argument("--json", action="store_true", help="print JSON instead of tables")
    compare.add_argument("--only", metavar="PREFIX", default="", help="experiments named PREFIX...")
    compare.set_defaults(run=_compare)

    predict = commands.add_parser(
        "predict",
        help="labels and probabilities of texts, from a trained model",
        description="Predict emotions with a trained folder and that folder's own thresholds.",
        epilog="To classify a file: goemotions predict --file comments.txt --output labels.jsonl",
    )
    predict.add_argument("texts", nargs="*", metavar="TEXT", help="a text to classify")
    predict.add_argument("--file", type=Path, help="a UTF-8 file with one text a line")
    predict.add_argument("--output", type=Path, help="write JSON Lines here, in the texts' order")
    predict.add_argument(
        "--model",
        type=Path,
        help="the trained folder (default: models/trained/<loss of params.yaml>)",
    )
    predict.add_argument(
        "--thresholds",
        choices=("per_label", "shrunk", "global"),
        help="which of the folder's thresholds (default: those its validation preferred)",
    )
    predict.set_defaults(run=_predict)
    return parser


# The imports below are inside the functions so that --help does not wait for torch.


def _verify(options: argparse.Namespace) -> int:
    from goemotions import params, verify

    report = verify.verify(params.load())
    verify.show(report, as_json=options.json)
    return 0 if report.ok else 1


def _compare(options: argparse.Namespace) -> int:
    from goemotions.comparison import collect

    collect.show(collect.experiments(options.only), as_json=options.json)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from goemotions import params, predict
    from goemotions.errors import UserError

    if bool(options.texts) == bool(options.file):
        raise UserError("give either texts or --file; see `goemotions predict --help`")
    folder = options.model
    if folder is None:
        settings = params.load()
        folder = settings.trained_folder(settings.loss)
    predict.predict(options.texts, options.file, options.output, folder, options.thresholds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
