/** `authz-simple`, `authz-list` and `authz-list-file`: who may come in, by the name that TLS has proved. */
import fs from 'node:fs';
import { type Authorizer, MATCHES, POLICIES, ruleAuthorizer } from '../../crypto/authorizer.ts';
import { Cancelled, Usage, withContext } from '../../errors/block-error.ts';
import { readAll } from '../../host/index.ts';
import { isRecord } from '../../options/field.ts';
import { bool, choice, defineOptions, group, list, type OptionsOf, text } from '../../options/fields.ts';
import { parseJson } from '../../options/json.ts';
import { validate } from '../../options/parse.ts';
import type { ObjectType } from './object-type.ts';

const simpleOptions = defineOptions({
  identity: text({ help: 'Distinguished name, or user name, of the one who may connect', required: true }),
});

const listOptions = defineOptions({
  policy: choice(POLICIES, { help: 'What holds for those whom no rule fits', default: 'deny' }),
  rules: list(
    group(
      {
        match: text({ help: 'Whom the rule is about', required: true }),
        policy: choice(POLICIES, { help: 'Whether they may connect', required: true }),
        format: choice(MATCHES, { help: "How 'match' is meant: as it stands, or with * and ?", default: 'exact' }),
      },
      { help: 'A rule', required: true },
    ),
    { help: 'Rules, of which the first that fits decides', default: [] },
  ),
});

const fileOptions = defineOptions({
  filename: text({ help: 'File with policy and rules as JSON', required: true, nonEmpty: true }),
  refresh: bool({ help: 'Read it again when it has changed', default: true }),
});

type FileOptions = OptionsOf<typeof fileOptions>;

export const authzSimple: ObjectType<OptionsOf<typeof simpleOptions>, 'authz'> = {
  name: 'authz-simple',
  kind: 'authz',
  options: simpleOptions,
  make: ({ identity }) => ruleAuthorizer([{ match: identity, policy: 'allow', format: 'exact' }], 'deny'),
};

export const authzList: ObjectType<OptionsOf<typeof listOptions>, 'authz'> = {
  name: 'authz-list',
  kind: 'authz',
  options: listOptions,
  make: ({ rules, policy }) => ruleAuthorizer(rules, policy),
};

export const authzListFile: ObjectType<FileOptions, 'authz'> = {
  name: 'authz-list-file',
  kind: 'authz',
  options: fileOptions,
  make: (options, { what, signal }) => FileAuthorizer.open(options, what, signal),
};

/** Longest file of rules, in bytes. */
const MAX_BYTES = 4 << 20;

class FileAuthorizer implements Authorizer {
  readonly #options: FileOptions;
  readonly #what: string;
  #rules: Authorizer;
  /** Of the file whose rules hold; undefined for a pipe, which says what it says once. */
  #stamp: string | undefined;

  private constructor(options: FileOptions, what: string, stamp: string | undefined, content: string) {
    this.#options = options;
    this.#what = what;
    this.#stamp = stamp;
    this.#rules = rulesOf(content, `${what}: '${options.filename}'`);
  }

  static async open(options: FileOptions, what: string, signal: AbortSignal | undefined): Promise<FileAuthorizer> {
    const { filename } = options;
    try {
      const stamp = stampOf(filename);
      const content = Buffer.from(await readAll(filename, MAX_BYTES, signal)).toString('utf8');
      return new FileAuthorizer(options, what, stamp, content);
    } catch (error) {
      if (error instanceof Cancelled || error instanceof Usage) throw error;
      throw withContext(`${what}: could not read '${filename}'`, error);
    }
  }

  /** A file that cannot be read any more lets nobody in. */
  allows(identity: string | undefined): boolean {
    try {
      if (this.#options.refresh && this.#stamp !== undefined) this.#refresh();
    } catch {
      this.#stamp = '';
      return false;
    }
    return this.#rules.allows(identity);
  }

  #refresh(): void {
    const { filename } = this.#options;
    const stamp = stampOf(filename);
    if (stamp === this.#stamp) return;
    this.#rules = rulesOf(readNow(filename), `${this.#what}: '${filename}'`);
    this.#stamp = stamp;
  }
}

/** Changes with the content; undefined for what is no regular file. */
function stampOf(filename: string): string | undefined {
  const stats = fs.statSync(filename, { bigint: true });
  return stats.isFile() ? `${stats.ino} ${stats.size} ${stats.mtimeNs}` : undefined;
}

/** What a file holds, without waiting for one that has become a pipe. */
function readNow(filename: string): string {
  const fd = fs.openSync(filename, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    return fs.readFileSync(fd, 'utf8');
  } finally {
    fs.closeSync(fd);
  }
}

function rulesOf(content: string, what: string): Authorizer {
  const json = parseJson(content, what);
  const { rules, policy } = validate(listOptions, isRecord(json) ? json : { rules: json }, what);
  return ruleAuthorizer(rules, policy);
}
