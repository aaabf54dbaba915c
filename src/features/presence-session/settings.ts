import { z } from 'zod';

/** What may be set for the feature in a domain. */
export const presenceSessionSettings = z.strictObject({
  /** Playing the room for clients that ask. */
  playRoom: z.boolean().default(true),
  /** Playing the client towards rooms that know the protocol: never, when discovery says so, or also before it has said anything. */
  playClient: z.enum(['off', 'announced', 'speculative']).default('announced'),
  /** Seconds a view or cache is kept behind its last use. */
  age: z
    .int()
    .min(60)
    .max(30 * 86_400)
    .default(7 * 86_400),
  /** Bytes of the store that one account's views may take; and as many again for what is cached when playing the client. */
  bytesPerAccount: z.int().min(0).default(4_194_304),
  /** Bytes of a room's answer that may be held back until it is complete; beyond it the client gets a plain full join. */
  heldBytes: z.int().min(65_536).default(8_388_608),
  /** Seconds a room may take to answer before what has come is passed on as a plain full join. */
  answerTime: z.int().min(1).max(300).default(30),
  history: z
    .strictObject({
      /** Messages that an archive is asked for at the most, and a room where it is not known what the client has had. */
      most: z.int().min(0).max(1_000).default(200),
      /** Messages of a full join for a client that does not limit them itself. */
      default: z.int().min(0).max(1_000).default(20),
    })
    .prefault({}),
});

export type PresenceSessionSettings = z.infer<typeof presenceSessionSettings>;
