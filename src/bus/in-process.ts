import type { Bus, Unsubscribe } from './bus.js';

type Listener = (message: string) => void;

/** The bus of a single process. */
export class InProcessBus implements Bus {
  readonly #listeners = new Map<string, Set<Listener>>();
  #waiting: { readonly topic: string; readonly message: string }[] = [];

  publish(topic: string, message: string): void {
    if (!this.#listeners.has(topic)) return;
    this.#waiting.push({ topic, message });
    if (this.#waiting.length === 1) process.nextTick(deliver, this);
  }

  subscribe(topic: string, listener: Listener): Unsubscribe {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  /** Calls the listeners for all that waits; what they publish comes in the next turn. */
  deliver(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    for (const { topic, message } of batch)
      for (const listener of this.#listeners.get(topic) ?? []) listener(message);
  }
}

function deliver(bus: InProcessBus): void {
  bus.deliver();
}
