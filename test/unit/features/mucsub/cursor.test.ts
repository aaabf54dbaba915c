import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Cursor } from '../../../../src/features/mucsub/cursor.js';

type Step =
  | { readonly do: 'heard' | 'heard-by-others' | 'leaves' | 'reads' | 'restarts' | 'client-goes' }
  | { readonly do: 'acknowledges' | 'drops'; readonly part: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('heard', 'heard-by-others').map((what) => ({ do: what }) as Step) },
  fc.constantFrom('leaves', 'reads', 'restarts', 'client-goes').map((what) => ({ do: what }) as Step),
  fc.record({
    do: fc.constantFrom('acknowledges', 'drops'),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
) as fc.Arbitrary<Step>;

/** What a log has, whom it is for, and what the account has been sent, kept in the simplest way. */
class Model {
  cursor = new Cursor(['messages']);
  readonly log: number[] = [];
  pending: number[] = [];
  sent: number[] = [];
  #seq = 0;
  /** Whether the ghost is in the room: what others hear it hears too, a moment later. */
  #isIn = false;

  take(step: Step): void {
    switch (step.do) {
      case 'heard':
        this.log.push(++this.#seq);
        this.pending.push(this.#seq);
        this.#isIn = true;
        this.cursor.add(this.#seq);
        break;
      case 'heard-by-others':
        // Whoever is in the room hears it too: else it is nothing for the account.
        if (!this.#isIn) this.log.push(++this.#seq);
        break;
      case 'leaves':
        this.cursor.close();
        this.#isIn = false;
        break;
      case 'reads':
        this.#reads();
        break;
      case 'restarts':
        this.#restarts();
        break;
      case 'client-goes':
        this.cursor.release();
        this.sent = [];
        break;
      case 'acknowledges':
        this.#acknowledges(this.sent[Math.floor(step.part * this.sent.length)]);
        break;
      case 'drops':
        this.#drops(Math.floor(step.part * this.log.length));
        break;
    }
  }

  #reads(): void {
    this.cursor.reader = 'juliet@capulet.lit/balcony';
    const read = this.log.filter((seq) => seq > this.cursor.sent && this.cursor.has(seq));
    expect(read).toEqual(this.pending.filter((seq) => !this.sent.includes(seq)));
    this.cursor.isRead(Math.max(this.cursor.sent, ...read));
    this.sent.push(...read);
    this.#isIn = false;
  }

  #acknowledges(seq: number | undefined): void {
    if (seq === undefined) return;
    this.cursor.acknowledge(seq);
    this.pending = this.pending.filter((each) => each > seq);
    this.sent = this.sent.filter((each) => each > seq);
  }

  #restarts(): void {
    if (this.cursor.isDone) {
      this.cursor = new Cursor(['messages']);
    } else {
      this.cursor = Cursor.read(this.cursor.toBuffer())!;
      this.cursor.closeFormer(this.log.at(-1) ?? 0);
    }
    this.sent = [];
    this.#isIn = false;
  }

  #drops(count: number): void {
    const gone = this.log.splice(0, count).map((seq) => ({ seq, at: seq, kind: 'messages' }));
    const isLost = (seq: number) => gone.some((each) => each.seq === seq) && !this.sent.includes(seq);
    const lost = this.pending.filter(isLost);
    expect(this.cursor.loses(gone)).toBe(lost.length > 0);
    if (lost.length > 0) expect(this.cursor.lost?.seq).toBe(lost.at(-1));
    this.pending = this.pending.filter((seq) => !isLost(seq));
  }
}

describe('a cursor in the log of a room', () => {
  it('property: an account gets what its ghost has heard and it has not acknowledged, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const model = new Model();
        for (const each of steps) {
          model.take(each);
          if (model.cursor.reader === undefined) {
            const gets = model.log.filter((seq) => model.cursor.has(seq));
            expect(gets).toEqual(model.pending);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
