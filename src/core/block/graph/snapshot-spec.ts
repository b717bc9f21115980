/** A snapshot as `-l` of several programs names it: an id, a name, or `snapshot.id=…,snapshot.name=…`. */
import { defineOptions, text } from '../../options/fields.ts';
import { parseKeyValues } from '../../options/keyval.ts';
import { validate } from '../../options/parse.ts';
import type { NodeSpec } from './spec.ts';

const BOTH = 'snapshot.';

const options = defineOptions({
  'snapshot.id': text({ help: 'Id of the snapshot' }),
  'snapshot.name': text({ help: 'Name of the snapshot' }),
});

/** The image of `spec` as its snapshot `wanted` has it; read-only. Throws when `wanted` cannot name one. */
export function snapshotSpec(spec: NodeSpec, wanted: string): NodeSpec {
  const view = { driver: 'snapshot', file: spec };
  if (!wanted.startsWith(BOTH)) return { ...view, snapshot: wanted };
  const { 'snapshot.id': id, 'snapshot.name': name } = validate(options, parseKeyValues(wanted), 'the snapshot');
  return {
    ...view,
    ...(id === undefined ? {} : { 'snapshot-id': id }),
    ...(name === undefined ? {} : { 'snapshot-name': name }),
  };
}
