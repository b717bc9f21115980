/** Making images. */
import { entryOf, type NodeSpec } from '../../block/graph/spec.ts';
import { BlockError, NotSupported } from '../../errors/block-error.ts';
import { NodeCreateBody } from '../../job/create-node.ts';
import { anything, text } from '../../options/fields.ts';
import { creationOptionsOf } from '../driver-types.ts';
import { type AnyCommand, command } from '../record.ts';
import { named } from '../shape.ts';

const required = { required: true } as const;

interface Given {
  readonly driver: string;
  readonly filename?: string;
  readonly file?: string | NodeSpec | null;
  readonly 'data-file'?: string | NodeSpec | null;
}

const blockdevCreate = command({
  name: 'blockdev-create',
  help: 'Start a job that makes an image in a node, or a file; it stays until job-dismiss',
  arguments: {
    'job-id': text({ help: 'Id of the job', ...required }),
    options: named('BlockdevCreateOptions', anything({ help: 'What to make', ...required })),
  },
  async run({ 'job-id': id, options }, { service }) {
    const { graph, jobs } = service;
    const given = options as Given & Readonly<Record<string, unknown>>;
    const driver = await entryOf(graph.settings.drivers, given.driver).load();
    const { create } = driver;
    if (!create) throw new NotSupported(`driver '${driver.name}' cannot create images`);
    if (given.file === null) throw new BlockError("'file' must not be null");
    const body = new NodeCreateBody(graph, {
      driver,
      create,
      options: creationOptionsOf(create, given),
      fileName: given.filename,
      file: given.file,
      dataFile: given['data-file'] ?? undefined,
    });
    const job = jobs.add({ id, type: 'create', body, autoDismiss: false });
    void job.start().catch(() => undefined);
  },
});

export const createCommands: readonly AnyCommand[] = [blockdevCreate];
