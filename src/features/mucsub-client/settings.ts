import { z } from 'zod';

/** What a domain's configuration may say about subscribing for clients that do not know MUC/Sub. */
export const SETTINGS = z.strictObject({
  /** Rooms to which accounts are subscribed when their clients join, as bare JIDs; `*` stands for any characters. None: it is off. */
  rooms: z.array(z.string().min(1).max(1_023)).max(1_000).default([]),
  /** Seconds for which what was said in a room is kept for clients that have not been back. */
  keepSeconds: z
    .int()
    .min(60)
    .max(90 * 86_400)
    .default(7 * 86_400),
  /** Bytes of the store that this may take for one account. */
  storeBytes: z.int().min(0).default(1_048_576),
  /** Seconds after which the subscription to a room is ended to which none of the account's clients has been back. */
  absenceSeconds: z
    .int()
    .min(3_600)
    .max(365 * 86_400)
    .default(30 * 86_400),
  /** Messages that a room's archive is asked for at the most, where its history does not reach back; 0: it is not asked. */
  archiveMessages: z.int().min(0).max(10_000).default(1_000),
});

export type Settings = z.infer<typeof SETTINGS>;
