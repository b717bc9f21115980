/** `aio=` for an image that is named by a whole spec: the option belongs to the host file at the bottom. */
import { isRecord } from '../../options/index.ts';
import type { NodeSpec } from './spec.ts';

/** `spec` with `aio` for its host file; one that says it itself keeps its own. Other protocols have no such thing. */
export function withAio(spec: NodeSpec, aio: string): NodeSpec {
  if (spec.driver === 'file' || spec.driver === 'host_device') return { aio, ...spec };
  return isRecord(spec.file) ? { ...spec, file: withAio(spec.file, aio) } : spec;
}
