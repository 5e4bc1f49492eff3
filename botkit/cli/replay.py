"""``botkit replay``: rerun a bot on its recorded inputs and compare its decisions."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from botkit.cli.languages import speaks_on_its_page
from botkit.cli.screen import prints_aside


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--config", type=click.Path(path_type=Path), help="Use this configuration instead of the run's own.")
@click.option("--playback", type=click.Path(path_type=Path), help="Also write a page for scrubbing through the run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@speaks_on_its_page
def replay(run: Path, config: Path | None, playback: Path | None, as_json: bool) -> int:
    """Rerun the engine on the inputs recorded in RUN, a folder such as STATE/NAME/MODE/ACCOUNT/runs/12.

    Sends nothing to the exchange, and writes only the --playback file. The exit code is 0 if every decision matches. It
    is 1 if a decision differs, in which case the difference is shown, or if the recording is incomplete because the run
    was killed or the file was truncated.
    """
    from botkit.assembly.replay import replay_run

    logging.disable(logging.CRITICAL)  # strategies already logged these messages during the run
    try:
        with prints_aside(as_json):
            verdict = replay_run(run, config, playback=playback)
    finally:
        logging.disable(logging.NOTSET)
    found = verdict.difference
    if as_json:
        difference = None if found is None else {"line": found.line, "run": found.recorded, "replay": found.replayed}
        figures = {"entries": verdict.entries, "decisions": verdict.decisions, "unflushed": verdict.unflushed}
        figures["uncompared"] = verdict.uncompared
        click.echo(json.dumps({"equal": verdict.is_equal, **figures, "end": verdict.end, "difference": difference}))
        return 0 if verdict.is_equal else 1
    if verdict.end == "full":
        click.echo("the recording ends before the run does, because it reached its size limit (log.record_mb)")
    if found is None and verdict.end == "cut":
        rest = f", and {verdict.uncompared:,} more could not be compared" if verdict.uncompared else ""
        click.echo(
            f"the recording is incomplete: the run was killed, or {run / 'inputs.bin'} was truncated. All "
            f"{verdict.decisions:,} decisions up to that point were reproduced{rest}"
        )
        return 1
    if found is None:
        more = f"; {verdict.unflushed} more were not written before the run ended" if verdict.unflushed else ""
        click.echo(f"equal: the replay reproduced all {verdict.decisions:,} of the run's decisions{more}")
        return 0
    click.echo(f"line {found.line} of decisions.jsonl differs after {verdict.decisions:,} equal decisions")
    click.echo(f"  run:    {found.recorded or '(nothing more)'}")
    click.echo(f"  replay: {found.replayed or '(nothing more)'}")
    return 1
