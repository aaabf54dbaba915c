import { z } from 'zod';

/** What a domain's configuration may say about push notifications. */
export const SETTINGS = z.strictObject({
  /** Seconds between two notifications to one push service node; what comes in between is counted in the next. */
  interval: z.int().min(1).max(86_400).default(30),
  /** Notifications a second, all accounts together. */
  perSecond: z.int().min(1).max(10_000).default(50),
  /** Nodes of push services that one account may have; a further one takes the place of the oldest. */
  perAccount: z.int().min(1).max(100).default(10),
  /** Whether a notification says who has sent the last message, and what it says: to whoever runs the push service. */
  sender: z.boolean().default(false),
  body: z.boolean().default(false),
});

export type Settings = z.infer<typeof SETTINGS>;
