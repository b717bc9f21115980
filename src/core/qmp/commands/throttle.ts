/** Limits on what a user of a node does, beside those of throttle nodes. */
import { hasLimits, type LimitOptions, limitFields, limitsFrom } from '../../block/throttling.ts';
import { Usage } from '../../errors/block-error.ts';
import { bytes, defineOptions, integer, text } from '../../options/fields.ts';
import { validate } from '../../options/parse.ts';
import { namedBackend } from '../backends.ts';
import { type AnyCommand, command } from '../record.ts';

const required = { required: true } as const;

const rate = (help: string) => bytes({ help, ...required });
const burst = (help: string) => bytes({ help, default: 0 });
const seconds = (help: string) => integer({ help, default: 1, min: 1 });

const limits = defineOptions(limitFields);

/** What the older names stand for. */
const NAMES: Readonly<Record<string, string>> = {
  bps: 'bps-total',
  bps_rd: 'bps-read',
  bps_wr: 'bps-write',
  iops: 'iops-total',
  iops_rd: 'iops-read',
  iops_wr: 'iops-write',
};

const setIoThrottle = command({
  name: 'block_set_io_throttle',
  help: 'Limit what an export does; all rates 0 for no limits any more (ours: QEMU has it for machines)',
  arguments: {
    device: text({ help: 'Older name for id; exactly one of the two' }),
    id: text({ help: 'Id of the export' }),
    bps: rate('Bytes per second'),
    bps_rd: rate('Bytes read per second'),
    bps_wr: rate('Bytes written per second'),
    iops: rate('Operations per second'),
    iops_rd: rate('Reads per second'),
    iops_wr: rate('Writes per second'),
    bps_max: burst('Bytes per second in a burst'),
    bps_rd_max: burst('Bytes read per second in a burst'),
    bps_wr_max: burst('Bytes written per second in a burst'),
    iops_max: burst('Operations per second in a burst'),
    iops_rd_max: burst('Reads per second in a burst'),
    iops_wr_max: burst('Writes per second in a burst'),
    bps_max_length: seconds('Longest burst of bps_max in seconds'),
    bps_rd_max_length: seconds('Longest burst of bps_rd_max in seconds'),
    bps_wr_max_length: seconds('Longest burst of bps_wr_max in seconds'),
    iops_max_length: seconds('Longest burst of iops_max in seconds'),
    iops_rd_max_length: seconds('Longest burst of iops_rd_max in seconds'),
    iops_wr_max_length: seconds('Longest burst of iops_wr_max in seconds'),
    iops_size: burst('Bytes after which a request counts as another operation'),
    group: text({ help: 'Those of one group share the limits; by default each has a group of its own' }),
  },
  run({ device, id, group, ...rates }, { service }) {
    if ((device === undefined) === (id === undefined))
      throw new Usage("exactly one of 'device' and 'id' must be given");
    const name = id ?? device ?? '';
    const backend = namedBackend(service.graph, name);
    const found = limitsFrom(validate(limits, renamed(rates), `the limits of '${name}'`) as LimitOptions);
    if (!hasLimits(found)) {
      backend.setThrottle(undefined);
      return;
    }
    backend.setThrottle(service.limitGroup(group ?? name, found).join());
  },
});

function renamed(rates: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(rates).map(([key, value]) => {
      const base = key.replace(/_max(_length)?$/, '');
      const end = key.slice(base.length).replaceAll('_', '-');
      return [base === 'iops_size' ? 'iops-size' : `${NAMES[base] ?? base}${end}`, value];
    }),
  );
}

export const throttleCommands: readonly AnyCommand[] = [setIoThrottle];
