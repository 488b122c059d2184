"""A project: the folder of one job, and the stages that read and write it.

    project.json          what was asked for
    source.*  audio.*     the video (a folder `source/` for frames) and the new audio
    tracks-KEY.npz        every face, every frame                      track
    segments.json         where to sync                                suggest, or the picker
    segments/0007-KEY.mp4 rendered parts, video only                   sync
    final_video.mp4       the result, and report.json beside it        combine

The folder is the truth: a stage can be run again, after a kill or on another machine, and does only what is missing.
KEY is made from the content and settings that a file depends on, so that nothing stale is ever used.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .audio import AudioInfo, probe_audio
from .checkpoints import weights_id
from .combine import combine_parts
from .errors import FaceError, InputError, ProjectError
from .faces.detectors import FaceDetector, load_detector
from .faces.people import find_people
from .faces.presence import suggest_segments
from .faces.speakers import Face, check_speaker, is_automatic, speaker_face
from .faces.talking import TALKING_VERSION, talking_seconds
from .faces.tracking import TRACKS_VERSION, TrackConfig, track_faces
from .faces.tracks import Tracks
from .files import (
    StrPath,
    bring,
    check_out,
    check_own_folder,
    check_writable_folder,
    content_id,
    key_of,
    link_or_copy,
    names_file,
    replace_when_whole,
    write_text_atomic,
)
from .frames import Encoding
from .media import VideoInfo, check_whole, probe
from .notices import collect_notices, notice
from .plan import Plan, make_plan, mouth_regions, part_start_s
from .preflight import preflight
from .provenance import build_report, provenance_comment
from .segment_files import read_segments, write_segments
from .segments import Segment, Segments
from .settings import Settings, make_settings, parse_trim, stored_settings, told_settings
from .sounds import Sound, load_sound, segment_sounds
from .sync import LipSyncer, pick_device, render
from .timeline import PartReader
from .timing import format_time, snap_rate

FORMAT, VERSION = "wav2lip_kit.project", 1


class Project:
    """The folder of one job. Make one with `create`, come back to one with `open`."""

    def __init__(self, folder: Path, inputs: dict[str, dict[str, str]], settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self._inputs = inputs
        """Of `video` and `audio`: the `file` in the folder, and the `name` it came with, which messages use."""

    # ── making and opening ─────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def create(cls, folder: StrPath, video: StrPath, audio: StrPath, **settings: Any) -> Project:
        """Make the folder, or take up an existing one, for a video and new audio. Checks both before it writes.

        Args:
            folder: The project's folder; its parent must exist.
            video: A video file, an image, or a folder of frames.
            audio: An audio file, or a video with sound.
            **settings: Fields of `Settings`.

        Raises:
            InputError: If anything cannot be used; nothing is written then.
        """
        folder, video, audio = Path(folder), Path(video), Path(audio)
        chosen = make_settings(Settings(), settings)
        chosen.check()
        inputs = {
            "video": {"file": "source" if video.is_dir() else "source" + video.suffix.lower(), "name": video.name},
            "audio": {"file": "audio" + audio.suffix.lower(), "name": audio.name},
        }
        draft = cls(folder, inputs, chosen)
        draft.__dict__["audio"] = probe_audio(audio)  # fills the cached property
        draft.__dict__["video"] = draft._look_at_video(video)
        check_whole(draft.video)
        draft._check_times()
        check_writable_folder(folder)
        check_own_folder(folder)
        folder.mkdir(exist_ok=True)
        if not (folder / "project.json").exists():
            draft._save()  # from now on the folder is ours, also when bringing the files is interrupted
        bring(video, folder / inputs["video"]["file"])
        bring(audio, folder / inputs["audio"]["file"])
        project = cls(folder, inputs, chosen)
        project._put_away_foreign_segments()
        project._save()
        return project

    @classmethod
    def open(cls, folder: StrPath, **settings: Any) -> Project:
        """Come back to a project; settings that are given replace the stored ones.

        Raises:
            ProjectError: If the folder holds no project.
        """
        folder = Path(folder)
        try:
            stored = json.loads((folder / "project.json").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ProjectError(f"no project in {str(folder)!r}: give --video and --audio to begin one there") from error
        except (OSError, ValueError) as error:
            raise ProjectError(
                f"cannot read {str(folder / 'project.json')!r}: {error}; begin again with --video and --audio"
            ) from error
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise ProjectError(
                f"{str(folder / 'project.json')!r} is of another program: give another --project, or a new folder"
            )
        if stored.get("version") != VERSION:
            raise ProjectError(
                f"{str(folder / 'project.json')!r} is of another version ({stored.get('version')!r}, not {VERSION}); "
                "begin again with --video and --audio"
            )
        project = cls(folder, stored["inputs"], make_settings(Settings(), stored["settings"]))
        if settings:
            project.settings = make_settings(project.settings, settings)
            project.settings.check()
            project._check_times()
            project._save()
        return project

    def _save(self) -> None:
        stored = {
            "format": FORMAT,
            "version": VERSION,
            "inputs": self._inputs,
            "video_key": self._video_key,
            "settings": stored_settings(self.settings),
        }
        write_text_atomic(self.folder / "project.json", json.dumps(stored, indent=2, ensure_ascii=False) + "\n")

    def _put_away_foreign_segments(self) -> None:
        """Marks belong to one video and trim: those of another are kept, but under another name."""
        path = self.folder / "project.json"
        if not (path.is_file() and self.segments_path.is_file()):
            return
        with contextlib.suppress(ValueError):  # an unreadable project.json cannot vouch for the marks either
            if json.loads(path.read_text(encoding="utf-8")).get("video_key") == self._video_key:
                return
        kept = self.segments_path.replace(self.folder / "segments.old.json")
        notice(f"the project now holds another video or trim; its old segments are kept in {kept.name}")

    # ── what is in it ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def segments_path(self) -> Path:
        return self.folder / "segments.json"

    @property
    def final_path(self) -> Path:
        return self.folder / "final_video.mp4"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    @cached_property
    def video(self) -> VideoInfo:
        """The source video, trimmed."""
        source = self._inputs["video"]
        return replace(self._look_at_video(self.folder / source["file"]), name=source["name"])

    @cached_property
    def audio(self) -> AudioInfo:
        source = self._inputs["audio"]
        return replace(probe_audio(self.folder / source["file"]), name=source["name"])

    @property
    def segments(self) -> Segments:
        """The segments to sync, from segments.json.

        Raises:
            ProjectError: If there are none yet.
        """
        if not self.segments_path.is_file():
            raise ProjectError(
                f"no segments in {str(self.folder)!r} yet: run `wav2lip-kit suggest --project {self.folder}`"
            )
        return read_segments(self.segments_path)

    @segments.setter
    def segments(self, segments: Segments) -> None:
        media = {"name": self.video.name, "video_key": self._video_key, "duration_s": self.video.duration_s}
        write_segments(segments, self.segments_path, media=media)

    def _look_at_video(self, path: Path) -> VideoInfo:
        info = probe(path, rate=snap_rate(self.settings.rate) if self.settings.rate else None)
        if info.kind == "image":  # a picture lasts as long as what is said over it
            audio_s = self._audio_length_s()
            info = replace(info, duration_s=float(max(1, round(audio_s * info.rate)) / info.rate))
        start_s, end_s = parse_trim(self.settings.trim)
        return info.trimmed(start_s, end_s) if self.settings.trim else info

    def _audio_length_s(self) -> float:
        start_s, end_s = parse_trim(self.settings.trim_audio)
        return (end_s or self.audio.duration_s) - start_s

    def _check_times(self) -> None:
        start_s, _ = parse_trim(self.settings.trim_audio)
        if self.audio.duration_s and start_s >= self.audio.duration_s:
            raise InputError(
                f"trim of the audio starts at {format_time(start_s)} but {self.audio.name} ends at "
                f"{format_time(self.audio.duration_s)}: give an earlier start"
            )
        typed = self.settings.typed_segments()
        if typed is not None:
            self._check_segments(typed)

    def _check_segments(self, segments: Segments) -> None:
        """What can be known of segments before the long work: their times, speakers and audio."""
        if self.video.duration_s:
            segments.check_within(self.video.duration_s)
        for speaker in {s.speaker for s in segments if s.speaker}:
            check_speaker(speaker)
        segment_sounds(segments, self.folder)

    # ── keys ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _video_key(self) -> str:
        info = self.video
        return key_of(content_id(info.path), info.start_s, info.end_s, str(info.rate), info.duration_s)

    # ── stages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def track(self, *, detector: FaceDetector | None = None, progress: bool = True) -> Tracks:
        """Find and follow every face; taken from the folder when it was done before."""
        with self._stage("track"):
            detector = detector or load_detector(self.settings.detector, device=pick_device(self.settings.device))
            config = TrackConfig()
            path = self.folder / f"tracks-{key_of(self._video_key, detector.name, config, TRACKS_VERSION)}.npz"
            if path.is_file():
                return Tracks.load(path)
            tracks = track_faces(self.video, detector, config, progress=progress)
            tracks.save(path)
            return tracks

    def suggest(self, tracks: Tracks | None = None, *, progress: bool = True) -> Segments:
        """Write segments.json: the segments that were asked for, or those where the speaker's face is.

        Where they are to come from the faces, nobody was picked and no face is found, there are none, with a notice.

        Raises:
            FaceError: If the speaker who was picked is not there, or nowhere large enough.
            SegmentError: If typed segments lie outside the video.
        """
        tracks, speaker = tracks or self.track(progress=progress), self.settings.speaker
        with self._stage("suggest"):
            segments = self.settings.typed_segments()
            if segments is not None:
                segments.check_within(tracks.end_s)
            elif self.settings.segments == "all":
                segments = Segments([Segment(0.0, tracks.end_s)])
            else:
                segments = self.suggestions(tracks) if tracks.tracks or not is_automatic(speaker) else Segments()
                if not segments:
                    problem = (
                        f"the face of speaker {speaker!r} is nowhere large enough for long enough in "
                        f"{self.video.name}: mark segments with --segments, or choose another --speaker"
                        if tracks.tracks
                        else self._no_face(tracks)
                    )
                    if not is_automatic(speaker):
                        raise FaceError(problem)
                    notice(f"the video only gets the new audio: {problem}")
        self.segments = segments
        return segments

    def talking(self, tracks: Tracks | None = None, *, progress: bool = True) -> dict[str, float]:
        """How long each person talks in the video's own sound, seconds by name; taken from the folder when it is there.

        Empty where that cannot be told, with a notice.
        """
        tracks = tracks or self.track(progress=progress)
        key = key_of(self._video_key, TALKING_VERSION, *(t.boxes_xyxy for t in tracks.tracks))
        path = self.folder / f"talking-{key}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        with self._stage("talking"):
            try:
                talks_s = talking_seconds(self.video, tracks, find_people(tracks), progress=progress)
            except InputError as error:
                notice(f"who talks cannot be told, the largest face is synced: {error}")
                return {}
            if not any(talks_s.values()):
                notice(f"nobody in {self.video.name} is seen to talk when there is sound; the largest face is synced")
        write_text_atomic(path, json.dumps(talks_s, indent=2) + "\n")
        return talks_s

    def suggestions(self, tracks: Tracks) -> Segments:
        """Where the speaker's face is large enough for long enough to be synced; writes nothing.

        Raises:
            FaceError: If there is no face at all, or no such speaker.
        """
        return suggest_segments(tracks, self.face(tracks), self.settings.presence)

    def face(self, tracks: Tracks, speaker: str = "") -> Face:
        """The face of a speaker in every frame; of the job's own speaker where `speaker` is empty.

        Raises:
            FaceError: If there is no face, or not this one.
        """
        speaker = speaker or self.settings.speaker
        if not tracks.tracks and not names_file(speaker):
            raise FaceError(self._no_face(tracks))
        return speaker_face(tracks, speaker, self.talking(tracks) if speaker == "talking" else None)

    def _no_face(self, tracks: Tracks) -> str:
        return (
            f"no face anywhere in {self.video.name} ({tracks.n_frames} frames searched): "
            "give a video that shows the speaker's face, or try another --detector"
        )

    def plan(self, tracks: Tracks) -> Plan:
        """What has to be rendered for the segments and settings as they are now; renders nothing.

        Raises:
            InputError: As `make_plan`, and if there are no segments yet.
        """
        segments = self.segments
        speakers = {"", *(s.speaker for s in segments)} if segments else set()
        sounds = {n: load_sound(info, self.folder) for n, info in segment_sounds(segments, self.folder).items()}
        return make_plan(
            self.video,
            tracks,
            segments,
            {name: self.face(tracks, name) for name in speakers},
            {"": self.sound, **sounds},
            self.settings,
            folder=self.folder / "segments",
            video_key=self._video_key,
        )

    def sync(
        self, *, syncer: LipSyncer | None = None, tracks: Tracks | None = None, progress: bool = True
    ) -> list[Path]:
        """Render every part that is not there yet.

        Args:
            syncer: The network to use; loaded from the settings when a part needs it and None is given.
            tracks: Of `track`, which is run when None.
            progress: Show a bar with frames per second and time left.

        Returns:
            The files of all parts, in the order of the result.
        """
        tracks = tracks or self.track(progress=progress)
        with self._stage("sync"):
            plan = self.plan(tracks)
            folder = self.folder / "segments"
            folder.mkdir(exist_ok=True)
            for stale in set(folder.iterdir()) - set(plan.paths):
                stale.unlink()  # of other settings, or half-written by a run that was killed
            reader = PartReader(self.video, tracks)
            bar = tqdm(total=plan.n_frames, desc="sync", unit="frame", disable=not progress)
            with bar:
                for part, path in zip(plan.parts, plan.paths, strict=True):
                    if path.is_file():
                        bar.update(part.last - part.first)
                        continue
                    if syncer is None and part.is_face:
                        syncer = self.load_syncer()
                    sound, start_s = plan.sound(part_start_s(tracks, part), self.sound)
                    with replace_when_whole(path) as unfinished:
                        render(
                            ((frame, plan.crop_matrix(part, index)) for index, frame in reader.read(part)),
                            self.video,
                            unfinished,
                            syncer,
                            sound.mel,
                            shift_s=self.settings.shift_ms / 1000 - start_s,
                            paste=self.settings.paste,  # type: ignore[arg-type]
                            encoding=Encoding(crf=self.settings.crf),
                            on_frame=bar.update,
                        )
            return plan.paths

    def load_syncer(self) -> LipSyncer:
        """The network of the settings' weights, fetched where they are not here yet."""
        with self._stage("weights"):
            return LipSyncer.from_pretrained(self.settings.weights, device=self.settings.device)

    @cached_property
    def sound(self) -> Sound:
        """The new audio."""
        return load_sound(self.audio, self.folder, *parse_trim(self.settings.trim_audio))

    def combine(self, out: StrPath | None = None, *, tracks: Tracks | None = None, progress: bool = True) -> Path:
        """Join the parts and the new audio to final_video.mp4, with report.json beside it.

        Args:
            out: Where to put a copy of the result; its report is put beside it as NAME.report.json.
            tracks: Of `track`, which is run when None.
            progress: Show a bar.

        Returns:
            `out`, or the project's final_video.mp4.

        Raises:
            ProjectError: If parts are missing.
        """
        if out is not None:
            check_out(Path(out), self.video.path, self.audio.path)
        tracks = tracks or self.track(progress=progress)
        with self._stage("combine"):
            plan = self.plan(tracks)
            missing = [p for p in plan.paths if not p.is_file()]
            if missing:
                raise ProjectError(
                    f"{len(missing)} of {len(plan.paths)} parts are not rendered yet: "
                    f"run `wav2lip-kit sync --project {self.folder}`"
                )
            with (
                replace_when_whole(self.final_path) as unfinished,
                tqdm(total=plan.n_frames, desc="combine", unit="frame", disable=not progress, leave=False) as bar,
            ):
                combine_parts(
                    plan.paths,
                    self.audio,
                    unfinished,
                    end_pts=plan.end_pts,
                    time_base=tracks.time_base,
                    audio_start_s=self.sound.start_s,
                    audio_end_s=self.sound.end_s,
                    inserts=plan.inserts,
                    comment=provenance_comment(self.video.kind),
                    on_packet=bar.update,
                )
        report = build_report(
            video=self.video,
            audio=self.audio,
            settings=told_settings(self.settings),
            weights=weights_id(self.settings.weights),
            segments=self.segments,
            n_frames=plan.n_frames,
            duration_s=float(plan.end_pts * tracks.time_base),
            mouth_regions=mouth_regions(plan, self.video, self.settings),
            notices=list(dict.fromkeys(message for stage in self._notices().values() for message in stage)),
        )
        write_text_atomic(self.report_path, report)
        if out is None:
            return self.final_path
        out = Path(out)
        with replace_when_whole(out) as unfinished:
            link_or_copy(self.final_path, unfinished)
        write_text_atomic(report_beside(out), report)
        return out

    def run(
        self, out: StrPath | None = None, *, progress: bool = True, tell: Callable[[str], object] | None = None
    ) -> Path:
        """All stages, one after the other; what is already there is taken as it is.

        Everything that can be wrong is checked before the first long stage. `tell` is given the table of `preflight`
        before the rendering.
        """
        if out is not None:
            check_out(Path(out), self.video.path, self.audio.path)
        self._check_disk()
        with collect_notices():  # so that no stage repeats what another has said
            if not self.settings.segments and self.segments_path.is_file():
                self._check_segments(self.segments)
            syncer = self.load_syncer()
            tracks = self.track(progress=progress)
            if self.settings.segments or not self.segments_path.is_file():
                self.suggest(tracks)
            if tell is not None:
                tell(str(preflight(self, tracks, syncer)))
            self.sync(syncer=syncer, tracks=tracks, progress=progress)
            return self.combine(out, tracks=tracks, progress=progress)

    def _check_disk(self) -> None:
        pixels = self.video.width_px * self.video.height_px * float(self.video.rate) * self.video.duration_s
        needed = 50_000_000 + 2 * round(pixels * 0.15 / 8)  # parts and result, at 0.15 bit a pixel
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise InputError(
                f"only {free / 1e6:.0f} MB are free in {str(self.folder)!r}, the job needs about "
                f"{needed / 1e6:.0f} MB: free some, or give another --project"
            )

    # ── notices ────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Keep the notices of a stage for the report, also when stages are run one by one."""
        with collect_notices() as collected:
            yield
        kept = self._notices()
        if collected or kept.get(name):
            # A stage that finds its work done says nothing, which does not undo what was said when it was done.
            kept[name] = list(dict.fromkeys([*kept.get(name, []), *collected])) if name == "track" else collected
            write_text_atomic(self.folder / "notices.json", json.dumps(kept, indent=2, ensure_ascii=False) + "\n")

    def _notices(self) -> dict[str, list[str]]:
        path = self.folder / "notices.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"


