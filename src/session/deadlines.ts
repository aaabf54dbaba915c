import { LateMap } from './late.js';
/** The times at which a session wants to be woken, by name; a handful per session. */
export class Deadlines {
  readonly #times = new LateMap<string, number>();
  #next = Number.POSITIVE_INFINITY;

  /** @param time in ms on the session's clock; replaces an earlier one of the name, Infinity takes it back */
  set(name: string, time: number): void {
    if (time === Number.POSITIVE_INFINITY) this.#times.delete(name);
    else this.#times.set(name, time);
    this.#look();
  }

  clear(): void {
    this.#times.clear();
    this.#next = Number.POSITIVE_INFINITY;
  }

  /** The earliest, or Infinity. */
  get next(): number {
    return this.#next;
  }

  /** Takes out what is due, earliest first. */
  due(now: number): string[] {
    if (now < this.#next) return [];
    const names = [...this.#times].filter(([, time]) => time <= now).sort((a, b) => a[1] - b[1]);
    for (const [name] of names) this.#times.delete(name);
    this.#look();
    return names.map(([name]) => name);
  }

  #look(): void {
    let next = Number.POSITIVE_INFINITY;
    for (const time of this.#times.values()) if (time < next) next = time;
    this.#next = next;
  }
}
