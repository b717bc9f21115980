/**
 * qcow2: copy-on-write images with clusters, reference counts, snapshots, compression.
 *
 * `meta/` knows the records on disk and does no input or output. `disk.ts` is the state of an open image,
 * `write-out.ts` the order in which metadata reaches the disk, `allocator.ts` and `refcounts.ts` who owns which
 * host cluster, `mapping.ts` where guest data lies; `read.ts`, `write.ts`, `clear.ts`, `compressed-*.ts`,
 * `status.ts` and `truncate.ts` are the operations. `create.ts` makes images, `check/` examines them.
 */
import type { Driver } from '../../core/block/driver.ts';
import { amendOptions } from './amend/options.ts';
import { createCapability } from './create.ts';
import { Qcow2Image } from './image.ts';
import { infoFields } from './info-fields.ts';
import { MAGIC } from './meta/header.ts';
import { viewOf } from './meta/struct.ts';
import { openDisk } from './open.ts';
import { options, type Qcow2Options } from './options.ts';

export const qcow2Driver: Driver<Qcow2Options> = {
  name: 'qcow2',
  kind: 'format',
  options,
  slots: [
    { name: 'file', role: 'metadata+data' },
    { name: 'backing', role: 'cow', anyNode: true, lazy: true },
    { name: 'data-file', role: 'data', lazy: true },
  ],
  strongOptions: ['data-file', 'encrypt'],
  probe(head) {
    if (head.length < 8) return 0;
    const view = viewOf(head);
    return view.getUint32(0) === MAGIC && view.getUint32(4) >= 2 ? 100 : 0;
  },
  create: createCapability,
  amendOptions,
  infoFields,
  async open(context) {
    return new Qcow2Image(await openDisk(context));
  },
};
