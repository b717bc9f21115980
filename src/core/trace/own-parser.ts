/** Our own traces (docs/trace-format.md). */
import { BlockError, NotSupported } from '../errors/block-error.ts';
import { FORMAT_NAME, FORMAT_VERSION } from './encode.ts';
import { shown, type TraceParser, wholeNumber } from './parser.ts';
import { KNOWN_FLAGS, type TraceNode, type TraceOp, type TraceRequest, traceOps } from './record.ts';

type Fields = Readonly<Record<string, unknown>>;
const MAX_ERRNO = 4095;

export class OwnParser implements TraceParser {
  readonly format = FORMAT_NAME;
  readonly nodes = new Map<string, TraceNode>();
  readonly timed = true;
  #begun = false;
  #complete = false;
  #requests = 0;
  #counted = 0;

  get incomplete(): string | undefined {
    if (!this.#complete) return 'it ends without its last line';
    const missing = this.#counted - this.#requests;
    return missing === 0 ? undefined : `its last line speaks of ${this.#counted} requests, it has ${this.#requests}`;
  }

  line(text: string, take: (request: TraceRequest) => void): void {
    const fields = parseFields(text);
    if (!this.#begun) {
      checkHeader(fields);
      this.#begun = true;
      this.#addNode(fields);
    } else if ('n' in fields) {
      this.#requests++;
      this.#complete = false;
      take(this.#request(fields));
    } else if ('node' in fields) this.#addNode(fields);
    else if ('requests' in fields) {
      this.#counted = wholeNumber(fields.requests, 'requests');
      this.#complete = true;
    } else throw new BlockError(`it is no record of a trace: ${shown(text)}`);
  }

  end(): void {}

  #addNode({ node, size, file }: Fields): void {
    if (typeof node !== 'string') throw new BlockError(`'node' is ${shown(node)}, not a name`);
    this.nodes.set(node, {
      name: node,
      size: size === undefined ? undefined : wholeNumber(size, 'size'),
      fileName: typeof file === 'string' ? file : undefined,
    });
  }

  #request(fields: Fields): TraceRequest {
    const { op, node } = fields;
    if (typeof op !== 'string' || !traceOps.includes(op as TraceOp)) {
      throw new BlockError(`'op' is ${shown(op)}, not one of ${traceOps.join(', ')}`);
    }
    if (typeof node !== 'string' || !this.nodes.has(node)) {
      throw new BlockError(`'node' is ${shown(node)}, which no line before has introduced`);
    }
    const start = wholeNumber(fields.start, 'start');
    const end = wholeNumber(fields.end, 'end');
    if (end < start) throw new BlockError(`'end' is ${end}, before 'start' ${start}`);
    return {
      number: wholeNumber(fields.n, 'n'),
      start,
      end,
      op: op as TraceOp,
      offset: wholeNumber(fields.offset, 'offset'),
      length: wholeNumber(fields.length, 'length'),
      flags: wholeNumber(fields.flags ?? 0, 'flags', KNOWN_FLAGS),
      result: wholeNumber(fields.result ?? 0, 'result', MAX_ERRNO),
      depth: wholeNumber(fields.depth ?? 0, 'depth'),
      node,
    };
  }
}

function parseFields(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BlockError(`it is no JSON: ${shown(text)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new BlockError(`it is no JSON object: ${shown(text)}`);
}

function checkHeader({ format, version, clock }: Fields): void {
  if (format !== FORMAT_NAME) throw new BlockError(`'format' is ${shown(format)}, not '${FORMAT_NAME}'`);
  if (version !== FORMAT_VERSION) {
    throw new NotSupported(`version ${shown(version)} of the format is not supported, only ${FORMAT_VERSION}`);
  }
  const unit = typeof clock === 'object' && clock !== null && 'unit' in clock ? clock.unit : undefined;
  if (unit !== 'ns') throw new NotSupported(`a clock in ${shown(unit)} is not supported, only 'ns'`);
}
