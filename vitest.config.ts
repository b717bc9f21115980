import { defineConfig } from 'vitest/config';

export default defineConfig({
  oxc: { target: 'es2022' }, // Node 20 does not parse `using`
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: ['tests/bench/**', 'node_modules/**', 'dist/**'],
    globalSetup: ['tests/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    // Two processors that other programs use too: a test that starts programs may be late once.
    retry: process.env.CI ? 1 : 0,
    hookTimeout: 120_000,
    // What is waited for comes when it comes: this is for what never does.
    expect: { poll: { timeout: 60_000, interval: 20 } },
    teardownTimeout: 10_000,
  },
});
