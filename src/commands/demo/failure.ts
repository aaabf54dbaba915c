/** Why the demo cannot go on, and what its user should do about it. */
export class DemoFailure extends Error {
  override readonly name = 'DemoFailure';

  /**
   * @param message a clause: what is wrong
   * @param advice a clause: what to do next
   * @param detail lines of somebody else's output, shown above
   */
  constructor(
    message: string,
    readonly advice: string,
    readonly detail = '',
  ) {
    super(message);
  }
}
