import type { Shell } from './shell.ts';

/**
 * Wait for `event`, which a request under way brings about. Resolves also when no request is left that could:
 * waiting would never end.
 */
export async function waitWhileHopeful(shell: Shell, event: Promise<void>): Promise<void> {
  const hopeless = new Promise<void>((wake) => {
    shell.onStuck = wake;
  });
  try {
    await Promise.race([event, shell.inFlight.whenIdle(), hopeless]);
  } finally {
    shell.onStuck = undefined;
    // Nobody hears of it any more.
    event.catch(() => undefined);
  }
}
