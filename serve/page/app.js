// The page of `runnel serve`: one conversation by WebSocket (/v1/realtime), heard and spoken
// through two audio worklets. The socket's events decide what is shown; only play.js knows what
// was heard.
const RATE = 24000;
const BACKLOG_MAX = 1 << 20; // bytes that may wait for the network before sound is left out
const TRIP_MS = 5000;

const $ = id => document.getElementById(id);
const seen = (window.runnel = { events: [], turns: [], cuts: [], gaps: 0, dropped: 0, errors: [] });
let talk = null; // the open Conversation

// ---- what is shown ----

function note(text, trouble = false) {
  $('note').textContent = text;
  $('note').classList.toggle('trouble', trouble);
  if (trouble) seen.errors.push(text);
}

function show(state) {
  $('state').value = state;
  $('you').classList.toggle('speaks', state === 'hearing');
  $('runnel').classList.toggle('speaks', state === 'speaking');
}

function level(who, value) {
  $(who).firstElementChild.style.setProperty('--level', Math.min(1, 2 * value).toFixed(2));
}

const milliseconds = value => `${Math.round(value)} ms`;

function showTurn(turn) {
  seen.turns.push(turn);
  const all = seen.turns.map(t => t.first_ms).sort((a, b) => a - b);
  $('latency').textContent = milliseconds(turn.first_ms);
  $('whole').textContent = milliseconds(turn.first_ms + turn.silence_ms);
  $('silence').textContent = turn.silence_ms;
  $('median').textContent = milliseconds(all[all.length >> 1]);
  $('turns').textContent = all.length;
}

function showButtons() {
  const open = talk !== null;
  $('talk').textContent = open && talk.stream ? 'End' : 'Talk';
  $('stop').disabled = !open;
  $('mute').disabled = !open || !talk.stream;
  $('hold').disabled = $('mute').disabled;
  $('hold').hidden = !$('push').checked;
  if (!open) $('mute').setAttribute('aria-pressed', 'false');
}

// The log: a paragraph for each item, in the conversation's order.
class Log {
  constructor() {
    this.lines = new Map(); // item id -> {line, text}
  }

  add(id, who, after) {
    const line = document.createElement('p');
    const name = document.createElement('span');
    const text = document.createElement('span');
    line.className = who;
    name.className = 'who';
    name.textContent = who === 'you' ? 'You: ' : 'Runnel: ';
    line.append(name, text);
    const before = this.lines.get(after);
    if (before) before.line.after(line);
    else $('log').append(line);
    this.lines.set(id, { line, text });
    this.follow();
    return line;
  }

  write(id, text, whole = false) {
    const entry = this.lines.get(id);
    if (!entry) return;
    if (whole) entry.text.textContent = text;
    else entry.text.append(text);
    this.follow();
  }

  mark(id, text) {
    const entry = this.lines.get(id);
    if (!entry) return;
    const mark = document.createElement('span');
    mark.className = 'mark';
    mark.textContent = ` (${text})`;
    entry.line.append(mark);
  }

  remove(id) {
    this.lines.get(id)?.line.remove();
    this.lines.delete(id);
  }

  follow() {
    $('log').scrollTop = $('log').scrollHeight;
  }
}

// ---- sound as the protocol carries it: base64 of s16, little end first ----

function toBase64(buffer) {
  let text = '';
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

function toSamples(base64) {
  const text = atob(base64);
  const bytes = new DataView(new ArrayBuffer(text.length));
  for (let i = 0; i < text.length; i++) bytes.setUint8(i, text.charCodeAt(i));
  const samples = new Float32Array(text.length >> 1);
  for (let i = 0; i < samples.length; i++) samples[i] = bytes.getInt16(2 * i, true) / 32768;
  return samples;
}

function loudest(buffer) {
  let most = 0;
  for (const sample of new Int16Array(buffer)) most = Math.max(most, Math.abs(sample));
  return most / 32768;
}

// ---- keys and reasons ----

function authorization(key) {
  return key ? { headers: { Authorization: `Bearer ${key}` } } : {};
}

// A browser's WebSocket takes the key as a sub-protocol, which not every character may stand in.
// For such a key the server makes a secret that may.
async function protocols() {
  const key = $('key').value;
  if (!key) return ['realtime'];
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(key)) return ['realtime', `openai-insecure-api-key.${key}`];
  const answer = await fetch('/v1/realtime/client_secrets',
    { method: 'POST', ...authorization(key) });
  if (!answer.ok) throw new Error('The server does not know this key.');
  return ['realtime', `openai-insecure-api-key.${(await answer.json()).value}`];
}

