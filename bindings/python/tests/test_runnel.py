"""The package as it is installed, with minnow: test_runnel.py SOURCE"""
import pathlib
import sys
import threading
import unittest
import wave

import numpy as np

import runnel

source = pathlib.Path(sys.argv.pop())
MINNOW = source / "samples/minnow/minnow.gguf"
ANSWERS = {"light": "The kitchen light is on.", "weather": "In Vienna it is snowy today."}


def question(name):
    with wave.open(str(source / f"samples/questions/{name}.wav")) as f:
        assert (f.getnchannels(), f.getframerate()) == (1, runnel.RATE_IN)
        return np.frombuffer(f.readframes(f.getnframes()), "<i2")


def answer(pieces):
    pieces = list(pieces)
    text = "".join(p for p in pieces if isinstance(p, str))
    return text.strip(), np.concatenate([p for p in pieces if not isinstance(p, str)])


class Models(unittest.TestCase):
    def test_what_it_is(self):
        info = model.info
        self.assertEqual((info.codec, info.takes_audio, info.codebook_count), ("lfm", True, 8))
        self.assertGreater(info.weight_size, 10 << 20)
        self.assertTrue(model.can("interleaved"))
        self.assertRegex(runnel.__version__, r"^\d+\.\d+\.\d+$")
        pyproject = (source / "bindings/python/pyproject.toml").read_text()
        self.assertIn(f'version = "{runnel.__version__}"', pyproject)

    def test_refusals_are_sentences(self):
        with self.assertRaisesRegex(runnel.Error, "/nowhere") as caught:
            runnel.Model("/nowhere")
        self.assertEqual(caught.exception.status, "RNL_ERR_IO")
        with self.assertRaisesRegex(runnel.Error, "levels here are"):
            runnel.Model(MINNOW, cpu="best")
        with self.assertRaisesRegex(runnel.Error, "none of interleaved"):
            model.can("dance")
        with self.assertRaisesRegex(TypeError, "context_cap"):
            model.session(context=7)
        with self.assertRaisesRegex(runnel.Error, "context"):
            model.session(context_cap=7)

    def test_sessions_choose_adapters(self):
        data = source / "tests/data"
        peft, gguf = data / "lora/adapter", str(data / "lora/adapter.gguf")
        some = runnel.Model(data / "quality/base",
                            adapters={"one": peft, "both": [(peft, 0.5), (gguf, 0.5)]})
        self.assertEqual(some.adapters, ["one", "both"])
        some.session(adapter="both", adapter_scale=0.5, context_cap=64).close()
        with self.assertRaisesRegex(runnel.Error, "'three' is none of the 2"):
            some.session(adapter="three")
        with self.assertRaisesRegex(runnel.Error, "of another model"):
            runnel.Model(MINNOW, adapters={"one": peft})
        self.assertEqual(model.adapters, [])

    def test_speech_is_told_from_noise(self):
        self.assertGreater(model.speech_ms(question("light")), 500)
        noise = np.random.default_rng(1).normal(0, 0.01, 16000).astype(np.float32)
        self.assertLess(model.speech_ms(noise), runnel.SPEECH_MS_MIN)

    def test_a_log_may_be_given(self):
        lines = []
        runnel.Model(MINNOW, log=lambda level, text: lines.append((level, text)))
        self.assertTrue(all(level in ("info", "warning") for level, _ in lines))


