/** `authz-simple`, `authz-list` and `authz-list-file`: who may come in, by the name that TLS has proved. */
import fs from 'node:fs';
import { type Authorizer, MATCHES, POLICIES, ruleAuthorizer } from '../../crypto/authorizer.ts';
import { withContext } from '../../errors/block-error.ts';
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
  make: (options, { what }) => new FileAuthorizer(options, what),
};

class FileAuthorizer implements Authorizer {
  readonly #options: FileOptions;
  readonly #what: string;
  #rules: Authorizer;
  #stamp: string;

  constructor(options: FileOptions, what: string) {
    this.#options = options;
    this.#what = what;
    this.#stamp = this.#stampNow();
    this.#rules = this.#read();
  }

  /** A file that cannot be read any more lets nobody in. */
  allows(identity: string | undefined): boolean {
    try {
      if (this.#options.refresh) this.#refresh();
    } catch {
      this.#stamp = '';
      return false;
    }
    return this.#rules.allows(identity);
  }

  #refresh(): void {
    const stamp = this.#stampNow();
    if (stamp === this.#stamp) return;
    this.#rules = this.#read();
    this.#stamp = stamp;
  }

  #stampNow(): string {
    try {
      const { ino, size, mtimeNs } = fs.statSync(this.#options.filename, { bigint: true });
      return `${ino} ${size} ${mtimeNs}`;
    } catch (error) {
      throw withContext(`${this.#what}: could not read '${this.#options.filename}'`, error);
    }
  }

  #read(): Authorizer {
    const { filename } = this.#options;
    const what = `${this.#what}: '${filename}'`;
    let content: string;
    try {
      content = fs.readFileSync(filename, 'utf8');
    } catch (error) {
      throw withContext(`${this.#what}: could not read '${filename}'`, error);
    }
    const json = parseJson(content, what);
    const { rules, policy } = validate(listOptions, isRecord(json) ? json : { rules: json }, what);
    return ruleAuthorizer(rules, policy);
  }
}
