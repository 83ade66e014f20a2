// The microphone: float samples at the context's 24 kHz become blocks of 40 ms of s16, little end
// first, each posted as an ArrayBuffer that the page then owns.
const BLOCK = 960;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new DataView(new ArrayBuffer(2 * BLOCK));
    this.count = 0;
  }

  process([input]) {
    for (const value of input[0] ?? []) {
      const sample = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      this.block.setInt16(2 * this.count++, sample, true);
      if (this.count < BLOCK) continue;
      const full = this.block.buffer;
      this.block = new DataView(new ArrayBuffer(2 * BLOCK));
      this.count = 0;
      this.port.postMessage(full, [full]);
    }
    return true;
  }
}
registerProcessor('capture', Capture);
