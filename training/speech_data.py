"""Speech whose mouth is known: espeak-ng in many languages and voices, as mel spectrograms with three numbers a column.

Column c of a spectrogram is where the window of a frame shown at (c + 3.2) / 80 s begins, so the numbers stored for c
are the mouth at that time: what a network that is given columns c .. c + 15 has to draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt
from speech import Phoneme, mouth_track, speak

from wav2lip_kit.audio import LEAD, MEL_RATE_HZ, N_MELS, SAMPLE_RATE_HZ, SILENCE, WINDOW, mel_spectrogram

VOICES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f5", "croak", "klatt2", "klatt4", "whisper", "")
HELD_OUT_VOICES = ("f3", "f4")
"""The voices of the example; never heard in training."""

SENTENCES = {
    "en": (
        "My brother bought a map of the moon, but nobody believes him.",
        "Please open the window before the soup boils over.",
        "We will need about five people, two boats and a big umbrella.",
        "How far away is the farm, and who lives above the barn?",
    ),
    "en-us": (
        "Papa moved the piano by himself, which was a bad plan.",
        "I was thinking of apples, maybe a pear, and some warm bread.",
        "Stop for a moment. Look at the river, then go on.",
    ),
    "de": (
        "Am Abend bauen wir ein Boot aus Papier und warten auf Wind.",
        "Warum hat mir niemand gesagt, dass der Ofen aus ist?",
        "Bitte bringen Sie morgen früh sieben Brote und etwas Butter mit.",
    ),
    "fr": (
        "Mon ami habite un petit village où il pleut beaucoup.",
        "Combien de pommes faut-il pour une bonne tarte ?",
        "Tu peux fermer la porte, personne ne viendra ce matin.",
    ),
    "es": (
        "Mi vecino pinta barcos por la mañana y duerme por la tarde.",
        "Nunca pensé que el pueblo fuera tan bonito en invierno.",
        "Abre la boca, por favor, y no te muevas.",
    ),
    "it": (
        "Domani compro un po' di pane, poi vado al mare con mia mamma.",
        "Il bambino ha perso la palla sotto il banco.",
        "Che bella giornata, peccato che dobbiamo partire.",
    ),
    "pt": (
        "O meu avô plantou uma árvore que nunca deu fruto.",
        "Amanhã vamos à praia, mas primeiro bebemos um café.",
        "Onde puseste a chave da porta de baixo?",
    ),
    "nl": (
        "Mijn buurman bouwt een hok voor vijf witte konijnen.",
        "Waarom begin je niet gewoon bij het begin?",
        "Op maandag is de bakker om de hoek altijd dicht.",
    ),
    "sv": (
        "Min mormor bakar bröd och pappa målar huset blått.",
        "Vad heter ön där vi badade i somras?",
    ),
    "pl": (
        "Moja babcia ma pięć kotów i bardzo mały dom.",
        "Powiedz mi, o której godzinie płynie prom.",
    ),
    "cs": (
        "Moje babička pekla buchty a my jsme poslouchali rádio.",
        "Proboha, kde je ten velký modrý deštník?",
    ),
    "ru": (
        "Моя бабушка варит борщ, а папа читает газету.",
        "Почему вы не позвонили мне утром?",
    ),
    "tr": (
        "Babam bahçede büyük bir elma ağacı buldu.",
        "Bu akşam hep beraber balık pişirelim mi?",
    ),
    "id": (
        "Ibu membeli buah mangga dan pepaya di pasar pagi.",
        "Bapak pulang malam, maka pintu belum ditutup.",
    ),
    "fi": (
        "Mummo keitti puuroa ja pappa luki vanhaa kirjaa.",
        "Missä on se pieni punainen vene?",
    ),
}
CONSONANTS = ("b", "p", "m", "b", "p", "m", "f", "v", "t", "d", "n", "s", "l", "r", "k", "g", "st", "pr", "tr", "")
VOWELS = ("a", "a", "e", "i", "o", "u", "ai", "au")


@dataclass(frozen=True, eq=False)
class SpeechData:
    """Many utterances in a row.

    Attributes:
        mel: (80, n) float16, utterances parted by silence of one window, so that no window holds two.
        shapes: (n, 3) float32: aperture, width, rounding of the mouth for the window that begins at each column.
        starts: (m,) int64, the columns where a window can begin.
    """

    mel: np.ndarray
    shapes: np.ndarray
    starts: np.ndarray

    def windows(self, starts: np.ndarray) -> np.ndarray:
        """The windows that begin at `starts` (B,): (B, 1, 80, 16) float32."""
        columns = np.asarray(starts)[:, None] + np.arange(WINDOW)
        return self.mel[:, columns].transpose(1, 0, 2)[:, None].astype(np.float32)

    def save(self, path: Path) -> None:
        np.savez(path, mel=self.mel, shapes=self.shapes, starts=self.starts)

    @staticmethod
    def load(path: Path) -> SpeechData:
        with np.load(path) as stored:
            return SpeechData(stored["mel"], stored["shapes"], stored["starts"])


def make_speech(n_utterances: int, voices: tuple[str, ...], seed: int, *, augment: bool = True) -> SpeechData:
    """Say `n_utterances` texts, about six seconds each, in random languages, voices, rates and pitches.

    Raises:
        RuntimeError: If espeak-ng's library is not there.
    """
    rng = np.random.default_rng(seed)
    mels, shapes, starts, at = [], [], [], 0
    gap = np.full((N_MELS, WINDOW), SILENCE, np.float32)
    for _ in range(n_utterances):
        wave, phonemes = utterance(rng, voices)
        mel = mel_spectrogram(_in_the_wild(rng, wave) if augment else wave)
        times_s = (np.arange(-WINDOW, mel.shape[1]) + LEAD) / MEL_RATE_HZ
        mels += [gap, mel]
        shapes.append(np.array([(m.aperture, m.width, m.rounding) for m in mouth_track(phonemes, times_s)]))
        # A window may begin before the sound, in the silence, but not run out of its utterance.
        starts.append(at + np.arange(1, mel.shape[1] + 1))
        at += WINDOW + mel.shape[1]
    mel = np.concatenate([*mels, gap], axis=1).astype(np.float16)
    shapes.append(np.zeros((WINDOW, 3)))
    return SpeechData(mel, np.concatenate(shapes).astype(np.float32), np.concatenate(starts))


def utterance(rng: np.random.Generator, voices: tuple[str, ...]) -> tuple[np.ndarray, list[Phoneme]]:
    """One text at 16 kHz, (n,) float32 with a peak of 0.5, with silence around it, and its sounds."""
    language = str(rng.choice(list(SENTENCES)))
    said = [str(rng.choice(SENTENCES[language])), _babble(rng), f"{rng.integers(10_000)}"]
    text = " ".join(said[: rng.integers(1, 4)] if rng.random() < 0.6 else said[1:])
    voice = str(rng.choice(voices))
    speech = speak(
        text,
        f"{language}+{voice}" if voice else language,
        words_per_minute=int(rng.integers(115, 215)),
        pitch=int(rng.integers(15, 85)),
    )
    # Played faster or slower, voices come from longer and shorter throats than espeak-ng knows.
    up, down = SAMPLE_RATE_HZ // 50, round(speech.sample_rate_hz / 50 * rng.uniform(0.85, 1.18))
    wave = resample_poly(speech.wave, up, down).astype(np.float32)
    stretch = (len(wave) / SAMPLE_RATE_HZ) / (len(speech.wave) / speech.sample_rate_hz)
    before_s, after_s = rng.uniform(0.1, 0.6, 2)
    phonemes = [Phoneme(before_s + p.start_s * stretch, before_s + p.end_s * stretch, p.name) for p in speech.phonemes]
    padding = (int(before_s * SAMPLE_RATE_HZ), int(after_s * SAMPLE_RATE_HZ))
    return np.pad(wave * (0.5 / max(1e-3, np.abs(wave).max())), padding), phonemes


def _babble(rng: np.random.Generator) -> str:
    """Words of no language, in which every sound meets every other."""
    words = [
        "".join(str(rng.choice(CONSONANTS)) + str(rng.choice(VOWELS)) for _ in range(rng.integers(1, 4)))
        for _ in range(rng.integers(4, 10))
    ]
    return " ".join(word + ("," if rng.random() < 0.2 else "") for word in words) + "."


def _in_the_wild(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """A recording of it: a room, a microphone's band, noise, another level."""
    if rng.random() < 0.5:
        decay_s = rng.uniform(0.05, 0.35)
        t_s = np.arange(int(3 * decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        room = rng.standard_normal(len(t_s)) * np.exp(-6.9 * t_s / decay_s) * rng.uniform(0.02, 0.12)
        room[0] = 1.0
        wave = fftconvolve(wave, room)[: len(wave)]
    if rng.random() < 0.7:  # treble and bass as microphones and codecs change them
        tilt = rng.uniform(-0.6, 0.75)
        wave = wave - tilt * np.concatenate([[0], wave[:-1]])
    if rng.random() < 0.35:
        wave = _filtered(wave, 4, rng.uniform(3200, 7000), "low")
    if rng.random() < 0.35:
        wave = _filtered(wave, 2, rng.uniform(60, 320), "high")
    wave = wave / max(1e-3, np.abs(wave).max())
    if rng.random() < 0.6:
        noise = rng.standard_normal(len(wave))
        if rng.random() < 0.6:  # rumble rather than hiss
            noise = _filtered(noise, 1, rng.uniform(80, 1500), "low")
        wave = wave + noise / noise.std() * 0.15 * 10 ** (-rng.uniform(12, 50) / 20)
    return (wave * 10 ** (-rng.uniform(1, 26) / 20)).astype(np.float32)


def _filtered(wave: np.ndarray, order: int, edge_hz: float, kind: str) -> np.ndarray:
    return np.asarray(sosfilt(butter(order, edge_hz, kind, fs=SAMPLE_RATE_HZ, output="sos"), wave))
