// Runnel's voice: a queue of pieces, each of an item of the conversation. Only here is known what
// came out of the loudspeaker, so here is counted how many samples of each item did.
//
// in   {item, samples}   more of an item's sound
//      {close: item}     that was all of it
//      {cut: true}       stop within 5 ms and forget what waits
// out  {first: item, frame}                first sample, and the context's frame that it is
//      {over: item}                        last sample of a closed item
//      {cut: [[item, samples played]...]}  the items that were not over
//      {gaps, level}                       ten times a second
const STEP = 1920; // 80 ms: what waits before sound begins, and what each gap adds to it
const HOLD_MAX = 24000;
const FADE = 120; // 5 ms

class Play extends AudioWorkletProcessor {
  constructor() {
    super();
    this.items = []; // {id, pieces, at, waiting, played, closed, dry}, the first one sounds
    this.hold = STEP;
    this.running = false;
    this.fade = 0; // samples until the cut is complete
    this.gaps = 0;
    this.level = 0;
    this.told = 0;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(m) {
    if (m.samples) this.push(m.item, m.samples);
    if (m.close) this.close(m.close);
    if (m.cut && this.fade === 0) {
      if (this.running) this.fade = FADE;
      else this.drop();
    }
  }

  push(id, samples) {
    let item = this.items.find(i => i.id === id);
    if (!item) {
      item = { id, pieces: [], at: 0, waiting: 0, played: 0, closed: false, dry: false };
      this.items.push(item);
    }
    if (item.dry) { // it ran out in the midst of the item: next time more waits
      item.dry = false;
      this.gaps++;
      this.hold = Math.min(this.hold + STEP, HOLD_MAX);
    }
    item.pieces.push(samples);
    item.waiting += samples.length;
  }

  close(id) {
    const item = this.items.find(i => i.id === id);
    if (item) item.closed = true;
  }

  drop() {
    this.port.postMessage({ cut: this.items.map(i => [i.id, i.played]) });
    this.items = [];
    this.running = false;
    this.fade = 0;
  }

  // One sample of the first item; false when it has none left.
  next(item, out, i) {
    if (item.waiting === 0) return false;
    const piece = item.pieces[0];
    if (item.played === 0) this.port.postMessage({ first: item.id, frame: currentFrame + i });
    out[i] = piece[item.at++];
    item.played++;
    item.waiting--;
    if (item.at === piece.length) {
      item.pieces.shift();
      item.at = 0;
    }
    return true;
  }

  // Whether the first item may sound now: enough of it waits, or it is whole.
  begins() {
    const item = this.items[0];
    return item && (item.closed || item.waiting >= this.hold);
  }

  // The first item is empty: it is over, or more of it must come.
  ends(item) {
    this.running = false;
    if (!item.closed) {
      item.dry = item.played > 0;
      return;
    }
    this.items.shift();
    this.port.postMessage({ over: item.id });
    this.running = Boolean(this.begins());
  }

  process(_, [[out]]) {
    this.running = this.running || Boolean(this.begins());
    for (let i = 0; i < out.length; i++) {
      while (this.running && !this.next(this.items[0], out, i)) this.ends(this.items[0]);
      if (this.fade > 0) {
        out[i] *= this.fade / FADE;
        if (--this.fade === 0 || !this.running) this.drop();
      }
      this.level = Math.max(this.level, Math.abs(out[i]));
    }
    this.told += out.length;
    if (this.told >= sampleRate / 10) {
      this.port.postMessage({ gaps: this.gaps, level: this.level });
      this.told = 0;
      this.level = 0;
    }
    return true;
  }
}
registerProcessor('play', Play);