// Why a socket did not open is not told to pages, so ask where it is.
async function whyRefused() {
  try {
    const models = await fetch('/v1/models', authorization($('key').value));
    if (models.status === 401) {
      $('settings').open = true;
      $('key').focus();
      return 'This server asks for a key: write it below Settings and press Talk.';
    }
    const { status } = await (await fetch('/health/ready')).json();
    if (status === 'full') return 'The server has no room for one more; try again soon.';
    if (status === 'draining') return 'The server is closing; try again soon.';
    if (status === 'starting') return 'The server is starting; try again soon.';
  } catch {
    return 'The server cannot be reached.';
  }
  return 'The server refused the conversation.';
}

function whyClosed({ code, reason }) {
  if (code === 1000) return 'The conversation is over.';
  if (code === 1001) return 'The server is closing; press Talk to begin anew.';
  if (code === 1006) return 'The connection was lost; press Talk to begin anew.';
  return `The server ended the conversation: ${reason || `code ${code}`}.`;
}

// ---- one conversation ----

class Conversation {
  constructor() {
    this.log = new Log();
    this.sounding = new Set(); // items whose sound is not over
    this.cut = new Set(); // items whose further sound is for nobody
    this.response = false; // whether one is being made, or was asked for
    this.written = new Set(); // items of the person's of which a transcript has begun
    this.ended = null; // when the person's turn ended, ms, until the answer sounds
    this.silence_ms = 500;
    this.stream = null;
    this.detection = null; // how the server hears turns, unless they are pushed
    this.waiting = []; // resolved when nothing sounds and nothing is made
  }

  async open(withMicrophone) {
    if (window.AudioWorkletNode) await this.openSound();
    if (withMicrophone) await this.openMicrophone();
    const offered = await protocols();
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    await new Promise((resolve, reject) => {
      const ws = new WebSocket(`${scheme}://${location.host}/v1/realtime`, offered);
      ws.onopen = () => { this.ws = ws; };
      ws.onmessage = ({ data }) => {
        this.receive(JSON.parse(data));
        resolve(); // with the first event
      };
      ws.onclose = event => {
        if (this.ws) this.closed(event);
        reject(new Error('refused'));
      };
    });
  }

  async openSound() {
    this.context = new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
    await this.context.resume();
    await this.context.audioWorklet.addModule('play.js');
    this.play = new AudioWorkletNode(this.context, 'play',
      { numberOfInputs: 0, outputChannelCount: [1] });
    this.play.port.onmessage = ({ data }) => this.played(data);
    this.play.connect(this.context.destination);
  }

