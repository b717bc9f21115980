/** `file`: a regular file of the host. */
import type { Driver } from '../../core/block/driver.ts';
import { createFile, createOptions } from './create.ts';
import { type HostOptions, hostPath, openHost, openOptions } from './open.ts';

export const fileDriver: Driver<HostOptions> = {
  name: 'file',
  kind: 'protocol',
  options: openOptions,
  schemes: ['file'],
  strongOptions: ['filename'],
  parseFileName: (name) => hostPath('file', name),
  open: (context) => openHost(context, 'file', 'file'),
  create: { options: createOptions, run: createFile },
};
