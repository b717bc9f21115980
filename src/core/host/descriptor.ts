import { libc } from './libc.ts';

const F_DUPFD_CLOEXEC = 1030;

/** A second descriptor of what `fd` stands for; undefined where that cannot be had. */
export function duplicateDescriptor(fd: number): number | undefined {
  const copy = libc('fcntl')?.(fd, F_DUPFD_CLOEXEC, 0) ?? -1;
  return copy < 0 ? undefined : copy;
}
