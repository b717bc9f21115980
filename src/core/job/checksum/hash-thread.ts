/** A thread that hashes pieces: an entry of its own, built to `dist/cli/hash-thread.cjs`. */
import { parentPort, workerData } from 'node:worker_threads';
import { type HashReply, type HashRequest, type HashThreadSettings, hashPiece } from './hash-piece.ts';

/** Loading the file is running the thread. */
if (parentPort) {
  const port = parentPort;
  const { algorithm } = workerData as HashThreadSettings;
  port.on('message', ({ slot, buffer, length }: HashRequest) => {
    const subtrees = hashPiece(algorithm, new Uint8Array(buffer, 0, length));
    port.postMessage({ slot, buffer, subtrees } satisfies HashReply, [buffer]);
  });
}
