/**
 * `npm run bench`: speed and memory against the installed qemu-img and nbdcopy.
 *
 * Programs take turns (A B A B), after a round that does not count: memory that nothing has touched yet can be many
 * times slower than memory that has been used before. Printed are medians, and of wall time the ratio ours/theirs beside what
 * it is to be: the median of those of each round, since a machine changes its speed between rounds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ACCOUNTS, benchAccounts } from './accounts.ts';
import { type BenchCase, benchCases } from './cases.ts';
import { type Files, filesIn, Sources } from './files.ts';
import { type MannersResult, measureManners } from './manners.ts';
import { type Cost, median, middle, run } from './measure.ts';
import { benchNbd, nbdNames } from './nbd.ts';
import { benchNbdCopy, nbdCopyNames } from './nbd-copy.ts';
import { type BenchOptions, HELP, readOptions } from './options.ts';
import { nbdcopy, ourImg, programs } from './programs.ts';
import { type CaseResult, caseLine, HEADING, mannersLines, memoryLine, type StartUp, startUpLine } from './report.ts';
import { benchTrace, TRACE } from './trace.ts';

const STARTUP_RUNS = 21;

class Bench {
  readonly #options: BenchOptions;
  readonly #folder: string;
  readonly #files: Files;
  readonly #sources: Sources;

  constructor(options: BenchOptions) {
    this.#options = options;
    this.#folder = mkdtempSync(join(options.memory, 'blockyard-bench-'));
    this.#files = filesIn(this.#folder);
    this.#sources = new Sources(this.#files, this.#folder, options.size);
  }

  async run(): Promise<void> {
    const { json } = this.#options;
    const print = (text: string): void => void (json || process.stdout.write(`${text}\n`));
    const results: CaseResult[] = [];
    const cases = benchCases(this.#files).filter(({ name }) => this.#isWanted(name));
    if (this.#options.list) {
      process.stdout.write(
        `${[...cases.map(({ name }) => name), ...nbdNames, ...nbdCopyNames, ACCOUNTS, TRACE, 'start-up', 'manners'].join('\n')}\n`,
      );
      return;
    }
    if (cases.length > 0) print(HEADING);
    for (const each of cases) {
      const result = this.#measure(each);
      results.push(result);
      print(caseLine(result));
    }
    if (results.some((result) => result.againstOurselves)) print('* against our own time for the 1 GiB of data alone');
    if (results.length > 0) print(memoryLine(results));
    if (nbdNames.some((name) => this.#isWanted(name))) {
      const { gib, gibQcow2 } = this.#files;
      for (const name of ['gib', 'gibQcow2'] as const) this.#sources.make(name);
      // All of it is data: what is in no cluster is answered without a read.
      await benchNbd({ raw: gib, qcow2: gibQcow2 }, this.#folder, {
        rounds: this.#options.rounds ?? 3,
        isWanted: (name) => this.#isWanted(name),
        print,
      });
    }
    if (nbdCopyNames.some((name) => this.#isWanted(name))) {
      this.#sources.make('gib');
      await benchNbdCopy(this.#files.gib, this.#folder, {
        rounds: this.#options.rounds ?? 3,
        isWanted: (name) => this.#isWanted(name),
        print,
      });
    }
    if (this.#isWanted(ACCOUNTS)) benchAccounts(this.#folder, this.#options.rounds, print);
    if (this.#isWanted(TRACE)) benchTrace(this.#folder, this.#options.rounds, print);
    const startUp = this.#isWanted('start-up') ? this.#startUp() : undefined;
    if (startUp) print(startUpLine(startUp));
    const manners = this.#isWanted('manners') ? await this.#manners() : undefined;
    if (manners) for (const line of mannersLines(manners)) print(line);
    if (json) process.stdout.write(`${JSON.stringify({ cases: results, startUp, manners }, undefined, 2)}\n`);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #isWanted(name: string): boolean {
    const { only } = this.#options;
    return only.length === 0 || only.some((word) => name.includes(word));
  }

  #measure(each: BenchCase): CaseResult {
    for (const name of each.needs) this.#sources.make(name);
    const { ours: program, theirs: peer } = programs(each.program ?? 'img');
    const theirs = each.against ? [...program, ...each.against] : peer === undefined ? undefined : [peer, ...each.ours];
    const input = each.input && this.#files[each.input];
    const lanes = [
      { words: [...program, ...each.ours], costs: [] as Cost[] },
      { words: theirs, costs: [] as Cost[] },
      { words: nbdcopy !== undefined && each.nbdcopy ? [nbdcopy, ...each.nbdcopy] : undefined, costs: [] as Cost[] },
    ] as const;
    const rounds = this.#options.rounds ?? each.rounds;
    for (let round = each.rounds === 1 ? 1 : 0; round <= rounds; round++) {
      for (const { words, costs } of lanes) {
        if (words === undefined) continue;
        for (const { of, at } of each.fresh ?? []) this.#sources.copy(of, at);
        const cost = run(words, this.#folder, input);
        if (round > 0) costs.push(cost);
        rmSync(this.#files.target, { force: true });
      }
    }
    const [ours, other, nbd] = lanes.map(({ costs }) => (costs.length === 0 ? undefined : median(costs)));
    if (ours === undefined) throw new Error(`${each.name} was not measured`);
    return {
      name: each.name,
      ours,
      theirs: other,
      nbdcopy: nbd,
      ratio: other && middle(lanes[0].costs.map(({ wall }, round) => wall / (lanes[1].costs[round]?.wall ?? 0))),
      target: each.target,
      againstOurselves: each.against !== undefined,
    };
  }

  #startUp(): StartUp {
    const image = join(this.#folder, 'small.qcow2');
    run([...ourImg, 'create', '-q', '-f', 'qcow2', image, '64M'], this.#folder);
    const node: number[] = [];
    const img: number[] = [];
    for (let round = 0; round <= (this.#options.rounds ?? STARTUP_RUNS); round++) {
      const empty = run([process.execPath, '-e', '0'], this.#folder).wall;
      const info = run([...ourImg, 'info', image], this.#folder).wall;
      if (round === 0) continue;
      node.push(empty);
      img.push(info);
    }
    return { node: middle(node), img: middle(img), ratio: middle(img) / middle(node) };
  }

  async #manners(): Promise<MannersResult> {
    const folder = mkdtempSync(join(this.#options.disk, 'blockyard-bench-'));
    try {
      return await measureManners(folder, this.#folder, this.#options.rounds ?? 3);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

const options = readOptions(process.argv.slice(2));
if (options === undefined) process.stdout.write(HELP);
else {
  const bench = new Bench(options);
  try {
    await bench.run();
  } finally {
    bench.close();
  }
}
