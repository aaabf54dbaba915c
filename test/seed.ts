import fc from 'fast-check';

/**
 * What the property tests draw is the same in every run, so that a verdict is about what was changed and not
 * about luck. To search further: `for seed in 1 2 3; do INTERSTANZA_SEED=$seed npm run test:unit; done`.
 */
fc.configureGlobal({ seed: Number(process.env.INTERSTANZA_SEED ?? 1) });
