"""A spoken conversation that can be interrupted, for those who own their audio."""
from __future__ import annotations

import dataclasses
import functools
from typing import Any, Iterator

import numpy as np
import numpy.typing as npt

from ._common import Error, Samples, apply, check, ffi, lib, mono, new_error, pointer_to, text_of

SETTINGS = ("speculation", "barge_in", "push_to_talk", "echo_cancel", "echo_delay_ms",
            "volume_inside", "lead_in_trim", "history_turns", "backchannel_ms", "guess_ms",
            "end_ms", "end_ms_max", "turn_network", "end_ms_min", "turn_seconds_max")
SESSION_SETTINGS = ("context_cap", "thread_count", "memory_size_max", "seed", "drop_oldest_turns",
                    "adapter", "adapter_scale")


@dataclasses.dataclass(frozen=True)
class Turn:
    """An answer that was played to its end, or cut."""
    index: int
    barged_in: bool
    speculated: bool
    hold_count: int         # times it was held and went on
    underrun_count: int
    end_rule: str           # what ended the user's turn: "sure", "middle", "long", ...
    end_probability: float  # how finished it sounded; -1: nobody was asked
    mark_us: tuple[int, ...]  # T0 to T11, -1 where not reached (docs/LATENCY.md)
    said: str
    heard: str


@dataclasses.dataclass(frozen=True)
class Event:
    kind: str  # "listening", "hearing", "thinking", "text", "speaking", "cut", "turn", ...
    mic_sample: int
    speech_us: int
    text: str
    turn: Turn | None


def _destroy(_model: Any, pointer: Any) -> None:
    lib.rnl_live_destroy(ffi.new("rnl_live **", pointer))


class Live:
    """Made by Model.live. One thread at a time. tick does everything; push, step, pull and events
    are for those whose sound or clock does not come in one piece."""

    def __init__(self, model: Any, rate: int, system: str | None,
                 settings: dict[str, Any]) -> None:
        config = ffi.new("rnl_live_config *", lib.rnl_live_config_default(model))
        config.rate_in = config.rate_out = rate
        self._system = None if system is None else ffi.new("char[]", system.encode())
        if self._system is not None:
            config.system = self._system
        own = {k: v for k, v in settings.items() if k in SESSION_SETTINGS}
        kept = apply(config.session, own, SESSION_SETTINGS, "a session")
        apply(config, {k: v for k, v in settings.items() if k not in own},
              SETTINGS + SESSION_SETTINGS, "a live conversation")
        box, error = ffi.new("rnl_live **"), new_error()
        check(lib.rnl_live_create(model, config, box, error), error)
        del kept
        self._live = ffi.gc(box[0], functools.partial(_destroy, model))
        self._event = ffi.new("rnl_live_event *")
        self._events: list[Event] = []
        self._played: Samples = np.zeros(0, np.float32)
        self._sample_count = 0
        self.rate = rate

    def push(self, mic: npt.ArrayLike, reference: npt.ArrayLike | None, adc_us: int,
             now_us: int) -> int:
        """Samples of the microphone, and what the loudspeaker was given meanwhile. Returns how
        many were taken: with fewer than all, step first."""
        heard = mono(mic)
        played = None if reference is None else mono(reference)
        if played is not None and len(played) != len(heard):
            raise Error("reference is not as long as mic", "RNL_ERR_ARGUMENT")
        sound = ffi.new("rnl_live_sound *", {
            "mic": pointer_to(heard), "count": len(heard), "adc_us": adc_us,
            "reference": ffi.NULL if played is None else pointer_to(played)})
        taken, error = ffi.new("size_t *"), new_error()
        check(lib.rnl_live_push(self._live, sound, now_us, taken, error), error)
        return int(taken[0])

    def step(self, now_us: int) -> bool:
        """A bounded piece of work. False: it waits for sound, or for room to play."""
        error = new_error()
        status = check(lib.rnl_live_step(self._live, now_us, error), error)
        while lib.rnl_live_next_event(self._live, self._event) == lib.RNL_OK:
            self._events.append(self._look(self._event))
        return bool(status == lib.RNL_OK)

    def pull(self, cap: int, now_us: int, dac_us: int = -1) -> Samples:
        """At most so many samples of the answer, to be played right behind those before."""
        samples, count = np.empty(cap, np.float32), ffi.new("size_t *")
        lib.rnl_live_pull(self._live, ffi.cast("float *", samples.ctypes.data), cap, now_us,
                          dac_us, count)
        return samples[:count[0]]

    def tick(self, mic: npt.ArrayLike, now_us: int | None = None) -> Samples:
        """Hears some 10 ms of the microphone and gives as many samples to be played at once,
        silence included. Without now_us the clock counts samples."""
        heard = mono(mic)
        self._sample_count += len(heard)
        now = self._sample_count * 1000000 // self.rate if now_us is None else now_us
        played = np.zeros(len(heard), np.float32)
        last = self._played[:len(heard)]
        played[:len(last)] = last
        at = 0
        while at < len(heard):
            at += self.push(heard[at:], played[at:], now - (len(heard) - at) * 1000000 // self.rate,
                            now)
            while self.step(now):
                pass
        out = np.zeros(len(heard), np.float32)
        said = self.pull(len(heard), now, now)
        out[:len(said)] = said
        self._played = out
        return out

    def events(self) -> Iterator[Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        return iter(happened)

    def finish(self) -> None:
        """No more sound will come: a turn under way ends here."""
        lib.rnl_live_finish(self._live)

    def hold(self, down: bool) -> None:
        """Push-to-talk: the key is down or up."""
        lib.rnl_live_hold(self._live, down)

    def queued(self, sample_count: int) -> None:
        """How many of the samples pulled wait in a queue of the caller."""
        lib.rnl_live_queued(self._live, sample_count)

    def cut_done(self, dropped_count: int) -> None:
        """After "cut", without volume_inside: so many samples pulled were never played."""
        lib.rnl_live_cut_done(self._live, dropped_count)

    @property
    def idle(self) -> bool:
        """Nothing is under way, and all that was pushed is heard."""
        facts = ffi.new("rnl_live_facts *")
        lib.rnl_live_get_facts(self._live, facts)
        return bool(facts.idle)

    def _words(self, function: Any) -> str:
        text, size = ffi.new("const char **"), ffi.new("size_t *")
        function(self._live, text, size)
        return text_of(text[0], size[0])

    def _look(self, e: Any) -> Event:
        turn = None
        if e.kind == lib.RNL_LIVE_TURN:
            t = e.turn
            turn = Turn(t.index, t.barged_in, t.speculated, t.hold_count, t.underrun_count,
                        text_of(lib.rnl_live_end_rule_name(t.end_rule)), t.end_probability,
                        tuple(t.mark_us),
                        self._words(lib.rnl_live_said), self._words(lib.rnl_live_heard))
        text = text_of(e.text, e.text_size) if e.kind == lib.RNL_LIVE_TEXT else ""
        return Event(text_of(lib.rnl_live_kind_name(e.kind)), e.mic_sample, e.speech_us, text, turn)
