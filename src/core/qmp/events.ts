/** The events there are. */
import { bool, bytes, choice, integer, text } from '../options/fields.ts';
import { blockJobTypes, jobStatusWords } from './job-info.ts';
import { type EventRecord, event } from './record.ts';

const required = { required: true } as const;

const jobFields = {
  type: choice(blockJobTypes, { help: 'What kind of job', ...required }),
  device: text({ help: 'Id of the job', ...required }),
  len: bytes({ help: 'What there is to do in all', ...required }),
  offset: bytes({ help: 'What is done', ...required }),
  speed: bytes({ help: 'Limit in bytes per second, 0 for none', ...required }),
};

const operation = choice(['read', 'write'], { help: 'What failed', ...required });
const action = choice(['ignore', 'report', 'stop'], { help: 'What is done about it', ...required });

const records = [
  event({
    name: 'JOB_STATUS_CHANGE',
    help: 'A job has come to another state',
    data: {
      id: text({ help: 'Id of the job', ...required }),
      status: choice(jobStatusWords, { help: 'The state', ...required }),
    },
  }),
  event({
    name: 'BLOCK_JOB_COMPLETED',
    help: 'A job on nodes has ended, well or with an error',
    data: { ...jobFields, error: text({ help: 'What went wrong' }) },
  }),
  event({ name: 'BLOCK_JOB_CANCELLED', help: 'A job on nodes has been cancelled', data: jobFields }),
  event({
    name: 'BLOCK_JOB_ERROR',
    help: 'A request of a job failed',
    data: { device: text({ help: 'Id of the job', ...required }), operation, action },
  }),
  event({ name: 'BLOCK_JOB_READY', help: 'A job can be completed', data: jobFields }),
  event({
    name: 'BLOCK_JOB_PENDING',
    help: 'A job waits for its finalizing, which was left to the client',
    data: {
      type: choice(blockJobTypes, { help: 'What kind of job', ...required }),
      id: text({ help: 'Id of the job', ...required }),
    },
  }),
  event({
    name: 'BLOCK_IO_ERROR',
    help: 'A request of an export failed (ours: QEMU tells of those of machines)',
    data: {
      'qom-path': text({ help: 'Path of the device; for an export /exports/ and its id', ...required }),
      device: text({ help: 'Name of the backend; for an export its id', ...required }),
      'node-name': text({ help: 'The node it is on' }),
      operation,
      action,
      nospace: bool({ help: 'The space ran out' }),
      reason: text({ help: 'What went wrong, for people', ...required }),
    },
    // One that stops is an end of its own kind, and must not be lost behind another: it has a key of its own.
    limit: { ms: 1000, key: (data) => `${String(data['qom-path'])} ${data.action === 'stop' ? 'stop' : ''}` },
  }),
  event({
    name: 'BLOCK_IMAGE_CORRUPTED',
    help: 'An image is damaged, and takes no more writes where that is fatal',
    data: {
      device: text({ help: 'Name of the backend, empty for none', ...required }),
      'node-name': text({ help: 'The node' }),
      msg: text({ help: 'What is wrong, for people', ...required }),
      offset: bytes({ help: 'Where it was to be written or read' }),
      size: bytes({ help: 'How much' }),
      fatal: bool({ help: 'The image cannot be written to any more', ...required }),
    },
  }),
  event({
    name: 'BLOCK_WRITE_THRESHOLD',
    help: 'A write went past the threshold that block-set-write-threshold set; it is off now',
    data: {
      'node-name': text({ help: 'The node', ...required }),
      'amount-exceeded': bytes({ help: 'Bytes past the threshold', ...required }),
      'write-threshold': bytes({ help: 'The threshold', ...required }),
    },
  }),
  event({
    name: 'BLOCK_EXPORT_DELETED',
    help: 'An export is gone, and its id free',
    data: { id: text({ help: 'Id of the export', ...required }) },
  }),
  event({
    name: 'QUORUM_FAILURE',
    help: 'A request of a quorum fails: too few children succeed, or agree',
    data: {
      reference: text({ help: 'Name of the quorum', ...required }),
      'sector-num': integer({ help: 'First sector of 512 bytes', ...required }),
      'sectors-count': integer({ help: 'How many', ...required }),
    },
    limit: { ms: 1000, key: () => '' },
  }),
  event({
    name: 'QUORUM_REPORT_BAD',
    help: 'A child of a quorum differs from the others, or failed',
    data: {
      type: choice(['read', 'write', 'flush'], { help: 'What was asked', ...required }),
      error: text({ help: 'What went wrong; absent where the content differs' }),
      'node-name': text({ help: 'The child', ...required }),
      'sector-num': integer({ help: 'First sector of 512 bytes', ...required }),
      'sectors-count': integer({ help: 'How many', ...required }),
    },
    limit: { ms: 1000, key: (data) => String(data['node-name']) },
  }),
  event({
    name: 'SHUTDOWN',
    help: 'The program ends (ours: a storage daemon of QEMU does not tell)',
    data: {
      guest: bool({ help: 'Always false: there is no guest', ...required }),
      reason: choice(['host-qmp-quit', 'host-signal'], { help: 'Who asked for it', ...required }),
    },
  }),
] as const satisfies readonly EventRecord[];

export type EventName =
  | 'JOB_STATUS_CHANGE'
  | 'BLOCK_JOB_COMPLETED'
  | 'BLOCK_JOB_CANCELLED'
  | 'BLOCK_JOB_ERROR'
  | 'BLOCK_JOB_READY'
  | 'BLOCK_JOB_PENDING'
  | 'BLOCK_IO_ERROR'
  | 'BLOCK_IMAGE_CORRUPTED'
  | 'BLOCK_WRITE_THRESHOLD'
  | 'BLOCK_EXPORT_DELETED'
  | 'QUORUM_FAILURE'
  | 'QUORUM_REPORT_BAD'
  | 'SHUTDOWN';

export const eventTable: ReadonlyMap<string, EventRecord> = new Map(records.map((record) => [record.name, record]));