def lipsync(
    video: StrPath,
    audio: StrPath,
    out: StrPath | None = None,
    *,
    project: StrPath | None = None,
    progress: bool = True,
    tell: Callable[[str], object] | None = None,
    **settings: Any,
) -> Path:
    """Lip-sync a video to new audio: the whole job in one call.

    Args:
        video: A video file, an image, or a folder of frames.
        audio: An audio file, or a video with sound.
        out: The mp4 to write; its folder must exist. None leaves the result in `project`, which is needed then.
        project: Folder that keeps everything in between. Without one a folder beside `out` is used, removed when the
            job is done, and kept when it is interrupted, so that the same call goes on where it stopped.
        progress: Show bars.
        tell: Given the table of `preflight.preflight` before the rendering.
        **settings: Fields of `Settings`.

    Returns:
        `out`, or the project's final_video.mp4.

    Raises:
        InputError: Before any long work, naming what is wrong and the next step.
    """
    if out is not None:
        check_out(Path(out), video, audio)
        folder = Path(project) if project is not None else Path(out).with_name(f"{Path(out).stem}.project")
    elif project is not None:
        folder = Path(project)
    else:
        raise InputError("lipsync needs out, the mp4 to write, or project, a folder to leave it in")
    existed = folder.exists()
    job = Project.create(folder, video, audio, **settings)
    try:
        result = job.run(out, progress=progress, tell=tell)
    except InputError:
        # What a wrong input began is of no use; but faces that were searched in a folder of the user's choice are.
        if not existed and (project is None or not any(folder.glob("tracks-*.npz"))):
            shutil.rmtree(folder)
        raise
    if project is None:
        shutil.rmtree(folder)
    return result


def report_beside(out: Path) -> Path:
    """Where the report of a result lies that is not in a project."""
    return out.with_suffix(".report.json")