class Sessions(unittest.TestCase):
    def test_a_spoken_answer(self):
        with model.session() as session:
            session.add_audio(question("light"))
            text, sound = answer(session.reply())
            self.assertEqual(text, ANSWERS["light"])
            self.assertEqual((sound.dtype, session.finish), (np.float32, "end"))
            self.assertTrue(0.5 * runnel.RATE_OUT < len(sound) < 5 * runnel.RATE_OUT)
            self.assertGreater(float(np.abs(sound).max()), 0.05)
            self.assertGreater(session.position_count, 20)
        with self.assertRaisesRegex(runnel.Error, "closed"):
            session.add_text("more")

    def test_any_cut_and_type_gives_the_same_bits(self):
        clip = question("weather")
        floats = clip.astype(np.float64) / 32768
        session = model.session()
        session.add_audio(clip)
        whole = answer(session.reply())
        session.reset()
        for i in range(0, len(floats), 1234):
            session.push_audio(floats[i:i + 1234])
        pieces = answer(session.reply())
        self.assertEqual(whole[0], ANSWERS["weather"])
        self.assertEqual(whole[0], pieces[0])
        self.assertTrue(np.array_equal(whole[1], pieces[1]))

    def test_who_stops_listening_stops_the_answer(self):
        session = model.session()
        session.add_audio(question("light"))
        for piece in session.reply():
            if not isinstance(piece, str):
                break
        self.assertEqual(session.finish, "stopped")
        session.add_audio(question("weather"))
        self.assertEqual(answer(session.reply())[0], ANSWERS["weather"])

    def test_how_text_is_chosen(self):
        def reply(**how):
            session = model.session(seed=7)
            session.add_text("Turn on the kitchen light.")
            return "".join(session.reply("text", step_max=16, **how))
        greedy = reply(temperature=0)
        self.assertEqual(reply(temperature=2, top_k=1000, top_p=1e-5), greedy)
        self.assertEqual(reply(temperature=2, top_k=1000, min_p=1), greedy)
        self.assertNotEqual(reply(temperature=0, repeat_penalty=10), greedy)
        with self.assertRaisesRegex(runnel.Error, "top_p"):
            reply(top_p=0)

    def test_text_and_snapshots(self):
        session = model.session(context_cap=512)
        session.add_text("Turn on the kitchen light.")
        session.snapshot()
        first = "".join(session.reply("text"))
        session.restore()
        again = "".join(session.reply("text", temperature=0, top_k=1))
        self.assertEqual(first, again)
        self.assertIn("light", first)
        session.reset()
        session.add_text("Turn on the kitchen light.")
        self.assertEqual(len(list(session.reply("text", step_max=1))), 1)
        self.assertEqual(session.finish, "limit")

    def test_samples_that_are_none(self):
        session = model.session()
        for bad, words in ((np.zeros((2, 100), np.float32), "mono"),
                           (np.zeros(100, np.int32), "int32"),
                           (np.full(16000, np.nan, np.float32), "number")):
            with self.assertRaisesRegex(runnel.Error, words):
                session.add_audio(bad)
        with self.assertRaisesRegex(runnel.Error, "none of system"):
            session.add_text("x", role="nobody")

    def test_a_session_outlives_the_name_of_its_model(self):
        other = runnel.Model(MINNOW)
        session = other.session()
        del other
        session.add_text("Turn on the kitchen light.")
        self.assertIn("light", "".join(session.reply("text")))

    def test_threads_share_a_model(self):
        said = {}

        def ask(name):
            session = model.session(thread_count=1)
            session.add_audio(question(name))
            said[name] = answer(session.reply())[0]

        threads = [threading.Thread(target=ask, args=(name,)) for name in ANSWERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(said, ANSWERS)


class Transcripts(unittest.TestCase):
    def test_words_have_times(self):
        gap = np.zeros(16000, np.int16)
        sound = np.concatenate([question("light"), gap, question("weather")])
        pieces = list(model.transcribe(sound))
        text = " ".join(p.text for p in pieces).lower()
        self.assertIn("kitchen light", text)
        self.assertIn("vienna", text)
        words = [w for p in pieces for s in p.segments for w in s.words]
        self.assertGreater(len(words), 8)
        self.assertEqual([w.begin for w in words], sorted(w.begin for w in words))
        self.assertTrue(all(0 <= w.begin <= w.end <= len(sound) / 16000 + 0.032 for w in words))
        self.assertTrue(all(w.confidence <= 0 and w.text for w in words))
        blocks = [sound[i:i + 5000] for i in range(0, len(sound), 5000)]
        self.assertEqual(list(model.transcribe(blocks)), pieces)

    def test_refusals(self):
        with self.assertRaisesRegex(runnel.Error, "piece_max"):
            model.transcribe(np.zeros(0, np.int16), piece_max=100)
        self.assertEqual(list(model.transcribe(np.zeros(16000, np.int16))), [])


class Live(unittest.TestCase):
    def test_a_conversation(self):
        live = model.live(rate=16000)
        sound = np.concatenate([np.zeros(8000, np.int16), question("light"),
                                np.zeros(16000 * 6, np.int16)])
        events, said = [], []
        for i in range(0, len(sound) // 160 * 160, 160):
            said.append(live.tick(sound[i:i + 160]))
            events.extend(live.events())
        kinds = [e.kind for e in events]
        order = [kinds.index(k) for k in ("hearing", "thinking", "speaking", "turn")]
        self.assertEqual(order, sorted(order))
        turn = events[kinds.index("turn")].turn
        self.assertEqual((turn.index, turn.barged_in), (1, False))
        self.assertEqual(turn.said.strip(), ANSWERS["light"])
        self.assertEqual(turn.heard.strip(), ANSWERS["light"])
        self.assertEqual("".join(e.text for e in events).strip(), ANSWERS["light"])
        self.assertEqual(len(turn.mark_us), 12)
        sound_out = np.concatenate(said)
        self.assertEqual(len(sound_out), len(sound) // 160 * 160)
        self.assertGreater(float(np.abs(sound_out).max()), 0.05)
        live.finish()

    def test_refusals(self):
        with self.assertRaisesRegex(runnel.Error, "end_ms"):
            model.live(end_ms=1)
        with self.assertRaisesRegex(TypeError, "no setting"):
            model.live(volume=1)
        live = model.live()
        with self.assertRaisesRegex(runnel.Error, "reference"):
            live.push(np.zeros(160, np.float32), np.zeros(80, np.float32), 0, 0)


model = runnel.Model(MINNOW)

if __name__ == "__main__":
    unittest.main()
