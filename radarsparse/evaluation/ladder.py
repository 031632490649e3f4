"""Measure every rung of the ladder on real and on simulated frames."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.frames import PREDICTION, RAW, crop
from radarsparse.evaluation.noise_levels import NoiseLosses, losses_by_level
from radarsparse.evaluation.quality import Ladder, score_draws
from radarsparse.evaluation.report import make_report
from radarsparse.evaluation.results import Quality, write_results
from radarsparse.evaluation.runs import NamedPairs, RunFrames
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.workers import Workers, start_workers
from radarsparse.files import replacing
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.metrics.summary import RESAMPLES
from radarsparse.scan import ScanPair
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.training.planning.memory import read_peak_gib
from radarsparse.viewer.plots import save_levels, save_report

# Seeds of simulated frames that no training run draws.
SIMULATED_SEED, SIMULATED_FRAMES = 1_000_003, 24
TIMED_FRAMES, DRAWN_FRAMES, PICTURES = 12, 22, 5
ABOUT = (
    "Written by `tools/benchmark.py quality`. Every metric is defined in [metrics.md](metrics.md).",
    "Times are medians of single frames, decoding included. Real frames are Astyx HiRes2019",
    "(Astyx GmbH, CC BY-NC-SA 4.0; so are the pictures made of them), drives that training never",
    "saw; sampling settings were chosen on them. Simulated frames are zero-shot: no run saw any.",
)


class NumberedPairs:
    """Pairs named by their number.

    Args:
        pairs: to name.
    """

    def __init__(self, pairs: Sequence[ScanPair]) -> None:
        self._pairs = pairs
        self.names = tuple(f"{number:06d}" for number in range(len(pairs)))

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int, /) -> ScanPair:
        return self._pairs[number]


def open_ladder(text: str) -> Ladder:
    """The runs of `EDM,FEW`.

    Raises:
        InputError: the text names other than two folders, or one holds no run.
    """
    folders = text.split(",")
    if len(folders) != 2:
        raise InputError(f"--runs {text}: must be two folders, EDM,FEW")
    many, few = (Enhancer.load(folder) for folder in folders)
    return Ladder(many, few)


def run_quality(
    runs: Sequence[str], root: Path | None, document: Path | None, dry_run: bool
) -> list[dict[str, Any]]:
    """Measure and write the document, with pictures in a folder of its name beside it.

    Args:
        runs: `EDM,FEW` of each training seed.
        root: prepared frames.
        document: Markdown file.
        dry_run: only check and say what would be done.

    Returns:
        The reports of all sets of frames and seeds.

    Raises:
        InputError: a run or a frame can't be read or made, or a file can't be written.
    """
    if not runs or root is None or document is None:
        raise InputError("quality needs --runs EDM,FEW, --root DIR and --doc FILE.md")
    if not document.parent.is_dir():
        raise InputError(f"--doc {document}: no such folder: {document.parent}")
    ladders = [open_ladder(text) for text in runs]
    prepared = PreparedFrames.open(root, "val")
    if dry_run:
        print(f"would score {len(ladders)} seeds on {len(prepared)} frames and simulated ones")
        return []
    with start_workers(None) as workers:
        parts = measure_quality(ladders, prepared, document, workers)
    older = document.read_text() if document.exists() else ""
    with replacing(document) as part:
        part.write_text(write_results(parts, ABOUT, older))
    return [dict(report) for quality in parts for report in quality.reports]


def measure_quality(
    ladders: Sequence[Ladder], prepared: PreparedFrames, document: Path, workers: Workers
) -> list[Quality]:
    """Score all rows of all seeds on both sets of frames, and draw pictures.

    Args:
        ladders: one per training seed.
        prepared: real frames.
        document: pictures go into a folder beside it of the same name.
        workers: who scores.

    Raises:
        InputError: a frame can't be read or made, or a picture can't be written.
    """
    simulated = [simulate_pair(SIMULATED_SEED, number) for number in range(SIMULATED_FRAMES)]
    sets: dict[str, NamedPairs] = {
        "Astyx `val`": prepared,
        "Simulated frames": NumberedPairs(simulated),
    }
    parts = []
    for title, pairs in sets.items():
        reports = []
        for ladder in ladders:
            frames = RunFrames(ladder.rows(), pairs, ladder.many.volume)
            reports.append(make_report(score_frames(frames, workers), frames, RESAMPLES, PICTURES))
        few = [pairs[n] for n in _spread(len(pairs), DRAWN_FRAMES)]
        draws = [score_draws(ladder, few) for ladder in tqdm(ladders, "draws", disable=None)]
        seconds = _time_rows(ladders[0], [pairs[n] for n in _spread(len(pairs), TIMED_FRAMES)])
        noise = losses_by_level(ladders[0].many, few, ladders[0].seed)
        pictures = []
        if pairs is prepared:
            pictures = _draw(ladders[0], prepared, reports[0]["worst"][0], document)
            pictures.append(_draw_noise(ladders[0], noise, document))
        peak_gib = read_peak_gib(torch.device("cpu"))
        parts.append(Quality(title, reports, draws, noise, seconds, peak_gib, pictures))
    return parts


def _spread(length: int, count: int) -> list[int]:
    """Some numbers below a length, evenly apart."""
    return sorted({round(i * (length - 1) / max(count - 1, 1)) for i in range(count)})


def _time_rows(ladder: Ladder, pairs: Sequence[ScanPair]) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for pair in tqdm(pairs, "time", disable=None):
        for row, make in ladder.rows().items():
            start = time.perf_counter()
            make(pair)
            times.setdefault(row, []).append(time.perf_counter() - start)
    return {row: median(values) for row, values in times.items() if row != RAW}


def _draw(ladder: Ladder, prepared: PreparedFrames, worst: str, document: Path) -> list[str]:
    """Pictures of some frames, evenly apart, and of the worst one."""
    folder = document.with_suffix("")
    folder.mkdir(exist_ok=True)
    names = [prepared.names[number] for number in _spread(len(prepared), PICTURES - 1)]
    make, volume = ladder.rows()[PREDICTION], ladder.many.volume
    chosen = list(dict.fromkeys([*names, worst]))
    for name in chosen:
        pair = prepared[prepared.names.index(name)]
        radar = crop(pair.radar, volume, name)
        lidar = crop(pair.lidar_in_radar_frame, volume, name)
        title = f"Astyx frame {name}" + (" (the worst)" if name == worst else "")
        save_report(folder / f"{name}.png", radar, make(pair), lidar, title)
    return [f"{folder.name}/{name}.png" for name in chosen]


def _draw_noise(ladder: Ladder, noise: NoiseLosses, document: Path) -> str:
    """A picture of losses over noise levels, and of the levels that training draws."""
    settings, folder = ladder.many.network.diffusion, document.with_suffix("")
    curves = {
        "flags, bits per flag that is up": noise.flags,
        "the same without neighbours": noise.alone,
        "latents, weighted squared error": noise.latents,
    }
    density = np.exp(-0.5 * ((np.log(noise.sigmas) - settings.p_mean) / settings.p_std) ** 2)
    save_levels(folder / "noise.png", noise.sigmas, curves, density, "losses by noise level")
    return f"{folder.name}/noise.png"
