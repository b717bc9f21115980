/** Longest time a timer can be set to, in milliseconds; who wants to wait longer does so again. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Resolves after `ms` milliseconds (24 days at most), or as soon as `signal` is aborted: who must know which, looks at
 * the signal. Written with the global timer, since loading `node:timers/promises` is felt when a program starts.
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.min(ms, LONGEST_TIMER));
    signal?.addEventListener('abort', end, { once: true });
  });
}
