"""The command line: goemotions COMMAND. The options of each are in arguments.py."""

import argparse
import io
import os
import sys
from pathlib import Path

from goemotions.arguments import parser
from goemotions.errors import UserError, reported
from goemotions.io import cores


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    # A text that the terminal cannot show, such as half of a surrogate pair, ends no command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with reported():
        options = parser().parse_args(arguments)
        # As in stages/run.sh; torch reads it when it is imported, and knows nothing of CPU quotas.
        os.environ.setdefault("OMP_NUM_THREADS", str(cores.usable()))
        if options.command != "verify":  # which reports a user without a name
            from goemotions.io import preflight

            preflight.name_user()
        return _COMMANDS[options.command](options)


def _check_least(options: argparse.Namespace, **least: float) -> None:
    """Refuse an option's value below its minimum, or NaN."""
    for name, minimum in least.items():
        value = getattr(options, name)
        if value is not None and not value >= minimum:
            shown = name.replace("_", "-")
            raise UserError(f"--{shown} is {value}; it must be at least {minimum}")


# The imports below are inside the functions so that --help does not wait for torch.


def _data(options: argparse.Namespace) -> int:
    from goemotions import config

    if options.entry:
        from goemotions.commands import entry

        if options.dataset or options.html or options.json:
            raise UserError(
                "--entry cannot be combined with a dataset, --html or --json; run "
                "`goemotions data --entry FILE` alone"
            )
        return 0 if entry.show(options.entry) else 1
    from goemotions.commands import describe

    params = describe.with_dataset(config.load(any_loss=True), options.dataset)
    found = describe.description(params, describe.read(params))
    describe.show(found, as_json=options.json)
    if options.html:
        describe.write_page(options.html, found)
        print(f"{options.html}: open it in a browser", file=sys.stderr)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import verify

    if options.experiments:
        report = verify.verify_experiments()
    else:
        report = verify.run(config.load(), whole_cache=options.cache)
    verify.show(report, as_json=options.json)
    return 0 if report.ok else 1


def _compare(options: argparse.Namespace) -> int:
    from goemotions.commands import compare
    from goemotions.comparison import requirement

    if options.require is not None:
        requirement.parse(options.require)
    comparisons = compare.run(
        options.only,
        options.revisions,
        options.baseline,
        metric=options.metric,
        margin=options.margin,
        own_recipes=options.own_recipes,
        form=options.form,
        page=options.html,
    )
    if options.require is None:
        return 0
    answer = requirement.answer(options.require, comparisons)
    print(answer.sentence, file=sys.stderr)
    return 0 if answer.holds else 1


def _predict(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import predict

    if bool(options.texts) == bool(options.file):
        raise UserError("give either texts or --file; see `goemotions predict --help`")
    folder = options.model
    if folder is None:
        settings = config.load()
        folder = settings.trained_folder(settings.loss)
    predict.run(
        options.texts,
        options.file,
        options.output,
        folder,
        column=options.column,
        method=options.thresholds,
        precision=options.precision,
    )
    return 0


def _serve(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import serve

    params = config.load(any_loss=True)
    serve.run(
        params,
        options.losses,
        options.experiments,
        host=options.host,
        port=options.port,
        precision=options.precision,
    )
    return 0


def _teach(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import teach

    teach.run(options.name, options.experiments, config.load(any_loss=True))
    return 0


def _tune(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import tune

    if not (options.losses or options.best or options.repeat is not None):
        raise UserError("give losses, --best or --repeat N; see `goemotions tune --help`")
    _check_least(options, draws=1, seed=0, repeat=1)
    if options.best:
        tune.best(options.losses)
    elif options.repeat is not None:
        tune.repeat(config.load(any_loss=True), options.losses, options.repeat)
    else:
        params = config.load(any_loss=True)
        tune.queue(params, options.losses, options.draws, options.seed)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from goemotions.commands import sweep
    from goemotions.comparison import analysis, measures
    from goemotions.sweeps.cluster import Resources

    _check_least(options, cpus=1, gpus=0, at_most=1, patience=0)
    for name in ("baseline", "metric", "margin"):
        if getattr(options, name) is not None and not options.until_sure:
            raise UserError(
                f"--{name} has an effect only with --until-sure; add that, or leave --{name} out"
            )
    return sweep.run(
        options.settings,
        sweep.Options(
            address=options.address,
            remote=options.remote,
            resources=Resources(options.cpus, options.gpus, options.at_most),
            folder=options.folder,
            checkpoints=options.checkpoints,
            patience=options.patience,
            baseline=(options.baseline or "bce") if options.until_sure else None,
            metric=options.metric or measures.DEFAULT,
            margin=analysis.MARGIN if options.margin is None else options.margin,
            models=not options.no_models,
        ),
        check=options.check,
    )


def _export(options: argparse.Namespace) -> int:
    from goemotions import config
    from goemotions.commands import export

    params = config.load()
    loss = options.loss or params.loss
    if loss not in params.losses:
        raise UserError(f"the loss is {loss!r}; params.yaml has {', '.join(params.losses)}")
    export.run(params, loss, options.output or Path("export", loss))
    return 0


_COMMANDS = {
    "data": _data,
    "verify": _verify,
    "compare": _compare,
    "predict": _predict,
    "serve": _serve,
    "teach": _teach,
    "tune": _tune,
    "sweep": _sweep,
    "export": _export,
}

if __name__ == "__main__":
    sys.exit(main())
