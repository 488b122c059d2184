"""The command line: `wav2lip-kit …`.

Exit status 0; 2 for a wrong input, with one line on stderr; 1 for a failure. WAV2LIP_KIT_DEBUG=1 shows tracebacks.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import InputError, Wav2LipKitError
from .notices import log

if TYPE_CHECKING:
    from .project import Project

EPILOG = """examples:
  wav2lip-kit run talk.mp4 new_words.wav -o dubbed.mp4
  wav2lip-kit run talk.mp4 new_words.wav -o dubbed.mp4 --segments "0:31-1:00, 1:09-1:24" --speaker 640,210@0:35
  wav2lip-kit track --project job --video talk.mp4 --audio new_words.wav
  wav2lip-kit suggest --project job        wav2lip-kit sync --project job        wav2lip-kit combine --project job
"""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is a wrong input like any other: one line."""

    def error(self, message: str) -> Any:
        raise InputError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        with _notices_on_stderr():
            options = build_parser().parse_args(argv)
            return options.command(options) or 0
    except InputError as error:
        return _fail(error, 2)
    except Wav2LipKitError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        return 1
    except Exception as error:
        return _fail(error, 1)


@contextmanager
def _notices_on_stderr() -> Iterator[None]:
    """Show our own notices, and nobody else's, as long as the command runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("notice: %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _fail(error: Exception, status: int) -> int:
    if os.environ.get("WAV2LIP_KIT_DEBUG"):
        raise error
    words = " ".join(str(error).split()) or type(error).__name__
    expected = isinstance(error, Wav2LipKitError)
    text = words if expected else f"{type(error).__name__}: {words} (WAV2LIP_KIT_DEBUG=1 shows where)"
    print(f"wav2lip-kit: error: {text}", file=sys.stderr)
    return status


# ── the options ────────────────────────────────────────────────────────────────────────────────────────────────────


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options; loads nothing heavy."""
    parser = _Parser(
        prog="wav2lip-kit",
        description="Lip-sync a filmed person to new audio.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"wav2lip-kit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="the whole job: a video and new audio in, one mp4 out")
    run.add_argument("video_", metavar="VIDEO", nargs="?", help="a video, an image, or a folder of frames")
    run.add_argument("audio_", metavar="AUDIO", nargs="?", help="an audio file, or a video with sound")
    run.add_argument(
        "-o", "--output", metavar="OUT", help="the mp4 to write (default: final_video.mp4, or in --project)"
    )
    _add_job_options(run)
    run.set_defaults(command=_run)

    stages = {
        "track": "find and follow every face",
        "suggest": "write segments.json: where the speaker's face is",
        "sync": "render the parts that are not there yet",
        "combine": "join the parts and the audio to final_video.mp4",
    }
    for name, text in stages.items():
        stage = commands.add_parser(name, help=text)
        if name == "combine":
            stage.add_argument("-o", "--output", metavar="OUT", help="also put the result here")
        _add_job_options(stage)
        stage.set_defaults(command=_stage, stage=name)

    train = commands.add_parser("train", help="fine-tune weights on videos of one person")
    train.add_argument("--videos", metavar="DIR", required=True, help="a folder of videos of the person talking")
    train.add_argument(
        "--init", metavar="NAME|PATH", default="wav2lip", help="weights to start from (default: wav2lip)"
    )
    train.add_argument("-o", "--output", metavar="OUT", required=True, help="the weights to write, NAME.safetensors")
    train.add_argument("--folder", metavar="DIR", help="keeps crops and state (default: NAME.training beside OUT)")
    train.add_argument("--minutes", metavar="N", type=float, default=30.0, help="time to learn for (default: 30)")
    train.add_argument("--detector", metavar="NAME|PATH", default="auto")
    train.add_argument("--device", metavar="DEVICE", default="auto", help="auto | cpu | cuda (default: auto)")
    train.add_argument("--quiet", action="store_true", help="no progress bars, no summary")
    train.set_defaults(command=_train)

    weights = commands.add_parser("weights", help="list, fetch or verify weights")
    actions = weights.add_subparsers(required=True, metavar="list|fetch|verify", parser_class=_Parser)
    actions.add_parser("list", help="all names, and which are here").set_defaults(command=_weights_list)
    for name, command in (("fetch", _weights_fetch), ("verify", _weights_verify)):
        action = actions.add_parser(name, help=f"{name} weights by name")
        action.add_argument("names", metavar="NAME", nargs="+")
        action.set_defaults(command=command)

    metrics = commands.add_parser("metrics", help="MSE, PSNR and SSIM of two videos")
    metrics.add_argument("reference", metavar="REFERENCE")
    metrics.add_argument("result", metavar="RESULT")
    metrics.add_argument("--report", metavar="FILE", help="the result's report (default: the one beside it)")
    metrics.add_argument("--json", action="store_true", help="print JSON")
    metrics.add_argument("--quiet", action="store_true", help="no progress bar")
    metrics.set_defaults(command=_metrics)

    commands.add_parser("doctor", help="what is here, what is missing, and the next step").set_defaults(command=_doctor)

    demo = commands.add_parser("demo", help="dub the example that comes along, offline")
    demo.add_argument("-o", "--output", metavar="DIR", default="demo", help="folder for the result (default: demo)")
    demo.add_argument("--weights", metavar="NAME|PATH", default="demo")
    demo.set_defaults(command=_demo)
    return parser


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--video", metavar="VIDEO", help="a video, an image, or a folder of frames")
    add("--audio", metavar="AUDIO", help="an audio file, or a video with sound")
    add("--project", metavar="DIR", help="folder that keeps everything in between")
    add(
        "--segments",
        metavar="WHERE",
        help='auto | all | "0:31-1:00,1:09-1:24" | FILE (default: segments.json, else auto)',
    )
    add(
        "--speaker",
        metavar="WHO",
        help="largest | talking | person-2 (see `track`) | X,Y@T | X0,Y0,X1,Y1 | FILE (default: largest)",
    )
    add("--min-face-px", metavar="N", type=float, help="suggest no segment where the face is smaller (default: 32)")
    add("--min-score", metavar="P", type=float, help="nor where the detector is less sure, 0 to 1 (default: 0.6)")
    add("--max-turn-deg", metavar="N", type=float, help="nor where the head is turned further, 0 to 90 (default: 75)")
    add(
        "--trim",
        metavar="A-B",
        help="use this stretch of the video, such as 0:10-2:00; --segments count from its start",
    )
    add("--trim-audio", metavar="A-B", help="use this stretch of the audio")
    add("--fit", metavar="HOW", help="when lengths differ: silence | cut_off | loop | bounce (default: silence)")
    add("--weights", metavar="NAME|PATH", help="wav2lip | wav2lip_gan | demo | a checkpoint (default: wav2lip)")
    add("--detector", metavar="NAME|PATH", help="auto | retinaface | yunet | haar | a checkpoint (default: auto)")
    add("--device", metavar="DEVICE", help="auto | cpu | cuda (default: auto)")
    add("--shift-ms", metavar="N", type=float, help="move the mouth earlier by N ms (negative: later)")
    add("--paste", metavar="HOW", help="mouth | box (default: mouth, a feathered lower face)")
    add("--rate", metavar="FPS", help="frames a second of an image or a folder of frames (default: 25)")
    add("--crf", metavar="N", type=int, help="x264's quality, 0 (lossless) to 51 (default: 12)")
    add("--quiet", action="store_true", help="no progress bars, no summary")


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given; the others keep their defaults, or what the project has stored."""
    from .settings import Settings

    given = {f.name: getattr(options, f.name) for f in fields(Settings)}
    return {name: value for name, value in given.items() if value is not None}


# ── the commands ───────────────────────────────────────────────────────────────────────────────────────────────────


def _run(options: argparse.Namespace) -> None:
    from .project import Project, lipsync

    video, audio = _inputs(options)
    out = options.output
    told: dict[str, Any] = {"progress": False} if options.quiet else {"tell": _print_aside}
    if video and audio:
        if out is None and options.project is None:
            out = "final_video.mp4"
        path = lipsync(video, audio, out, project=options.project, **told, **_settings(options))
    elif options.project and not (video or audio):
        path = Project.open(options.project, **_settings(options)).run(out, **told)
    else:
        raise InputError("run needs a VIDEO and an AUDIO, or a --project that has them; see `wav2lip-kit run --help`")
    if not options.quiet:
        print(path)


def _print_aside(text: str) -> None:
    """On stderr: stdout is for the result."""
    print(text, file=sys.stderr)


def _inputs(options: argparse.Namespace) -> tuple[str | None, str | None]:
    """Video and audio, each given by its option or by its place."""
    places = [path for path in (options.video_, options.audio_) if path is not None]
    video = options.video or (places.pop(0) if places else None)
    audio = options.audio or (places.pop(0) if places else None)
    if places:
        raise InputError(f"{places[0]!r} is one too many: give VIDEO and AUDIO once each; see `wav2lip-kit run --help`")
    return video, audio


def _stage(options: argparse.Namespace) -> None:
    from .faces.people import find_people

    project = _project(options)
    progress = not options.quiet
    lines: list[str] = []
    if options.stage == "track":
        tracks = project.track(progress=progress)
        people = find_people(tracks)
        lines = [
            f"{tracks.n_frames} frames, {len(tracks.cuts)} cuts, {len(tracks.tracks)} tracks of {len(people)} people"
        ]
        for person in people:
            lines.append(f"{person.name}  on screen {person.screen_s:.1f} s")
            for track in person.tracks:
                start_s, stop_s = tracks.times_s[track.start], tracks.times_s[track.stop - 1]
                box = ",".join(f"{v:.0f}" for v in track.boxes_xyxy[len(track.boxes_xyxy) // 2])
                lines.append(f"  {start_s:8.2f}-{stop_s:.2f} s  box {box}  score {track.scores.mean():.2f}")
    elif options.stage == "suggest":
        lines = [str(project.suggest(progress=progress))]
    elif options.stage == "sync":
        lines = [f"{len(project.sync(progress=progress))} parts in {project.folder / 'segments'}"]
    elif options.stage == "combine":
        lines = [str(project.combine(options.output, progress=progress))]
    if not options.quiet:
        print("\n".join(lines))


def _project(options: argparse.Namespace) -> Project:
    from .files import check_out
    from .project import Project

    if not options.project:
        raise InputError("--project DIR is missing: the folder of the job")
    if getattr(options, "output", None):
        check_out(Path(options.output))
    if bool(options.video) != bool(options.audio):
        raise InputError("give --video and --audio together, or neither for a project that has them")
    if options.video:
        return Project.create(options.project, options.video, options.audio, **_settings(options))
    return Project.open(options.project, **_settings(options))


def _weights_list(_: argparse.Namespace) -> None:
    from .weights import available_weights, find_local

    for entry in available_weights():
        here = find_local(entry.name)
        size = f"{entry.bytes / 1e6:.1f} MB" if entry.bytes else "-"
        print(f"{entry.name:<12} {entry.kind:<10} {size:>9}  {'here: ' + str(here) if here else 'not here'}")
        print(f"{'':<12} {entry.description} Licence: {entry.licence}.")


def _weights_fetch(options: argparse.Namespace) -> None:
    from .weights import fetch_weights

    for name in options.names:
        print(fetch_weights(name))


def _weights_verify(options: argparse.Namespace) -> None:
    from .weights import verify_weights

    for name in options.names:
        print(f"{name}: {verify_weights(name)} is whole")


def _train(options: argparse.Namespace) -> None:
    from .training import train

    result = train(
        options.videos,
        options.output,
        init=options.init,
        folder=options.folder,
        minutes=options.minutes,
        detector=options.detector,
        device=options.device,
        progress=not options.quiet,
    )
    if not options.quiet:
        print(f"{result}\n{result.path}")


def _metrics(options: argparse.Namespace) -> None:
    from .metrics import compare_videos, find_report

    report = Path(options.report) if options.report else find_report(Path(options.result))
    quality = compare_videos(Path(options.reference), Path(options.result), report, progress=not options.quiet)
    print(quality.to_json() if options.json else quality)


def _doctor(_: argparse.Namespace) -> int:
    from .doctor import examine

    checks = examine()
    for check in checks:
        print(f"{'ok ' if check.is_ok else 'NO '} {check.name:<12} {check.found}")
        if check.next_step:
            print(f"    {'':<12} → {check.next_step}")
    return 0


def _demo(options: argparse.Namespace) -> None:
    from .demo import run_demo

    result = run_demo(Path(options.output), weights=options.weights)
    print(f"result         {result.video}\ncontact sheet  {result.contact_sheet}\nreport         {result.report}")


if __name__ == "__main__":
    sys.exit(main())
