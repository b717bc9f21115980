/** What the programs say of the word for how requests are carried out; which they are, the host layer knows. */
import { AIO_MODES, REFUSED_AIO_MODES } from '../../core/host/index.ts';

export const AIO_WORDS = {
  value: 'MODE',
  choices: AIO_MODES,
  neverGranted: REFUSED_AIO_MODES,
  help: 'How requests that have to wait are carried out: threads; native and io_uring are refused',
} as const;
