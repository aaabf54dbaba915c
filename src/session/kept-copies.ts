/** Messages that are told apart at a time. */
const MOST = 1_000;

interface Times {
  message: number;
  copy: number;
}

/**
 * What a session is given of what was kept for its account: a message may be among it in two forms, and the n-th of one is the n-th of the other.
 *
 * COMPAT: Prosody keeps for an account that has no device left both a message and the copy (XEP-0280) of it that a session of another device was sent
 * and did not acknowledge before it ended, and gives both to the next session, whichever device that is of.
 */
export class KeptCopies {
  // Made when needed: most sessions never are given anything.
  #seen: Map<string, Times> | undefined;

  /** @param key of what is about to be given. @returns whether it has been given in the other form */
  comesAgain(key: string, form: keyof Times): boolean {
    this.#seen ??= new Map();
    const times = this.#seen.get(key) ?? { message: 0, copy: 0 };
    times[form] += 1;
    if (this.#seen.size < MOST) this.#seen.set(key, times);
    return times[form] <= times[form === 'copy' ? 'message' : 'copy'];
  }

  /** What comes now was not kept: that was all. */
  end(): void {
    this.#seen = undefined;
  }
}
