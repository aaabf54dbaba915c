import type { Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';

export const TAKE_UP = 'take up';
/** How long it may take to find out what the server has; ms. */
const MOST_PATIENCE = 10_000;

/**
 * What has to be known before a session takes up the ghosts of its account. Whether a room has an archive decides how it is entered and asked
 * what was missed; what was heard of rooms that have none says how far they are asked.
 */
export class TakingUp {
  constructor(
    private readonly around: Surroundings,
    private readonly storing: Storing,
    private readonly takeUp: () => void,
  ) {}

  begin(): void {
    const { probe, context } = this.around;
    if (probe.server() !== undefined) {
      this.goOn();
      return;
    }
    probe.whenKnown(() => this.goOn());
    // A server that says nothing of itself.
    context.wakeAt(TAKE_UP, context.now + MOST_PATIENCE);
  }

  /** With what is known of the server. */
  goOn(): void {
    this.storing.whenArchivesRead(this.takeUp);
  }
}