  async openMicrophone() {
    if (!navigator.mediaDevices) throw new Error(WHERE);
    this.stream = await navigator.mediaDevices.getUserMedia({ audio:
      { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
    this.stream.getAudioTracks()[0].onended = () => note('The microphone is gone.', true);
    await this.context.audioWorklet.addModule('capture.js');
    const capture = new AudioWorkletNode(this.context, 'capture',
      { numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit' });
    capture.port.onmessage = ({ data }) => this.hear(data);
    this.context.createMediaStreamSource(this.stream).connect(capture);
    this.setMicrophone();
  }

  // Gives the microphone back and closes what is open; the socket's close follows.
  end() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.context?.close();
    this.ws?.close(1000);
  }

  closed(event) {
    if (talk !== this) return;
    talk = null;
    this.end();
    note(whyClosed(event), event.code !== 1000);
    show('idle');
    showButtons();
  }

  send(event) {
    if (this.ws?.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify(event));
  }

  // ---- hearing ----

  // Muted, or with push to talk and nothing held, silence comes from the microphone.
  setMicrophone() {
    const muted = $('mute').getAttribute('aria-pressed') === 'true';
    for (const track of this.stream?.getTracks() ?? []) track.enabled = !muted;
  }

  hear(block) {
    const wanted = !$('push').checked || this.held !== undefined;
    if (!this.ws || !wanted) return;
    level('you', loudest(block));
    if (this.ws.bufferedAmount > BACKLOG_MAX) {
      $('dropped').textContent = ++seen.dropped;
      note('The network is slow: parts of what you say are left out.', true);
      return;
    }
    this.send({ type: 'input_audio_buffer.append', audio: toBase64(block) });
  }

  hold() {
    if (this.held !== undefined) return;
    this.held = performance.now();
    this.interrupt();
    show('hearing');
  }

  async release() {
    if (this.held === undefined) return;
    const long = performance.now() - this.held > 150; // the server wants 100 ms
    this.held = undefined;
    if (!long) {
      this.send({ type: 'input_audio_buffer.clear' });
      show('listening');
      return;
    }
    this.ended = performance.now();
    show('thinking');
    this.send({ type: 'input_audio_buffer.commit' });
    await this.quiet();
    this.ask();
  }

  async write(text) {
    this.interrupt();
    await this.quiet();
    this.send({ type: 'conversation.item.create', item:
      { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } });
    this.ask();
  }

  ask() {
    this.response = true;
    this.send({ type: 'response.create' });
  }

  // ---- speaking ----

  // The person wants the word: Runnel falls silent, here at once and there as soon as may be.
  interrupt() {
    this.hush();
    if (this.response) this.send({ type: 'response.cancel' });
  }

  hush() {
    for (const id of this.sounding) this.cut.add(id);
    if (this.sounding.size > 0) this.play.port.postMessage({ cut: true });
  }

  // Resolved when no response is being made and none sounds.
  quiet() {
    if (!this.response && this.sounding.size === 0) return Promise.resolve();
    return new Promise(resolve => this.waiting.push(resolve));
  }

  settle() {
    if (this.response || this.sounding.size > 0) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  speak(id, base64) {
    if (this.cut.has(id) || !this.play) return;
    const samples = toSamples(base64);
    this.sounding.add(id);
    this.play.port.postMessage({ item: id, samples }, [samples.buffer]);
  }

  // What the worklet tells.
  played(m) {
    if (m.first) this.sounds(m.frame);
    if (m.over) {
      this.sounding.delete(m.over);
      if (this.sounding.size === 0 && $('state').value === 'speaking') show('listening');
    }
    for (const [id, samples] of m.cut ?? []) this.heard(id, samples);
    if (m.over || m.cut) this.settle();
    if (m.gaps !== undefined) {
      $('gaps').textContent = seen.gaps = m.gaps;
      level('runnel', m.level);
    }
  }

  sounds(frame) {
    show('speaking');
    if (this.ended === null) return;
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    const at = performance.now() + 1000 * (frame / RATE - this.context.currentTime + latency);
    showTurn({ first_ms: at - this.ended, silence_ms: $('push').checked ? 0 : this.silence_ms });
    this.ended = null;
  }

  // An item was cut after so many samples: the server forgets the rest as well.
  heard(id, samples) {
    const ms = Math.floor(samples / (RATE / 1000));
    this.sounding.delete(id);
    seen.cuts.push({ item: id, samples, ms });
    this.log.mark(id, `interrupted after ${(ms / 1000).toFixed(1)} s`);
    this.send({ type: 'conversation.item.truncate', item_id: id, content_index: 0,
      audio_end_ms: ms });
  }

  // ---- what the server tells ----

  receive(event) {
    seen.events.push(event.type);
    this[event.type]?.(event);
  }

  'session.created'({ session }) {
    this.detection = session.audio?.input?.turn_detection;
    this.configure();
    note(this.stream ? 'Speak; you may interrupt at any time.'
      : 'Write; Talk opens the microphone.');
    show('listening');
  }

  configure() {
    const input = { transcription: { model: 'default' } };
    input.turn_detection = $('push').checked ? null : this.detection;
    const session = { type: 'realtime', audio: { input } };
    if (!this.play) session.output_modalities = ['text'];
    this.send({ type: 'session.update', session });
  }

  'session.updated'({ session }) {
    this.silence_ms = session.audio?.input?.turn_detection?.silence_duration_ms ?? this.silence_ms;
  }

  'input_audio_buffer.speech_started'() {
    this.ended = null;
    this.hush();
    show('hearing');
  }

  'input_audio_buffer.speech_stopped'() {
    this.ended = performance.now();
    show('thinking');
  }

  'conversation.item.added'({ item, previous_item_id: after }) {
    if (item.type !== 'message' || item.role === 'system') return;
    this.log.add(item.id, item.role === 'user' ? 'you' : 'runnel', after);
    const said = item.content.map(part => part.text ?? part.transcript ?? '').join('');
    this.log.write(item.id, said || (item.role === 'user' ? '…' : ''));
  }

  'conversation.item.input_audio_transcription.delta'({ item_id: id, delta }) {
    this.log.write(id, delta, !this.written.has(id));
    this.written.add(id);
  }

  'conversation.item.input_audio_transcription.completed'({ item_id: id, transcript }) {
    this.log.write(id, transcript, true);
  }

  'conversation.item.input_audio_transcription.failed'({ item_id: id }) {
    this.log.write(id, '(not written down)', true);
  }

  'conversation.item.deleted'({ item_id: id }) {
    this.log.remove(id);
  }

  // Screen readers read the answer when it is whole, not word by word.
  'response.created'() {
    this.response = true;
    $('log').setAttribute('aria-busy', 'true');
    if ($('state').value === 'listening') show('thinking');
  }

  'response.output_audio.delta'({ item_id: id, delta }) {
    this.speak(id, delta);
  }

  'response.output_audio_transcript.delta'({ item_id: id, delta }) {
    this.log.write(id, delta);
  }

  'response.output_text.delta'({ item_id: id, delta }) {
    this.log.write(id, delta);
  }

  'response.output_audio.done'({ item_id: id }) {
    this.play?.port.postMessage({ close: id });
  }

  'response.done'({ response }) {
    this.response = false;
    $('log').setAttribute('aria-busy', 'false');
    if (response.status === 'failed')
      note(response.status_details?.error?.message ?? 'The answer failed.', true);
    if (this.sounding.size === 0 && $('state').value === 'thinking') show('listening');
    this.settle();
  }

  error({ error }) {
    if (error.code !== 'response_cancel_not_active') note(error.message, true);
    if (error.type === 'server_error') {
      this.response = false;
      this.settle();
    }
  }
}

// ---- buttons and keys ----

const WHERE = 'Browsers give microphone and sound only to pages of this machine ' +
  '(http://127.0.0.1) and to https; docs/SERVING.md of Runnel says how to get https. ' +
  'Writing works here too.';

function whyNot(problem) {
  if (problem.name === 'NotAllowedError') return 'The browser keeps the microphone from this page.';
  if (problem.name === 'NotFoundError') return 'There is no microphone.';
  return problem.message;
}

async function begin(withMicrophone) {
  if (talk) return talk;
  const opening = (talk = new Conversation());
  $('log').textContent = '';
  note('Connecting…');
  show('connecting');
  try {
    await opening.open(withMicrophone);
  } catch (problem) {
    talk = null;
    opening.end();
    note(problem.message === 'refused' ? await whyRefused() : whyNot(problem), true);
    show('idle');
  }
  showButtons();
  return talk;
}

async function toggle() {
  const open = talk;
  if (!open) return begin(true);
  if (!open.ws) return null; // it is just being opened
  if (open.stream) {
    talk = null;
    open.end();
    note('The conversation is over.');
    show('idle');
  } else { // it was written until now
    await open.openMicrophone().then(() => note('Speak or write.'),
      problem => note(whyNot(problem), true));
  }
  showButtons();
  return open;
}

function press(down) {
  $('hold').classList.toggle('held', down);
  if (down) talk?.hold();
  else talk?.release();
}

const writes = element => element.matches('input, button, summary, textarea');

$('talk').onclick = toggle;
$('stop').onclick = () => talk?.interrupt();
$('mute').onclick = () => {
  const pressed = $('mute').getAttribute('aria-pressed') !== 'true';
  $('mute').setAttribute('aria-pressed', String(pressed));
  talk?.setMicrophone();
};
$('push').onchange = () => {
  if (talk) talk.held = undefined;
  talk?.configure();
  showButtons();
};
$('write').onsubmit = async event => {
  event.preventDefault();
  const text = $('text').value.trim();
  if (!text || (talk && !talk.ws)) return;
  if (await begin(false)) {
    $('text').value = '';
    await talk.write(text);
  }
};
$('hold').onpointerdown = event => {
  $('hold').setPointerCapture(event.pointerId);
  press(true);
};
$('hold').onpointerup = $('hold').onpointercancel = () => press(false);
$('hold').onkeydown = event => { if (event.key === 'Enter' || event.key === ' ') press(true); };
$('hold').onkeyup = $('hold').onblur = () => press(false);
document.onkeydown = event => {
  if (event.key === 'Escape') talk?.interrupt();
  if (event.key !== ' ' || !$('push').checked || writes(event.target)) return;
  event.preventDefault();
  if (!event.repeat) press(true);
};
document.onkeyup = event => {
  if (event.key === ' ' && $('push').checked && !writes(event.target)) press(false);
};
$('key').value = sessionStorage.getItem('key') ?? '';
$('key').oninput = () => sessionStorage.setItem('key', $('key').value);
setInterval(async () => {
  if (!talk?.ws) return;
  const begun = performance.now();
  const answer = await fetch('/health/live', { cache: 'no-store' }).catch(() => null);
  if (answer) $('trip').textContent = milliseconds(performance.now() - begun);
}, TRIP_MS);
if (!window.isSecureContext) note(WHERE, true);
showButtons();
